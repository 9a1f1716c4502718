"""Arrays that lie in files and are read by slices: what they have in common, and ``.npy``."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from recurnn.errors import ConfigError, DataError, nearest, one_of

Array = NDArray[Any]
POLICIES = ("raise", "keep")
AROUND = 64  # pages; more than the system maps at once


@runtime_checkable
class Rows(Protocol):
    """What can be read by slices of steps, whatever it lies in: a file, say."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, ...]."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of what a slice gives."""

    def __len__(self) -> int:
        """N, the steps."""

    def __getitem__(self, steps: slice, /) -> Array:
        """These steps, in order."""


class FileRows:
    """An array in a file, of which a slice is read when it is asked for.

    Args:
        path: the file.
        shape: [N] or [N, ...].
        dtype: the type of what is read.
        names: of the columns, or nothing.
        missing: ``"raise"`` or ``"keep"``.
        readers: how many places in the file are read in turn, each in order: the lanes.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any],
        names: Sequence[str] = (), missing: str = "raise",
    ) -> None:  # fmt: skip
        if missing not in POLICIES:
            raise one_of("open_array: missing", missing, POLICIES)
        if shape[0] == 0:
            raise DataError(f"{path}: there are no rows.")
        self.path, self.shape, self.dtype = path, shape, dtype
        self.names, self.missing, self.readers = tuple(names), missing, 1

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, steps: slice) -> Array:
        """The steps of a slice, in order.

        Raises:
            DataError: a value is missing, and is not to be kept.
        """
        if not isinstance(steps, slice) or steps.step not in (None, 1):
            raise ConfigError(
                f"{self.path}: it is read by slices.\n"
                f"  {steps!r} is not a slice of consecutive steps, start:stop."
            )
        start, stop, _ = steps.indices(len(self))
        found = self.read(start, max(start, stop))
        if self.missing == "raise" and self.dtype.kind == "f":
            self._refuse_nan(found, start)
        return found

    def read(self, start: int, stop: int) -> Array:
        """The steps from start to stop, of `dtype`."""
        raise NotImplementedError

    def _refuse_nan(self, found: Array, start: int) -> None:
        missing = np.isnan(found)
        if missing.any():
            row, *rest = (int(k) for k in np.argwhere(missing)[0])
            named = f" of column {self.names[rest[0] if rest else 0]!r}" if self.names else ""
            raise DataError(
                f"{self.path}: row {start + row}, counted from 0, has no value{named}.\n"
                "  Fill it before, or read it with missing='keep', which leaves NaN."
            )


class NpyRows(FileRows):
    """A ``.npy`` file, mapped into memory; what has been read is given back to the system."""

    def __init__(self, path: Path, missing: str = "raise", names: Sequence[str] = ()) -> None:
        try:
            self._mapped = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError, EOFError) as error:
            text = str(error).splitlines()[0]
            raise DataError(f"{path}: this is not a readable .npy file.\n  {text}") from error
        array = self._mapped
        if array.dtype.kind not in "biuf" or not array.shape:
            raise DataError(
                f"{path}: it does not hold rows of numbers.\n"
                f"  It is {list(array.shape)} of {array.dtype}; expected [N] or [N, ...]."
            )
        super().__init__(path, array.shape, array.dtype, names, missing)

    def read(self, start: int, stop: int) -> Array:
        """The steps from start to stop."""
        found = np.array(self._mapped[start:stop])
        give_back(self._mapped, np.array([start]), stop - start)
        return found


def chosen(path: Path, columns: str | Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """The columns to read, in their order: those that are named, or all.

    Args:
        path: the file, for errors.
        columns: a name, names, or None.
        known: the columns that the file has.

    Raises:
        DataError: there is no such column, or one is named twice.
    """
    wanted = [columns] if isinstance(columns, str) else list(known if columns is None else columns)
    if not wanted:
        raise DataError(f"{path}: no column is named.\n  Columns: {', '.join(known)}.")
    for name in wanted:
        if name not in known:
            raise DataError(
                f"{path}: there is no column {name!r}.\n"
                f"  Columns: {', '.join(known)}.{nearest(name, known)}"
            )
        if wanted.count(name) > 1:
            raise DataError(f"{path}: column {name!r} is named twice.")
    return wanted


def not_numbers(path: Path, column: str, kind: object, known: Sequence[str]) -> DataError:
    """The error for a column that holds no numbers.

    Args:
        path: the file.
        column: the column.
        kind: what it holds.
        known: the columns that the file has.
    """
    return DataError(
        f"{path}: column {column!r} does not hold numbers.\n"
        f"  It holds {kind}. Name the columns to read: columns=[...], of {', '.join(known)}."
    )


def give_back(rows: Array, first: NDArray[np.int64], k: int) -> None:
    """Take the pages of the k steps after each first one out of the process's memory.

    Does nothing unless the array is mapped from a file. The pages stay in the system's cache for
    as long as it has room.

    Args:
        rows: the array, [N, ...].
        first: steps.
        k: how many after each.
    """
    # A map of mode "c" would lose what was written to it.
    root: Any = rows if isinstance(rows, np.memmap) and rows.mode in ("r", "r+") else None
    while isinstance(root, np.ndarray):
        root = root.base
    if not isinstance(root, mmap.mmap):
        return
    base, step, at = at_of(root), rows.strides[0], rows.__array_interface__["data"][0]
    if step < max(map(abs, rows.strides)):  # column by column: a step has no place of its own
        drop(root, base, base, base + len(root))
        return
    for f in first.tolist():
        drop(root, base, at + f * step, at + (f + k) * step)


def at_of(mapped: mmap.mmap) -> int:
    """The address of a map."""
    return int(np.frombuffer(mapped, np.uint8).__array_interface__["data"][0])


def drop(mapped: mmap.mmap, base: int, begin: int, end: int) -> None:
    """Take pages of a map out of the process's memory, those that end before an address.

    The page that the next chunk begins in stays. The system maps some pages around the one that
    is wanted, so those before are taken out once more.

    Args:
        mapped: the map.
        base: its address.
        begin: the address of the first byte that is not needed any more.
        end: the address of the next one that is.
    """
    first, last = (begin - base) // mmap.PAGESIZE, (end - base) // mmap.PAGESIZE
    if last > first and hasattr(mmap, "MADV_DONTNEED"):
        first = max(first - AROUND, 0)
        mapped.madvise(mmap.MADV_DONTNEED, first * mmap.PAGESIZE, (last - first) * mmap.PAGESIZE)


def trim() -> None:
    """Give what malloc holds of freed memory back to the system, where its library can (glibc)."""
    if os.name == "posix" and (give := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        give(0)
