"""Shift and scale per series and column, fitted on the training part only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.errors import DataError, ShapeError, one_of

Array = NDArray[np.float64]
Values = TypeVar("Values", Array, Tensor)

KINDS = ("standard", "minmax", "none")


@dataclass(frozen=True, eq=False)
class Scaler:
    """``(x - shift) / scale``, for each series and column.

    Attributes:
        shift: [S, C].
        scale: [S, C], never zero.

    Example:
        >>> scaler = Scaler.fit([np.array([[1.0], [3.0]])], kind="standard")
        >>> scaler.transform(np.array([[1.0], [2.0], [5.0]]))[:, 0].tolist()
        [-1.0, 0.0, 3.0]
    """

    shift: Array
    scale: Array

    @classmethod
    def fit(
        cls,
        training: Sequence[Array],
        *,
        kind: str | tuple[float, float] = "standard",
        names: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> Scaler:
        """Find shift and scale from the training parts.

        Args:
            training: for each series [T, C], its training part and nothing else.
            kind: ``"standard"`` (mean and standard deviation), ``"minmax"`` (onto 0..1),
                ``"none"``, or the pair (shift, scale) for all series and columns.
            names: of the series, for errors.
            columns: their names, for errors.

        Raises:
            DataError: a column is constant in a training part.
            ConfigError: no such kind.
        """
        S, C = len(training), training[0].shape[1]
        if not isinstance(kind, str):
            shift, scale = (float(number) for number in kind)
            return cls(np.full((S, C), shift), np.full((S, C), scale))
        if kind not in KINDS:
            raise one_of("scaling", kind, KINDS)
        if kind == "none":
            return cls(np.zeros((S, C)), np.ones((S, C)))
        if kind == "standard":
            shift_ = np.stack([x.mean(axis=0) for x in training])
            scale_ = np.stack([x.std(axis=0) for x in training])
        else:
            shift_ = np.stack([x.min(axis=0) for x in training])
            scale_ = np.stack([np.ptp(x, axis=0) for x in training])
        # The range is exactly zero for a constant; the standard deviation only nearly.
        flat = np.stack([np.ptp(x, axis=0) for x in training]) == 0
        if flat.any():
            s, c = (int(k) for k in np.argwhere(flat)[0])
            series = repr(names[s]) if names is not None else f"series {s}"
            column = repr(columns[c]) if columns is not None else f"{c}"
            raise DataError(
                f"Column {column} of {series} is constant in the training part.\n"
                f"  All {len(training[s])} values are {training[s][0, c]:g},"
                f" so {kind!r} scaling would divide by zero.\n"
                "  Train on a longer part, leave the column out, or use scaling='none'."
            )
        return cls(shift_, scale_)

    def __post_init__(self) -> None:
        if self.shift.ndim != 2 or self.shift.shape != self.scale.shape:
            raise ShapeError(
                "Scaler: shift and scale do not fit together.\n"
                f"  shift is {list(self.shift.shape)}, scale {list(self.scale.shape)};"
                " both must be [S, C]."
            )
        good = np.isfinite(self.shift).all() and np.isfinite(self.scale).all()
        if not good or (self.scale == 0).any():
            raise DataError("Scaler: shift must be finite, and scale finite and not zero.")

    def transform(self, values: Values, *, series: int | Tensor = 0) -> Values:
        """Scale values [..., C] of one series, or [B, ..., C] of the series [B]."""
        shift, scale = self._like(values, series)
        scaled: Values = (values - shift) / scale
        return scaled

    def inverse(self, values: Values, *, series: int | Tensor = 0) -> Values:
        """Take scaled values back to the data's own units; arguments as in ``transform``."""
        shift, scale = self._like(values, series)
        original: Values = values * scale + shift
        return original

    def _like(self, values: Values, series: int | Tensor) -> tuple[Any, Any]:
        """Shift and scale as values' kind, dtype and device, to be broadcast against them."""
        C = self.shift.shape[1]
        if values.shape[-1] != C:
            raise ShapeError(
                f"Scaler: the values have {values.shape[-1]} columns.\n"
                f"  They are {list(values.shape)}; expected [..., {C}], as in the fit."
            )
        at = series if isinstance(series, int) else series.cpu().numpy()
        found = []
        for numbers in (self.shift[at], self.scale[at]):
            if numbers.ndim == 2:
                numbers = numbers.reshape(len(numbers), *[1] * (values.ndim - 2), C)
            found.append(
                torch.as_tensor(numbers, dtype=values.dtype, device=values.device)
                if isinstance(values, Tensor)
                else numbers
            )
        return found[0], found[1]

    def to_dict(self) -> dict[str, list[list[float]]]:
        """For JSON; :meth:`from_dict` gives the same scaler back, to the bit."""
        return {"shift": self.shift.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Scaler:
        """The scaler that :meth:`to_dict` wrote."""
        return cls(
            np.asarray(saved["shift"], dtype=np.float64),
            np.asarray(saved["scale"], dtype=np.float64),
        )
