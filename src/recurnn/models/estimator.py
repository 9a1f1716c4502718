"""What the models that learn from sequences share: scikit-learn's manners, the model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import sklearn.exceptions
from sklearn.base import BaseEstimator
from torch import nn

from recurnn.errors import DataError, NotFittedError
from recurnn.models import folder as folder_
from recurnn.models.inspected import beaten_by, configuration
from recurnn.models.sequence_comparison import Scored
from recurnn.training import History

_FIELDS = ("options", "facts")


class EstimatorNotFittedError(NotFittedError, sklearn.exceptions.NotFittedError):  # type: ignore[misc]
    """There is no model yet: recurnn's error and scikit-learn's in one."""


class Estimator(BaseEstimator):  # type: ignore[misc]
    """Base of all models that scikit-learn's tools take.

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
    _seen: Any = None  # what `fit` was given: inputs and what belongs to each

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
            "options": self._told(),
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
            model = cls(**cls._understood(config["options"]))
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

    def _told(self) -> dict[str, Any]:
        """The options as JSON has them."""
        found: dict[str, Any] = self.get_params(deep=False)
        return found

    @classmethod
    def _understood(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Options from JSON, which has no tuples."""
        sizes = options["hidden_size"]
        return options | ({"hidden_size": tuple(sizes)} if isinstance(sizes, list) else {})

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
            raise EstimatorNotFittedError(
                f"The {type(self).__name__} is not fitted yet.\n"
                f"  Call fit(...) first, or {type(self).__name__}.load(...)."
            )
        return self._network

    def _looked_into(self) -> dict[str, Any]:
        """What is told of every model that is looked into; see `Subject`."""
        rows = getattr(self, "comparison", [])
        return {
            "name": f"a {type(self).__name__}",
            "beaten_by": beaten_by(rows, lambda row: next(iter(row.scores.values()))),
            "configuration": configuration(self._fitted(), self.get_params(deep=False)),
        }

    def _fitted_on(self) -> Any:
        """What `fit` was given, for the baselines."""
        if self._seen is None:
            raise NotFittedError(
                "compare: a loaded model has no data to train baselines on.\n"
                "  Call it after fit(), or with baselines=False."
            )
        return self._seen
