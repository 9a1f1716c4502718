"""Write a table piece by piece to a CSV or Parquet file that appears only when it is whole."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from recurnn.errors import ConfigError, DataError, one_of

__all__ = ["Append", "check_target", "open_table"]

Append = Callable[[pd.DataFrame], None]
"""Adds rows to the table; every frame has the columns of the first."""

KINDS = {".csv": "csv", ".parquet": "parquet"}


def check_target(out: Path, *, kind: str | None = None, overwrite: bool = False) -> str:
    """Say which kind of file ``out`` becomes, or why it cannot be written, before any work.

    Args:
        out: the file to write; its ending tells the kind.
        kind: ``"csv"`` or ``"parquet"`` where the ending does not tell.
        overwrite: whether a file of this name may be replaced.

    Returns:
        ``"csv"`` or ``"parquet"``.

    Raises:
        ConfigError: neither ending nor ``kind`` names a format that there is.
        DataError: ``out`` exists, its folder does not, or pyarrow is missing for Parquet.

    >>> check_target(Path("load.csv"))
    'csv'
    """
    if kind is not None and kind not in KINDS.values():
        raise one_of("format", kind, KINDS.values())
    kind = kind or KINDS.get(out.suffix.lower())
    if kind is None:
        raise ConfigError(
            f"{out}: the ending does not tell the format.\n"
            f"  Received {out.suffix or 'no ending'!r}; expected .csv or .parquet."
            "\n  Name the file so, or say --format csv or --format parquet."
        )
    if out.is_dir():
        raise DataError(f"{out}: is a folder.\n  Expected the name of the file to write.")
    if out.exists() and not overwrite:
        raise DataError(
            f"{out}: exists already and is left as it is.\n"
            "  Give another name, or --overwrite to replace it."
        )
    if not out.absolute().parent.is_dir():
        raise DataError(
            f"{out}: its folder does not exist.\n"
            f"  Expected the folder {out.parent}; make it first, or name another."
        )
    if kind == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise DataError(
            f"{out}: Parquet needs pyarrow, which is not installed.\n"
            "  pip install 'recurnn[parquet]', or write a .csv file."
        )
    return kind


@contextmanager
def open_table(
    out: Path, *, kind: str | None = None, overwrite: bool = False
) -> Iterator[tuple[Append, Path]]:
    """Open ``out`` for frames that come one after the other.

    The rows go to a folder beside ``out`` that is removed in the end, and the file is renamed to
    ``out`` when the ``with`` block ends well; after an error or Ctrl-C nothing is left.

    Yields:
        A function that adds a frame, and the folder, which may hold other temporary files.

    Raises:
        ConfigError: as :func:`check_target`.
        DataError: as :func:`check_target`, and when the disk refuses.
    """
    kind = check_target(out, kind=kind, overwrite=overwrite)
    try:
        scratch = tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".recurnn-")
    except OSError as cause:
        raise _unwritable(out, cause) from cause
    with scratch as name:
        file = Path(name) / f"table.{kind}"
        table = _Csv(file) if kind == "csv" else _Parquet(file)

        def append(frame: pd.DataFrame) -> None:
            try:
                table.append(frame)
            except OSError as cause:
                raise _unwritable(out, cause) from cause

        try:
            yield append, Path(name)
        finally:
            table.close()
        check_target(out, kind=kind, overwrite=overwrite)  # it may have appeared meanwhile
        try:
            os.replace(file, out)
        except OSError as cause:
            raise _unwritable(out, cause) from cause


class _Csv:
    def __init__(self, file: Path) -> None:
        self.stream = file.open("w", encoding="utf-8", newline="")
        self.empty = True

    def append(self, frame: pd.DataFrame) -> None:
        frame.to_csv(
            self.stream,
            header=self.empty,
            index=False,
            date_format="%Y-%m-%d %H:%M:%S",
            lineterminator="\n",
        )
        self.empty = False

    def close(self) -> None:
        self.stream.close()


class _Parquet:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.writer: Any = None

    def append(self, frame: pd.DataFrame) -> None:
        # Loaded here because pyarrow is an extra.
        import pyarrow
        import pyarrow.parquet

        schema = None if self.writer is None else self.writer.schema
        rows = pyarrow.Table.from_pandas(frame, schema=schema, preserve_index=False)
        if self.writer is None:
            self.writer = pyarrow.parquet.ParquetWriter(self.file, rows.schema)
        self.writer.write_table(rows)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def _unwritable(out: Path, cause: OSError) -> DataError:
    return DataError(
        f"{out}: cannot be written.\n  {cause.strerror or cause}."
        "\n  Free some space there, or name another folder."
    )
