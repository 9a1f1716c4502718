"""Columns of Arrow and Parquet files as arrays that are read by slices."""

from __future__ import annotations

import contextlib
import importlib.util
import mmap
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recurnn.data.rows import Array, FileRows, at_of, chosen, drop, not_numbers, trim
from recurnn.errors import DataError

AT_ONCE = 1 << 18  # bytes that are decoded at once
KEPT = 1 << 20  # bytes that are decoded before what they took is given back to the system


class _Columns(FileRows):
    """Columns of numbers, side by side; of a single name, [N]."""

    def __init__(
        self, path: Path, N: int, schema: Any, columns: str | Sequence[str] | None, missing: str
    ) -> None:
        wanted = chosen(path, columns, schema.names)
        kinds = []
        for name in wanted:
            kind = schema.field(name).type
            try:
                dtype = np.dtype(kind.to_pandas_dtype())
            except (NotImplementedError, TypeError):
                dtype = np.dtype(object)
            if dtype.kind not in "biuf":
                raise not_numbers(path, name, kind, schema.names)
            kinds.append(dtype)
        shape = (N,) if isinstance(columns, str) else (N, len(wanted))
        super().__init__(path, shape, np.result_type(*kinds), wanted, missing)
        self._decoded = 0

    def numbers(self, column: Any, name: str) -> Array:
        """A column of Arrow as numbers, in place where that can be."""
        if column.null_count == 0:
            return np.asarray(column.to_numpy(zero_copy_only=False))
        if self.dtype.kind != "f":
            raise DataError(
                f"{self.path}: column {name!r} has no value in some rows.\n"
                "  It holds whole numbers, which cannot be NaN: fill it before."
            )
        return np.asarray(column.to_numpy(zero_copy_only=False), self.dtype)

    def put(self, into: Array, columns: Sequence[Array]) -> None:
        """Write columns side by side."""
        if len(self.shape) == 1:
            into[:] = columns[0]
        else:
            for k, column in enumerate(columns):
                into[:, k] = column

    def decoded(self, columns: Sequence[Array]) -> None:
        """Count what was decoded, and now and then give what is free again back to the system.

        Every lane decodes in turn, and what it frees lies between what the others hold: malloc
        and Arrow's pool would keep it, and the more of it the longer the file.
        """
        self._decoded += sum(column.nbytes for column in columns)
        if self._decoded >= KEPT:
            import pyarrow as pa

            self._decoded = 0
            pa.default_memory_pool().release_unused()
            trim()


class ArrowRows(_Columns):
    """Columns of an Arrow IPC file (Feather), mapped into memory and read in place.

    Of a compressed file one record batch a lane is kept decompressed.
    """

    def __init__(
        self, path: Path, columns: str | Sequence[str] | None = None, missing: str = "raise"
    ) -> None:
        pa = needed(path)
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._file = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(self._map)))
            batches = range(self._file.num_record_batches)
            counts = [self._file.get_batch(k).num_rows for k in batches]
        except (pa.ArrowInvalid, OSError) as error:
            text = str(error).splitlines()[0]
            raise DataError(f"{path}: this is not a readable Arrow file.\n  {text}") from error
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._base = at_of(self._map)
        drop(self._map, self._base, self._base, self._base + len(self._map))
        N = int(self._ends[-1]) if counts else 0
        super().__init__(path, N, self._file.schema, columns, missing)
        self._batches: OrderedDict[int, list[Array]] = OrderedDict()

    def read(self, start: int, stop: int) -> Array:
        """The steps from start to stop."""
        found = np.empty((stop - start, *self.shape[1:]), self.dtype)
        at = start
        while at < stop:
            k = int(np.searchsorted(self._ends, at, side="right"))
            end = int(self._ends[k])
            columns = self._batch(k)
            size = len(columns[0])
            some = slice(at - (end - size), min(stop, end) - (end - size))
            parts = [column[some] for column in columns]
            self.put(found[at - start : min(stop, end) - start], parts)
            self._give_back(parts)
            at = min(stop, end)
        return found

    def _batch(self, k: int) -> list[Array]:
        """The columns of a record batch."""
        if k not in self._batches:
            batch = self._file.get_batch(k)
            self._batches[k] = [self.numbers(batch.column(name), name) for name in self.names]
            while len(self._batches) > self.readers + 1:
                self._batches.popitem(last=False)
            # What the system maps around a column's end is of no use and in no slice; and what
            # was decompressed is not needed in the map.
            drop(self._map, self._base, self._base, self._base + len(self._map))
            self.decoded(self._batches[k])
        self._batches.move_to_end(k)
        return self._batches[k]

    def _give_back(self, parts: list[Array]) -> None:
        for part in parts:
            if self._in_place(part):
                at = part.__array_interface__["data"][0]
                drop(self._map, self._base, at, at + part.nbytes)

    def _in_place(self, part: Array) -> bool:
        at = int(part.__array_interface__["data"][0])
        return self._base <= at < self._base + len(self._map)


