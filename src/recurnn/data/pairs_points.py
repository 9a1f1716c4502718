"""Conditions with their sequences, of tokens or of points, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.data.pairs_batches import IGNORED, TokenRows, before
from recurnn.data.sequence_inputs import uneven
from recurnn.errors import DataError, ShapeError

Points = list[NDArray[np.float32]]
"""For each sequence [T_i, C]."""


class TokenTargets:
    """Conditions with sequences of tokens.

    Args:
        conditions: [N, ...].
        rows: the tokens of each sequence.

    Attributes:
        lengths: tokens of each, the end included, [N].
    """

    def __init__(self, conditions: Tensor, rows: Sequence[NDArray[np.int32]]) -> None:
        self.conditions, self._rows = conditions, TokenRows(rows)
        self.lengths = self._rows.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """(conditions [B, ...], the token before each [T, B], lengths [B]), and tokens [T, B]."""
        target, steps = self._rows.gather(index, IGNORED)
        return (self.conditions[index], before(target), steps), target


class PointTargets:
    """Conditions with sequences of points.

    Args:
        conditions: [N, ...].
        rows: the points of each sequence, scaled.

    Attributes:
        lengths: points of each, [N].

    Example:
        >>> rows = [np.ones((2, 3), np.float32), np.ones((1, 3), np.float32)]
        >>> (c, x, steps), (y, _) = PointTargets(torch.tensor([4, 5]), rows).batch(torch.arange(2))
        >>> c.tolist(), x.shape, steps.tolist(), y[:, 1, 0].tolist()
        ([4, 5], torch.Size([2, 2, 3]), [2, 1], [1.0, 0.0])
    """

    def __init__(self, conditions: Tensor, rows: Points) -> None:
        self.conditions, self._rows = conditions, [torch.from_numpy(row) for row in rows]
        self.lengths = torch.tensor([len(row) for row in rows])

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
        """(conditions [B, ...], points [T, B, C], lengths [B]), and (points, lengths)."""
        points = torch.nn.utils.rnn.pad_sequence([self._rows[i] for i in index.tolist()])
        steps = self.lengths[index]
        return (self.conditions[index], points, steps), (points, steps)


def as_points(
    y: Any, max_length: int | None = None, where: Callable[[int], str] = "y[{}]".format
) -> Points:
    """Sequences of points in any accepted form, float32 [T_i, C].

    Args:
        y: an array [N, T, C], or a list of arrays [T_i, C].
        max_length: most points of a sequence; None for any.
        where: from a number to what the sequence is called in errors.

    Raises:
        DataError: one is empty, too long, or holds what is no finite number.
        ShapeError: channels differ in number.
    """
    found: Points = []
    for i, row in enumerate(y):
        try:
            values = np.asarray([np.asarray(p) for p in row], dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{where(i)} does not hold numbers.\n  {uneven(row) or error}"
            ) from error
        if values.ndim != 2 or not values.size:
            raise ShapeError(
                f"{where(i)} is {list(values.shape)}; expected points [T, C], one or more of each."
            )
        if found and values.shape[1] != found[0].shape[1]:
            raise ShapeError(
                f"{where(i)} does not fit the others.\n  Its points have C = {values.shape[1]}; "
                f"those of {where(0)} have C = {found[0].shape[1]}."
            )
        if max_length is not None and len(values) > max_length:
            raise DataError(
                f"{where(i)} is too long.\n  It has {len(values):,} points; max_length is "
                f"{max_length:,}.\n  Leave it out, or raise max_length."
            )
        if not np.isfinite(values).all():
            at = int(np.argwhere(~np.isfinite(values))[0][0])
            raise DataError(
                f"{where(i)} holds what is not a finite number.\n  Point {at} is "
                f"{values[at].tolist()}. Fill it, or leave the sequence out."
            )
        found.append(values)
    return found


def are_points(y: Any) -> bool:
    """Whether targets are points: rows of rows of numbers, and no text."""
    try:
        first = y[0][0]
        return not isinstance(y[0], str) and not isinstance(first, str)
    except (TypeError, IndexError, KeyError):
        return False
