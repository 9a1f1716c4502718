"""Nothing is timed that computes something else.

The bound is that of `tests/tolerance.py`: rounding of the longest chain of additions, times the
largest value, and a floor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from kernel_bench.shapes import Shape


class Disagreement(Exception):  # noqa: N818 - it is what it says
    """An engine's numbers are further from torch's than rounding explains."""


def terms(shape: Shape) -> int:
    """How many products the longest chain of additions behind one number has."""
    T, B, I, H = shape  # noqa: E741 - the letters of the design
    return T * (B + I + H)


def agree(got: Mapping[str, Tensor], want: Mapping[str, Tensor], shape: Shape) -> None:
    """Refuse results that are not torch's up to rounding.

    Args:
        got: outputs and gradients by name.
        want: the same, by torch.
        shape: T, B, I, H.

    Raises:
        Disagreement: a name is missing, a shape differs, or a number is too far off or NaN.
    """
    if not want or set(got) != set(want):
        raise Disagreement(f"has {sorted(got)}, expected {sorted(want)}")
    for name, expected in want.items():
        value = got[name].detach()
        if value.shape != expected.shape:
            raise Disagreement(f"{name} is {list(value.shape)}, expected {list(expected.shape)}")
        largest = expected.detach().abs().max().item()
        allowed = 8 * torch.finfo(expected.dtype).eps * (math.sqrt(terms(shape)) * largest + 1)
        worst = (value - expected.detach()).abs().max().item()
        if not worst <= allowed:  # false for NaN too
            raise Disagreement(f"{name} is off by {worst:.3g}, allowed {allowed:.3g}")
