"""``recurnn classify``: a class, or a number, for each sequence."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from rich.console import Console

from recurnn.cli import labelled as l
from recurnn.cli import options as o
from recurnn.cli.outputs import check_new, save_csv, say, write_trained
from recurnn.cli.plots import confusion_plot
from recurnn.cli.progress import Announced, tell
from recurnn.cli.tables import confusion_table, score_table
from recurnn.data.builtin import digits_by_row
from recurnn.data.labelled import Labelled, Roles, read_labelled
from recurnn.data.sequence_inputs import as_inputs
from recurnn.errors import counted
from recurnn.models import SequenceClassifier, SequenceRegressor
from recurnn.models.folder import check_free, written
from recurnn.models.sequence_loading import load_sequence_model
from recurnn.training import is_main

app = typer.Typer(
    help="A class, or a number, for each sequence: train, evaluate, predict.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_READ, _NET, _FIT = "Data", "Network", "Training"
_CLASSES = 50  # distinct whole numbers up to which they are taken for classes

Data = Annotated[
    Path | None,
    typer.Argument(
        help="CSV, TSV, Parquet, JSON lines, .npz or .ts file. Without: digits by rows of pixels.",
        show_default=False,
    ),
]
Label = Annotated[
    list[str] | None, o.option(_READ, "Column of the label; several for a vector of numbers.")
]
Column = Annotated[
    list[str] | None, o.option(_READ, "Column of the sequence, or of a channel; several.")
]
Id = Annotated[str | None, o.option(_READ, "Column that names the sequence of a row.", "--id")]
Step = Annotated[str | None, o.option(_READ, "Column that a sequence's rows are sorted by.")]
Width = Annotated[int | None, o.option(_READ, "Channels of a step, of numbers side by side (1).")]
Tokens = Annotated[
    str | None, o.option(_READ, "Texts are cut into words or characters.", "--tokens", "--unit")
]
Regress = Annotated[
    bool | None,
    o.option(
        _READ, "Learn a number or a class; by default as the label is.", "--regress/--classes"
    ),
]
Pooling = Annotated[str | None, o.option(_NET, "last, mean, max, attention or flat.")]
OneWay = Annotated[
    bool | None, o.option(_NET, "Read from both ends (on).", "--bidirectional/--one-way")
]
EmbeddingSize = Annotated[int | None, o.option(_NET, "Of a token.")]
Scale = Annotated[str | None, o.option(_NET, "Of the channels: standard or none (standard).")]
ClassWeight = Annotated[str | None, o.option(_FIT, "balanced: all classes count alike.")]
Threshold = Annotated[
    str | None,
    o.option(_FIT, "Of two classes: a probability, or f1 or balanced: chosen on validation data."),
]
TokenDropout = Annotated[float | None, o.option(_NET, "Share of tokens unseen in training (0.1).")]
Model = Annotated[Path, typer.Argument(help="Folder that `recurnn classify train` wrote.")]
File = Annotated[Path, typer.Argument(help="File of sequences, as the model was trained on.")]

_OF_THE_MODEL = (
    "tokens", "max_length", "cell", "hidden_size", "num_layers", "bidirectional", "pooling",
    "dropout", "token_dropout", "embedding_size", "scale", "class_weight", "threshold",
    "optimizer", "learning_rate", "schedule", "batch_size", "epochs", "patience", "clip",
    "precision", "validation", "seed",
)  # fmt: skip

AnyModel = SequenceClassifier | SequenceRegressor


@app.command()
def train(
    data: Data = None,
    label: Label = None,
    column: Column = None,
    id: Id = None,
    step: Step = None,
    header: l.Header = None,
    width: Width = None,
    tokens: Tokens = None,
    max_length: l.MaxLength = None,
    regress: Regress = None,
    test: l.Test = None,
    validation: l.Validation = None,
    cell: o.Cell = None,
    hidden_size: o.HiddenSize = None,
    num_layers: o.NumLayers = None,
    bidirectional: OneWay = None,
    pooling: Pooling = None,
    dropout: o.Dropout = None,
    token_dropout: TokenDropout = None,
    embedding_size: EmbeddingSize = None,
    scale: Scale = None,
    class_weight: ClassWeight = None,
    threshold: Threshold = None,
    optimizer: o.Optimizer = None,
    learning_rate: o.LearningRate = None,
    schedule: o.Schedule = None,
    batch_size: o.BatchSize = None,
    epochs: o.Epochs = None,
    patience: o.Patience = None,
    clip: o.Clip = None,
    precision: o.Precision = None,
    seed: o.Seed = None,
    checkpoints: o.Checkpoints = None,
    resume: o.Resume = False,
    log: o.Log = None,
    out: o.Out = Path("classifier"),
    overwrite: o.Overwrite = False,
) -> None:
    """Train a recurrent network on labelled sequences and compare it with simple baselines."""
    given = {k: v for k, v in locals().items() if k in _OF_THE_MODEL and v is not None}
    settings = o.settings(None, given) | {k: v for k, v in given.items() if k == "scale"}
    if threshold is not None and threshold.replace(".", "", 1).isdigit():
        settings["threshold"] = float(threshold)
    saves = o.saves(checkpoints, resume=resume)
    logs = o.logs(log, replace=overwrite or resume)
    SequenceClassifier(**settings)  # bad options are told before anything is read
    check_free(out, overwrite=overwrite)
    console = Console(highlight=False, quiet=not is_main())
    roles = _roles({}, label, column, id, step, header, width)
    if data is None:
        console.print("Data: 1,797 handwritten digits, a row of pixels a step (built in)")
        found = digits_by_row()
    else:
        found = read_labelled(data, roles)
    assert found.labels is not None
    notes = list(found.notes)
    numeric = _is_numeric(found.labels, notes) if regress is None else regress
    model = _model(settings, numeric=numeric)
    fitting, tested, note = _parts(found, test, numeric=numeric, seed=settings.get("seed", 0))
    if not numeric:
        l.check_classes(fitting.labels, tested)
    for part in (fitting, tested):
        if numeric:
            l.check_numbers(part)
        as_inputs(part.sequences, tokens=tokens, max_length=max_length, where=part.where)
    model.fit(
        fitting.sequences, fitting.labels,
        watch=[Announced(console, model, [*notes, note], "sequences"), *logs], saves=saves,
    )  # fmt: skip
    if not is_main():
        return
    model.compare(tested.sequences, tested.labels)
    _report(console, model, tested)
    _write(model, tested, found.roles, out, overwrite=overwrite)
    _tell(console, model, out, data)


@app.command("eval")
def evaluate(
    model: Model,
    data: File,
    label: Label = None,
    column: Column = None,
    id: Id = None,
    step: Step = None,
    header: l.Header = None,
    width: Width = None,
    part: l.Part = None,
) -> None:
    """Score a trained model on labelled sequences."""
    loaded, console = load_sequence_model(model), Console(highlight=False)
    roles = _roles(l.kept_roles(model), label, column, id, step, header, width)
    found = l.of_part(read_labelled(data, roles), part)
    tell(console, found.notes)
    l.check_lengths(loaded, found)
    if isinstance(loaded, SequenceClassifier):
        l.check_classes(loaded.classes_, found)
    else:
        l.check_numbers(found)
    loaded.compare(found.sequences, found.labels, baselines=False)
    _report(console, loaded, found)


@app.command()
def predict(
    model: Model,
    data: File,
    label: Label = None,
    column: Column = None,
    id: Id = None,
    step: Step = None,
    header: l.Header = None,
    width: Width = None,
    part: l.Part = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="A column for each class.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="CSV file to write; printed otherwise.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that file.")] = False,
) -> None:
    """Say the class, or the number, of each sequence of a file."""
    check_new(out, overwrite=overwrite)
    loaded = load_sequence_model(model)
    roles = _roles(l.kept_roles(model), label, column, id, step, header, width)
    found = read_labelled(data, roles, needed=False)
    found = l.of_part(found, part or ("all" if found.parts is not None else None))
    tell(Console(highlight=False, stderr=True), found.notes)
    l.check_lengths(loaded, found)
    say(_predictions(loaded, found, every=probabilities), out)


def _roles(
    kept: dict[str, Any], label: Sequence[str] | None, column: Sequence[str] | None,
    id: str | None, step: str | None, header: bool | None, width: int | None,
) -> Roles:  # fmt: skip
    """How to read a file: as the model's was, where nothing else is said."""
    given = {
        "label": tuple(label) if label else None, "sequence": tuple(column) if column else None,
        "unique_id": id, "step": step, "header": header, "width": width,
    }  # fmt: skip
    return Roles(**(kept | {k: v for k, v in given.items() if v is not None}))


