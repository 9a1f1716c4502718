"""The comparisons of all tests. One function says how far two results may be apart.

Nothing takes a tolerance as an argument, so nothing can loosen it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def tolerance(dtype: torch.dtype, terms: int, magnitude: float) -> float:
    """The largest difference that rounding explains: rounding × magnitude + floor.

    Rounding errors of a sum add up like a random walk, so they grow with the root of the number
    of terms. The floor is for results near zero that are differences of numbers near one.

    Args:
        dtype: of the coarser computation.
        terms: how many products the longest chain of additions behind one number has.
        magnitude: the largest absolute value of the tensor.
    """
    eps = torch.finfo(dtype).eps
    return 8 * eps * math.sqrt(terms) * magnitude + 8 * eps


def agree(got: Mapping[str, Tensor], want: Mapping[str, Tensor], *, terms: int) -> None:
    """Assert that the named tensors are equal up to rounding; name all that are not."""
    _same_kind(got, want)
    wrong = []
    for name, expected in want.items():
        if not expected.dtype.is_floating_point:
            raise AssertionError(f"{name}: agree is for floating point, not {expected.dtype}")
        if expected.numel() == 0:
            continue
        difference = (got[name].detach() - expected.detach()).abs()
        allowed = tolerance(expected.dtype, terms, expected.detach().abs().max().item())
        # `<=` is false for NaN on either side, and an infinity makes a NaN of the difference
        if not math.isfinite(allowed) or not bool((difference <= allowed).all()):
            wrong.append(_where(name, got[name], expected, difference, allowed))
    assert not wrong, "\n".join(wrong)


def identical(got: Mapping[str, Tensor], want: Mapping[str, Tensor]) -> None:
    """Assert that the named tensors have the same numbers, bit for bit, none of them NaN."""
    _same_kind(got, want)
    wrong = []
    for name, expected in want.items():
        if not torch.equal(got[name], expected):
            difference = (got[name].detach().double() - expected.detach().double()).abs()
            wrong.append(_where(name, got[name], expected, difference, 0.0))
    assert not wrong, "\n".join(wrong)


def _same_kind(got: Mapping[str, Tensor], want: Mapping[str, Tensor]) -> None:
    assert want, "nothing to compare"
    assert set(got) == set(want), f"names: got {sorted(got)}, want {sorted(want)}"
    for name, expected in want.items():
        have = got[name]
        assert have.shape == expected.shape, f"{name}: {have.shape}, want {expected.shape}"
        assert have.dtype == expected.dtype, f"{name}: {have.dtype}, want {expected.dtype}"


def _where(name: str, got: Tensor, want: Tensor, difference: Tensor, allowed: float) -> str:
    worst = difference.nan_to_num(nan=math.inf).argmax()
    at = [int(i) for i in torch.unravel_index(worst, difference.shape)]
    far = int((~(difference <= allowed)).sum())
    return (
        f"{name}{at}: {got.flatten()[worst].item()!r}, want {want.flatten()[worst].item()!r}; "
        f"{far} of {want.numel()} are more than {allowed:.2g} apart"
    )
