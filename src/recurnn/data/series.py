"""From a file or a frame to checked, regular series; everything guessed is noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recurnn.data import columns as roles_
from recurnn.data import gaps as gaps_
from recurnn.data import times as times_
from recurnn.data.season import find_season
from recurnn.data.tables import TSF_SUFFIXES, Table, check_file, from_frame, read_table
from recurnn.data.tsf import read_tsf
from recurnn.errors import ConfigError, DataError

Array = NDArray[np.float64]
Source = str | Path | pd.DataFrame | pd.Series | Array


@dataclass(frozen=True)
class Series:
    """One series, regular in time and without missing values."""

    name: str  # unique_id, or the file's stem
    values: Array  # [T, C], the value columns
    times: pd.DatetimeIndex | None  # [T], without a zone


@dataclass(frozen=True)
class SeriesSet:
    """Series of the same columns and frequency."""

    series: tuple[Series, ...]
    columns: tuple[str, ...]  # the C names
    frequency: str | None  # pandas alias such as "15min", "h", "W-SAT", "MS"; None without times
    season: int  # steps in the main season; 1 = none found
    notes: tuple[str, ...]  # a sentence for everything guessed or touched


@dataclass(frozen=True)
class Raw:
    """One series as it was read: perhaps unsorted, with gaps.

    Attributes:
        name: of the series.
        values: [T, C], NaN where missing.
        times: [T] or None.
        rows: [T], the rows of the table, to say where something stands.
    """

    name: str
    values: Array
    times: pd.DatetimeIndex | None
    rows: NDArray[np.int64]


def read_series(
    source: Source,
    *,
    value: str | Sequence[str] | None = None,
    time: str | None = None,
    unique_id: str | None = None,
    frequency: str | None = None,
    season: int | None = None,
    gaps: str = "interpolate",
    first: int | None = None,
) -> SeriesSet:
    """Read series from a file or a frame, check them, and make them regular.

    Files: ``.csv``, ``.tsv`` (also ``.gz``, ``.xz``), ``.parquet``, and ``.tsf`` of the Monash
    archive. What is not named is guessed: columns ``unique_id, ds, y`` are the long format with
    one series an id; the time is a column of dates; the values are ``y``, or else all columns of
    numbers. Unsorted rows are sorted. Time stamps missing from a regular frequency are gaps.
    Local times that a change of the clocks doubles are an error (as any duplicate), hours it
    skips are a gap; times with an offset are read as UTC and have neither.

    Args:
        source: path of a file, a frame, a series, or an array [T] or [T, C].
        value: column or columns to forecast.
        time: column of time stamps.
        unique_id: column that names the series each row belongs to.
        frequency: pandas alias, where it cannot be found from the times.
        season: steps in the main season, where it is known; 1 for none.
        gaps: ``"interpolate"`` (gaps at the ends are dropped), ``"previous"``, ``"zero"`` or
            ``"raise"``.
        first: keep only so many rows of each series.

    Raises:
        DataError: the data cannot be used as they are; the text says where and why.
        ConfigError: an option has a value that it cannot have.

    Example:
        >>> frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=4)})
        >>> frame["kW"] = [1, 2, 4, 8.0]
        >>> found = read_series(frame)
        >>> found.columns, found.frequency, found.series[0].values[:, 0].tolist()
        (('kW',), 'D', [1.0, 2.0, 4.0, 8.0])
    """
    gaps_.check_policy(gaps)
    for name, number in (("season", season), ("first", first)):
        if number is not None and (isinstance(number, bool) or number < 1):
            raise ConfigError(f"{name}: {number!r} is not a number of steps, 1 or more.")
    if frequency is not None:
        frequency = times_.check_frequency(frequency)
    table: Table
    if isinstance(source, pd.Series):
        source = source.to_frame(source.name or "y")
    elif isinstance(source, np.ndarray):
        wide = source.reshape(len(source), -1)
        names = ["y"] if wide.shape[1] == 1 else [f"y{k}" for k in range(wide.shape[1])]
        source = pd.DataFrame(wide, columns=names)
    if isinstance(source, pd.DataFrame):
        table = from_frame(source, name="series", origin="the frame")
    elif check_file(Path(source)) in TSF_SUFFIXES:
        table, said = read_tsf(Path(source))
        frequency = frequency or said
        value, unique_id, time = "y", "unique_id", "ds" if "ds" in table.frame else None
    else:
        table = read_table(Path(source))
    roles = roles_.choose(table, value=value, time=time, unique_id=unique_id)
    table = roles_.by_counter(table, roles)
    raws, notes = _take_apart(table, roles)
    notes = [*table.notes, *roles.notes, *notes]
    raws = [_in_order(raw, table, first=first, notes=notes) for raw in raws]
    if len(raws) > 1:
        notes = _merged(notes)
    if raws[0].times is not None:
        frequency = _common_frequency(raws, table, frequency, notes)
        raws = [_on_grid(raw, table, frequency) for raw in raws]
    series = _fill(raws, table, roles.value, gaps, notes)
    _check_constant(series, roles.value, table)
    if season is None:
        season = find_season([s.values for s in series], frequency)
        notes.append(f"season: {season} steps" if season > 1 else "no season was found")
    told = frequency if raws[0].times is not None else None
    return SeriesSet(tuple(series), roles.value, told, season, tuple(notes))


def _take_apart(table: Table, roles: roles_.Roles) -> tuple[list[Raw], list[str]]:
    """The table's rows as one raw series an id."""
    values = roles_.numbers(table, roles.value)
    times, notes = None, list[str]()
    if roles.time is not None:
        times, notes = times_.parse_times(table.frame[roles.time], at=table.at, origin=table.origin)
    if roles.unique_id is None:
        return [Raw(table.name, values, times, np.arange(len(values)))], notes
    ids = table.frame[roles.unique_id]
    unnamed = np.flatnonzero(ids.isna().to_numpy())
    if len(unnamed):
        raise DataError(
            f"{table.origin}: column {roles.unique_id!r} is empty at {table.at(int(unnamed[0]))}.\n"
            "  Every row must say which series it belongs to."
        )
    codes, names = pd.factorize(ids)
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    return [
        Raw(str(name), values[rows], None if times is None else times[rows], rows)
        for name, rows in zip(names, parts, strict=True)
    ], notes