def _is_numeric(labels: NDArray[Any], notes: list[str]) -> bool:
    """Whether the labels are numbers to learn and no classes."""
    numbers = labels.dtype.kind in "if" and (
        labels.ndim == 2 or bool((labels % 1 != 0).any()) or len(np.unique(labels)) > _CLASSES
    )
    if numbers:
        notes.append("the label holds numbers: they are learned as such (else give --classes)")
    return numbers


def _model(settings: dict[str, Any], *, numeric: bool) -> AnyModel:
    if not numeric:
        return SequenceClassifier(**settings)
    return SequenceRegressor(
        **{k: v for k, v in settings.items() if k not in ("class_weight", "threshold")}
    )


def _parts(
    found: Labelled, test: str | None, *, numeric: bool, seed: int
) -> tuple[Labelled, Labelled, str]:
    """What to train on and what to test on: by a file of its own, or out of this one."""
    if test is not None and Path(test).is_file():
        other = read_labelled(test, found.roles)
        note = (
            f"tested on {test}: {counted(len(found), 'sequence')} to train, {len(other):,} to test"
        )
        return found, other, note
    assert found.labels is not None
    groups = None if numeric else np.unique(found.labels.astype(str), return_inverse=True)[1]
    return l.parts(found, test, groups, seed)


