"""A forecaster with data, as what is looked into."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recurnn.data import Scaler, SeriesSet, Windows
from recurnn.errors import ConfigError
from recurnn.models.description import describe
from recurnn.models.forecast_options import ForecastOptions
from recurnn.models.preparation import Kind, scaled, with_calendar
from recurnn.subject import LOSSES, Loss, Subject


def subject(
    module: nn.Module,
    data: SeriesSet,
    scaler: Scaler,
    series: Sequence[int],
    kind: Kind,
    options: ForecastOptions,
    *,
    rows: int,
    lag: int | None,
) -> Subject:
    """The network on windows evenly spread over the data.

    Args:
        module: the network.
        data: the series.
        scaler: of the model.
        series: which row of the scaler belongs to each series.
        kind: of the data that the network was trained on.
        options: with horizon and context filled in.
        rows: windows.
        lag: how many steps back the task reaches, if that is known.
    """
    if rows < 1:
        raise ConfigError(f"rows is {rows}; expected a whole number of at least 1.")
    targets = [scaled(scaler, s, k) for s, k in zip(data.series, series, strict=True)]
    inputs = [
        with_calendar(y, s, data.frequency, kind.cycles)
        for y, s in zip(targets, data.series, strict=True)
    ]
    context, horizon = options.window
    windows = Windows(
        inputs,
        targets,
        context=context,
        horizon=horizon,
        gap=options.gap,
        ranges=[(0, len(y)) for y in targets],
        names=[s.name for s in data.series],
        part="given",
    )
    count = min(rows, len(windows))
    index = torch.linspace(0, len(windows) - 1, count).round().long()
    x, y = windows.batch(index)
    given = options.to_dict()
    shown = {k.replace("_", " "): v for k, v in given.items() if v is not None}
    return Subject(
        module,
        x,
        y,
        each_row(options.loss),
        name=describe(options, kind, None, short=True),
        lag=lag,
        shortens=False,
        labels=None if (times := data.series[0].times) is None else list(times[:context]),
        configuration={"weights": sum(p.numel() for p in module.parameters())} | shown,
    )


def each_row(loss: str) -> Loss:
    """One number a row, the mean over all that is predicted there: a loss by its name."""
    each = LOSSES[loss]

    def of_rows(prediction: Tensor, y: Tensor) -> Tensor:
        return each(prediction, y).flatten(1).mean(1)

    return of_rows
