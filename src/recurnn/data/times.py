"""Time stamps: reading them, their frequency, and the regular grid they lie on."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from recurnn.errors import ConfigError, DataError

TIME_NAMES = (
    "ds", "date", "datetime", "time", "timestamp", "date_time", "utc_timestamp",
    "cet_cest_timestamp", "day", "month", "year", "period",
)  # fmt: skip
_SAMPLE = 100


def looks_like_time(column: pd.Series, *, name: str) -> bool:
    """Whether (a sample of) a column reads as dates; numbers only under a name of time."""
    present = column.dropna()
    sample = present.iloc[:_SAMPLE]
    if len(sample) == 0 or pd.api.types.is_bool_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return name.lower() in TIME_NAMES and _unit_of(sample) is not None
    texts = sample.astype(str).str.strip()
    if name.lower() not in TIME_NAMES and not bool(texts.str.contains(r"\d", regex=True).all()):
        return False
    return 2 * int(_read_texts(texts)[0].notna().sum()) > len(sample)


def parse_times(
    column: pd.Series, *, at: Callable[[int], str], origin: str
) -> tuple[pd.DatetimeIndex, list[str]]:
    """Time stamps without a zone, from dates, text or numbers.

    Times that carry an offset or a zone are converted to UTC, where no hour is doubled or
    skipped; days at local midnight keep their local date.

    Args:
        column: the time column.
        at: says where a row is, for errors.
        origin: the file, for errors.

    Returns:
        The times in the column's order, and a note for everything decided on the way.

    Raises:
        DataError: a time is missing or cannot be read.
    """
    notes: list[str] = []
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        raise DataError(
            f"{origin}: the time is missing at {at(int(missing[0]))}.\n"
            f"  Column {column.name!r} has no time in {len(missing)} of {len(column)} rows."
        )
    if pd.api.types.is_datetime64_any_dtype(column):
        times = column
    elif pd.api.types.is_numeric_dtype(column):
        times = _read_numbers(column, origin=origin, notes=notes)
    else:
        texts = column.astype(str).str.strip()
        times, how = _read_texts(texts)
        wrong = np.flatnonzero(times.isna().to_numpy())
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"{origin}: the time at {at(row)} cannot be read.\n"
                f"  Column {column.name!r} has {texts.iloc[row]!r} there;"
                f" its first time is {texts.iloc[0]!r}.\n"
                "  Write all times alike, best as 2024-01-31 18:45."
            )
        notes += how
    return _without_zone(pd.DatetimeIndex(times), notes), notes


def _without_zone(times: pd.DatetimeIndex, notes: list[str]) -> pd.DatetimeIndex:
    if times.tz is None:
        return times.rename(None)
    local = times.tz_localize(None).rename(None)
    if bool((local == local.normalize()).all()):
        return local
    if str(times.tz) != "UTC":
        notes.append(f"times were converted from {times.tz} to UTC")
    return times.tz_convert("UTC").tz_localize(None).rename(None)


def _read_texts(texts: pd.Series) -> tuple[pd.Series, list[str]]:
    """Read by the way of writing that fails least, and of two such by the one in order.

    Tried are ISO 8601 and that of the first text, with the month first and with the day first.
    """
    zoned = bool(texts.str.contains(r"\d{2}:\d{2}.*(?:Z|[+-]\d{2}:?\d{2})$", regex=True).any())
    first = str(texts.iloc[0])
    formats = ["ISO8601"]
    for day_first in (False, True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the other order was found: both are tried
            found = pd.tseries.api.guess_datetime_format(first, dayfirst=day_first)
        if found is not None and found not in formats:
            formats.append(found)
    best, how, score = pd.Series(pd.NaT, index=texts.index), "ISO8601", (0, False)
    for fmt in formats:
        times = pd.to_datetime(texts, format=fmt, errors="coerce", utc=zoned)
        mine = (int(times.notna().sum()), bool(times.is_monotonic_increasing))
        if mine > score:
            best, how, score = times, fmt, mine
    notes = ["times carry their offset; they were converted to UTC"] if zoned else []
    if "%d" in how and "%Y" in how and not how.startswith("%Y"):
        order = "day before month" if how.find("%d") < how.find("%m") else "month before day"
        if "%m" in how:
            notes.append(f"times such as {first!r} were read with the {order}")
    return best, notes


def _unit_of(numbers: pd.Series) -> str | None:
    """What numbers of time count: years, days written 20240131, or time since 1970."""
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isnan(values).any() or (values != np.floor(values)).any():
        return None
    for unit, low, high in (
        ("year", 1700, 2200), ("date", 17000101, 22001231),
        ("s", 2e8, 5e9), ("ms", 2e11, 5e12), ("us", 2e14, 5e15), ("ns", 2e17, 5e18),
    ):  # fmt: skip
        if (values >= low).all() and (values <= high).all():
            return unit
    return None


def _read_numbers(column: pd.Series, *, origin: str, notes: list[str]) -> pd.Series:
    unit = _unit_of(column)
    integers: Any = column.astype("int64") if unit is not None else column
    times: pd.Series
    if unit == "year":
        times = pd.to_datetime(integers.astype(str), format="%Y")
        return times
    if unit == "date":
        times = pd.to_datetime(integers.astype(str), format="%Y%m%d", errors="coerce")
        if bool(times.notna().all()):
            return times
    elif unit is not None:
        names = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
        notes.append(f"column {column.name!r} was read as {names[unit]} since 1970, UTC")
        units: Any = unit
        times = pd.to_datetime(integers, unit=units)
        return times
    raise DataError(
        f"{origin}: column {column.name!r} holds numbers that are no times.\n"
        f"  It begins with {', '.join(str(v) for v in column.iloc[:3])};"
        " years, 20240131, and seconds since 1970 can be read.\n"
        "  Name another time column, or leave this one out."
    )


def _infer(times: pd.DatetimeIndex) -> str | None:
    """What pandas infers, as an alias: some versions give one, others an offset."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pandas4Warning: the answer will become an offset
        found: Any = pd.infer_freq(times)
    return found if found is None or isinstance(found, str) else str(found.freqstr)