class ParquetRows(_Columns):
    """Columns of a Parquet file, decoded in order, some rows at a time, in each lane.

    Every lane has a reader of its own, which holds one page of each column and some rows; it
    begins at the start of a row group, and decodes what lies before its first step once.
    """

    def __init__(
        self, path: Path, columns: str | Sequence[str] | None = None, missing: str = "raise"
    ) -> None:
        pa = needed(path)
        self._file = self._open(path)
        meta = self._file.metadata
        counts = [meta.row_group(k).num_rows for k in range(meta.num_row_groups)]
        self._begins = np.cumsum([0, *counts], dtype=np.int64)
        super().__init__(path, meta.num_rows, self._file.schema_arrow, columns, missing)
        self._failure = (pa.ArrowInvalid, OSError)
        self._cursors: list[_Cursor] = []

    @staticmethod
    def _open(path: Path) -> Any:
        from pyarrow import ArrowException, parquet

        try:
            return parquet.ParquetFile(path, buffer_size=1 << 16, pre_buffer=False)
        except (ArrowException, OSError) as error:
            text = str(error).splitlines()[0]
            raise DataError(f"{path}: this is not a readable Parquet file.\n  {text}") from error

    def read(self, start: int, stop: int) -> Array:
        """The steps from start to stop."""
        if start == stop:
            return np.empty((0, *self.shape[1:]), self.dtype)
        cursor = next((c for c in self._cursors if c.next - 1 <= start <= c.next), None)
        if cursor is None:
            group = int(np.searchsorted(self._begins, start, side="right")) - 1
            cursor = _Cursor(self._from(group), int(self._begins[group]))
            cursor.skip(start)
        else:
            self._cursors.remove(cursor)
        self._cursors.append(cursor)
        del self._cursors[: -self.readers]
        return cursor.read(start, np.empty((stop - start, *self.shape[1:]), self.dtype))

    def _from(self, group: int) -> Iterator[Array]:
        """The rows from the beginning of a row group on, some at a time, in the same memory."""
        width = max(len(self.names), 1) * self.dtype.itemsize
        size = max(AT_ONCE // width, 1024)
        groups = list(range(group, len(self._begins) - 1))
        held = np.empty((size, *self.shape[1:]), self.dtype)
        with self._as_data_error():
            batches = self._open(self.path).iter_batches(
                size, groups, self.names, use_threads=False
            )
            while (count := self._decode(batches, held)) > 0:
                yield held[:count]

    def _decode(self, batches: Iterator[Any], into: Array) -> int:
        """Write the next rows; how many there are. Of the decoded columns nothing is left."""
        for batch in batches:
            if batch.num_rows:
                columns = [self.numbers(batch.column(name), name) for name in self.names]
                self.put(into[: batch.num_rows], columns)
                self.decoded(columns)
                return int(batch.num_rows)
        return 0

    @contextlib.contextmanager
    def _as_data_error(self) -> Iterator[None]:
        try:
            yield
        except self._failure as error:
            text = str(error).splitlines()[0]
            raise DataError(f"{self.path}: the file is damaged or cut short.\n  {text}") from error


class _Cursor:
    """A place in a file from which rows are read in order.

    Args:
        pieces: the rows, some at a time; a piece may be written over when the next is asked for.
        at: number of the first of them.

    Attributes:
        next: the row after the last one that was read; the next to be read is this one or, for
            targets overlap, the one before.
    """

    def __init__(self, pieces: Iterator[Array], at: int) -> None:
        self._pieces, self._piece = pieces, next(pieces)
        self._begin = self.next = at
        self._last: Array = self._piece[:0]

    @property
    def _end(self) -> int:
        return self._begin + len(self._piece)

    def _go_on(self) -> None:
        self._begin, self._piece = self._end, next(self._pieces)

    def skip(self, to: int) -> None:
        """Go on to a row."""
        while self._end <= to:
            self._go_on()
        self.next = to

    def read(self, start: int, found: Array) -> Array:
        """Write the rows from start on, as many as there is room for."""
        at, stop = self.next, start + len(found)
        found[: at - start] = self._last
        while at < stop:
            if at == self._end:
                self._go_on()
            upto = min(stop, self._end)
            found[at - start : upto - start] = self._piece[at - self._begin : upto - self._begin]
            at = upto
        self.next, self._last = stop, found[-1:].copy()
        return found


def needed(path: Path) -> Any:
    """The package pyarrow.

    Args:
        path: the file that needs it, for the error.

    Raises:
        DataError: it is not installed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(
            f"{path}: reading it needs pyarrow, which is not installed.\n"
            '  Install it with: pip install "recurnn[parquet]"'
        )
    import pyarrow

    return pyarrow
