"""The options that ``recurnn translate`` and ``recurnn generate`` share, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console

from recurnn.cli.options import sizes
from recurnn.cli.progress import TrainingProgress
from recurnn.errors import ConfigError, DataError
from recurnn.models.seq2seq.estimator import Estimator
from recurnn.training import Run


def option(panel: str, help: str, *names: str) -> Any:
    """An option that is left as it is where it is not given."""
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False)


READ, NET, FIT, OUT = "Data", "Network", "Training", "Output"

Header = Annotated[
    bool | None, option(READ, "Whether the first line names columns.", "--header/--no-header")
]
Vocabulary = Annotated[int | None, option(READ, "Tokens at most, <unk> and <end> included.")]
MinCount = Annotated[int | None, option(READ, "Tokens that come less often are <unk>.")]
MaxLength = Annotated[int | None, option(READ, "Most tokens that a text may have.")]
Test = Annotated[float, option(READ, "Share held out to report on (0.1).")]
Validation = Annotated[float | None, option(READ, "Share held out to choose by (0.1).")]

Cell = Annotated[str | None, option(NET, "Any name that `recurnn cells` lists (lstm).")]
HiddenSize = Annotated[str | None, option(NET, "Units: 128; or one a layer: 256,128.")]
NumLayers = Annotated[int | None, option(NET, "Layers of that size (1).")]
EmbeddingSize = Annotated[int | None, option(NET, "Of the token embeddings (64).")]
Dropout = Annotated[float | None, option(NET, "Share dropped before each layer (0).")]

Optimizer = Annotated[str | None, option(FIT, "adam, or another one of torch.optim (adam).")]
LearningRate = Annotated[float | None, option(FIT, "Of the optimizer (0.002).")]
Schedule = Annotated[str | None, option(FIT, "constant, cosine or linear (cosine).")]
BatchSize = Annotated[int | None, option(FIT, "Pairs in a batch.")]
Epochs = Annotated[int | None, option(FIT, "At most (20).")]
Patience = Annotated[int | None, option(FIT, "Epochs without a better one (5); 0: never stop.")]
Clip = Annotated[float | None, option(FIT, "Greatest norm of the gradient (1); 0: any.")]
Seed = Annotated[int | None, option(FIT, "Of weights, parts and order (0).")]
Checkpoints = Annotated[Path | None, option(FIT, "Folder for checkpoints of the training.")]
Resume = Annotated[
    bool, option(FIT, "Go on from the newest checkpoint, if there is one.", "--resume")
]

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there.", rich_help_panel=OUT)
]
Predicted = Annotated[Path | None, option(OUT, "CSV file to write; printed otherwise.")]

TRAINING = (
    "cell", "hidden_size", "num_layers", "embedding_size", "dropout", "optimizer", "learning_rate",
    "schedule", "batch_size", "epochs", "patience", "clip", "seed", "validation",
)  # fmt: skip


def settings(given: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The options of the model, of all that a command was given."""
    chosen = {k: v for k, v in given.items() if k in names and v is not None}
    if "hidden_size" in chosen:
        chosen["hidden_size"] = sizes(chosen["hidden_size"])
    for name in ("patience", "clip"):
        if chosen.get(name) == 0:
            chosen[name] = None
    return chosen


def check_test(share: float) -> None:
    """Refuse a share of the test part that cannot be."""
    if not 0 <= share < 1:
        raise ConfigError(f"test is {share:g}; expected a share of at least 0 and below 1.")


def check_new(file: Path | None, *, overwrite: bool) -> None:
    """Refuse a file that is there, before any work is done."""
    if file is not None and file.exists() and not overwrite:
        raise DataError(
            f"{file} exists.\n  Nothing was written. Give another file, or allow overwriting "
            "(--overwrite)."
        )


def say(frame: pd.DataFrame, out: Path | None) -> None:
    """Write rows to a file, or print them as CSV."""
    if out is None:
        typer.echo(frame.to_csv(index=False), nl=False)
        return
    try:
        frame.to_csv(out, index=False)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}.") from error
    typer.echo(f"Wrote {len(frame)} rows to {out}")


class Announced(TrainingProgress):
    """Prints what will be trained before it is.

    Args:
        console: where to show it.
        model: whose summary it is.
        unit: what is counted a second.
    """

    def __init__(self, console: Console, model: Estimator, unit: str) -> None:
        super().__init__(console, unit=unit)
        self.model = model

    def start(self, run: Run) -> None:
        """A run begins."""
        self.console.print(self.model.summary(), markup=False)
        self.console.print("Ctrl-C ends training and keeps the best network so far.\n")
        super().start(run)
