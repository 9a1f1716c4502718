"""Tensors as the kernel's arrays: the C structures of recurrence.h, and how to fill them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurnn.compiler.plan import Group

DENSE = torch.contiguous_format
P, I64, I32 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32


class Stream(ctypes.Structure):
    """Where a kernel's bodies find one array; see recurrence.h."""

    arrays: tuple[Tensor | None, ...]
    _fields_ = (
        ("base", P), ("time", I64), ("row", I64), ("wrap", I64), ("shift", I64),
        ("first", P), ("first_row", I64),
    )  # fmt: skip


class MatrixAt(ctypes.Structure):
    """A weight matrix, whichever way round it is stored."""

    _fields_ = (("data", P), ("unit_stride", I64), ("k_stride", I64))


class Term(ctypes.Structure):
    """One term of a plain product over all rows."""

    _fields_ = (("data", P), ("stride", I64), ("K", I32), ("matrix", MatrixAt))


class Call(ctypes.Structure):
    """Everything that one run of a kernel is given."""

    _fields_ = (
        ("T", I64), ("B", I64), ("size", P), ("stream", P), ("vector", P), ("matrix", P),
        ("order", P), ("length", P), ("reset", P),
        ("descending", I32), ("threads", I32), ("split_units", I32), ("chunk", I32),
        ("zero", P), ("packed", P),
    )  # fmt: skip


def dense(array: Tensor) -> Tensor:
    """The array with its last dimension dense, which is all that a kernel asks."""
    return array if array.stride(-1) == 1 else array.contiguous()


def stream(array: Tensor, *, wrap: int = -1, shift: int = 0, first: Tensor | None = None) -> Stream:
    """A stream over an array [T, B, n] whose last dimension is dense."""
    found = Stream(
        array.data_ptr(), array.stride(0), array.stride(1), wrap, shift,
        None if first is None else first.data_ptr(), 0 if first is None else first.stride(0),
    )  # fmt: skip
    found.arrays = (array, first)  # alive as long as the stream
    return found


def matrices_of(group: Group, weights: dict[str, Tensor]) -> list[MatrixAt]:
    """The matrices of a group, operand by operand, with the strides of unit and k."""
    found = []
    for row in group.matrices:
        for name, transposed in row:
            W = weights[name]
            unit, k = (W.stride(1), W.stride(0)) if transposed else (W.stride(0), W.stride(1))
            found.append(MatrixAt(W.data_ptr(), unit, k))
    return found


def array(kind: Any, items: Sequence[Any]) -> Any:
    """A C array; of one element that nobody reads where there are no items."""
    return (kind * max(len(items), 1))(*items)


def address(tensor: Tensor | None) -> int | None:
    """The address of a tensor, or null."""
    return None if tensor is None else tensor.data_ptr()


def flat(x: Tensor) -> bool:
    """Whether steps and rows of x follow one another at one stride."""
    return 1 in x.shape[:2] or x.stride(0) == x.shape[1] * x.stride(1)


def row_stride(x: Tensor) -> int:
    """The stride from one row to the next of an array [T, B, n] that is flat."""
    return x.stride(1) if x.shape[1] > 1 else x.stride(0)


def threads_for(flops: float) -> int:
    """Threads that are worth starting: one for each million operations."""
    return int(max(1, min(torch.get_num_threads(), flops // 1e6, 64)))


def chunk_for(B: int, width: int, T: int) -> int:
    """Steps whose hoisted products are made at once: a power of two, some 256 KiB."""
    steps = 1
    while steps < T and steps * 2 * B * width <= 65536:
        steps *= 2
    return steps