def _in_order(raw: Raw, table: Table, *, first: int | None, notes: list[str]) -> Raw:
    """Sorted by time, without duplicates, cut to the first rows."""
    values, times, rows = raw.values, raw.times, raw.rows
    if times is not None:
        if not times.is_monotonic_increasing:
            order = np.argsort(times.to_numpy(), kind="stable")
            notes.append(f"the rows of {raw.name!r} were not in order of time and were sorted")
            values, times, rows = values[order], times[order], rows[order]
        again = np.flatnonzero(times[1:] == times[:-1])
        if len(again):
            k = int(again[0])
            raise DataError(
                f"{table.origin}: the time {times[k]} comes twice in {raw.name!r}.\n"
                f"  At {table.at(int(rows[k]))} and {table.at(int(rows[k + 1]))};"
                f" times that come again: {len(again)}.\n"
                "  Keep one of each. If several series are in one table, name the column that"
                " tells them\n  apart as unique_id. If a change of the clocks doubles an hour,"
                " write UTC or the offset."
            )
    cut = slice(None, first)
    return Raw(raw.name, values[cut], None if times is None else times[cut], rows[cut])


def _merged(notes: list[str]) -> list[str]:
    """One sentence for the sorting of many series."""
    sort = [n for n in notes if n.endswith("were sorted")]
    if len(sort) < 2:
        return notes
    rest = [n for n in notes if n not in sort]
    return [*rest, f"the rows of {len(sort)} series were not in order of time and were sorted"]


