"""Tables of text too large for memory: read once, a piece at a time, into a ``.npy`` file."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from recurnn.data.rows import Array, NpyRows, chosen, not_numbers
from recurnn.data.tables import TextForm, no_rows, opened, stem, text_errors, text_form
from recurnn.errors import DataError

log = logging.getLogger("recurnn")
AT_ONCE = 1 << 16  # rows


def text_rows(
    path: Path, columns: str | Sequence[str] | None, missing: str, cache: Path | None
) -> NpyRows:
    """Columns of a table of text.

    Args:
        path: the file, ``.csv`` or ``.tsv``, compressed or not.
        columns: a name for [N], names for [N, F], None for all.
        missing: ``"raise"`` or ``"keep"``.
        cache: the folder of the copy; by default ``$XDG_CACHE_HOME/recurnn/tables``, or
            ``~/.cache/recurnn/tables``.
    """
    form = text_form(path)
    names = chosen(path, columns, form.names)
    state = path.stat()
    single = isinstance(columns, str)
    what = [str(path.resolve()), state.st_size, state.st_mtime_ns, names, single]
    folder = cache if cache is not None else _cache()
    copy = folder / f"{stem(path)}-{hashlib.sha256(repr(what).encode()).hexdigest()[:16]}.npy"
    if not copy.exists():
        log.info("%s is read once, into %s", path, copy)
        _convert(path, form, names, copy, single=single)
    found = NpyRows(copy, missing, names)
    found.path = path
    return found


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "recurnn" / "tables"


def _convert(path: Path, form: TextForm, names: list[str], copy: Path, *, single: bool) -> None:
    """Write the columns into a file that gets its name when it is whole."""
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        file = tempfile.NamedTemporaryFile(dir=copy.parent, prefix=copy.stem, delete=False)  # noqa: SIM115
        try:
            with file:
                rows = _write(file, _pieces(path, form, names), () if single else (len(names),))
            if rows == 0:
                raise no_rows(str(path))
            os.replace(file.name, copy)
        except BaseException:
            os.unlink(file.name)
            raise
    except OSError as error:
        raise DataError(
            f"{path}: a copy of its numbers cannot be written.\n"
            f"  {copy}: {error.strerror or error}.\n"
            "  Give another folder, with room for it: open_array(..., cache=...)."
        ) from error


def _write(file: IO[bytes], pieces: Iterator[Array], shape: tuple[int, ...]) -> int:
    """Whole numbers as int64, or all as float64 if there are others; how many rows there are."""
    rows = 0
    kind: np.dtype[Any] = np.dtype(np.int64)
    begin = _header(file, (1 << 62, *shape), kind)
    for piece in pieces:
        if piece.dtype.kind == "f" and kind.kind == "i":
            kind = np.dtype(np.float64)
            _as_float(file, begin)
        file.write(np.ascontiguousarray(piece, kind).data)
        rows += len(piece)
    file.seek(0)
    if _header(file, (rows, *shape), kind) != begin:
        raise AssertionError("numpy leaves room for any number of rows in a header")
    return rows


def _header(file: IO[bytes], shape: tuple[int, ...], kind: np.dtype[Any]) -> int:
    """Write the head of a ``.npy`` file; where it ends."""
    about = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.tell()


def _as_float(file: IO[bytes], begin: int) -> None:
    """What has been written of whole numbers as floating point, which takes the same room."""
    end = file.tell()
    for at in range(begin, end, 8 * AT_ONCE):
        file.seek(at)
        part = np.frombuffer(file.read(min(8 * AT_ONCE, end - at)), np.int64)
        file.seek(at)
        file.write(part.astype(np.float64).data)
    file.seek(end)


def _pieces(path: Path, form: TextForm, names: list[str]) -> Iterator[Array]:
    """The columns, some rows at a time."""
    # Of a single column a blank line is a missing value, but not at the end.
    alone = len(form.names) == 1
    options = {**form.options, "skip_blank_lines": not alone, "usecols": names}
    blank = 0
    with text_errors(path, form), opened(path) as file:
        for frame in pd.read_csv(file, **options, chunksize=AT_ONCE):
            piece = _numbers(path, form, names, frame)
            if alone and (blank or piece.dtype.kind == "f"):
                piece = np.concatenate([np.full((blank, 1), np.nan), piece])
                real = np.flatnonzero(~np.isnan(piece[:, 0]))
                end = int(real[-1]) + 1 if len(real) else 0
                piece, blank = piece[:end], len(piece) - end
            yield piece


def _numbers(path: Path, form: TextForm, names: list[str], frame: pd.DataFrame) -> Array:
    """The columns of one piece, [rows, F]."""
    for name in names:
        column = frame[name]
        if not pd.api.types.is_numeric_dtype(column):
            bad = column[pd.to_numeric(column, errors="coerce").isna() & column.notna()]
            if not len(bad):  # all are missing
                frame[name] = np.nan
                continue
            raise not_numbers(
                path,
                name,
                f"{str(bad.iloc[0])!r} in row {bad.index[0]}, counted from 0",
                form.names,
            )
    found = frame[names].to_numpy()
    return found if found.dtype == np.int64 else found.astype(np.float64)
