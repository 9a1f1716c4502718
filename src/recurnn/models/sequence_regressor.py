"""The regressor: sequences in; a number or a vector for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from torch import Tensor

from recurnn.baselines.sequences import regressors
from recurnn.errors import DataError, ShapeError, counted, one_of
from recurnn.models.sequence_comparison import Scored
from recurnn.models.sequence_inspected import Inspected
from recurnn.models.sequence_model import SequenceModel
from recurnn.training.objective import Loss

LOSSES = ("mse", "mae")


class SequenceRegressor(RegressorMixin, Inspected, SequenceModel):  # type: ignore[misc]
    """A number, or a vector of numbers, from a sequence; numbers are scaled while training.

    Args:
        loss: ``"mse"`` or ``"mae"``, on scaled numbers.
        **options: as those of `SequenceClassifier`; there are no class weights.

    Attributes:
        history: losses of every epoch.
        comparison: a `Scored` for each model, once `compare` was called.
        verdict: one plain sentence on whether the network was worth it.

    Raises:
        ConfigError: an option has a value that it cannot have.

    Example:
        >>> import numpy as np, recurnn
        >>> x = [np.full(n, v) for n in range(3, 9) for v in (0.0, 1.0, 2.0, 3.0)]
        >>> y = [v[0] for v in x]
        >>> model = recurnn.SequenceRegressor(hidden_size=8, epochs=60, learning_rate=0.03)
        >>> model.fit(x, y).predict([[2.0] * 5]).round().tolist()
        [2.0]
    """

    format = ("recurnn-sequence-regressor", 2)
    decides = ("MSE", False)

    def __init__(
        self,
        *,
        loss: str = "mse",
        tokens: str | None = None,
        cell: str = "lstm",
        hidden_size: int | Sequence[int] = 64,
        num_layers: int = 1,
        bidirectional: bool = True,
        pooling: str | None = None,
        dropout: float | None = None,
        token_dropout: float = 0.1,
        embedding_size: int = 32,
        scale: str = "standard",
        max_length: int | None = None,
        optimizer: str = "adam",
        learning_rate: float = 3e-3,
        schedule: str | None = None,
        batch_size: int | None = None,
        epochs: int = 60,
        patience: int | None = 8,
        clip: float | None = 1.0,
        precision: str = "float32",
        validation: float | None = None,
        seed: int = 0,
    ) -> None:
        if loss not in LOSSES:
            raise one_of("loss", loss, LOSSES)
        self._keep(locals())

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The number, [N], or the vector, [N, numbers], of each sequence.

        Raises:
            NotFittedError: there is no model yet.
            DataError: the sequences are not of the kind that the model was fitted on.
        """
        return self._predicted(self._outputs(self._again(X)))

    def _learn_target(self, y: NDArray[Any]) -> None:
        values = self._rows(y)
        scale = values.std(0)
        self._shift, self._scale = values.mean(0), np.where(np.ptp(values, axis=0) > 0, scale, 1.0)
        self._flat = y.ndim == 1

    def _rows(self, y: NDArray[Any]) -> NDArray[np.float64]:
        """As [N, numbers]."""
        if y.dtype.kind not in "iufb" or y.ndim > 2:
            raise DataError(
                f"y is {list(y.shape)} of {y.dtype}; expected a number, or a row of numbers, for "
                "each sequence."
            )
        rows = y.reshape(len(y), -1).astype(np.float64)
        if hasattr(self, "_shift") and self._network is not None and (
            rows.shape[1] != len(self._shift)
        ):  # fmt: skip
            raise ShapeError(
                f"y has {counted(rows.shape[1], 'number')} a sequence; the model was fitted on "
                f"{len(self._shift)}."
            )
        return rows

    def _encoded(self, y: NDArray[Any]) -> Tensor:
        return torch.from_numpy((self._rows(y) - self._shift) / self._scale).float()

    def _size(self) -> int:
        return len(self._shift)

    def _loss(self, y: NDArray[Any]) -> str | Loss:
        return str(self.get_params()["loss"])

    def _predicted(self, outputs: Tensor) -> NDArray[Any]:
        found: NDArray[Any] = outputs.double().numpy() * self._scale + self._shift
        return found[:, 0] if self._flat else found

    def _scored(
        self, name: str, found: Any, y: NDArray[Any], seconds: float, *, recurrent: bool = False
    ) -> Scored:
        true = self._rows(y)
        error = np.asarray(found, dtype=np.float64).reshape(true.shape) - true
        squared = (error**2).mean(1)
        spread = ((true - true.mean(0)) ** 2).mean()
        scores = {
            "MSE": float(squared.mean()),
            "MAE": float(np.abs(error).mean()),
            "R²": float(1 - squared.mean() / spread) if spread > 0 else 0.0,
        }
        return Scored(name, scores, seconds, recurrent, squared)

    def _baselines(self) -> dict[str, Any]:
        return regressors(tokens=self._kind != "numbers")

    def _target_in_words(self) -> str:
        return "a number" if len(self._shift) == 1 else counted(len(self._shift), "number")

    def _target_config(self) -> dict[str, Any]:
        return {
            "shift": self._shift.tolist(), "scale": self._scale.tolist(), "flat": self._flat
        }  # fmt: skip

    def _restore_target(self, config: dict[str, Any]) -> None:
        self._shift, self._scale = np.array(config["shift"]), np.array(config["scale"])
        self._flat = bool(config["flat"])
