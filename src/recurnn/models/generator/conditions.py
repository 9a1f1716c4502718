"""What a generator begins from: a class, or a vector of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.data.sequence_inputs import refuse_sparse
from recurnn.errors import DataError, ShapeError, nearest
from recurnn.models.sequence_preparation import plain

_MOST = 5  # classes named in a message


@dataclass(frozen=True)
class Conditions:
    """How conditions become numbers.

    Attributes:
        classes: the classes, sorted; None where conditions are vectors.
        shift: mean of each number of a vector in the training part, [F]; empty for classes.
        scale: its deviation.
    """

    classes: list[Any] | None
    shift: list[float]
    scale: list[float]

    @classmethod
    def of(cls, values: NDArray[Any]) -> Conditions:
        """Learn the classes, or the scale of the numbers.

        Args:
            values: [N] classes, or [N, F] numbers.
        """
        if values.ndim == 1:
            return cls([plain(k) for k in np.unique(values)], [], [])
        numbers = values.astype(np.float64)
        scale = numbers.std(0)
        scale[np.ptp(numbers, axis=0) == 0] = 1.0
        return cls(None, numbers.mean(0).tolist(), scale.tolist())

    @property
    def size(self) -> int:
        """Classes, or numbers of a vector."""
        return len(self.shift) if self.classes is None else len(self.classes)

    def numbers(self, values: NDArray[Any]) -> Tensor:
        """Conditions as the network takes them: classes int64 [N], vectors float32 [N, F].

        Raises:
            DataError: a class that was not learned.
            ShapeError: conditions of another kind or size.
        """
        if self.classes is None:
            if values.ndim != 2 or values.shape[1] != self.size:
                raise ShapeError(
                    "The conditions do not fit the model.\n"
                    f"  They are {list(values.shape)}; expected [N, F] with F = {self.size}."
                )
            scaled = (values.astype(np.float64) - self.shift) / self.scale
            return torch.from_numpy(scaled).float()
        if values.ndim != 1:
            raise ShapeError(
                "The conditions do not fit the model.\n"
                f"  They are {list(values.shape)}; expected [N], a class each."
            )
        at = {label: k for k, label in enumerate(self.classes)}
        found = []
        for i, value in enumerate(values):
            if plain(value) not in at:
                known = [str(k) for k in self.classes]
                raise DataError(
                    f"X[{i}] is {plain(value)!r}, a class that the model was not fitted on.\n"
                    f"  It knows {len(at)}: {', '.join(known[:_MOST])}"
                    f"{', …' if len(at) > _MOST else '.'}{nearest(plain(value), known)}"
                )
            found.append(at[plain(value)])
        return torch.tensor(found)


def as_conditions(X: Any) -> NDArray[Any]:
    """Conditions in any accepted form: [N] classes, or [N, F] finite numbers.

    Raises:
        DataError: there is none, one is missing, or they are neither.
    """
    refuse_sparse(X, "X is")
    values = np.asarray(X)
    if values.dtype.kind == "c":
        raise DataError(
            "Complex data not supported: X holds complex numbers.\n"
            "  Give the real and imaginary parts as numbers of their own."
        )
    if values.dtype.kind == "O" and values.ndim == 2:
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"X does not hold numbers.\n  {error}") from error
    if not values.ndim:
        raise DataError(
            f"X is of type {type(X).__name__}.\n  Expected a list of classes, or numbers [N, F]."
        )
    if values.ndim not in (1, 2) or not len(values):
        raise DataError(
            f"X is {list(values.shape)}; expected [N] classes, or [N, F] numbers, N of 1 or more."
        )
    if values.ndim == 2 and values.dtype.kind not in "iufb":
        raise DataError("X does not hold numbers; expected [N] classes, or [N, F] numbers.")
    if values.dtype.kind == "f":
        missing = ~np.isfinite(values)
    else:
        missing = np.array([v is None or v != v for v in values.ravel()]).reshape(values.shape)
    if missing.any():
        at, *which = (int(k) for k in np.argwhere(missing)[0])
        if not which:
            raise DataError(f"X[{at}] is {values[at]}: it is missing.\n  Leave that sequence out.")
        shown = "NaN" if np.isnan(values[at, which[0]]) else str(values[at, which[0]])
        raise DataError(
            f"X[{at}] holds what is not a finite number.\n  Number {which[0]} is {shown}. Fill it, "
            "or leave the sequence out."
        )
    return values
