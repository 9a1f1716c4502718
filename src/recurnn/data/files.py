"""Any file of numbers as an array that is read by slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recurnn.data.arrow import ArrowRows, ParquetRows
from recurnn.data.rows import FileRows, NpyRows
from recurnn.data.tables import SUFFIXES, TSF_SUFFIXES
from recurnn.data.text_rows import text_rows
from recurnn.errors import ConfigError, DataError

ARROW = (".arrow", ".feather", ".ipc")
READABLE = (".npy", *ARROW, *SUFFIXES)


def open_array(
    path: str | Path,
    columns: str | Sequence[str] | None = None,
    *,
    missing: str = "raise",
    cache: str | Path | None = None,
) -> FileRows:
    """The numbers of a file, however large, as an array that is read by slices.

    - ``.npy`` is mapped into memory.
    - Arrow IPC (``.arrow``, ``.feather``, ``.ipc``) is mapped too, and read in place; of a
      compressed file a record batch is decompressed at a time.
    - Parquet is decoded in order, some rows at a time.
    - CSV and TSV, compressed or not, are read once, a piece at a time, into a ``.npy`` file in
      the cache folder, which is used again as long as the file stays as it is.

    Args:
        path: the file.
        columns: a name for [N]; names for [N, F]; by default all columns, [N, F]. Of ``.npy``
            none.
        missing: what to do about NaN and empty cells when they are read: ``"raise"``, or
            ``"keep"``, which gives NaN.
        cache: where the copy of a CSV file goes, which takes 8 bytes a number.

    Raises:
        DataError: the file or a column is not there, is damaged, empty or not of numbers.
        ConfigError: `missing` is neither, or columns of ``.npy`` are named.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/load.npy", np.arange(1000.0))
        ...     load = open_array(f"{folder}/load.npy")
        ...     len(load), load[997:]
        (1000, array([997., 998., 999.]))
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file.")
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file.\n  Name one file in it.")
    name = path.name.lower()
    suffix = next((s for s in (*READABLE, *TSF_SUFFIXES) if name.endswith(s)), None)
    if suffix is None or suffix in TSF_SUFFIXES:
        raise DataError(
            f"{path}: files of this kind ({path.suffix or 'no suffix'}) cannot be read by slices."
            f"\n  Known: {', '.join(READABLE)}."
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty.")
    if suffix == ".npy":
        if columns is not None:
            raise ConfigError(
                f"{path}: a .npy file has no names of columns.\n  Leave out columns={columns!r}."
            )
        return NpyRows(path, missing)
    if suffix in ARROW:
        return ArrowRows(path, columns, missing)
    if suffix == ".parquet":
        return ParquetRows(path, columns, missing)
    return text_rows(path, columns, missing, None if cache is None else Path(cache))
