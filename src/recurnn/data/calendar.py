"""What the calendar says of a time stamp, as sines and cosines; and time stamps to come."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recurnn.errors import DataError

Array = NDArray[np.float64]

_DAY = 86_400.0  # seconds
_YEAR = 365.2425  # days


def calendar_features(times: pd.DatetimeIndex, frequency: str) -> tuple[Array, tuple[str, ...]]:
    """Sine and cosine of where each time stamp stands in the cycles of the calendar.

    Only cycles of which the frequency shows three steps or more (of two the sine would always be
    zero): the hour for steps up to 20 minutes, the day up to 8 hours, the week up to 2 days, the
    year up to 4 months. They need no data, so they serve for times to come.

    Args:
        times: [T].
        frequency: pandas alias of the series' frequency.

    Returns:
        Features [T, K] within -1..1, and their K names.

    Example:
        >>> times = pd.date_range("2024-01-01 00:00", periods=3, freq="6h")
        >>> features, names = calendar_features(times, "6h")
        >>> names[:2], features[:, 0].round(3).tolist()
        (('sin day', 'cos day'), [0.0, 1.0, 0.0])
    """
    step = _step(frequency)
    second = (times - times.normalize()) / pd.Timedelta(seconds=1)
    of_day = np.asarray(second, dtype=np.float64)
    days = of_day / _DAY
    angles: dict[str, Array] = {}
    if 3 * step <= 3600:
        angles["hour"] = of_day / 3600
    if 3 * step <= _DAY:
        angles["day"] = days
    if 3 * step <= 7 * _DAY:
        angles["week"] = (np.asarray(times.day_of_week, dtype=np.float64) + days) / 7
    if 3 * step <= _YEAR * _DAY:
        angles["year"] = (np.asarray(times.day_of_year, dtype=np.float64) - 1 + days) / _YEAR
    names = tuple(f"{wave} {cycle}" for cycle in angles for wave in ("sin", "cos"))
    turns = [2 * np.pi * a for a in angles.values()]
    waves = [wave for turn in turns for wave in (np.sin(turn), np.cos(turn))]
    features = np.stack(waves, axis=1) if waves else np.zeros((len(times), 0))
    return features, names


def _step(frequency: str) -> float:
    """The shortest step of the frequency, seconds."""
    some = pd.date_range("2024-01-01", periods=14, freq=frequency)
    steps = (some[1:] - some[:-1]) / pd.Timedelta(seconds=1)
    return float(np.asarray(steps, dtype=np.float64).min())


def future_times(times: pd.DatetimeIndex, frequency: str, n: int) -> pd.DatetimeIndex:
    """The n time stamps after the last one.

    >>> future_times(pd.DatetimeIndex(["2024-01-31"]), "ME", 2).strftime("%m-%d").tolist()
    ['02-29', '03-31']

    Raises:
        DataError: there is no last time stamp, or it does not lie at the frequency.
    """
    if len(times) == 0:
        raise DataError("There is no last time stamp to go on from: the series is empty.")
    following = pd.date_range(times[-1], periods=n + 1, freq=frequency, unit=times.unit)
    if following[0] != times[-1]:
        raise DataError(
            f"The last time stamp does not lie at {frequency!r} steps.\n"
            f"  It is {times[-1]}; the next such step is {following[0]}."
        )
    return following[1:]
