"""How two directions become one output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Output = Tensor | tuple[Tensor, Tensor]

MERGED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda a, b: torch.cat([a, b], dim=-1),
    "sum": torch.add,
    "mean": lambda a, b: (a + b) / 2,
    "mul": torch.mul,
}


def each(output: Output, change: Callable[[Tensor], Any]) -> Any:
    """An output changed; both parts of it if it is a pair."""
    return change(output) if isinstance(output, Tensor) else (change(output[0]), change(output[1]))