def find_frequency(times: pd.DatetimeIndex) -> str | None:
    """The frequency on whose grid all times lie, in spite of gaps; None if there is none.

    Args:
        times: sorted, without duplicates, three or more.
    """
    if len(times) < 3:
        return None
    whole = _infer(times)
    if whole is not None:
        return whole
    # With gaps: what short regular stretches say, the most frequent answer first.
    width = min(8, max(3, len(times) // 2))
    starts = np.unique(np.linspace(0, len(times) - width, num=60).astype(int))
    said = Counter(_infer(times[s : s + width]) for s in starts)
    said.update(_infer(times[s : s + 3]) for s in starts)
    steps, counts = np.unique(np.diff(times.to_numpy()), return_counts=True)
    common = pd.tseries.frequencies.to_offset(pd.Timedelta(steps[counts.argmax()]))
    guesses = [f for f, _ in said.most_common() if f is not None]
    if common is not None:
        guesses.append(common.freqstr)
    guesses += ["B", "MS", "ME"]
    return next((f for f in guesses if explains(times, f)), None)


def explains(times: pd.DatetimeIndex, frequency: str) -> bool:
    """Whether all times lie at the frequency and no more than a quarter of its places is empty."""
    rows = grid(times, frequency)
    # More than a quarter empty: not gaps, but another frequency in places.
    return rows is not None and 3 * len(rows) <= 4 * len(times) and bool(times.isin(rows).all())


def grid(times: pd.DatetimeIndex, frequency: str) -> pd.DatetimeIndex | None:
    """All time stamps of the frequency from the first to the last; None if it is endless."""
    span, offset = times[-1] - times[0], pd.tseries.frequencies.to_offset(frequency)
    if isinstance(offset, pd.offsets.Tick) and span / pd.Timedelta(offset) > 100 * len(times):
        return None
    return pd.date_range(times[0], times[-1], freq=frequency, unit=times.unit)


def check_frequency(frequency: str) -> str:
    """The frequency in pandas' own spelling.

    Raises:
        ConfigError: pandas does not know it.
    """
    try:
        offset = pd.tseries.frequencies.to_offset(frequency)
    except ValueError:
        offset = None
    if offset is None or offset.n < 1:
        raise ConfigError(
            f"frequency: {frequency!r} is not known.\n"
            "  Give an alias of pandas: s, min, 15min, h, D, B, W-SUN, MS, ME, QS, YS."
        )
    return str(offset.freqstr)


def not_regular(
    times: pd.DatetimeIndex, name: str, origin: str, frequency: str | None
) -> DataError:
    """The error for times that no frequency (or not the given one) explains."""
    steps = Counter(times[1:] - times[:-1])
    common = [f"{step} ({count} times)" for step, count in steps.most_common(3)]
    first = next(
        (k for k, s in enumerate(times[1:] - times[:-1]) if s != steps.most_common(1)[0][0]), 0
    )
    what = "are not at regular steps" if frequency is None else f"do not lie at {frequency!r} steps"
    return DataError(
        f"{origin}: the times of {name} {what}.\n"
        f"  Steps between them: {', '.join(common)};"
        f" the first that differs is from {times[first]} to {times[first + 1]}.\n"
        "  Bring them to one frequency first (pandas: frame.resample), or name it as frequency."
    )
