"""``recurnn forecast`` and ``recurnn predict``: arguments, printing and files."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console

from recurnn.cli.plots import forecast_plot
from recurnn.cli.progress import TrainingProgress
from recurnn.cli.tables import comparison_table
from recurnn.data import co2_weekly
from recurnn.errors import ConfigError, DataError, one_of
from recurnn.models import Forecaster
from recurnn.models.folder import check_free, written

PRESETS: dict[str, dict[str, Any]] = {
    # The network and protocol of the textbook's chapter on this electricity load.
    "textbook": {
        "first": 14006, "horizon": 1, "context": 5, "gap": 1, "validation": 1040, "test": 1000,
        "scale": (145.33, 338.21), "hidden_size": (50, 200), "dropout": 0.2, "skip": None,
        "relative": False, "optimizer": "rmsprop", "learning_rate": 1e-3, "batch_size": 512,
        "epochs": 10, "patience": None, "clip": None,
    },
}  # fmt: skip

Number = float
_DATA = "What to forecast"
_WINDOW = "Windows and parts"
_MODEL = "The network"
_TRAIN = "Training"
_FILES = "Output"


def forecast(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="CSV, Parquet or TSF file. Without one: weekly CO2 at Mauna Loa.",
            show_default=False,
        ),
    ] = None,
    value: Annotated[
        list[str] | None,
        typer.Option(help="Column to forecast; may be given several times.", rich_help_panel=_DATA),
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Column of time stamps.", rich_help_panel=_DATA)
    ] = None,
    unique_id: Annotated[
        str | None,
        typer.Option("--id", help="Column that names the series (long format).", rich_help_panel=_DATA),
    ] = None,
    frequency: Annotated[str | None, typer.Option(help="As pandas names it: h, D, W, MS.")] = None,
    season: Annotated[int | None, typer.Option(help="Steps in a season.")] = None,
    gaps: Annotated[
        str | None, typer.Option(help="interpolate, previous, zero or raise.", show_default=False)
    ] = None,
    first: Annotated[int | None, typer.Option(help="Use only so many rows of each series.")] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps to forecast [one season].")] = None,
    context: Annotated[int | None, typer.Option(help="Steps in a window [two seasons].")] = None,
    gap: Annotated[int | None, typer.Option(help="Steps between window and forecast [0].")] = None,
    validation: Annotated[
        float | None, typer.Option(help="Steps, or below 1 share, to validate on [0.1].")
    ] = None,
    test: Annotated[float | None, typer.Option(help="Likewise to test on [0.2].")] = None,
    cell: Annotated[str | None, typer.Option(help="lstm, gru or elman [lstm].")] = None,
    hidden_size: Annotated[
        str | None, typer.Option("--hidden-size", help="Units; 50,200 for two layers [64].")
    ] = None,
    num_layers: Annotated[int | None, typer.Option(help="Layers [1].")] = None,
    dropout: Annotated[float | None, typer.Option(help="Share dropped after each layer [0].")] = None,
    skip: Annotated[
        bool | None, typer.Option("--skip/--no-skip", help="Linear skip from window to forecast [on].")
    ] = None,
    relative: Annotated[
        bool | None,
        typer.Option("--relative/--absolute", help="Window relative to its last value [relative]."),
    ] = None,
    patch: Annotated[int | None, typer.Option(help="Steps read at once [1].")] = None,
    calendar: Annotated[
        bool | None, typer.Option("--calendar/--no-calendar", help="Calendar features [on].")
    ] = None,
    scale: Annotated[
        str | None, typer.Option(help="standard, minmax, none, or SHIFT,SCALE [standard].")
    ] = None,
    loss: Annotated[str | None, typer.Option(help="mse or mae [mse].")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam, adamw, rmsprop or sgd [adam].")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="[0.001]")] = None,
    schedule: Annotated[str | None, typer.Option(help="constant or cosine [constant].")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows in a batch [128].")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most [50].")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs without improvement before stopping; 0: never [8].")
    ] = None,
    clip: Annotated[
        float | None, typer.Option(help="Greatest norm of the gradient; 0: any [1].")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="[0]")] = None,
    preset: Annotated[
        str | None, typer.Option(help="textbook: a known protocol; other options override it.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("forecast"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model in that folder.")
    ] = False,
) -> None:
    """Train a recurrent network on a series, compare it with simple baselines, and forecast."""
    given = {k: v for k, v in locals().items() if v is not None}
    for name in ("data", "value", "time", "unique_id", "first", "preset", "out", "overwrite"):
        given.pop(name, None)
    options = _options(preset, given)
    first = first if first is not None else options.pop("first", None)
    options.pop("first", None)
    model = Forecaster(**options)
    check_free(out, overwrite=overwrite)
    console = Console(highlight=False, soft_wrap=False)
    source: Path | pd.DataFrame = data if data is not None else co2_weekly()
    if data is None:
        console.print("Data: weekly CO2 in the air at Mauna Loa, ppm, 1958 to 2001 (built in)")
    model.fit(
        source,
        value=value,
        time=time,
        unique_id=unique_id,
        first=first,
        watch=_Announced(console, model),
    )
    _report(console, model)
    _write(model, out, overwrite=overwrite)
    console.print(
        f"Wrote {out}/: model.safetensors, config.json, forecast.csv, forecast.png,\n"
        "  history.csv, comparison.csv"
    )
    later = shlex.quote(str(data)) if data is not None else "DATA.csv"
    console.print(f"Forecast from other data with:\n  recurnn predict {shlex.quote(str(out))} {later}")


def predict(
    model: Annotated[Path, typer.Argument(help="Folder that `recurnn forecast` wrote.")],
    data: Annotated[Path, typer.Argument(help="CSV, Parquet or TSF file to forecast from.")],
    out: Annotated[
        Path | None, typer.Option(help="CSV file to write; printed otherwise.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that file.")] = False,
) -> None:
    """Forecast the steps after the end of DATA with a trained model."""
    if out is not None and out.exists() and not overwrite:
        raise DataError(
            f"{out} exists.\n  Nothing was written. Give another file, or allow overwriting "
            "(--overwrite)."
        )
    frame = Forecaster.load(model).predict(data)
    if out is None:
        typer.echo(frame.to_csv(index=False), nl=False)
        return
    _save_csv(frame, out)
    typer.echo(f"Wrote {len(frame)} rows to {out}")


class _Announced(TrainingProgress):
    """Prints what was found in the data and what will be trained, before the first run."""

    def __init__(self, console: Console, model: Forecaster) -> None:
        super().__init__(console)
        self._model: Forecaster | None = model

    def start(self, name: str, *, epochs: int, batches: int) -> None:
        """A run begins."""
        if self._model is not None:
            for note in self._model.notes:
                self.console.print(f"- {note}", markup=False)
            self.console.print(self._model.summary(), markup=False)
            self.console.print("Ctrl-C ends training and keeps the best network so far.\n")
            self._model = None
        super().start(name, epochs=epochs, batches=batches)


def _options(preset: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """The forecaster's options from the command line's, over those of the preset."""
    if preset is not None and preset not in PRESETS:
        raise one_of("preset", preset, PRESETS)
    options = dict(PRESETS[preset]) if preset is not None else {}
    for name, value in given.items():
        options[name] = value
    if "hidden_size" in given:
        options["hidden_size"] = _sizes(given["hidden_size"])
    if "scale" in given:
        options["scale"] = _scale(given["scale"])
    if "skip" in given:
        options["skip"] = "linear" if given["skip"] else None
    for name in ("patience", "clip"):
        if given.get(name) == 0:
            options[name] = None
    return options


def _sizes(text: str) -> int | tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--hidden-size is {text!r}; expected a whole number, or one a layer: 50,200."
        ) from None
    return sizes[0] if len(sizes) == 1 else sizes


def _scale(text: str) -> str | tuple[float, float]:
    if "," not in text:
        return text
    try:
        shift, scale = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--scale is {text!r}; expected a name, or two numbers: SHIFT,SCALE."
        ) from None
    return shift, scale


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
        _save_csv(ahead, folder / "forecast.csv")
        _save_csv(pd.DataFrame([asdict(e) for e in model.history.epochs]), folder / "history.csv")
        _save_csv(pd.DataFrame([asdict(r) for r in model.comparison]), folder / "comparison.csv")
        forecast_plot(
            folder / "forecast.png", model.actual(), test, ahead, title=model.summary(short=True)
        )


def _save_csv(frame: pd.DataFrame, file: Path) -> None:
    try:
        frame.to_csv(file, index=False)
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror}.") from error
