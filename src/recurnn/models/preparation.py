"""From checked series to scaled windows of the three parts, and the sizes taken from the data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.baselines import Units, naive_error
from recurnn.data import Scaler, Series, SeriesSet, Split, Windows, calendar_features, split
from recurnn.models.forecast_options import ForecastOptions

_CYCLES = {
    "hour": pd.Timedelta(hours=1),
    "day": pd.Timedelta(days=1),
    "week": pd.Timedelta(weeks=1),
    "year": pd.Timedelta(days=365.25),
}
_LONGEST_CONTEXT = 200
_READINGS = 24
_LONGEST_HORIZON = 96


@dataclass(frozen=True)
class Kind:
    """What a model must know of the data it was fitted on, to read others like them.

    Attributes:
        columns: the columns forecast.
        series: names of the series, in the order of the scaler.
        frequency: of the time stamps; None without.
        season: steps in a season.
        features: F, columns of a window.
        cycles: names of the calendar features among them.
        time: the column of time stamps, where the user named it.
        unique_id: the column that names the series, likewise.
    """

    columns: tuple[str, ...]
    series: tuple[str, ...]
    frequency: str | None
    season: int
    features: int
    cycles: tuple[str, ...]
    time: str | None = None
    unique_id: str | None = None


@dataclass(frozen=True)
class Prepared:
    """What a network and the baselines are trained and tested on.

    Attributes:
        data: the series.
        splits: the parts of each.
        scaler: fitted on the training parts.
        options: with horizon and context filled in.
        inputs: of each series, scaled values and calendar, [T, F].
        targets: of each series, scaled values, [T, C].
        train: windows of the training part.
        validation: of the validation part; None if it is empty.
        test: of the test part.
        cycles: names of the calendar features.
        units: those that errors are reported in.
        notes: what was decided here.
    """

    data: SeriesSet
    splits: tuple[Split, ...]
    scaler: Scaler
    options: ForecastOptions
    inputs: list[Tensor]
    targets: list[Tensor]
    train: Windows
    validation: Windows | None
    test: Windows
    cycles: tuple[str, ...]
    units: Units
    notes: tuple[str, ...]


def prepare(data: SeriesSet, options: ForecastOptions) -> Prepared:
    """Split, scale and cut the series into windows.

    Args:
        data: the series.
        options: the forecaster's.

    Raises:
        DataError: a series or a part is too short.
    """
    splits = tuple(
        split(len(s.values), validation=options.validation, test=options.test) for s in data.series
    )
    options, notes = _sizes(data, splits, options)
    context, horizon = options.window
    scaler = Scaler.fit(
        [s.values[: part.train_end] for s, part in zip(data.series, splits, strict=True)],
        kind=options.scale,
        names=[s.name for s in data.series],
        columns=data.columns,
    )
    targets = [scaled(scaler, s, k) for k, s in enumerate(data.series)]
    cycles = _cycles(data, splits) if options.calendar else ()
    inputs = [
        with_calendar(y, s, data.frequency, cycles)
        for y, s in zip(targets, data.series, strict=True)
    ]
    train = Windows(
        inputs,
        targets,
        context=context,
        horizon=horizon,
        gap=options.gap,
        ranges=[s.train for s in splits],
        names=[s.name for s in data.series],
        part="training",
    )
    if options.batch_size is None:
        options = replace(options, batch_size=_batch_size(len(train)))
    validation = None
    if any(s.validation[0] < s.validation[1] for s in splits):
        validation = train.restrict([s.validation for s in splits], part="validation")
    test = train.restrict([s.test for s in splits], part="test")
    units = _units(data, splits, scaler, options)
    return Prepared(
        data,
        splits,
        scaler,
        options,
        inputs,
        targets,
        train,
        validation,
        test,
        cycles,
        units,
        notes,
    )


def scaled(scaler: Scaler, series: Series, k: int) -> Tensor:
    """The values of series number k, scaled, float32 [T, C]."""
    return torch.from_numpy(scaler.transform(series.values, series=k)).float()


def with_calendar(
    values: Tensor, series: Series, frequency: str | None, cycles: tuple[str, ...]
) -> Tensor:
    """The values [T, C] and behind them the calendar features of these names, [T, F]."""
    if not cycles or series.times is None or frequency is None:
        return values
    features, names = calendar_features(series.times, frequency)
    chosen = features[:, [names.index(name) for name in cycles]]
    return torch.cat([values, torch.from_numpy(chosen).float()], dim=1)


def _cycles(data: SeriesSet, splits: tuple[Split, ...]) -> tuple[str, ...]:
    """The calendar features whose cycle the training part shows at least twice.

    Of a longer cycle only an arc is seen, and what is learned of it does not hold beyond.
    """
    times = data.series[0].times
    if times is None or data.frequency is None:
        return ()
    spans = [
        s.times[part.train_end - 1] - s.times[0]
        for s, part in zip(data.series, splits, strict=True)
        if s.times is not None
    ]
    _, names = calendar_features(times, data.frequency)
    return tuple(name for name in names if max(spans) >= 2 * _CYCLES[name.split()[-1]])


def _sizes(
    data: SeriesSet, splits: tuple[Split, ...], options: ForecastOptions
) -> tuple[ForecastOptions, tuple[str, ...]]:
    """Horizon and context where they were not given, from the season and the parts."""
    notes = []
    season = data.season
    short = min(data.series, key=lambda s: len(s.values))
    allowed = "what the data allow"
    if len(data.series) > 1:
        allowed = f"what the shortest series, {short.name!r} of {len(short.values)} steps, allows"
    horizon, context = options.horizon, options.context
    if horizon is None:
        parts = [
            n for s in splits for n in (s.end - s.validation_end, s.validation_end - s.train_end)
        ]
        room = min(n for n in parts if n > 0) if any(parts) else 1
        wanted = season if season > 1 else 12
        horizon = max(1, min(wanted, _LONGEST_HORIZON, room))
        why = "one season" if horizon == season > 1 else allowed
        notes.append(f"horizon {horizon} steps ({why}; set it with horizon=)")
    if context is None:
        room = min(s.train_end for s in splits) // 2 - horizon - options.gap
        wanted = max(24, min(2 * season, _LONGEST_CONTEXT))
        context = max(1, options.patch or 1, min(wanted, room))
        why = "two seasons" if context == 2 * season else allowed
        notes.append(f"context {context} steps ({why}; set it with context=)")
    patch = options.patch
    if patch is None:
        # Short sequences train faster and better; a divisor leaves no step out.
        patch = max(p for p in range(1, max(1, context // _READINGS) + 1) if context % p == 0)
    return replace(options, horizon=horizon, context=context, patch=patch), tuple(notes)


def _batch_size(windows: int) -> int:
    """About a fiftieth of the windows, as a power of two from 32 to 512."""
    return int(2 ** min(9, max(5, round(math.log2(windows / 50)))))


def _units(
    data: SeriesSet, splits: tuple[Split, ...], scaler: Scaler, options: ForecastOptions
) -> Units:
    """Original units, unless the user gave the scale as numbers: then the scaled ones."""
    ends = [s.train_end for s in splits]
    columns = len(data.columns)
    values: list[NDArray[np.float64]] = [s.values for s in data.series]
    if options.explicit_scale:
        values = [scaler.transform(v, series=k) for k, v in enumerate(values)]
        shift, scale = np.zeros((len(values), columns)), np.ones((len(values), columns))
    else:
        zero, one = np.zeros((1, columns)), np.ones((1, columns))
        shift = np.concatenate([scaler.inverse(zero, series=k) for k in range(len(values))])
        scale = np.concatenate([scaler.inverse(one, series=k) for k in range(len(values))]) - shift
    return Units(shift, scale, naive_error(values, ends, data.season))
