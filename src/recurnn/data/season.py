"""The main season of a series: proposed by its frequency, confirmed by its autocorrelation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.tsa.stattools import acf

Array = NDArray[np.float64]

_CALENDAR = {"W": (52,), "M": (12,), "B": (5,), "D": (7, 365), "Q": (4,)}  # by the alias's start
_LOOKED_AT = 20  # series; of many, so many are looked at, evenly spread
_LONGEST = 20_000  # steps of each; beyond, the last ones


def find_season(series: Sequence[Array], frequency: str | None) -> int:
    """Steps in the main season; 1 where none is found.

    With a frequency, its calendar cycles are tried, the shortest first (a day of hours, then a
    week of hours). One counts when, in at least half of the series, values one season apart are
    more alike than values half a season apart. Without a frequency, the first outstanding peak
    of the autocorrelation is taken.

    Args:
        series: each [T, C], without missing values.
        frequency: pandas alias, or None.
    """
    step = max(1, -(-len(series) // _LOOKED_AT))
    columns = [values[-_LONGEST:, c] for values in series[::step] for c in range(values.shape[1])]
    columns = columns[:: max(1, -(-len(columns) // _LOOKED_AT))]
    columns = [x for x in columns if len(x) > 3 and np.ptp(x) > 0]
    if not columns:
        return 1
    if frequency is not None:
        for season in candidates(frequency):
            votes = [_confirmed(x, season) for x in columns]
            if 2 * sum(votes) >= len(votes):
                return season
        return 1
    found = [_detected(x) for x in columns]
    season = max(sorted(set(found)), key=found.count)
    return season if 2 * found.count(season) >= len(found) else 1


def candidates(frequency: str) -> tuple[int, ...]:
    """The calendar's seasons at this frequency, in steps, shortest first.

    >>> candidates("15min"), candidates("h"), candidates("W-SAT"), candidates("MS")
    ((96, 672), (24, 168), (52,), (12,))
    """
    offset = pd.tseries.frequencies.to_offset(frequency)
    if isinstance(offset, pd.offsets.Tick):
        day, step = pd.Timedelta(days=1), pd.Timedelta(offset)
        if step < day:
            steps = [
                int(cycle / step) for cycle in (day, 7 * day) if cycle % step == pd.Timedelta(0)
            ]
            return tuple(n for n in steps if n <= 10_000)
    if offset is None or offset.n != 1:
        return ()
    name = offset.rule_code.removeprefix("C")
    if name.startswith(("BM", "BQ", "SM")):  # business month ends and starts; twice a month
        return (24,) if name.startswith("SM") else (12,) if name.startswith("BM") else (4,)
    return _CALENDAR.get(name[0], ())


def _autocorrelation(x: Array, lags: int) -> tuple[Array, Array]:
    """Of the series less its straight line, and of its differences; each [lags + 1]."""
    t = np.arange(len(x)) - (len(x) - 1) / 2
    rest = x - x.mean() - t * (t @ x) / (t @ t)
    return _acf(rest, lags), _acf(np.diff(x), lags)


def _acf(x: Array, lags: int) -> Array:
    if np.ptp(x) <= 1e-12 * max(1.0, float(np.abs(x).max())):
        return np.zeros(lags + 1)
    found: Any = acf(x, nlags=lags, fft=True)
    return np.asarray(found, dtype=np.float64)


def _confirmed(x: Array, season: int) -> bool:
    """Whether values one season apart are clearly more alike than half a season apart."""
    if len(x) < 2 * season + 2:
        return False
    least = max(0.1, 2 / np.sqrt(len(x)))
    levels, differences = _autocorrelation(x, season)
    half = season // 2
    return bool(
        (levels[season] >= least and levels[season] - levels[half] >= 0.2)
        or (differences[season] >= least and differences[season] - differences[half] >= 0.1)
    )


def _detected(x: Array) -> int:
    """The first outstanding peak of the autocorrelation; 1 if there is none."""
    longest = min(len(x) // 3, 2_000)
    if longest < 4:
        return 1
    levels, differences = _autocorrelation(x, longest)
    inner = levels[1:-1]
    peaks = 1 + np.flatnonzero((inner > levels[:-2]) & (inner >= levels[2:]))
    valley = np.minimum.accumulate(levels)
    peaks = peaks[(peaks > 1) & (levels[peaks] >= 0.2) & (levels[peaks] - valley[peaks] >= 0.2)]
    peaks = np.array([k for k in peaks if _repeats(levels, differences, int(k), len(x))], dtype=int)
    if len(peaks) == 0:
        return 1
    first = int(peaks[levels[peaks] >= 0.8 * levels[peaks].max()][0])
    # Noise makes small peaks on the flank of a broad one: the top within a tenth is meant.
    near = slice(first, first + first // 10 + 1)
    return first + int(levels[near].argmax())


def _repeats(levels: Array, differences: Array, k: int, T: int) -> bool:
    """Whether a peak is a season and not the slow swing of a random walk."""
    if differences[k - 1 : k + 2].max() >= max(0.1, 3 / np.sqrt(T)):
        return True
    slack = max(1, k // 20)
    twice = levels[2 * k - slack : 2 * k + slack + 1]
    return len(twice) > 0 and bool(twice.max() >= 0.5 * levels[k])
