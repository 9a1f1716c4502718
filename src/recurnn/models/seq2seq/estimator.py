"""What models of pairs have in common: scikit-learn's interface, and the model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from sklearn.base import BaseEstimator
from torch import nn

from recurnn.errors import DataError, NotFittedError
from recurnn.models import folder as folder_
from recurnn.models.sequence_comparison import Scored
from recurnn.training import History

_FIELDS = ("options", "facts")


class Estimator(BaseEstimator):  # type: ignore[misc]
    """Base of `Seq2Seq` and `SequenceGenerator`.

    Attributes:
        history: losses of every epoch of the last training.
        comparison: a `Scored` for each model, once `compare` was called.
        verdict: one plain sentence on whether the network was worth it.
    """

    format: tuple[str, int]
    history: History
    comparison: list[Scored]
    verdict: str

    _network: Any = None

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model folder: `model.safetensors` and `config.json`.

        Args:
            folder: where to.
            overwrite: whether a model that is there may be replaced.

        Raises:
            NotFittedError: there is no model yet.
            ModelFolderError: the folder exists, or cannot be written.
        """
        self._fitted()
        with folder_.written(folder, overwrite=overwrite) as temporary:
            self.write_to(temporary)

    def write_to(self, folder: Path) -> None:
        """Write the model's two files into a folder that exists."""
        config = {
            "options": self.get_params(deep=False),
            "facts": self._facts(),
            "comparison": [row.row() for row in getattr(self, "comparison", [])],
            "verdict": getattr(self, "verdict", None),
        }
        folder_.write(folder, self.format, config, self._fitted().state_dict())

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model folder.

        Raises:
            ModelFolderError: the folder is missing, damaged, or not one of this model.
        """
        config, tensors = folder_.read(folder, cls.format, _FIELDS)
        try:
            options = dict(config["options"])
            if isinstance(options["hidden_size"], list):
                options["hidden_size"] = tuple(options["hidden_size"])
            model = cls(**options)
            module = model._restore(config["facts"])
            module.load_state_dict(tensors)
        except (TypeError, KeyError, ValueError, RuntimeError, DataError) as error:
            raise folder_.does_not_fit(folder, error) from error
        model._network = module.eval()
        model.comparison = [
            Scored(row.pop("model"), seconds=row.pop("seconds"), recurrent=row.pop("recurrent"),
                   scores=row)
            for row in config.get("comparison", [])
        ]  # fmt: skip
        model.verdict = config.get("verdict") or ""
        return model

    def __sklearn_is_fitted__(self) -> bool:
        return self._network is not None

    def _options(self) -> Any:
        """The options, checked."""
        raise NotImplementedError

    def _facts(self) -> dict[str, Any]:
        """What the folder keeps beside options and weights; must be JSON."""
        raise NotImplementedError

    def _restore(self, facts: dict[str, Any]) -> nn.Module:
        """Take over what `_facts` kept, and the network to put the weights into."""
        raise NotImplementedError

    def _keep(self, given: dict[str, Any]) -> None:
        """Keep the options as attributes, as scikit-learn asks, and refuse bad ones at once."""
        for name, value in given.items():
            if name not in ("self", "__class__"):  # the caller's locals
                setattr(self, name, value)
        self._options()

    def _fitted(self) -> Any:
        if self._network is None:
            raise NotFittedError(
                f"The {type(self).__name__} is not fitted yet.\n"
                f"  Call fit(...) first, or {type(self).__name__}.load(...)."
            )
        return self._network