def _report(console: Console, model: AnyModel, tested: Labelled) -> None:
    title = f"Test part, {counted(len(tested), 'sequence')}"
    console.print()
    console.print(score_table(model.comparison, title))
    if isinstance(model, SequenceClassifier) and len(model.classes_) <= l.SHOWN:
        console.print(confusion_table(model.confusion(tested.sequences, tested.labels)))
    if model.verdict and len(model.comparison) > 1:
        console.print(model.verdict + "\n", markup=False)


def _predictions(model: AnyModel, data: Labelled, *, every: bool = False) -> pd.DataFrame:
    """A row a sequence: where it stands, its label if there is one, and what the model says."""
    frame = pd.DataFrame({"at": data.places})
    for name in data.columns.columns:
        if name in ("id", "unique_id", data.roles.unique_id):
            frame[name] = data.columns[name]
    if isinstance(model, SequenceRegressor):
        found = model.predict(data.sequences).reshape(len(data), -1)
        true = None if data.labels is None else data.labels.reshape(len(data), -1)
        for k in range(found.shape[1]):
            name = f"_{k + 1}" if found.shape[1] > 1 else ""
            if true is not None:
                frame[f"true{name}"] = true[:, k]
            frame[f"predicted{name}"] = found[:, k]
        return frame
    if data.labels is not None:
        frame["true"] = data.labels
    told = model.predict_proba(data.sequences)
    frame["predicted"] = model.predict(data.sequences)
    frame["probability"] = told[np.arange(len(told)), _columns(model, frame["predicted"])]
    if every:
        for k, name in enumerate(model.classes_):
            frame[f"p({name})"] = told[:, k]
    return frame


def _columns(model: SequenceClassifier, found: pd.Series) -> NDArray[np.int64]:
    return np.searchsorted(model.classes_, found.to_numpy()).astype(np.int64)


def _write(model: AnyModel, tested: Labelled, roles: Roles, out: Path, *, overwrite: bool) -> None:
    """All files of the output folder, at once."""
    title = model.summary().splitlines()[0]
    with written(out, overwrite=overwrite) as folder:
        write_trained(folder, model, title=title)
        l.keep_roles(folder, roles)
        save_csv(_predictions(model, tested), folder / "predictions.csv")
        if isinstance(model, SequenceClassifier):
            counts = model.confusion(tested.sequences, tested.labels)
            save_csv(counts, folder / "confusion.csv", index=True)
            confusion_plot(folder / "confusion.png", counts, title=title)


def _tell(console: Console, model: AnyModel, out: Path, data: Path | None) -> None:
    """What was written, and what to do with it."""
    file = shlex.quote(str(data or "DATA.csv"))
    more = ",\n  confusion.csv, confusion.png" if isinstance(model, SequenceClassifier) else ""
    console.print(
        f"Wrote {out}/: model.safetensors, config.json, reading.json, predictions.csv,\n"
        f"  history.csv, comparison.csv, curve.png{more}\nUse it with:\n"
        f"  recurnn classify predict {shlex.quote(str(out))} {file}",
        markup=False,
        soft_wrap=True,
    )
