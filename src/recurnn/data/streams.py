"""One long sequence as lanes that are read in order, a chunk at a time: for truncated BPTT."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from recurnn.data.rows import FileRows, Rows, give_back
from recurnn.errors import ConfigError, DataError, ShapeError


class Chunk(NamedTuple):
    """The same steps of several lanes, time-major, in fresh memory.

    Attributes:
        x: [k, B, ...], what the network sees.
        y: [k, B, ...], its targets.
        reset: [k, B], True where a document begins: the state that comes in is not its own.
    """

    x: Tensor
    y: Tensor
    reset: Tensor


class Streams:
    """One long sequence, or documents laid end to end, as lanes that are read side by side.

    The sequence is cut into ``batch_size`` lanes of equal length, lane ``b`` being its steps
    ``b * length .. (b + 1) * length - 1``. A chunk holds the same steps of every lane, and the
    next chunk goes on where it stopped: the states that one leaves are those that the next begins
    with, but where `Chunk.reset` is True.

    Nothing is copied but the chunk that is asked for. Of a memory-mapped array (``np.memmap``, or
    ``np.load(..., mmap_mode="r")``) only the pages of the chunk are touched, and they are given
    back to the system when it has been copied: memory stays flat, however long the sequence.

    Whole numbers come as int64, the type of token numbers, whatever they are stored in; floating
    point numbers keep their type unless ``dtype`` says otherwise.

    Args:
        x: [N] or [N, ...], an array (memory-mapped or not), a tensor, or anything that can be
            read by slices (`Rows`).
        y: [N] or [N, ...], the target of each step; by default the next step of x, as for a
            language model.
        batch_size: B, the lanes.
        starts: steps at which a document begins, in order. `Chunk.reset` is True there and
            nowhere else. The first step of a lane is no exception: who starts to read begins
            with zero states, or with those that go before the sequence.
        dtype: the type that floating point numbers are given in.

    Attributes:
        lanes: B.
        length: the steps of a lane.
        left_out: the steps at the end that are in no lane.

    Raises:
        ConfigError: batch_size is below 1, or more than there are steps.
        ShapeError: x and y differ in length, or starts is not one row of whole numbers.
        DataError: x or y holds no numbers, or starts is out of order or out of range.

    Example:
        >>> streams = Streams(np.arange(11), batch_size=2, starts=[0, 7])
        >>> streams.length, streams.left_out
        (5, 0)
        >>> x, y, reset = streams.chunk(1, 3)
        >>> x.T.tolist(), y.T.tolist(), reset.T.tolist()
        ([[1, 2], [6, 7]], [[2, 3], [7, 8]], [[False, False], [False, True]])
    """

    def __init__(
        self,
        x: ArrayLike | Tensor | Rows,
        y: ArrayLike | Tensor | Rows | None = None,
        *,
        batch_size: int,
        starts: ArrayLike | Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._x = _rows(x, "x")
        self._y = None if y is None else _rows(y, "y")
        for rows in (self._x, self._y):
            if isinstance(rows, FileRows):
                rows.readers = batch_size
        N = len(self._x)
        if self._y is not None and len(self._y) != N:
            raise ShapeError(
                "Streams: x and y must have the same steps.\n"
                f"  y has {len(self._y)}; expected {N}, the steps of x."
            )
        usable = N - 1 if y is None else N
        if not 1 <= batch_size <= usable:
            last = " (the last step is a target only)" if y is None else ""
            raise ConfigError(
                f"Streams: batch_size is {batch_size}; it must be 1 to {max(usable, 0)}.\n"
                f"  Every lane needs a step, and x has {N}{last}."
            )
        self.lanes, self.length = batch_size, usable // batch_size
        self.left_out = usable - self.lanes * self.length
        self._starts = _starts(starts, N)
        self._dtype = dtype

    def chunk(self, start: int, stop: int, lanes: slice | None = None) -> Chunk:
        """The steps ``[start, stop)`` of every lane, or of some.

        Args:
            start: the first step, counted from the beginning of a lane.
            stop: the step after the last one, at most ``length``.
            lanes: which lanes; all by default.

        Raises:
            ConfigError: the steps are not in the lane, or no lane is asked for.
        """
        if not 0 <= start < stop <= self.length:
            raise ConfigError(
                f"Streams: there are no steps {start} to {stop} in a lane.\n"
                f"  A lane has {self.length} steps; expected 0 <= start < stop <= {self.length}."
            )
        which = range(self.lanes)[lanes if lanes is not None else slice(None)]
        if not which or which.step < 1:
            raise ConfigError(
                f"Streams: {lanes} names no lanes.\n"
                f"  There are {self.lanes}; expected a slice of them, in their order."
            )
        first = np.array(which, np.int64) * self.length + start
        k = stop - start
        if self._y is not None:
            x, y = self._read(self._x, first, k), self._read(self._y, first, k)
        else:
            both = self._read(self._x, first, k + 1)
            x, y = both[:-1], both[1:].clone()
        return Chunk(x, y, self._reset(first, k))

    def _read(self, rows: Rows | Tensor, first: NDArray[np.int64], k: int) -> Tensor:
        """``rows[f : f + k]`` for each f of first, [k, B, ...]."""
        shape = (k, len(first), *rows.shape[1:])
        if isinstance(rows, Tensor):
            view = rows[first[0] :].as_strided(shape, _strides(rows.stride(), first))
            return view.to(self._kind(rows.dtype), memory_format=torch.contiguous_format, copy=True)
        stored = rows.dtype
        kind = np.dtype(np.int64) if stored.kind in "biu" else stored.newbyteorder("=")
        found = np.empty(shape, kind)
        if isinstance(rows, np.ndarray):
            found[:] = as_strided(rows[first[0] :], shape, _strides(rows.strides, first))
            give_back(rows, first, k)
        else:
            for b, f in enumerate(first.tolist()):
                found[:, b] = rows[f : f + k]
        read = torch.from_numpy(found)
        return read.to(self._kind(read.dtype))

    def _kind(self, stored: torch.dtype) -> torch.dtype:
        return self._dtype or stored if stored.is_floating_point else torch.int64

    def _reset(self, first: NDArray[np.int64], k: int) -> Tensor:
        """[k, B], True where a document begins."""
        reset = np.zeros((k, len(first)), bool)
        begin, end = np.searchsorted(self._starts, np.stack([first, first + k]))
        for b in np.flatnonzero(end > begin):
            reset[self._starts[begin[b] : end[b]] - first[b], b] = True
        return torch.from_numpy(reset)


def _strides(strides: tuple[int, ...], first: NDArray[np.int64]) -> tuple[int, ...]:
    """The strides of [k, B, ...] over the memory of [N, ...]: lanes lie equally far apart."""
    apart = int(first[1] - first[0]) if len(first) > 1 else 0
    return (strides[0], strides[0] * apart, *strides[1:])


def _rows(values: ArrayLike | Tensor | Rows, name: str) -> Rows | Tensor:
    """The values as something that is read by slices, checked to hold numbers."""
    if isinstance(values, Tensor):
        # numpy slices and copies with less ado, but knows neither bfloat16 nor other devices.
        values = values.detach()
        if values.dtype == torch.bfloat16 or values.device.type != "cpu":
            return values
        values = values.numpy()
    rows = values if isinstance(values, Rows) else np.asarray(values)
    if rows.dtype.kind not in "biuf":
        raise DataError(
            f"Streams: {name} does not hold numbers.\n"
            f"  Its type is {rows.dtype}; expected whole or floating point numbers, "
            "token numbers of a text, say."
        )
    if not rows.shape:
        raise ShapeError(f"Streams: {name} is a single number; expected [N] or [N, ...].")
    return rows


def _starts(starts: ArrayLike | Tensor | None, N: int) -> NDArray[np.int64]:
    """The steps at which documents begin, checked."""
    if starts is None:
        return np.zeros(0, np.int64)
    found = np.asarray(starts)
    if found.size == 0:
        return np.zeros(0, np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise ShapeError(
            "Streams: starts must be whole numbers, the steps at which a document begins.\n"
            f"  It is {list(found.shape)} of {found.dtype}; expected [documents]."
        )
    steps = found.astype(np.int64)
    falls = np.flatnonzero(np.diff(steps) < 0)
    if falls.size:
        at = int(falls[0])
        raise DataError(
            "Streams: starts is not in order.\n"
            f"  starts[{at + 1}] = {steps[at + 1]} comes after {steps[at]}. Sort it."
        )
    if steps[0] < 0 or steps[-1] >= N:
        raise DataError(
            "Streams: a document begins outside the sequence.\n"
            f"  starts goes from {steps[0]} to {steps[-1]}; the sequence has the steps "
            f"0 to {N - 1}."
        )
    return steps