def _common_frequency(
    raws: Sequence[Raw], table: Table, frequency: str | None, notes: list[str]
) -> str:
    """The one frequency of all series."""
    given, found = frequency, dict[str, str]()
    for raw in raws:
        assert raw.times is not None
        if given is None and len(raw.times) >= 3:
            mine = times_.find_frequency(raw.times)
            if mine is None:
                raise times_.not_regular(raw.times, repr(raw.name), table.origin, None)
            found.setdefault(mine, raw.name)
    if given is None:
        # A short series can look like another frequency: five working days are also five days.
        if len(found) > 1:
            stamps = [raw.times for raw in raws if raw.times is not None]
            shared = [f for f in found if all(times_.explains(times, f) for times in stamps)]
            found = {f: found[f] for f in shared[:1]} or found
        if len(found) > 1:
            said = ", ".join(f"{name!r} has {f}" for f, name in list(found.items())[:4])
            raise DataError(
                f"{table.origin}: the series do not have one frequency.\n  {said}.\n"
                "  Read series of one frequency at a time, or bring them to one first."
            )
        if not found:
            raise DataError(
                f"{table.origin}: {len(raws[0].values)} rows are too few to find the frequency.\n"
                "  Name it (frequency='D'), or bring a longer series."
            )
        given = next(iter(found))
        notes.append(f"frequency found from the times: {given}")
    return given


def _on_grid(raw: Raw, table: Table, frequency: str) -> Raw:
    """With a row of NaN for every time stamp that the frequency has and the series lacks."""
    times = raw.times
    assert times is not None
    rows = times_.grid(times, frequency)
    if rows is None or not bool(times.isin(rows).all()):
        raise times_.not_regular(times, repr(raw.name), table.origin, frequency)
    if len(rows) == len(times):
        return raw
    place = rows.get_indexer(times)
    values = np.full((len(rows), raw.values.shape[1]), np.nan)
    values[place] = raw.values
    origin = np.full(len(rows), -1)
    origin[place] = raw.rows
    return Raw(raw.name, values, rows, origin)


def _fill(
    raws: Sequence[Raw], table: Table, names: Sequence[str], policy: str, notes: list[str]
) -> list[Series]:
    """The gap policy, over all series."""
    stamps = sum(int((raw.rows < 0).sum()) for raw in raws)
    if stamps:
        notes.append(f"time stamps missing from the regular steps (gaps): {stamps}")
    touched, series = gaps_.Touched(), []
    for raw in raws:
        missing = np.isnan(raw.values)
        if missing.any():
            for c, name in enumerate(names):
                if missing[:, c].all():
                    whose = "" if len(raws) == 1 else f" of {raw.name!r}"
                    raise DataError(
                        f"{table.origin}: every value of column {name!r}{whose} is missing."
                    )
            if policy == "raise":
                raise _gap_error(raw, table, names, missing)
        values, times = gaps_.fill(
            raw.values, raw.times, policy=policy, columns=names, touched=touched
        )
        series.append(Series(raw.name, values, times))
    notes += touched.notes(policy)
    return series


def _gap_error(
    raw: Raw, table: Table, names: Sequence[str], missing: NDArray[np.bool_]
) -> DataError:
    k, c = (int(n) for n in np.argwhere(missing)[0])
    if raw.rows[k] >= 0:
        where = f"in column {names[c]!r} at {table.at(int(raw.rows[k]))}"
    else:
        assert raw.times is not None
        where = f"at {raw.times[k]}, a time stamp that is not there"
    return DataError(
        f"{table.origin}: {raw.name!r} has gaps.\n"
        f"  Missing values: {int(missing.sum())} of {missing.size}; the first is {where}.\n"
        "  Fill them, or choose what to do: gaps='interpolate', 'previous' or 'zero'."
    )


def _check_constant(series: Sequence[Series], names: Sequence[str], table: Table) -> None:
    for one in series:
        for c, name in enumerate(names):
            if len(one.values) > 1 and np.ptp(one.values[:, c]) == 0:
                whose = "" if len(series) == 1 else f" of {one.name!r}"
                raise DataError(
                    f"{table.origin}: column {name!r}{whose} is constant.\n"
                    f"  All {len(one.values)} values are {one.values[0, c]:g};"
                    " there is nothing to learn.\n  Leave it out."
                )
