"""A forecaster with data, as what is looked into; and what all models need for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurnn.data import Scaler, SeriesSet, Windows
from recurnn.errors import ConfigError
from recurnn.models.comparison import NOISE, Row
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
    comparison: Sequence[Row],
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
        comparison: of the network with baselines, the best first; empty where there was none.
        rows: windows.
        lag: how many steps back the task reaches, if that is known.
    """
    spread(1, rows)  # refuses what is not a number of rows
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
    x, y = windows.batch(torch.tensor(spread(len(windows), rows)))
    return Subject(
        module,
        x,
        y,
        each_row(options.loss),
        name=describe(options, kind, None, short=True),
        lag=lag,
        shortens=False,
        beaten_by=beaten_by(comparison, lambda row: float(row.mse)),
        labels=None if (times := data.series[0].times) is None else list(times[:context]),
        configuration=configuration(module, options.to_dict()),
    )


def each_row(loss: str) -> Loss:
    """One number a row, the mean over all that is predicted there: a loss by its name."""
    each = LOSSES[loss]

    def of_rows(prediction: Tensor, y: Tensor) -> Tensor:
        return each(prediction, y).flatten(1).mean(1)

    return of_rows


def configuration(module: nn.Module, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a report prints about a model: its size, and its options as far as they are set."""
    shown = {k.replace("_", " "): v for k, v in options.items() if v is not None}
    return {"weights": sum(p.numel() for p in module.parameters())} | shown


def beaten_by(rows: Sequence[Any], score: Callable[[Any], float]) -> str:
    """The simple baseline that a network was clearly worse than; empty if there is none.

    Args:
        rows: of a comparison, the best first; none where nothing was compared.
        score: of a row.
    """
    if not rows or rows[0].recurrent:
        return ""
    best, network = score(rows[0]), score(next(row for row in rows if row.recurrent))
    return rows[0].model if abs(network - best) > NOISE * abs(best) else ""


def spread(count: int, rows: int) -> list[int]:
    """Numbers of so many sequences, evenly spread over all.

    Raises:
        ConfigError: none is wanted.
    """
    if rows < 1:
        raise ConfigError(f"rows is {rows}; expected a whole number of at least 1.")
    found: list[int] = torch.linspace(0, count - 1, min(rows, count)).round().long().tolist()
    return found


def looked_up(vectors: Tensor) -> nn.Embedding:
    """An embedding that gives these vectors [V, size], and is not trained."""
    found: nn.Embedding = nn.Embedding.from_pretrained(vectors)  # type: ignore[no-untyped-call]
    return found
