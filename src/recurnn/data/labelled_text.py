"""Tables of text and JSON lines as rows that know their lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recurnn.data.labelled import LABEL_NAMES
from recurnn.data.tables import Table, no_rows, stem
from recurnn.data.text.decoding import text_of
from recurnn.errors import DataError, counted

_SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
_SAMPLE = 50  # lines that the separator is found from
_MISSING = ("", "?")
NAMES = ("text", "sentence", "sequence", "document", "name", "words", "tokens")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file without their ends, numbered from 1.

    Raises:
        DataError: the file is damaged, binary, or not UTF-8.
    """
    yield from enumerate(text_of(path).removesuffix("\n").split("\n"), start=1)


def read_text(path: Path, *, header: bool | None) -> Table:
    """A table of text, with or without a header; columns of numbers are numbers.

    Args:
        path: the file.
        header: whether the first line names the columns; None finds out.

    Raises:
        DataError: not UTF-8, ragged, or without rows.
    """
    text = text_of(path)
    separator = _separator(text.split("\n", _SAMPLE)[:_SAMPLE])
    rows, places = fields_of(path, text, separator)
    if not rows:
        raise DataError(f"{path}: the file has no rows.")
    headed = _is_header(rows) if header is None else header
    names = rows[0] if headed else [f"column {k}" for k in range(1, len(rows[0]) + 1)]
    names = [name.strip() or f"unnamed {k}" for k, name in enumerate(names)]
    check_names(path, names)
    rows, places = (rows[1:], places[1:]) if headed else (rows, places)
    if not rows:
        raise no_rows(str(path))
    columns = zip(*rows, strict=True)
    frame = pd.DataFrame(
        {n: _typed(c, comma=separator == ";") for n, c in zip(names, columns, strict=True)}
    )
    told = "the first line names the columns" if headed else "the first line is taken as data"
    notes = (f"columns separated by {_SEPARATORS[separator]}; {told}",) if header is None else ()
    return Table(frame, stem(path), str(path), np.array(places), notes)


def read_json(path: Path) -> Table:
    """A table of JSON lines; columns of numbers are numbers.

    Raises:
        DataError: a line is not a JSON object, or there is none.
    """
    rows, places = json_rows(path)
    return Table(pd.DataFrame(rows), stem(path), str(path), np.array(places))


def json_rows(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The objects of a file that has one a line, and their lines; blank lines are left out.

    Raises:
        DataError: a line is not a JSON object, or there is none.
    """
    rows, places = list[dict[str, Any]](), list[int]()
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}: line {number} is not JSON.\n  {error}") from error
        if not isinstance(row, dict):
            raise DataError(
                f"{path}: line {number} is a {type(row).__name__}, not a JSON object.\n"
                '  Expected one a line, such as {"text": "..."}.'
            )
        rows.append(row)
        places.append(number)
    if not rows:
        raise DataError(f"{path}: the file has no rows.")
    return rows, places


def check_names(path: Path, names: list[str]) -> None:
    """Refuse a table that has two columns of the same name."""
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if twice is not None:
        raise DataError(f"{path}: two columns are named {twice!r}.\n  Rename one of them.")


def _separator(lines: list[str]) -> str:
    """The first that divides every line into as many fields, or into the most in the first."""
    lines = [line for line in lines if line.strip()]
    for separator in _SEPARATORS:
        counts = {len(row) for row in _reader(lines, separator)}
        if len(counts) == 1 and counts != {1}:
            return separator
    return max(_SEPARATORS, key=lambda s: (lines or [""])[0].count(s))


def _reader(lines: Any, separator: str) -> Any:
    if separator == "\t":  # texts between tabs have quotation marks of their own
        return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)


def fields_of(path: Path, text: str, separator: str) -> tuple[list[list[str]], list[int]]:
    """The rows of a table that are not blank, and the lines on which they begin.

    Args:
        path: of the table, for errors.
        text: that it holds.
        separator: of its columns.

    Raises:
        DataError: a row has more or fewer fields than the first.
    """
    rows, places, begin = list[list[str]](), list[int](), 1
    reader = _reader(io.StringIO(text), separator)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                if rows and len(row) != len(rows[0]):
                    raise DataError(
                        f"{path}: line {begin} has {counted(len(row), 'field')}; line "
                        f"{places[0]} has {len(rows[0])}, separated by {_SEPARATORS[separator]}."
                        "\n  Every line must have as many."
                    )
                rows.append(row)
                places.append(begin)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}: line {begin} cannot be read.\n  {error}") from error
    return rows, places


def _is_header(rows: list[list[str]]) -> bool:
    """Whether the first row names columns: no number in it, and nothing that comes again below."""
    first, rest = rows[0], rows[1:]
    if any(_number(cell, comma=True) is not None for cell in first):
        return False
    if not rest:  # the only line: names, if two of them are such as columns have
        return sum(cell.strip().lower() in (*NAMES, *LABEL_NAMES) for cell in first) >= 2
    if len(first) == 1:
        return first[0].strip().lower() in NAMES
    return not any(cell in {row[k] for row in rest} for k, cell in enumerate(first) if cell.strip())


def _typed(cells: tuple[str, ...], *, comma: bool) -> Any:
    """A column as numbers if all of it are, or as text; what is missing is NaN or None."""
    bare = [cell.strip() for cell in cells]
    there = [cell for cell in bare if cell not in _MISSING]
    numbers = [_number(cell, comma=comma) for cell in there]
    if not there or any(number is None for number in numbers):
        return [cell or None for cell in bare]
    found = iter(numbers)
    values = np.array([np.nan if c in _MISSING else next(found) for c in bare], dtype=np.float64)
    whole = bool(np.isfinite(values).all() and (values % 1 == 0).all())
    return values.astype(np.int64) if whole and abs(values).max() < 2**53 else values


def _number(text: str, *, comma: bool) -> float | None:
    try:
        return float(text.replace(",", ".") if comma else text)
    except ValueError:
        return None
