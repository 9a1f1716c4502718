"""Frames of forecasts: ahead of the end of the data, and over the test part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from recurnn.baselines import NetworkPredictor
from recurnn.data import Scaler, Series, SeriesSet, Windows, future_times
from recurnn.errors import DataError, counted
from recurnn.models.forecast_options import ForecastOptions
from recurnn.models.preparation import Kind, Prepared, scaled, with_calendar

Array = NDArray[np.float64]


def ahead(
    module: nn.Module,
    data: SeriesSet,
    scaler: Scaler,
    rows: list[int],
    kind: Kind,
    options: ForecastOptions,
) -> pd.DataFrame:
    """Forecast the steps after the end of each series.

    Args:
        module: the network.
        data: the series.
        scaler: of the model.
        rows: which row of the scaler belongs to each series.
        kind: of the data that the network was trained on.
        options: with horizon and context filled in.

    Returns:
        ``unique_id`` where there are several series, ``time`` or ``step``, and the columns.
    """
    context, horizon = options.window
    module.eval()
    frames = []
    for series, row in zip(data.series, rows, strict=True):
        if len(series.values) < context:
            raise DataError(
                f"{series.name!r} is too short to forecast from.\n"
                f"  It has {counted(len(series.values), 'step')}; the model's window has {context}."
            )
        tail = Series(
            series.name,
            series.values[-context:],
            None if series.times is None else series.times[-context:],
        )
        x = with_calendar(scaled(scaler, tail, row), tail, data.frequency, kind.cycles)
        with torch.inference_mode():
            y = module(x[None])[0].double().numpy()
        values = scaler.inverse(y, series=row)
        frame = _labels(series, data, len(series.values) + options.gap, horizon)
        for c, name in enumerate(data.columns):
            frame[name] = values[:, c]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def over_test(module: nn.Module, prepared: Prepared) -> pd.DataFrame:
    """Forecasts of the test part, one after another: each begins where the last one ended.

    Returns:
        ``unique_id`` where there are several series, ``time`` or ``step``, ``ahead`` (steps
        after the window's end), ``column``, ``actual`` and ``predicted``.
    """
    windows: Windows = prepared.test
    data, options = prepared.data, prepared.options
    _, horizon = options.window
    series, end = windows.where(torch.arange(len(windows)))
    frames = []
    for s, one in enumerate(data.series):
        mine = torch.nonzero(series == s).flatten()
        if len(mine) == 0:
            continue
        # The last forecast ends where the data end.
        mine = mine[(len(mine) - 1) % horizon :: horizon]
        y = NetworkPredictor(module).predict(windows, mine)
        values = prepared.scaler.inverse(y.double().numpy(), series=s)
        for k, first in enumerate((end[mine] + 1 + options.gap).tolist()):
            for c, name in enumerate(data.columns):
                frame = _labels(one, data, first, horizon)
                frame["ahead"] = options.gap + 1 + np.arange(horizon)
                frame["column"] = name
                frame["actual"] = one.values[first : first + horizon, c]
                frame["predicted"] = values[k, :, c]
                frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def actual(data: SeriesSet) -> pd.DataFrame:
    """The series themselves, a row a step and column."""
    frames = []
    for series in data.series:
        for c, name in enumerate(data.columns):
            frame = _labels(series, data, 0, len(series.values))
            frame["column"] = name
            frame["actual"] = series.values[:, c]
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _labels(series: Series, data: SeriesSet, first: int, steps: int) -> pd.DataFrame:
    """The series' name where there are several, and the times of steps from `first` on."""
    labels: dict[str, Any] = {}
    if len(data.series) > 1:
        labels["unique_id"] = [series.name] * steps
    if series.times is None or data.frequency is None:
        labels["step"] = np.arange(first, first + steps)
    else:
        times = series.times
        beyond = first + steps - len(times)
        if beyond > 0:
            times = pd.DatetimeIndex(times.append(future_times(times, data.frequency, beyond)))
        labels["time"] = times[first : first + steps]
    return pd.DataFrame(labels)
