"""Rows of a log in a file: CSV, or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recurnn.errors import ConfigError

KINDS = (".csv", ".jsonl")


def checked(path: str | Path) -> Path:
    """The path of a log.

    Raises:
        ConfigError: it is of neither kind.
    """
    path = Path(path)
    if path.suffix not in KINDS:
        raise ConfigError(f"The log is {path.name!r}; expected a name that ends in .csv or .jsonl.")
    return path


def head(path: Path, columns: Sequence[str]) -> str:
    """What stands before the first row."""
    return _line(columns) if path.suffix == ".csv" else ""


def line(path: Path, columns: Sequence[str], row: Mapping[str, Any]) -> str:
    """A row; what it lacks, and NaN, is left out, and JSON has no infinity either."""
    if path.suffix == ".csv":
        return _line(["" if _missing(row.get(c)) else row[c] for c in columns])
    known = {c: row[c] for c in columns if not _missing(row.get(c), infinity=True)}
    return json.dumps(known) + "\n"


def text(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    """All rows, with the columns that any of them has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return head(path, columns) + "".join(line(path, columns, row) for row in rows)


def read(path: Path) -> Iterable[dict[str, Any]]:
    """The rows of a log; of one that a killed writer left, those that are whole."""
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            yield from csv.DictReader(file)
            return
        for written in file:
            try:
                row = json.loads(written)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row


def _line(values: Sequence[Any]) -> str:
    file = io.StringIO()
    csv.writer(file).writerow(values)
    return file.getvalue()


def _missing(value: Any, *, infinity: bool = False) -> bool:
    if not isinstance(value, float):
        return value is None
    return math.isnan(value) or (infinity and math.isinf(value))
