"""``recurnn tag``: a tag for every step of each sequence."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from rich.console import Console

from recurnn.cli import labelled as l
from recurnn.cli import options as o
from recurnn.cli.outputs import check_new, save_csv, write_trained
from recurnn.cli.plots import confusion_plot
from recurnn.cli.progress import Announced, tell
from recurnn.cli.tables import confusion_table, score_table
from recurnn.data.labelled import Labelled, Roles
from recurnn.data.labelled_tags import read_tagged
from recurnn.data.sequence_inputs import as_inputs
from recurnn.errors import DataError, counted
from recurnn.models import SequenceTagger
from recurnn.models.folder import check_free, written
from recurnn.training import is_main

app = typer.Typer(
    help="A tag for every step of a sequence: train, evaluate, predict.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_READ, _NET = "Data", "Network"

Data = Annotated[
    Path, typer.Argument(help="Columns of CoNLL, CSV or Parquet (a row a step), JSON lines, .npz.")
]
Label = Annotated[
    str | None, o.option(_READ, "Column of the tag: its name, or in CoNLL its number (the last).")
]
Column = Annotated[
    list[str] | None, o.option(_READ, "Column of the word, or of a channel; likewise (the first).")
]
Id = Annotated[str | None, o.option(_READ, "Column that names the sequence of a row.", "--id")]
Step = Annotated[str | None, o.option(_READ, "Column that a sequence's rows are sorted by.")]
OneWay = Annotated[
    bool | None, o.option(_NET, "Read from both ends (on).", "--bidirectional/--one-way")
]
Crf = Annotated[bool, o.option(_NET, "Choose the tags of a sequence together.", "--crf")]
EmbeddingSize = Annotated[int | None, o.option(_NET, "Of a word.")]
LetterSize = Annotated[int | None, o.option(_NET, "Units over a word's letters; 0: not read.")]
WordDropout = Annotated[float | None, o.option(_NET, "Of rare words, while training.")]
Scale = Annotated[str | None, o.option(_NET, "Of channels: standard or none (standard).")]
Model = Annotated[Path, typer.Argument(help="Folder that `recurnn tag train` wrote.")]
File = Annotated[Path, typer.Argument(help="File of sequences, as the model was trained on.")]

_OF_THE_MODEL = (
    "max_length", "cell", "hidden_size", "num_layers", "bidirectional", "crf", "dropout",
    "embedding_size", "letter_size", "word_dropout", "scale", "optimizer", "learning_rate",
    "schedule", "batch_size", "epochs", "patience", "clip", "precision", "validation", "seed",
)  # fmt: skip


@app.command()
def train(
    data: Data,
    label: Label = None,
    column: Column = None,
    id: Id = None,
    step: Step = None,
    header: l.Header = None,
    max_length: l.MaxLength = None,
    test: l.Test = None,
    validation: l.Validation = None,
    cell: o.Cell = None,
    hidden_size: o.HiddenSize = None,
    num_layers: o.NumLayers = None,
    bidirectional: OneWay = None,
    crf: Crf = False,
    dropout: o.Dropout = None,
    embedding_size: EmbeddingSize = None,
    letter_size: LetterSize = None,
    word_dropout: WordDropout = None,
    scale: Scale = None,
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
    out: o.Out = Path("tagger"),
    overwrite: o.Overwrite = False,
) -> None:
    """Train a recurrent network on tagged sequences and compare it with simple baselines."""
    given = {k: v for k, v in locals().items() if k in _OF_THE_MODEL and v is not None}
    settings = o.settings(None, given) | {k: v for k, v in given.items() if k == "scale"}
    model = SequenceTagger(**settings)
    saves = o.saves(checkpoints, resume=resume)
    logs = o.logs(log, replace=overwrite or resume)
    check_free(out, overwrite=overwrite)
    console = Console(highlight=False, quiet=not is_main())
    found = read_tagged(data, _roles({}, label, column, id, step, header))
    if test is not None and Path(test).is_file():
        fitting, tested = found, read_tagged(test, found.roles)
        note = (
            f"tested on {test}: {counted(len(found), 'sequence')} to train, {len(tested):,} to test"
        )
    else:
        fitting, tested, note = l.parts(found, test, None, settings.get("seed", 0))
    for part in (fitting, tested):
        as_inputs(part.sequences, max_length=max_length, where=part.where)
    new = _unseen(fitting, tested)
    model.fit(
        fitting.sequences, fitting.labels,
        watch=[Announced(console, model, [*found.notes, note, *new], "sequences"), *logs],
        saves=saves,
    )  # fmt: skip
    if not is_main():
        return
    model.compare(tested.sequences, tested.labels)
    _report(console, model, tested)
    _write(model, tested, found.roles, out, overwrite=overwrite)
    console.print(
        f"Wrote {out}/: model.safetensors, config.json, reading.json, predictions.csv,\n"
        "  history.csv, comparison.csv, curve.png, confusion.csv, confusion.png\nUse it with:\n"
        f"  recurnn tag predict {shlex.quote(str(out))} {shlex.quote(str(data))}",
        markup=False,
        soft_wrap=True,
    )


@app.command("eval")
def evaluate(
    model: Model,
    data: File,
    label: Label = None,
    column: Column = None,
    id: Id = None,
    step: Step = None,
    header: l.Header = None,
    part: l.Part = None,
) -> None:
    """Score a trained model on tagged sequences."""
    loaded, console = SequenceTagger.load(model), Console(highlight=False)
    found = read_tagged(data, _roles(l.kept_roles(model), label, column, id, step, header))
    found = l.of_part(found, part)
    tell(console, found.notes)
    l.check_lengths(loaded, found)
    l.check_tags(loaded.classes_, found)
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
    out: Annotated[
        Path | None, typer.Option(help="File to write; printed otherwise.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that file.")] = False,
) -> None:
    """Tag the sequences of a file: a word and its tag a line, an empty line after each sequence."""
    check_new(out, overwrite=overwrite)
    loaded = SequenceTagger.load(model)
    roles = _roles(l.kept_roles(model), label, column, id, step, header)
    found = read_tagged(data, roles, needed=False)
    tell(Console(highlight=False, stderr=True), found.notes)
    l.check_lengths(loaded, found)
    blocks = []
    for steps, tags in zip(found.sequences, loaded.predict(found.sequences), strict=True):
        words = [_shown(step) for step in steps]
        blocks.append("\n".join(f"{w}\t{t}" for w, t in zip(words, tags, strict=True)))
    text = "\n\n".join(blocks) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}.") from error
    typer.echo(f"Wrote {counted(len(blocks), 'sequence')} to {out}")


def _roles(
    kept: dict[str, object], label: str | None, column: list[str] | None, id: str | None,
    step: str | None, header: bool | None,
) -> Roles:  # fmt: skip
    """How to read a file: as the model's was, where nothing else is said."""
    given = {
        "label": (label,) if label else None, "sequence": tuple(column) if column else None,
        "unique_id": id, "step": step, "header": header,
    }  # fmt: skip
    if label or column:  # then the lines need not be those of the training
        kept = kept | {"columns": None}
    return Roles(**(kept | {k: v for k, v in given.items() if v is not None}))  # type: ignore[arg-type]


