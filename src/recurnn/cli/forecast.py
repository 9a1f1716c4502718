"""``recurnn forecast`` and ``recurnn predict``: arguments, printing and files."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console

from recurnn.cli import options as o
from recurnn.cli.outputs import check_new, save_csv, say
from recurnn.cli.plots import forecast_plot
from recurnn.cli.progress import Announced
from recurnn.cli.tables import comparison_table
from recurnn.data import co2_weekly
from recurnn.models import Forecaster
from recurnn.models.folder import HISTORY, check_free, written
from recurnn.training import is_main


def forecast(
    data: o.Data = None,
    value: o.Value = None,
    time: o.Time = None,
    unique_id: o.Id = None,
    frequency: o.Frequency = None,
    season: o.Season = None,
    gaps: o.Gaps = None,
    first: o.First = None,
    horizon: o.Horizon = None,
    context: o.Context = None,
    gap: o.Gap = None,
    validation: o.Validation = None,
    test: o.Test = None,
    cell: o.Cell = None,
    hidden_size: o.HiddenSize = None,
    num_layers: o.NumLayers = None,
    dropout: o.Dropout = None,
    skip: o.Skip = None,
    relative: o.Relative = None,
    patch: o.Patch = None,
    calendar: o.Calendar = None,
    scale: o.Scale = None,
    loss: o.Loss = None,
    optimizer: o.Optimizer = None,
    learning_rate: o.LearningRate = None,
    schedule: o.Schedule = None,
    batch_size: o.BatchSize = None,
    epochs: o.Epochs = None,
    patience: o.Patience = None,
    clip: o.Clip = None,
    precision: o.Precision = None,
    seed: o.Seed = None,
    preset: o.Preset = None,
    checkpoints: o.Checkpoints = None,
    resume: o.Resume = False,
    log: o.Log = None,
    out: o.Out = Path("forecast"),
    overwrite: o.Overwrite = False,
) -> None:
    """Train a recurrent network on a series, compare it with simple baselines, and forecast."""
    given = {k: v for k, v in locals().items() if k in o.OF_THE_MODEL and v is not None}
    settings = o.settings(preset, given)
    if first is None:
        first = settings.pop("first", None)
    settings.pop("first", None)
    model = Forecaster(**settings)
    saves = o.saves(checkpoints, resume=resume)
    logs = o.logs(log, replace=overwrite or resume)
    check_free(out, overwrite=overwrite)
    console = Console(highlight=False)
    if data is None:
        console.print("Data: weekly CO2 in the air at Mauna Loa, ppm, 1958 to 2001 (built in)")
    model.fit(
        co2_weekly() if data is None else data,
        value=value,
        time=time,
        unique_id=unique_id,
        first=first,
        watch=[Announced(console, model, lambda: model.notes), *logs],
        saves=saves,
    )
    if not is_main():
        return
    _report(console, model)
    _write(model, out, overwrite=overwrite)
    _tell(console, out, data)


def predict(
    model: Annotated[Path, typer.Argument(help="Folder that `recurnn forecast` wrote.")],
    data: Annotated[Path, typer.Argument(help="CSV, Parquet or TSF file to forecast from.")],
    out: Annotated[
        Path | None, typer.Option(help="CSV file to write; printed otherwise.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that file.")] = False,
) -> None:
    """Forecast the steps after the end of DATA with a trained model."""
    check_new(out, overwrite=overwrite)
    forecaster = Forecaster.load(model)
    frame = forecaster.predict(data)
    for note in forecaster.notes:
        typer.echo(f"- {note}", err=True)
    say(frame, out)


def _report(console: Console, model: Forecaster) -> None:
    units = "scaled units" if model.options.explicit_scale else "the data's units"
    console.print()
    console.print(comparison_table(model.comparison, units=units, windows=model.test_windows))
    console.print(model.verdict + "\n", markup=False)


def _write(model: Forecaster, out: Path, *, overwrite: bool) -> None:
    """All files of the output folder, at once."""
    ahead, test = model.predict(), model.backtest()
    with written(out, overwrite=overwrite) as folder:
        model.write_to(folder)
        save_csv(ahead, folder / "forecast.csv")
        model.history.save(folder / HISTORY)
        save_csv(pd.DataFrame([asdict(r) for r in model.comparison]), folder / "comparison.csv")
        forecast_plot(
            folder / "forecast.png", model.actual(), test, ahead, title=model.summary(short=True)
        )


def _tell(console: Console, out: Path, data: Path | None) -> None:
    """What was written, and what to do with it."""
    console.print(
        f"Wrote {out}/: model.safetensors, config.json, forecast.csv, forecast.png,\n"
        "  history.csv, comparison.csv\nForecast from newer data with:\n"
        f"  recurnn predict {shlex.quote(str(out))} {shlex.quote(str(data or 'DATA.csv'))}",
        markup=False,
        soft_wrap=True,
    )
