"""Files and frames as one kind of table that knows where each of its rows came from."""

from __future__ import annotations

import contextlib
import csv
import gzip
import importlib.util
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recurnn.errors import DataError

SUFFIXES = (".csv", ".csv.gz", ".csv.xz", ".tsv", ".tsv.gz", ".tsv.xz", ".parquet")
TSF_SUFFIXES = (".tsf", ".tsf.gz", ".tsf.xz")
_OPEN: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open}
_SAMPLE = 20  # lines that the separator is guessed from


@dataclass(frozen=True)
class Table:
    """A frame with positions 0, 1, ... as its index, and where it came from.

    Attributes:
        frame: the rows and columns.
        name: the series' name when the table holds one: the file's stem.
        origin: the file's name as the user gave it, or ``"the frame"``.
        lines: [rows], the line of the file that each row stands on; None for tables without lines.
        notes: a sentence for everything that was guessed.
    """

    frame: pd.DataFrame
    name: str
    origin: str
    lines: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()

    def at(self, row: int) -> str:
        """``line 7`` of a file (its header is line 1), or ``row 5``, counted from 0."""
        return f"row {row}" if self.lines is None else f"line {self.lines[row]}"


def check_file(path: Path) -> str:
    """The suffix of a data file that exists and can be read, ``.csv`` or ``.csv.xz``, say.

    Raises:
        DataError: no such file, a folder, an empty file, or an unknown suffix.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file.")
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file.\n  Name one file in it.")
    suffix = "".join(path.suffixes[-2:]).lower() if path.suffix.lower() in _OPEN else path.suffix
    suffix = suffix.lower()
    if suffix not in SUFFIXES + TSF_SUFFIXES:
        raise DataError(
            f"{path}: files of this kind ({suffix or 'no suffix'}) cannot be read.\n"
            f"  Known: {', '.join(SUFFIXES + TSF_SUFFIXES)}."
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty.")
    return suffix


def stem(path: Path) -> str:
    """The file's name without its suffixes: ``load`` of ``load.csv.xz``."""
    name = Path(path.stem) if path.suffix.lower() in _OPEN else path
    return name.stem


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed by its suffix; damage is a DataError."""
    opener: Callable[..., Any] = _OPEN.get(path.suffix.lower(), open)
    try:
        with opener(path, "rb") as file:
            yield cast("IO[bytes]", file)
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}: the compressed file is damaged or cut short.\n  {error}"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read.\n  {error.strerror or error}") from error


def read_table(path: Path) -> Table:
    """Read a CSV, TSV or Parquet file.

    Raises:
        DataError: the file cannot be read, is not UTF-8, is ragged, or has no row or header.
    """
    suffix = check_file(path)
    if suffix == ".parquet":
        table = from_frame(parquet_frame(path), name=stem(path), origin=str(path))
    else:
        table = _read_text(path)
    if len(table.frame) == 0:
        raise no_rows(str(path))
    return table


def parquet_frame(path: Path) -> pd.DataFrame:
    """A Parquet file as it is.

    Raises:
        DataError: pyarrow is not installed, or the file cannot be read.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(
            f"{path}: reading Parquet needs pyarrow, which is not installed.\n"
            '  Install it with: pip install "recurnn[parquet]"'
        )
    try:
        return pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{path}: this is not a readable Parquet file.\n  {first}") from error


def from_frame(frame: pd.DataFrame, *, name: str, origin: str) -> Table:
    """A frame as a table; an index of times or names becomes a column, one of numbers is dropped.

    Raises:
        DataError: the frame has no row, or two columns of one name.
    """
    if len(frame) == 0:
        raise DataError(f"{origin}: there are no rows.")
    index = frame.index
    if isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)) and index.name is None:
        frame = frame.rename_axis("time")
    named = None not in frame.index.names and not set(frame.index.names) & set(frame.columns)
    frame = frame.reset_index(drop=not named or pd.api.types.is_numeric_dtype(index))
    frame.columns = [str(c) for c in frame.columns]
    _check_names(list(frame.columns), origin)
    return Table(frame, name, origin)


def no_rows(origin: str) -> DataError:
    """The error for a table that ends after the names of its columns."""
    return DataError(
        f"{origin}: there are column names but no rows.\n  Expected a row of values below them, or "
        "more. Is it the right file, and was it written to its end?"
    )


