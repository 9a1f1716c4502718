"""Training the network and its baselines on the same windows, and scoring them alike."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from recurnn.baselines import (
    LinearAutoregression,
    NetworkPredictor,
    Persistence,
    Predictor,
    SeasonalNaive,
    WindowMLP,
    evaluate,
)
from recurnn.models.comparison import LINEAR, MLP, PERSISTENCE, SEASONAL, Row
from recurnn.models.forecast_network import ForecastNetwork
from recurnn.models.forecast_options import ForecastOptions
from recurnn.models.options import name_of
from recurnn.models.preparation import Prepared
from recurnn.training import History, LogFile, Saves, TensorBoard, Watch, fit


def network(options: ForecastOptions, *, features: int, columns: int) -> ForecastNetwork:
    """The network that the options describe, its weights drawn from the seed.

    Args:
        options: with horizon and context filled in.
        features: F, columns of a window.
        columns: C, how many of them are forecast.
    """
    context, horizon = options.window
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return ForecastNetwork(
            context=context,
            features=features,
            columns=columns,
            horizon=horizon,
            cell=options.cell,
            hidden_sizes=options.hidden_sizes,
            dropout=options.dropout,
            skip=options.skip is not None,
            relative=options.relative,
            patch=options.patch or 1,
        )


def train(
    prepared: Prepared, watch: Watch | Sequence[Watch] | None = None, saves: Saves | None = None
) -> tuple[ForecastNetwork, History]:
    """Train the recurrent network; its linear skip begins at least squares."""
    began = time.perf_counter()
    o = prepared.options
    columns = prepared.targets[0].shape[1]
    module = network(o, features=prepared.inputs[0].shape[1], columns=columns)
    if o.skip is not None:
        module.start_at(LinearAutoregression(columns).fit(prepared.train, prepared.validation))
    history = fit(
        module, prepared.train, prepared.validation,
        o.plan(validated=prepared.validation is not None), name=name_of(o.cell), watch=watch,
        saves=saves,
    )  # fmt: skip
    history.seconds = time.perf_counter() - began
    return module, history


def compare(
    prepared: Prepared,
    module: ForecastNetwork,
    history: History,
    watch: Watch | Sequence[Watch] | None = None,
) -> list[Row]:
    """Train the baselines and score all models on the test part, the lowest MSE first.

    After an interrupted training the window MLP, which takes as long, is left out.
    """
    columns = prepared.targets[0].shape[1]
    name = name_of(prepared.options.cell)
    rows = [_row(prepared, name, NetworkPredictor(module), history.seconds, recurrent=True)]
    rows.append(_row(prepared, PERSISTENCE, Persistence(columns), 0.0))
    if prepared.data.season > 1:
        seasonal = SeasonalNaive(prepared.targets, prepared.data.season)
        rows.append(_row(prepared, SEASONAL, seasonal, 0.0))
    began = time.perf_counter()
    linear = LinearAutoregression(columns).fit(prepared.train, prepared.validation)
    rows.append(_row(prepared, LINEAR, linear, time.perf_counter() - began))
    if not history.interrupted:
        watches = [watch] if isinstance(watch, Watch) else watch or ()
        # A log is of the network alone: a second run would begin the file anew.
        others = [w for w in watches if not isinstance(w, (LogFile, TensorBoard))]
        mlp, seconds = train_mlp(prepared, others)
        rows.append(_row(prepared, MLP, NetworkPredictor(mlp), seconds))
    return sorted(rows, key=lambda row: row.mse)


def train_mlp(
    prepared: Prepared, watch: Watch | Sequence[Watch] | None = None
) -> tuple[WindowMLP, float]:
    """Train the window MLP by the network's own plan; also the seconds it took."""
    o = prepared.options
    context, horizon = o.window
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(o.seed)
        mlp = WindowMLP(
            context=context,
            features=prepared.inputs[0].shape[1],
            columns=prepared.targets[0].shape[1],
            horizon=horizon,
            relative=o.relative,
        )
    plan = o.plan(validated=prepared.validation is not None)
    history = fit(mlp, prepared.train, prepared.validation, plan, name=MLP, watch=watch)
    return mlp, history.seconds


def _row(
    prepared: Prepared, name: str, predictor: Predictor, seconds: float, *, recurrent: bool = False
) -> Row:
    s = evaluate(predictor, prepared.test, prepared.units)
    return Row(name, s.mse, s.mae, s.mase, s.smape, seconds, recurrent)
