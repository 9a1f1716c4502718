"""What becomes of missing values: a stated policy, and a count of what it touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recurnn.errors import DataError, one_of

Array = NDArray[np.float64]

POLICIES = ("interpolate", "previous", "zero", "raise")


def check_policy(policy: str) -> None:
    """Raises a ConfigError for a policy that does not exist."""
    if policy not in POLICIES:
        raise one_of("gaps", policy, POLICIES)


@dataclass
class Touched:
    """How many values a policy filled, by column, and rows it dropped at either end."""

    filled: Counter[str] = field(default_factory=Counter)
    longest: dict[str, int] = field(default_factory=dict)  # run of filled values, by column
    dropped: Counter[str] = field(default_factory=Counter)  # by "first" and "last"

    def notes(self, policy: str) -> list[str]:
        """A sentence for each column and end."""
        verb = {
            "interpolate": "interpolated {} in {!r}, linearly in time",
            "previous": "filled {} in {!r} with the value before",
            "zero": "filled {} in {!r} with zero",
        }
        notes = []
        for c, n in self.filled.items():
            run = self.longest[c]
            long = f" (longest run {run}; filled values count as data)" if run > 3 else ""
            notes.append(verb[policy].format(_count(n, "missing value"), c) + long)
        for end, n in self.dropped.items():
            notes.append(f"dropped the {end} {_count(n, 'row')}, where values are missing")
        return notes


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def fill(
    values: Array,
    times: pd.DatetimeIndex | None,
    *,
    policy: str,
    columns: Sequence[str],
    touched: Touched,
) -> tuple[Array, pd.DatetimeIndex | None]:
    """Fill or drop what is missing of one series on a regular grid.

    ``interpolate`` draws a line through time between the values around a gap, and drops rows at
    the start and the end until every column has a value; ``previous`` repeats the value before
    (rows at the start are dropped); ``zero`` puts zeros everywhere. The caller has seen to it
    that no column is missing altogether and that ``raise`` finds nothing.

    Args:
        values: [T, C] with NaN where values are missing.
        times: [T] or None.
        policy: one of ``POLICIES``.
        columns: C names.
        touched: counts what is done.
    """
    missing = np.isnan(values)
    if not missing.any():
        return values, times
    start, end = 0, len(values)
    if policy != "zero":
        start = int((~missing).argmax(axis=0).max())
    if policy == "interpolate":
        end = len(values) - int((~missing[::-1]).argmax(axis=0).max())
    if end - start < 1:
        raise DataError(
            "No row is left in which every column has a value, once gaps at the ends are dropped.\n"
            "  Name fewer value columns, or use gaps='zero'."
        )
    if start:
        touched.dropped["first"] += start
    if end < len(values):
        touched.dropped["last"] += len(values) - end
    values, missing = values[start:end].copy(), missing[start:end]
    times = None if times is None else times[start:end]
    for c in map(int, np.flatnonzero(missing.any(axis=0))):
        gap = missing[:, c]
        values[gap, c] = _filling(values[:, c], gap, times, policy)
        touched.filled[columns[c]] += int(gap.sum())
        runs = np.diff(np.flatnonzero(np.diff(np.r_[False, gap, False])))[::2]
        touched.longest[columns[c]] = max(touched.longest.get(columns[c], 0), int(runs.max()))
    return values, times


def _filling(
    x: Array, gap: NDArray[np.bool_], times: pd.DatetimeIndex | None, policy: str
) -> Array:
    """The values for the places of the gap."""
    if policy == "zero":
        return np.zeros(int(gap.sum()))
    if policy == "previous":
        last = np.maximum.accumulate(np.where(gap, 0, np.arange(len(x))))
        return x[last[gap]]
    # Months differ in length: a line in time is not a line in steps.
    t = np.arange(len(x)) if times is None else (times - times[0]) / pd.Timedelta(seconds=1)
    t = np.asarray(t, dtype=np.float64)
    return np.interp(t[gap], t[~gap], x[~gap])
