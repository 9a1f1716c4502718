"""The options of ``recurnn forecast``, and of others what they share; how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recurnn.cli.outputs import check_new
from recurnn.errors import ConfigError, one_of
from recurnn.training import LogFile, Saves, TensorBoard, Watch


def option(panel: str, help: str, *names: str) -> Any:
    """An option without a shown default: where it is not given, the model decides."""
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False)


_READ, _CUT, _NET, _FIT, _OUT = "Data", "Windows and parts", "Network", "Training", "Output"

Data = Annotated[
    Path | None,
    typer.Argument(help="CSV, Parquet or TSF file. Without: weekly CO2.", show_default=False),
]
Value = Annotated[
    list[str] | None, option(_READ, "Column to forecast; may be given several times.")
]
Time = Annotated[str | None, option(_READ, "Column of time stamps.")]
Id = Annotated[str | None, option(_READ, "Column that names the series (long format).", "--id")]
Frequency = Annotated[str | None, option(_READ, "As pandas names it: h, D, W, MS.")]
Season = Annotated[int | None, option(_READ, "Steps in a season; found by default.")]
Gaps = Annotated[str | None, option(_READ, "Missing values: interpolate, previous, zero, raise.")]
First = Annotated[int | None, option(_READ, "Use only so many rows of each series.")]

Horizon = Annotated[int | None, option(_CUT, "Steps to forecast; one season by default.")]
Context = Annotated[int | None, option(_CUT, "Steps in a window; two seasons by default.")]
Gap = Annotated[int | None, option(_CUT, "Steps left out before the forecast (0).")]
Validation = Annotated[float | None, option(_CUT, "Share (below 1) or steps to validate on (0.1).")]
Test = Annotated[float | None, option(_CUT, "Share (below 1) or steps to test on (0.2).")]

Cell = Annotated[str | None, option(_NET, "Any name that `recurnn cells` lists (lstm).")]
HiddenSize = Annotated[str | None, option(_NET, "Units: 64; or one a layer: 50,200.")]
NumLayers = Annotated[int | None, option(_NET, "Layers of that size (1).")]
Dropout = Annotated[float | None, option(_NET, "Share dropped after each layer (0).")]
Skip = Annotated[
    bool | None, option(_NET, "Linear skip from window to forecast (on).", "--skip/--no-skip")
]
Relative = Annotated[
    bool | None,
    option(_NET, "Windows relative to their last values (on).", "--relative/--absolute"),
]
Patch = Annotated[int | None, option(_NET, "Steps of the window read at once.")]
Calendar = Annotated[
    bool | None, option(_NET, "Calendar features (on).", "--calendar/--no-calendar")
]
Scale = Annotated[str | None, option(_NET, "standard, minmax, none, or SHIFT,SCALE (standard).")]

Loss = Annotated[str | None, option(_FIT, "mse or mae (mse).")]
Optimizer = Annotated[
    str | None, option(_FIT, "adam, or another one of torch.optim: rmsprop, sgd, ... (adam).")
]
LearningRate = Annotated[float | None, option(_FIT, "Of the optimizer (0.001).")]
Schedule = Annotated[str | None, option(_FIT, "Of the learning rate: constant, cosine, linear.")]
BatchSize = Annotated[int | None, option(_FIT, "Windows, or sequences, in a batch.")]
Epochs = Annotated[int | None, option(_FIT, "At most.")]
Patience = Annotated[int | None, option(_FIT, "Epochs without a better one; 0: never stop early.")]
Clip = Annotated[float | None, option(_FIT, "Greatest norm of the gradient (1); 0: any.")]
Precision = Annotated[str | None, option(_FIT, "float32; or bfloat16, in what is multiplied.")]
Seed = Annotated[int | None, option(_FIT, "Of weights and order (0).")]
Preset = Annotated[
    str | None, option(_FIT, "textbook: a known protocol; other options override it.")
]

Checkpoints = Annotated[
    Path | None, option(_FIT, "Folder for checkpoints of the training; none by default.")
]
Resume = Annotated[
    bool, option(_FIT, "Go on from the newest checkpoint, if there is one.", "--resume")
]

Log = Annotated[
    Path | None,
    option(_FIT, "File of a log, .csv or .jsonl, a row an epoch; or a folder for TensorBoard."),
]

Out = Annotated[Path, typer.Option(help="Folder to write.", rich_help_panel=_OUT)]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the model there.", rich_help_panel=_OUT)
]

OF_THE_MODEL = (
    "frequency", "season", "gaps", "horizon", "context", "gap", "validation", "test", "cell",
    "hidden_size", "num_layers", "dropout", "skip", "relative", "patch", "calendar", "scale",
    "loss", "optimizer", "learning_rate", "schedule", "batch_size", "epochs", "patience", "clip",
    "precision", "seed",
)  # fmt: skip

PRESETS: dict[str, dict[str, Any]] = {
    # The network and protocol of the textbook's chapter on this electricity load.
    "textbook": {
        "first": 14006, "horizon": 1, "context": 5, "gap": 1, "validation": 1040, "test": 1000,
        "scale": (145.33, 338.21), "hidden_size": (50, 200), "dropout": 0.2, "skip": None,
        "relative": False, "optimizer": "rmsprop", "learning_rate": 1e-3, "batch_size": 512,
        "epochs": 10, "patience": None, "clip": None,
    },
}  # fmt: skip


def settings(preset: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """The forecaster's options: those of the preset, and over them those given."""
    if preset is not None and preset not in PRESETS:
        raise one_of("preset", preset, PRESETS)
    chosen = dict(PRESETS[preset]) if preset is not None else {}
    chosen |= given
    if "hidden_size" in given:
        chosen["hidden_size"] = sizes(given["hidden_size"])
    if "scale" in given:
        chosen["scale"] = _scale(given["scale"])
    if "skip" in given:
        chosen["skip"] = "linear" if given["skip"] else None
    for name in ("patience", "clip"):
        if given.get(name) == 0:
            chosen[name] = None
    return chosen


def saves(checkpoints: Path | None, *, resume: bool, every: int | None = None) -> Saves | None:
    """Where the training is saved, if it is."""
    if checkpoints is None:
        if resume:
            raise ConfigError("--resume needs to know from where: give --checkpoints FOLDER too.")
        return None
    return Saves(checkpoints, every=every, resume=resume)


def logs(log: Path | None, *, replace: bool, run: str | None = None) -> list[Watch]:
    """Who writes the log of a training, if one is wanted.

    Args:
        log: the file, or without a suffix the folder for TensorBoard.
        replace: whether a file that is there may be written over, or gone on with.
        run: which of several trainings it is: then part of the name.

    Raises:
        ConfigError: the log is of no kind that is known, or TensorBoard is not installed.
        DataError: the file exists.
    """
    if log is None:
        return []
    if log.is_dir() or not log.suffix:
        return [TensorBoard(log if run is None else log / run)]
    if log.suffix not in LogFile.KINDS:
        raise ConfigError(
            f"--log is {str(log)!r}; expected a file that ends in {' or '.join(LogFile.KINDS)}, or "
            "a folder for TensorBoard, without such an ending."
        )
    log = log if run is None else log.with_stem(f"{log.stem}-{run}")
    check_new(log, overwrite=replace)
    return [LogFile(log)]


def sizes(text: str) -> int | tuple[int, ...]:
    """Sizes of layers as the command line has them: one, or several with commas."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--hidden-size is {text!r}; expected a whole number, or one a layer: 50,200."
        ) from None
    return found[0] if len(found) == 1 else found


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
