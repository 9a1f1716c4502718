"""The C structures of recurrence.h, in which a kernel is told of one shape of call."""

from __future__ import annotations

import ctypes
import os
import weakref
from dataclasses import dataclass, field
from typing import Any, NamedTuple

P, I64, I32 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
SCRATCH, ZEROS, NONE = -1, -2, -1
MOST_EXTRA = 16  # matrices that a step uses twice, each use beyond the first
DEPTH = 256  # rows that are summed while they lie near
ALIGNED = 16  # elements: every piece of the scratch begins on a whole vector


def _structure(name: str, *fields: str) -> Any:
    """A C structure of 64-bit numbers."""
    return type(name, (ctypes.Structure,), {"_fields_": [(f, I64) for f in fields]})


PlaceAt = _structure(
    "PlaceAt", "array", "offset", "time", "row", "span", "wrap", "shift",
    "first", "first_row", "first_span", "again", "again_row", "joined",
)  # fmt: skip
MatrixAt = _structure("MatrixAt", "array", "offset", "unit_stride", "k_stride")
VectorAt = _structure("VectorAt", "one", "two", "offset_one", "offset_two")
FactorAt = _structure("FactorAt", "stream", "offset", "width")
SumAt = _structure("SumAt", "array", "offset", "stride", "copy", "copy_offset")
RowSumAt = _structure("RowSumAt", "offset", "width", "array", "array_offset", "copy", "copy_offset")


class Columns(ctypes.Structure):
    """The dz of one product: where in its row, and how many."""

    _fields_ = (("at", I64), ("count", I32))


class Call(ctypes.Structure):
    """Everything that stays the same from call to call; see recurrence.h."""

    _fields_ = (
        ("T", I64), ("B", I64), ("spans", I64), ("whole", I64), ("size", P), ("stream", P),
        ("vector", P), ("vector_at", P), ("vector_size", P), ("matrix", P), ("packed_at", P),
        ("columns", P), ("factor", P), ("sum", P), ("row_sum", P),
        ("scratch", I64), ("dz", I64), ("sums_at", I64), ("sums_room", I64), ("zeros_at", I64),
        ("zeros", I64), ("outer_at", I64), ("length", I64), ("reset", I64), ("counts", I64),
        ("vectors", I32), ("blocks", I32), ("factors", I32), ("row_sums", I32),
        ("descending", I32), ("reverse", I32), ("threads", I32),
        ("may_go_alone", I32), ("pool", I32),
        ("split_units", I32), ("chunk", I32), ("outer_depth", I32), ("wants_x", I32),
        ("restarts", I32), ("packed", I32), ("made", I32),
    )  # fmt: skip


class Shape(NamedTuple):
    """What a layout depends on.

    Attributes:
        T: steps.
        B: rows.
        strides: of step and row, of x and then of each gradient that comes in; None: not given.
        starts: for each state, whether its initial value is given.
        lengths: whether rows have lengths.
        reset: whether there are resets.
        reverse: whether from the last step to the first.
        threads: the most to use.
        wants: backward: whether a gradient is wanted, of x and then of each tensor of weights.
        lasts: backward: for each state, whether the gradient of its last value is given.
        inputs: strides of step and row, of each input beside x.
        restarts: whether the states that resets start from are given.
        spans: into how many spans of time every row is cut, which run as rows.
        hoisted: whether the products with the input lie in an array of the caller's.
    """

    T: int
    B: int
    strides: tuple[tuple[int, int] | None, ...]
    starts: tuple[bool, ...]
    lengths: bool
    reset: bool
    reverse: bool
    threads: int
    wants: tuple[bool, ...] = ()
    lasts: tuple[bool, ...] = ()
    inputs: tuple[tuple[int, int], ...] = ()
    restarts: bool = False
    spans: int = 1
    hoisted: bool = False

    @property
    def steps(self) -> int:
        """Steps in a span."""
        return -(-self.T // self.spans)


@dataclass
class Layout:
    """One shape of call, ready but for the addresses.

    Attributes:
        call: the structure.
        addresses: makes the C array of the addresses that a call takes.
        scratch: how many elements of working memory a call needs.
        extra: backward: (tensor, row, rows) of gradients that come in a second part, to be added.
    """

    call: Call
    addresses: Any
    scratch: int
    extra: list[tuple[int, int, int]] = field(default_factory=list)
    keep: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The address of the structure, which lives as long as this."""
        self.address = ctypes.addressof(self.call)


_forked = False
_calls: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def share_pool(call: Any) -> None:
    """Let a call take its threads from torch's pool, as long as this process has it."""
    call.pool = int(not _forked)
    _calls[id(call)] = call


def _in_child() -> None:
    """The parent's threads did not come along: every call starts its own."""
    global _forked
    _forked = True
    for call in _calls.values():
        call.pool = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
