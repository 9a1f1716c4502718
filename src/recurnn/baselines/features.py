"""What every model but the recurrent one sees of a window: one flat row."""

from __future__ import annotations

import torch
from torch import Tensor


def flat(x: Tensor, columns: int) -> Tensor:
    """A window as one row: all its values, then the other features at its last step.

    The calendar of the last step says that of all others, so the earlier ones are left out.

    Args:
        x: [B, context, F], of which the first C columns are the values to forecast.
        columns: C.

    Returns:
        [B, context · C + F − C].
    """
    return torch.cat([x[..., :columns].flatten(1), x[:, -1, columns:]], dim=1)


def width(context: int, features: int, columns: int) -> int:
    """How long the row that `flat` returns is."""
    return context * columns + features - columns


def relative(x: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """A window as its differences from its own last values.

    With it a network forecasts the change from here, and a level it has never seen is nothing
    new to it (NLinear; Zeng et al. 2023).

    Args:
        x: [B, context, F], of which the first C columns are the values.
        columns: C.

    Returns:
        x with the last values taken off, [B, context, F], and the last values, [B, 1, C].
    """
    last = x[:, -1:, :columns]
    return torch.cat([x[..., :columns] - last, x[..., columns:]], dim=2), last