def _shown(step: object) -> str:
    """A step as one field."""
    return step if isinstance(step, str) else " ".join(f"{v:g}" for v in np.ravel(np.asarray(step)))


def _unseen(fitting: Labelled, tested: Labelled) -> list[str]:
    """A note on tags that cannot be learned."""
    assert fitting.labels is not None
    assert tested.labels is not None
    known = {tag for tags in fitting.labels for tag in tags}
    new = sorted({str(tag) for tags in tested.labels for tag in tags if tag not in known})
    return [f"tags of the test part alone, which count as wrong: {', '.join(new)}"] if new else []


def _report(console: Console, model: SequenceTagger, tested: Labelled) -> None:
    steps = sum(map(len, tested.sequences))
    title = f"Test part, {counted(len(tested), 'sequence')}, {counted(steps, 'step')}"
    console.print()
    console.print(score_table(model.comparison, title))
    if len(model.classes_) <= l.SHOWN:
        console.print(confusion_table(model.confusion(tested.sequences, tested.labels)))
    if model.verdict and len(model.comparison) > 1:
        console.print(model.verdict + "\n", markup=False)


def _write(
    model: SequenceTagger, tested: Labelled, roles: Roles, out: Path, *, overwrite: bool
) -> None:
    """All files of the output folder, at once."""
    assert tested.labels is not None
    title = model.summary().splitlines()[0]
    found = model.predict(tested.sequences)
    rows = [
        (place, t, _shown(step), true, tag)
        for place, steps, tags, said in zip(
            tested.places, tested.sequences, tested.labels, found, strict=True
        )
        for t, (step, true, tag) in enumerate(zip(steps, tags, said, strict=True), start=1)
    ]
    told = pd.DataFrame(rows, columns=["sequence", "step", "value", "true", "predicted"])
    with written(out, overwrite=overwrite) as folder:
        write_trained(folder, model, title=title)
        l.keep_roles(folder, roles)
        save_csv(told, folder / "predictions.csv")
        counts = model.confusion(tested.sequences, tested.labels)
        save_csv(counts, folder / "confusion.csv", index=True)
        confusion_plot(folder / "confusion.png", counts, title=title)
