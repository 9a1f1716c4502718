"""Which columns of a table are the time, the series' names and the values; and their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recurnn.data.tables import Table
from recurnn.data.times import TIME_NAMES, looks_like_time
from recurnn.errors import DataError, nearest

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Roles:
    """The columns by what they are for."""

    value: tuple[str, ...]
    time: str | None
    unique_id: str | None
    notes: tuple[str, ...]


def choose(
    table: Table,
    *,
    value: str | Sequence[str] | None,
    time: str | None,
    unique_id: str | None,
) -> Roles:
    """Find out what each column is for; what is named is taken as named.

    Raises:
        DataError: no such column, one column in two roles, or no column of numbers.
    """
    frame, notes = table.frame, []
    named = [value] if isinstance(value, str) else list(value or [])
    for name in [*named, time, unique_id]:
        if name is not None:
            named_column(table, name)
    for name in named:
        if name in (time, unique_id) or named.count(name) > 1:
            raise DataError(f"{table.origin}: column {name!r} is named twice.")
    names = list(frame.columns)
    nixtla = {"unique_id", "ds", "y"} <= set(names)
    if unique_id is None and nixtla and "unique_id" not in named:
        unique_id = "unique_id"
        notes.append("columns unique_id, ds and y: taken as the long format, one series an id")
    if time is None:
        free = [n for n in names if n not in named and n != unique_id]
        time = _find_time(frame, free)
        if time is not None:
            notes.append(f"column {time!r} was taken as time")
    if not named:
        free = [n for n in names if n not in (time, unique_id)]
        named, why = _find_values(table, free)
        notes += why
    return Roles(tuple(named), time, unique_id, tuple(notes))


def named_column(table: Table, name: str) -> None:
    """Refuse a name that no column has.

    Raises:
        DataError: there is no such column.
    """
    names = [str(c) for c in table.frame.columns]
    if name not in names:
        raise DataError(
            f"{table.origin}: there is no column {name!r}.\n"
            f"  Columns: {', '.join(names)}.{nearest(name, names)}"
        )


def _find_time(frame: pd.DataFrame, names: Sequence[str]) -> str | None:
    """The first column of dates: true dates first, then by name, then by what the text says."""
    dates = [n for n in names if pd.api.types.is_datetime64_any_dtype(frame[n])]
    if dates:
        return dates[0]
    by_name = [n for n in names if n.lower() in TIME_NAMES]
    by_name.sort(key=lambda n: TIME_NAMES.index(n.lower()))
    texts = [n for n in names if n not in by_name and not _is_numeric(frame[n])]
    return next((n for n in [*by_name, *texts] if looks_like_time(frame[n], name=n)), None)


def _find_values(table: Table, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The columns of numbers, with a note where there was a choice."""
    frame, notes = table.frame, []
    if "y" in names and len(names) > 1:
        others = ", ".join(n for n in names if n != "y")
        return ["y"], [f"column 'y' is forecast; not used: {others}"]
    found = [n for n in names if _is_meant_as_numbers(frame[n])]
    counters = [n for n in found if len(found) > 1 and n.lower() in COUNTERS and _counts(frame[n])]
    found = [n for n in found if n not in counters]
    for name in counters:
        notes.append(f"column {name!r} only counts the rows; it is not forecast")
    if not found:
        empty = [n for n in names if bool(frame[n].isna().all())]
        if empty:
            raise DataError(f"{table.origin}: every value of column {empty[0]!r} is missing.")
        raise DataError(
            f"{table.origin}: there is no column of numbers.\n"
            f"  Columns: {', '.join(map(str, frame.columns))}.\n"
            f"  The first row: {', '.join(str(v) for v in frame.iloc[0])}."
        )
    if len(found) > 1:
        constant = [n for n in found if _is_constant(frame[n])]
        if 0 < len(constant) < len(found):
            notes.append(f"the same value in every row, so not forecast: {', '.join(constant)}")
            found = [n for n in found if n not in constant]
    if len(found) > 1:
        notes.append(f"no value column was named: all {len(found)} columns of numbers are forecast")
    left = [n for n in names if n not in found and n not in counters]
    texts = [n for n in left if not _is_numeric(frame[n])]
    if texts:
        notes.append(f"not numbers, so not used: {', '.join(texts)}")
    return found, notes


def by_counter(table: Table, roles: Roles) -> Table:
    """Rows in the order of a column ``ds`` that counts steps instead of naming times."""
    ds = table.frame["ds"] if "ds" in table.frame.columns else None
    if roles.time is not None or roles.unique_id is None or ds is None or not _is_numeric(ds):
        return table
    if ds.is_monotonic_increasing:
        return table
    order = np.argsort(ds.to_numpy(), kind="stable")
    lines = None if table.lines is None else table.lines[order]
    return replace(table, frame=table.frame.iloc[order].reset_index(drop=True), lines=lines)


COUNTERS = ("index", "id", "no", "nr", "row", "step", "t", "unnamed 0", *TIME_NAMES)


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _is_meant_as_numbers(column: pd.Series) -> bool:
    """Numbers, or text half of which is numbers: then the rest is a mistake to be named."""
    if _is_numeric(column):
        return not bool(column.isna().all())
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return False
    present = column.dropna()
    numbers = pd.to_numeric(present.astype(str), errors="coerce").notna()
    return len(present) > 0 and 2 * int(numbers.sum()) >= len(present)


def _is_constant(column: pd.Series) -> bool:
    return int(column.nunique(dropna=True)) <= 1


def _counts(column: pd.Series) -> bool:
    """Whether a column goes up by one from row to row."""
    return _is_numeric(column) and len(column) > 1 and bool((column.diff().iloc[1:] == 1).all())


def numbers(table: Table, names: Sequence[str]) -> Array:
    """The value columns as numbers, [rows, C]; missing values are NaN.

    Raises:
        DataError: text, truth values, dates or complex numbers in a column, or infinities.
    """
    columns = [_column(table, name) for name in names]
    values = np.stack(columns, axis=1)
    infinite = np.isinf(values)
    if infinite.any():
        row, c = (int(k) for k in np.argwhere(infinite)[0])
        raise DataError(
            f"{table.origin}: column {names[c]!r} has an infinite value at {table.at(row)}.\n"
            f"  Infinite values in all: {int(infinite.sum())}.\n"
            "  Put a number there, or leave the place empty (a gap)."
        )
    return values


def _column(table: Table, name: str) -> Array:
    column = table.frame[name]
    kind = None
    if pd.api.types.is_bool_dtype(column):
        kind = "truth values; write them as 0 and 1"
    elif pd.api.types.is_complex_dtype(column):
        kind = "complex numbers; give the real and imaginary parts as two columns"
    elif pd.api.types.is_datetime64_any_dtype(column):
        kind = "dates; name it as the time column"
    elif pd.api.types.is_timedelta64_dtype(column):
        kind = "durations; give them as a number of seconds, say"
    if kind is not None:
        raise DataError(f"{table.origin}: column {name!r} holds {kind}.")
    if not _is_numeric(column):
        text = column.astype(object)
        found = pd.to_numeric(text, errors="coerce")
        wrong = np.flatnonzero(found.isna().to_numpy() & text.notna().to_numpy())
        if len(wrong):
            raise DataError(
                f"{table.origin}: column {name!r} has text where a number belongs.\n"
                f"  At {table.at(int(wrong[0]))}: {str(text.iloc[int(wrong[0])])!r}.\n"
                f"  Values of this column that are no numbers: {len(wrong)}.\n"
                "  Mend it there, leave the place empty (a gap), or name another value column."
            )
        column = found
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
