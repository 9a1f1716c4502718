"""Files of pairs: which columns they have, and which of them is the source and which the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recurnn.data import pairs_archives
from recurnn.data.labelled import check_there
from recurnn.data.labelled_text import check_names, fields_of, json_rows
from recurnn.data.tables import no_rows, parquet_frame
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
        lines: the line of the file that each row begins on; None for files without lines.
        named: whether the columns have names.
    """

    frame: pd.DataFrame
    origin: str
    lines: Sequence[int] | None
    named: bool

    def at(self, row: int) -> str:
        """Where a row is: ``pairs.tsv, line 7``, or ``row 6``, counted from 0."""
        return f"{self.origin}, " + (
            f"row {row}" if self.lines is None else f"line {self.lines[row]}"
        )

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
        return _filled(Rows(parquet_frame(path), str(path), lines=None, named=True))
    if suffix in pairs_archives.SUFFIXES:
        frame = pairs_archives.archive_frame(path)
        return _filled(Rows(frame, str(path), lines=None, named=True))
    if suffix in _JSON:
        found, lines = json_rows(path)
        return _filled(Rows(pd.DataFrame(found, dtype=object), str(path), lines, named=True))
    return _filled(_table_rows(path, "," if suffix == ".csv" else "\t", header, known))


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
        >>> rows = Rows(frame, "f.csv", lines=[2], named=True)
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
        raise no_rows(rows.origin)
    return rows


def _table_rows(path: Path, separator: str, header: bool | None, known: Sequence[str]) -> Rows:
    rows, lines = fields_of(path, text_of(path), separator)
    if not rows:
        return Rows(pd.DataFrame(), str(path), lines=lines, named=False)
    names = [cell.strip() for cell in rows[0]]
    if header is None:
        sure = sum(name.lower() in known for name in names) >= min(2, len(names))
        header = separator == "," or sure
    if header:
        rows, lines = rows[1:], lines[1:]
    else:
        names = [str(k + 1) for k in range(len(names))]
    check_names(path, names)
    return Rows(pd.DataFrame(rows, columns=names, dtype=object), str(path), lines, header)
