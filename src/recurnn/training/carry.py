"""States that are carried from one chunk of a stream to the next: nests of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def each(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The nest (tuples, lists, dicts, None) with every tensor changed."""
    if isinstance(state, Tensor):
        return change(state)
    if isinstance(state, dict):
        return {k: each(v, change) for k, v in state.items()}
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return type(state)(*(each(v, change) for v in state))
    if isinstance(state, (tuple, list)):
        return type(state)(each(v, change) for v in state)
    return state


def tensors(state: Any) -> list[Tensor]:
    """The tensors of the nest, in order."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    each(state, note)
    return found


def detached(state: Any) -> Any:
    """The same values, from which no gradient flows back."""
    return each(state, Tensor.detach)


def restarted(state: Any, rows: Tensor) -> Any:
    """The states with zeros in the rows that begin anew.

    Args:
        state: tensors [..., B, H].
        rows: which rows, bool [B].
    """
    return each(state, lambda s: torch.where(rows.to(s.device)[:, None], 0, s))


def lanes(state: Any, first: int, last: int) -> Any:
    """The states of some of the rows: tensors [..., B, H] to [..., last - first, H]."""
    return each(state, lambda s: s[..., first:last, :].contiguous())


def joined(parts: list[Any]) -> Any:
    """The states of all rows, from those of several processes in order."""
    flat = [tensors(part) for part in parts]
    whole = iter([torch.cat(same, dim=-2) for same in zip(*flat, strict=True)])
    return each(parts[0], lambda _: next(whole))
