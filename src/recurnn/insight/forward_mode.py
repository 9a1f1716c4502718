"""Jacobian-vector products: values and their tangents, carried forward together."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

dual: Any = forward_ad  # torch gives these functions no types


def push(
    function: Callable[..., Mapping[str, Tensor]],
    values: Sequence[Tensor],
    tangents: Sequence[Tensor | None],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a function makes of some values, and of a tangent at each.

    Args:
        function: of as many tensors; it gives tensors by name.
        values: its arguments.
        tangents: of each, of its shape; None for zero.

    Returns:
        Its results, and the tangent of each: zeros where none arrives.
    """
    _load()
    with torch.no_grad(), dual.dual_level():
        duals = [
            v if t is None else dual.make_dual(v, t) for v, t in zip(values, tangents, strict=True)
        ]
        parts = {k: dual.unpack_dual(v) for k, v in function(*duals).items()}
        found = {k: part.primal.clone() for k, part in parts.items()}
        moved = {
            k: torch.zeros_like(part.primal) if part.tangent is None else part.tangent.clone()
            for k, part in parts.items()
        }
    return found, moved


@functools.cache
def _load() -> None:
    """Import what torch imports at the first tangent, without the warning that it gives there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("torch._decomp.decompositions_for_jvp")