def _check_names(names: list[str], origin: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{origin}: two columns are named {name!r}.\n  Rename one of them.")


class TextForm(NamedTuple):
    """How a table of text is written.

    Attributes:
        skipped: blank lines before the names of the columns.
        separator: what stands between the columns.
        names: of the columns.
    """

    skipped: int
    separator: str
    names: list[str]

    @property
    def options(self) -> dict[str, Any]:
        """How pandas reads it."""
        return {
            "sep": self.separator, "skiprows": self.skipped + 1, "names": self.names,
            "header": None, "index_col": False, "encoding": "utf-8", "skip_blank_lines": False,
            "decimal": "," if self.separator == ";" else ".", "na_values": ["?"],
            "skipinitialspace": True, "low_memory": False,
        }  # fmt: skip


def text_form(path: Path) -> TextForm:
    """How a table of text is written: separator, decimal sign and names, by its first lines.

    Raises:
        DataError: the file is empty, is not UTF-8, or does not begin with names of columns.
    """
    try:
        skipped, lines = _first_lines(path)
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    if not lines:
        raise DataError(f"{path}: the file is empty.")
    separator = _separator(lines, tsv=".tsv" in path.suffixes)
    return TextForm(skipped, separator, _header(path, skipped, lines, separator))


@contextlib.contextmanager
def text_errors(path: Path, form: TextForm) -> Iterator[None]:
    """What pandas raises while it reads a table of text, in our words."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except pd.errors.EmptyDataError:
        raise no_rows(str(path)) from None
    except pd.errors.ParserError as error:
        raise _ragged(path, error, form.names, form.separator) from error


def _read_text(path: Path) -> Table:
    """A table of text."""
    notes: list[str] = []
    form = text_form(path)
    with text_errors(path, form), opened(path) as file:
        frame = pd.read_csv(file, **form.options)
    if form.separator == ";":
        notes.append("columns are separated by semicolons; a comma in a number is a decimal comma")
    # A blank line is no row, except between the values of a single column: there one is missing.
    blank = frame.isna().all(axis=1).to_numpy().copy()
    if frame.shape[1] == 1:
        blank[: np.flatnonzero(~blank)[-1] if not blank.all() else 0] = False
    lines_of = np.flatnonzero(~blank) + form.skipped + 2
    return Table(
        frame[~blank].reset_index(drop=True), stem(path), str(path), lines_of, tuple(notes)
    )


def _first_lines(path: Path) -> tuple[int, list[str]]:
    """How many blank lines come first, and the lines after them."""
    skipped, lines = 0, list[str]()
    with opened(path) as file:
        for number, raw in enumerate(file):
            line = raw.decode("utf-8-sig" if number == 0 else "utf-8").rstrip("\r\n")
            if not line.strip() and not lines:
                skipped += 1
                continue
            lines.append(line)
            if len(lines) == _SAMPLE:
                break
    return skipped, lines


def _separator(lines: list[str], *, tsv: bool) -> str:
    """The separator that the header is divided by most often, outside quotation marks."""
    if tsv:
        return "\t"
    bare = re.sub(r'"[^"]*"', "", lines[0])
    best = max((";", "\t", ","), key=bare.count)
    return best if best in bare else ","


def _header(path: Path, skipped: int, lines: list[str], separator: str) -> list[str]:
    """The names of the columns."""
    rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    names = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], start=skipped + 2):
        if len(row) > len(names) and any(row[len(names) :]):
            raise _ragged_at(path, number, len(row), names, separator)
    if all(_is_number(n) for n in names) and names != [str(k) for k in range(len(names))]:
        raise DataError(
            f"{path}: the first line holds numbers, not the names of columns.\n"
            f"  Line {skipped + 1} is {lines[0][:60]!r}.\n"
            "  Put a line with a name for each column before it."
        )
    # An index written by pandas has an empty name.
    names = [name or f"unnamed {k}" for k, name in enumerate(names)]
    _check_names(names, str(path))
    return names


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def not_utf8(path: Path) -> DataError:
    """The error for a file that is not UTF-8, with the line and the byte."""
    with opened(path) as file:
        for number, raw in enumerate(file, start=1):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = raw[error.start]
                return DataError(
                    f"{path}: this is not UTF-8 text.\n"
                    f"  Line {number} has the byte 0x{byte:02x} at place {error.start + 1}.\n"
                    "  Save the file as UTF-8 (in a spreadsheet: CSV UTF-8)."
                )
    return DataError(f"{path}: this is not UTF-8 text.")


def _ragged(
    path: Path, error: pd.errors.ParserError, header: list[str], separator: str
) -> DataError:
    found = re.search(r"in line (\d+), saw (\d+)", str(error))
    if found is None:
        return DataError(f"{path}: this is not a table of text.\n  {error}")
    return _ragged_at(path, int(found[1]), int(found[2]), header, separator)


def _ragged_at(path: Path, line: int, fields: int, header: list[str], separator: str) -> DataError:
    name = {",": "commas", ";": "semicolons", "\t": "tabs"}[separator]
    return DataError(
        f"{path}: line {line} has more fields than there are columns.\n"
        f"  It has {fields}, separated by {name}; the header names {len(header)}:"
        f" {', '.join(header[:20])}."
    )
