"""The output layer's kernel: logits, softmax cross-entropy and all gradients in one pass.

The text is ``output_layer.h``, on the same products and threads as the recurrences.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurnn.compiler.arrays import scratch
from recurnn.compiler.build import load
from recurnn.compiler.kernel import REALS
from recurnn.compiler.structures import I64, P, share_pool

HEADERS = ("vectors.h", "products.h", "threads.h", "call.h", "output_layer.h")
GROUP_BYTES = 16 << 20
"""The logits that are held at a time."""

FEWEST_ROWS = 128  # in a group: with fewer, reading the weight costs more than the products


class _Call(ctypes.Structure):
    """What the kernel is told; see output_layer.h."""

    _fields_ = (
        ("rows", I64), ("H", I64), ("V", I64), ("group", I64), ("threads", I64), ("pool", I64),
        ("h_stride", I64), ("weight_stride", I64),
        ("h", P), ("weight", P), ("bias", P), ("target", P), ("scale", P),
        ("loss", P), ("dh", P), ("dweight", P), ("dbias", P),
        ("logits", P), ("scaled", P), ("most", P), ("panel", P), ("room", I64),
    )  # fmt: skip


class Losses(NamedTuple):
    """What the kernel gives.

    Attributes:
        losses: of each row, [N]; 0 where it does not count.
        found: dh [N, H], dW [V, H] and db [V], None where not wanted.
    """

    losses: Tensor
    found: list[Tensor | None]


@functools.cache
def _library(dtype: torch.dtype) -> Any:
    """The kernel for one type of weights, compiled when it is first wanted.

    Raises:
        Unsupported: there is no compiler, or it refuses the text.
    """
    folder = resources.files("recurnn.compiler")
    text = "\n".join(folder.joinpath(name).read_text() for name in HEADERS)
    library = load(text, REALS[dtype], "cross-entropy")
    library.output.argtypes, library.output.restype = (ctypes.c_void_p,), None
    return library


def has_cross_entropy(dtype: torch.dtype) -> None:
    """Compile the kernel for a type.

    Raises:
        Unsupported: there is none, with the reason.
    """
    _library(dtype)


def cross_entropy(
    h: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, scale: Tensor | None,
    wants: Sequence[bool] = (False, False, False),
) -> Losses:  # fmt: skip
    """The cross-entropy of each row, and if there is a scale the gradients of their weighted sum.

    Args:
        h: [N, H].
        weight: W, [V, H].
        bias: b, [V], or None.
        target: int64 [N], from 0 to V − 1; below 0 a row does not count.
        scale: dL/dloss of each row, [N], or None for no gradients.
        wants: whether dh, dW and db are wanted.
    """
    dtype = weight.dtype
    library = _library(dtype)
    # bfloat16 is widened here.
    real = torch.float32 if dtype == torch.bfloat16 else dtype
    h, weight = (_rows(t.to(real)) for t in (h, weight))
    given = [None if t is None else t.to(real).contiguous() for t in (bias, scale)]
    target = target.contiguous()
    N, H = h.shape
    V, threads = len(weight), min(torch.get_num_threads(), 64)
    losses = h.new_empty(N)
    both = wants[1] or wants[2]
    shapes = (((N, H), wants[0]), ((V, H), both), ((V,), both))
    found = [h.new_empty(s) if w and scale is not None else None for s, w in shapes]
    if N == 0:
        return Losses(losses, [None if g is None else g.zero_().to(dtype) for g in found])
    group, panel, words = group_of(N, V, h.element_size()), library.panel(), library.words()
    sizes = (
        -(-V // words) * group * library.step(),
        (H // panel + 1) * group * panel if both else 0,
        threads * group * panel // 4,
        threads * (room := max(H, words) * panel),
    )
    starts = list(itertools.accumulate((-(-size // 64) * 64 for size in sizes), initial=0))
    work = scratch(h, starts[-1], "output layer")
    pieces = [work[start:] for start in starts[:-1]]
    arrays = (h, weight, given[0], target, given[1], losses, *found, *pieces)
    call = _Call(
        N, H, V, group, threads, 0, h.stride(0), weight.stride(0),
        *(None if t is None else t.data_ptr() for t in arrays), room,
    )  # fmt: skip
    share_pool(call)
    library.output(ctypes.addressof(call))
    return Losses(
        losses,
        [g.to(dtype) if w and g is not None else None for g, w in zip(found, wants, strict=True)],
    )


def group_of(N: int, V: int, size: int) -> int:
    """How many rows' logits are held at a time.

    Args:
        N: rows in all.
        V: the vocabulary.
        size: bytes of a number.
    """
    most = max(GROUP_BYTES // (V * size), FEWEST_ROWS)
    groups = -(-N // most)
    return -(-N // groups)


def _rows(t: Tensor) -> Tensor:
    """With numbers of a row side by side."""
    return t if t.stride(1) == 1 and t.stride(0) >= t.shape[1] else t.contiguous()
