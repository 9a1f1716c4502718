"""Files of pairs: which columns they have, and which of them is the source and which the target."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recurnn.data import pairs_archives
from recurnn.data.labelled import check_there
from recurnn.data.tables import parquet_frame
from recurnn.data.text.decoding import PACKED, text_of
from recurnn.errors import DataError, nearest

SUFFIXES = (".tsv", ".txt", ".csv", ".parquet", ".jsonl", ".ndjson", *pairs_archives.SUFFIXES)
SOURCE = ("source", "src", "input", "from", "word", "question", "text", "x")
TARGET = (
    "target",
    "tgt",
    "output",
    "to",
    "translation",
    "pronunciation",
    "phonemes",
    "answer",
    "y",
)
_JSON = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Rows:
    """A file as columns.

    Attributes:
        frame: the values; columns without names are called 1, 2, ...
        origin: the file, for errors.
        lines: whether a row is a line of the file.
        first: number of the line of the first row.
        named: whether the columns have names.
    """

    frame: pd.DataFrame
    origin: str
    lines: bool
    first: int
    named: bool

    def at(self, row: int) -> str:
        """Where a row is: ``pairs.tsv, line 7``, or ``row 6``, counted from 0."""
        return f"{self.origin}, " + (f"line {row + self.first}" if self.lines else f"row {row}")

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [str(name) for name in self.frame.columns]

    def column(self, name: str) -> list[Any]:
        """The values of a column.

        Raises:
            DataError: there is none of this name.
        """
        if name not in self.names:
            raise DataError(
                f"{self.origin}: there is no column {name!r}.\n"
                f"  Columns: {', '.join(self.names)}.{nearest(name, self.names)}"
            )
        found: list[Any] = self.frame.iloc[:, self.names.index(name)].tolist()
        return found

    def texts(self, name: str) -> list[str]:
        """A column of text without gaps.

        Raises:
            DataError: a row has no text there.
        """
        found = self.column(name)
        for row, text in enumerate(found):
            if (
                text is None
                or (isinstance(text, float) and text != text)
                or (isinstance(text, str) and not text.strip())
            ):
                raise DataError(
                    f"{self.at(row)}: column {name} is empty.\n  Fill it, or leave the row out."
                )
            if not isinstance(text, str | int | float | np.number):
                raise DataError(
                    f"{self.at(row)}: column {name} does not hold text.\n"
                    f"  It has a {type(text).__name__} there."
                )
        return [str(text) for text in found]


def read_rows(path: str | Path, *, header: bool | None = None, known: Sequence[str] = ()) -> Rows:
    """Read a table of any kind.

    Args:
        path: ``.tsv`` or ``.txt`` (tabs between columns), ``.csv``, ``.jsonl`` or ``.ndjson`` (an
            object a line), plain or as ``.gz`` or ``.xz``; ``.parquet``; or an archive, ``.npz`` or
            ``.ts``.
        header: whether the first line names the columns; by default yes for commas, and for tabs
            if two names in it are known, or the only one.
        known: names of columns.

    Raises:
        DataError: the file cannot be read, or is of another kind.
    """
    path = Path(path)
    check_there(path)
    suffix = (Path(path.stem) if path.suffix.lower() in PACKED else path).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(
            f"{path}: files of this kind ({suffix or 'no suffix'}) cannot be read.\n"
            f"  Known: {', '.join(SUFFIXES)}."
        )
    if suffix == ".parquet":
        return _filled(Rows(parquet_frame(path), str(path), lines=False, first=0, named=True))
    if suffix in pairs_archives.SUFFIXES:
        frame = pairs_archives.archive_frame(path)
        return _filled(Rows(frame, str(path), lines=False, first=0, named=True))
    text = text_of(path)
    if suffix in _JSON:
        return _filled(_json_rows(path, text))
    tabs = suffix != ".csv"
    names = [cell.strip().lower() for cell in text.partition("\n")[0].split("\t" if tabs else ",")]
    if header is None:
        header = not tabs or sum(name in known for name in names) >= min(2, len(names))
    return _filled(_table_rows(path, text, tabs=tabs, header=header))


def roles(
    rows: Rows, wanted: Mapping[str, tuple[str | None, Sequence[str]]]
) -> tuple[dict[str, str], str]:
    """Which column plays which part.

    Args:
        rows: the file.
        wanted: by the part's name the column that was named for it, or None, and names that such
            a column often has. What is not found so gets the first columns that are left.

    Returns:
        The columns by part, and a sentence that says so.

    Raises:
        DataError: a column is missing.

    Example:
        >>> frame = pd.DataFrame({"id": ["1"], "tgt": ["b"], "src": ["a"]})
        >>> rows = Rows(frame, "f.csv", lines=True, first=2, named=True)
        >>> roles(rows, {"source": (None, SOURCE), "target": (None, TARGET)})
        ({'source': 'src', 'target': 'tgt'}, 'f.csv: source is src, target is tgt')
    """
    found: dict[str, str] = {}
    for part, (given, known) in wanted.items():
        if given is not None:
            rows.column(given)  # refuses what is not there
            found[part] = given
        else:
            named = [n for k in known for n in rows.names if n.strip().lower() == k]
            if rows.named and named:
                found[part] = named[0]
    left = [name for name in rows.names if name not in found.values()]
    for part in wanted:
        if part in found:
            continue
        if not left:
            raise DataError(
                f"{rows.origin}: there is no column for the {part}.\n"
                f"  Columns: {', '.join(rows.names)}. Expected {len(wanted)} or more."
            )
        found[part] = left.pop(0)
    found = {part: found[part] for part in wanted}
    column = "" if rows.named else "column "
    said = ", ".join(f"{part} is {column}{name}" for part, name in found.items())
    return found, f"{rows.origin}: {said}"


def _filled(rows: Rows) -> Rows:
    if len(rows.frame) == 0 or len(rows.frame.columns) == 0:
        raise DataError(f"{rows.origin}: there are no rows.")
    return rows


def _table_rows(path: Path, text: str, *, tabs: bool, header: bool) -> Rows:
    try:
        frame = pd.read_csv(
            io.StringIO(text), sep="\t" if tabs else ",", header=0 if header else None, dtype=str,
            keep_default_na=False, index_col=False, skip_blank_lines=not tabs,
            quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        )  # fmt: skip
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    except pd.errors.ParserError as error:
        raise DataError(f"{path}: this is not a table.\n  {error}") from error
    if not header:
        frame.columns = pd.Index([str(k + 1) for k in range(len(frame.columns))])
    return Rows(frame, str(path), lines=tabs, first=2 if header else 1, named=header)


def _json_rows(path: Path, text: str) -> Rows:
    found = []
    for number, line in enumerate(text.rstrip("\n").split("\n"), start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}: line {number} is not JSON.\n  {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}: line {number} is a {type(row).__name__}; expected an object.")
        found.append(row)
    names = list(dict.fromkeys(name for row in found for name in row))
    frame = pd.DataFrame({n: pd.Series([row.get(n) for row in found], dtype=object) for n in names})
    return Rows(frame, str(path), lines=True, first=1, named=True)
