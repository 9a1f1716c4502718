"""Arrays as kernels take them, and their working memory."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

MOST_KEPT = 1 << 24  # elements
_kept = threading.local()


def scratch(like: Tensor, elements: int, use: str = "") -> Tensor:
    """Working memory: the thread's own from the call before, unless it would be large.

    Memory that is given back and taken anew is cleared page by page by the system, which can cost
    as much as a short call. Where torch fills fresh memory to find what nobody wrote, it is fresh.

    Args:
        like: an array of its type.
        elements: how many.
        use: for what; memory of one use is not taken for another.
    """
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if elements > MOST_KEPT or (filled and torch.are_deterministic_algorithms_enabled()):
        return like.new_empty((elements,))
    name = f"{like.dtype} {use}"
    found: Tensor | None = getattr(_kept, name, None)
    if found is None or found.numel() < elements:
        found = like.new_empty((elements,))
        setattr(_kept, name, found)
    return found


def dense(x: Tensor) -> Tensor:
    """The array with its last dimension dense."""
    return x if x.stride(-1) == 1 else x.contiguous()


def strides(x: Tensor) -> tuple[int, int]:
    """The strides of step and row; that of step is 0 in [B, n], the same at every step."""
    found = x.stride()
    return (found[0], found[1]) if len(found) == 3 else (0, found[0])
