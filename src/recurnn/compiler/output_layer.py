"""The output layer's kernel: logits, softmax cross-entropy and all gradients in one pass.

The text is ``output_layer.h`` and its parts, on the same products and threads as the recurrences;
of bfloat16 on the products of ``tiles.h``, where the processor has a matrix unit.
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
from recurnn.compiler.build import load, matrix_unit
from recurnn.compiler.kernel import REALS
from recurnn.compiler.structures import I64, P, share_pool

HEADERS = (
    "vectors.h", "tiles.h", "products.h", "threads.h", "call.h",
    "output_layer.h", "output_float.h", "output_half.h", "output_call.h",
)  # fmt: skip
GROUP_BYTES = 16 << 20
"""The logits that are held at a time."""

ROOMS = (
    "logits", "scaled", "most", "panel", "h_laid", "sums", "turned", "paired", "numbers",
)  # fmt: skip
"""The working arrays, in the order in which the kernel says how large they are."""

FEWEST_ROWS = 128  # in a group: with fewer, reading the weight costs more than the products


class _Call(ctypes.Structure):
    """What the kernel is told; see output_layer.h."""

    _fields_ = (
        ("rows", I64), ("H", I64), ("V", I64), ("group", I64), ("threads", I64), ("pool", I64),
        ("h_stride", I64), ("weight_stride", I64),
        ("h", P), ("weight", P), ("bias", P), ("target", P), ("scale", P),
        ("loss", P), ("dh", P), ("dweight", P), ("dbias", P),
        ("logits", P), ("scaled", P), ("most", P), ("panel", P), ("h_laid", P), ("sums", P),
        ("turned", P), ("paired", P), ("numbers", P), ("member", I64),
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

    For bfloat16 it is that of float32 where there is no matrix unit.

    Raises:
        Unsupported: there is no compiler, or it refuses the text.
    """
    half = dtype == torch.bfloat16
    if half and not matrix_unit():
        return _library(torch.float32)
    folder = resources.files("recurnn.compiler")
    text = "\n".join(folder.joinpath(name).read_text() for name in HEADERS)
    library = load("#define MATRIX_UNIT\n" * half + text, REALS[dtype], "cross-entropy")
    library.output.argtypes, library.output.restype = (P,), None
    library.rooms.argtypes, library.rooms.restype = (P, P), None
    return library


def has_cross_entropy(dtype: torch.dtype) -> None:
    """Compile the kernel for a type.

    Raises:
        Unsupported: there is none, with the reason.
    """
    _library(dtype)


def cross_entropy(
    h: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, scale: Tensor | None,
    wants: Sequence[bool] = (False, False, False), *, half: bool = False,
) -> Losses:  # fmt: skip
    """The cross-entropy of each row, and if there is a scale the gradients of their weighted sum.

    Args:
        h: [N, H].
        weight: W, [V, H].
        bias: b, [V], or None.
        target: int64 [N], from 0 to V − 1; below 0 a row does not count.
        scale: dL/dloss of each row, [N], or None for no gradients.
        wants: whether dh, dW and db are wanted.
        half: whether products are to take their operands rounded to bfloat16, as they do where
            `weight` is of it; on a processor without a matrix unit for them they do not.
    """
    dtype = weight.dtype
    kind = torch.bfloat16 if half else dtype
    library = _library(kind)
    real = torch.float32 if kind == torch.bfloat16 else kind
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
    arrays = (h, weight, given[0], target, given[1], losses, *found)
    call = _Call(
        N, H, V, group_of(N, V, h.element_size()), threads, 0, h.stride(0), weight.stride(0),
        *(None if t is None else t.data_ptr() for t in arrays),
    )  # fmt: skip
    work = _take_room(library, call, losses)
    share_pool(call)
    library.output(ctypes.addressof(call))
    del work
    return Losses(
        losses,
        [g.to(dtype) if w and g is not None else None for g, w in zip(found, wants, strict=True)],
    )


def _take_room(library: Any, call: _Call, like: Tensor) -> Tensor:
    """Give a call its working arrays, which live as long as what is returned."""
    needs = (I64 * (len(ROOMS) + 1))()
    library.rooms(ctypes.addressof(call), ctypes.addressof(needs))
    *sizes, call.member = needs
    starts = list(itertools.accumulate((-(-size // 64) * 64 for size in sizes), initial=0))
    work = scratch(like, starts[-1], "output layer")
    for name, start in zip(ROOMS, starts[:-1], strict=True):
        setattr(call, name, work.data_ptr() + start * work.element_size())
    return work


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
