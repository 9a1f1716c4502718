"""One file becomes documents: plain text, a column of a table, or JSON lines; always UTF-8."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recurnn.data.tables import opened, parquet_frame
from recurnn.errors import ConfigError, DataError, counted, nearest, one_of

Column = str | int | Sequence[str | int]
"""A column by its name, or, counted from 1, by its place in a file without a header; or several."""

UNITS = ("file", "line", "paragraph")
_JSON, _SEPARATORS = (".jsonl", ".ndjson"), {".csv": ",", ".tsv": "\t"}
PACKED = (".gz", ".xz")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes:
        column: of a table or of JSON lines; None for plain text, or for the only column there is.
        header: whether a table's first line names its columns; None: yes, unless `column` is a
            number.
        join: stands between the columns, where there are several.
        documents: what is one document of plain text: a file, a line, or a paragraph (blank lines
            stand between).
    """

    column: Column | None = None
    header: bool | None = None
    join: str = "\n"
    documents: str = "file"

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.documents not in UNITS:
            raise one_of("documents", self.documents, UNITS)
        if any(isinstance(c, int) and c < 1 for c in self.columns):
            raise ConfigError(f"column is {self.column!r}.\n  Columns are counted from 1.")

    @property
    def columns(self) -> tuple[str | int, ...]:
        """The columns as a row, empty if none was named."""
        if self.column is None:
            return ()
        return (self.column,) if isinstance(self.column, str | int) else tuple(self.column)

    @property
    def has_header(self) -> bool:
        """Whether the first line of a table names its columns."""
        if self.header is not None:
            return self.header
        return not self.columns or any(isinstance(c, str) for c in self.columns)


def documents_of(path: Path, reading: Reading) -> list[str]:
    """The documents of a file, empty ones left out.

    Raises:
        DataError: the file cannot be read, is not UTF-8, or lacks the column.
    """
    suffix = (Path(path.stem) if path.suffix.lower() in PACKED else path).suffix.lower()
    if suffix == ".parquet":
        found: Iterable[str] = _of_frame(parquet_frame(path), path, reading)
    elif suffix in _JSON:
        found = _of_json(text_of(path), path, reading)
    elif suffix in _SEPARATORS or reading.columns:
        found = _of_table(text_of(path), path, reading, _SEPARATORS.get(suffix, "\t"))
    else:
        found = _DIVIDE[reading.documents](text_of(path))
    return [text for text in found if text and not text.isspace()]


_DIVIDE: dict[str, Callable[[str], list[str]]] = {
    "file": lambda text: [text],
    "line": lambda text: [line.strip() for line in text.split("\n")],
    "paragraph": lambda text: [p.strip() for p in re.split(r"\n(?:[^\S\n]*\n)+", text)],
}


def text_of(path: Path) -> str:
    """A file's text, decompressed by its suffix; every line ends with a line feed.

    Raises:
        DataError: it is no text, or not UTF-8; with the first byte that is wrong.
    """
    with opened(path) as file:
        raw = file.read()
    zero = raw.find(b"\0")
    if raw[:2] in _UTF16:
        raise DataError(
            f"{path}: this is UTF-16 text; expected UTF-8.\n"
            "  Convert it: iconv -f utf-16 -t utf-8 FILE > NEW"
        )
    if zero >= 0:
        raise DataError(
            f"{path}: this is not text but a binary file.\n"
            f"  Byte {zero:,} is zero, which no text has.\n"
            "  Name the text files; of a folder by a pattern, such as 'folder/**/*.txt'."
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = error.start + (3 if raw.startswith(b"\xef\xbb\xbf") else 0)
        line = raw.count(b"\n", 0, at) + 1
        raise DataError(
            f"{path}: this is not UTF-8 text.\n"
            f"  Byte {at:,}, on line {line:,}, is 0x{raw[at]:02x}{_unpacked(path)}.\n"
            "  Convert it; if it is Latin-1, say: iconv -f latin1 -t utf-8 FILE > NEW"
        ) from error
    return text.replace("\r\n", "\n")


def _unpacked(path: Path) -> str:
    return " (counted in the unpacked text)" if path.suffix.lower() in PACKED else ""


def _of_table(text: str, path: Path, reading: Reading, separator: str) -> list[str]:
    """A column of separated text; between tabs quotation marks are text like any other."""
    if not text.strip():
        return []
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=0 if reading.has_header else None,
            dtype=str,
            keep_default_na=False,
            index_col=False,
            quoting=csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL,
        )
    except pd.errors.ParserError as error:
        raise DataError(f"{path}: this is not a table of text.\n  {error}") from error
    return _of_frame(frame, path, reading)


def _of_frame(frame: pd.DataFrame, path: Path, reading: Reading) -> list[str]:
    names = [str(name) for name in frame.columns]
    wanted = reading.columns or ((1,) if len(names) == 1 else ())
    if not wanted:
        raise DataError(
            f"{path}: the table has several columns.\n"
            f"  Columns: {', '.join(names)}.\n"
            "  Say which holds the text: column=NAME; or column=3 for the third, if there is no "
            "header."
        )
    columns = [_column(frame, names, path, name) for name in wanted]
    return [reading.join.join(row) for row in zip(*columns, strict=True)]


def _column(frame: pd.DataFrame, names: list[str], path: Path, name: str | int) -> list[str]:
    if isinstance(name, int) and name > len(names):
        raise DataError(
            f"{path}: there is no column {name}.\n  The table has {counted(len(names), 'column')}."
        )
    if isinstance(name, str) and name not in names:
        raise DataError(
            f"{path}: there is no column {name!r}.\n"
            f"  Columns: {', '.join(names)}.{nearest(name, names)}"
        )
    column = frame.iloc[:, name - 1 if isinstance(name, int) else names.index(name)]
    values = column.tolist()
    for row, value in enumerate(values):
        if not isinstance(value, str):
            if value is None or value != value:  # missing: NaN is not itself
                values[row] = ""
                continue
            raise DataError(
                f"{path}: column {name!r} does not hold text.\n"
                f"  Row {row} has {value!r}, of type {type(value).__name__}."
            )
    return values


def _of_json(text: str, path: Path, reading: Reading) -> Iterable[str]:
    keys = reading.columns or ("text",)
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}: line {number} is not JSON.\n  {error}") from error
        values = [row] if isinstance(row, str) and not reading.columns else []
        for key in () if values else keys:
            value = row.get(key) if isinstance(row, dict) else None
            if not isinstance(value, str):
                raise DataError(_no_text(path, number, row, key))
            values.append(value)
        yield reading.join.join(values)


def _no_text(path: Path, number: int, row: Any, key: str | int) -> str:
    if not isinstance(row, dict):
        found = f"It is a {type(row).__name__}; expected an object."
    elif key in row:
        found = f"It has {row[key]!r} there; expected a string."
    else:
        found = f"It has: {', '.join(row) or 'nothing'}.{nearest(key, row)}"
    return f"{path}: line {number} has no text under {key!r}.\n  {found}"
