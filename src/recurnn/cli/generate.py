"""``recurnn generate``: models from a class or a vector to a sequence."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from rich.console import Console

from recurnn.cli import options
from recurnn.cli import pair_options as o
from recurnn.cli.labelled import READING, SHOWN
from recurnn.cli.options import option
from recurnn.cli.outputs import check_new, say, write_trained
from recurnn.cli.pair_plots import trajectories
from recurnn.cli.progress import Announced, tell
from recurnn.cli.tables import score_table
from recurnn.data.pairs import Rows, roles
from recurnn.data.pairs_answers import split_by_source
from recurnn.data.pairs_points import are_points, as_points
from recurnn.data.pairs_tokens import check_lengths
from recurnn.errors import ConfigError, DataError, counted
from recurnn.models import SequenceGenerator
from recurnn.models.folder import check_free, written
from recurnn.training import is_main

CONDITION = (
    "condition", "class", "label", "category", "nationality", "digit", "features", "vector",
    "embedding", "y",
)  # fmt: skip
TARGET = ("target", "text", "name", "sequence", "points", "strokes", "caption", "x")
_OWN = ("vocabulary", "min_count", "max_length", "components", "temperature")
_SAMPLES = 10  # trajectories that are drawn after training

app = typer.Typer(
    help="Sequences of a class or a vector: train, evaluate, draw some.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Model = Annotated[Path, typer.Argument(help="Folder that `recurnn generate train` wrote.")]
Condition = Annotated[
    list[str] | None,
    option(o.READ, "Column of the class, or of lists of numbers; or several of a number each."),
]
Target = Annotated[str | None, option(o.READ, "Column of the texts, or of lists of points.")]
Unit = Annotated[str | None, option(o.READ, "Of texts: characters, words, bpe or tokens.")]
Components = Annotated[int | None, option(o.NET, "Normal distributions of a point (8).")]
Temperature = Annotated[
    float | None, option(o.OUT, "Below 1: the likely likelier; 0: the likeliest (1).")
]


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="TSV, CSV, Parquet, JSON-lines, .npz or .ts file.")],
    condition: Condition = None,
    target: Target = None,
    header: o.Header = None,
    unit: Unit = None,
    vocabulary: o.Vocabulary = None,
    min_count: o.MinCount = None,
    max_length: o.MaxLength = None,
    test: o.Test = "0.1",
    validation: o.Validation = None,
    components: Components = None,
    cell: options.Cell = None,
    hidden_size: o.HiddenSize = None,
    num_layers: options.NumLayers = None,
    embedding_size: o.EmbeddingSize = None,
    dropout: o.Dropout = None,
    optimizer: options.Optimizer = None,
    learning_rate: o.LearningRate = None,
    schedule: o.Schedule = None,
    batch_size: o.BatchSize = None,
    epochs: o.Epochs = None,
    patience: o.Patience = None,
    clip: options.Clip = None,
    precision: options.Precision = None,
    seed: options.Seed = None,
    checkpoints: options.Checkpoints = None,
    resume: options.Resume = False,
    log: options.Log = None,
    temperature: Temperature = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("generator"),
    overwrite: o.Overwrite = False,
) -> None:
    """Train a recurrent network on sequences by class or vector; compare it with baselines."""
    model = SequenceGenerator(target=unit, **o.settings(locals(), (*o.TRAINING, *_OWN)))
    held = o.test_of(test)
    kept = options.saves(checkpoints, resume=resume)
    logs = options.logs(log, replace=overwrite or resume)
    check_free(out, overwrite=overwrite)
    console = Console(highlight=False)
    x, y, columns, note, at = read_sequences(data, None, condition, target, header)
    tell(console, [note])
    check = partial(_check_lengths, unit, max_length)
    check(y, at)
    if isinstance(held, Path):
        trained, tested = (x, y), _held(held, x, y, columns, header, check)
    else:
        # The same sequence twice is one that was seen.
        parts = split_by_source([f"{a} {b}" for a, b in zip(x, y, strict=True)], held, model.seed)
        trained, tested = (([x[i] for i in part], [y[i] for i in part]) for part in parts)
    console.print(
        f"- {counted(len(trained[0]), 'sequence')} to train on, {len(tested[0]):,} to test on"
    )
    what = "points" if are_points(y) else "tokens"
    model.fit(
        *trained,
        watch=[Announced(console, model, unit=what), *logs], saves=kept,
    )  # fmt: skip
    if not is_main():
        return
    if tested[0]:
        model.compare(*tested)
        console.print(
            score_table(model.comparison, f"Test part, {counted(len(tested[0]), 'sequence')}")
        )
        console.print(f"{model.verdict}\n", markup=False)
    _write(model, out, x, y, columns, header, overwrite=overwrite)
    one = x[0]
    how = "DATA" if isinstance(one, list) else f"--condition {shlex.quote(str(one))} --samples 5"
    console.print(
        f"Use it with:\n  recurnn generate predict {shlex.quote(str(out))} {how}", markup=False,
        soft_wrap=True,
    )  # fmt: skip


@app.command("eval")
def evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(help="File of sequences.")],
    condition: Condition = None,
    target: Target = None,
    header: o.Header = None,
) -> None:
    """How likely the sequences of a file are to the model."""
    loaded, console = SequenceGenerator.load(model), Console(highlight=False)
    x, y, _, note, at = read_sequences(data, model, condition, target, header)
    tell(console, [note])
    x = as_learned(loaded, x)
    if loaded.classes_ is not None:
        _refuse_new(loaded.classes_, x, at)
    rows = loaded.compare(x, y, baselines=False)
    console.print(score_table(rows, f"{data}, {counted(len(x), 'sequence')}"))


@app.command()
def predict(
    model: Model,
    data: Annotated[
        Path | None, typer.Argument(help="File of conditions.", show_default=False)
    ] = None,
    condition: Annotated[
        list[str] | None,
        option(o.READ, "A class, or numbers: 0.2,1,3; with a file, the columns as in training."),
    ] = None,
    header: o.Header = None,
    samples: Annotated[int, typer.Option(help="Sequences for each condition.")] = 1,
    temperature: Temperature = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    out: o.Predicted = None,
    overwrite: o.Overwrite = False,
) -> None:
    """Draw sequences for classes, or for every row of a file."""
    check_new(out, overwrite=overwrite)
    if samples < 1:
        raise ConfigError(f"samples is {samples}; expected a whole number of at least 1.")
    loaded = SequenceGenerator.load(model)
    if data is not None:
        rows, kept = o.read_again(data, model, header=header, known=CONDITION)
        kept.pop("target", None)
        columns, note = _columns(rows, condition or list(kept.values()), only=True)
        typer.echo(f"- {note}", err=True)
        x = _conditions(rows, columns)
    elif condition:
        x = [_vector(one) for one in condition] if loaded.classes_ is None else list(condition)
    else:
        raise ConfigError("There is nothing to begin from.\n  Give --condition, or a file.")
    wanted = [one for one in x for _ in range(samples)]
    found = loaded.predict(as_learned(loaded, wanted), temperature=temperature, seed=seed)
    frame = pd.DataFrame(
        {"condition": [str(c) for c in wanted], "sequence": [_plain(s) for s in found]}
    )
    say(frame, out)


def read_sequences(
    data: Path, folder: Path | None, condition: list[str] | None = None,
    target: str | None = None, header: bool | None = None,
) -> tuple[list[Any], list[Any], dict[str, str], str, Callable[[int], str]]:  # fmt: skip
    """Conditions and sequences of a file.

    Args:
        data: the file.
        folder: of the model that reads them; None for one that is to be trained.
        condition: names of the columns, if the user says.
        target: of the column, likewise.
        header: whether the first line names the columns, likewise.

    Returns:
        Conditions; sequences; by their part the columns that they are; a sentence that says so;
        and from the number of a row to its place in the file, for errors.
    """
    rows, kept = o.read_again(data, folder, header=header, known=(*CONDITION, *TARGET))
    target = target or kept.pop("target", None)
    given = condition or [name for part, name in kept.items() if part != "target"]
    columns, note = _columns(rows, given, target)
    y = rows.column(columns["target"])
    if are_points(y):
        as_points(y, where=rows.at)
        y = [[np.asarray(point).tolist() for point in row] for row in y]
    else:
        y = list(rows.texts(columns["target"]))
    return _conditions(rows, columns), y, columns, note, rows.at


def _columns(
    rows: Rows, condition: list[str] | None, target: str | None = None, *, only: bool = False
) -> tuple[dict[str, str], str]:
    """Which columns are the condition, and which one the target."""
    wanted: dict[str, tuple[str | None, tuple[str, ...]]] = {}
    if not only:
        wanted["target"] = (target, TARGET)
    given: list[str | None] = [*condition] if condition else [None]
    for k, name in enumerate(given):
        wanted["condition" if len(given) == 1 else f"condition {k + 1}"] = (name, CONDITION)
    if not only and target is None and given == [None] and not rows.named and len(rows.names) == 2:
        # Of two columns without names the class is the one with fewer different values.
        names = sorted(rows.names, key=lambda n: len(set(map(str, rows.column(n)))))
        wanted = {"target": (names[1], ()), "condition": (names[0], ())}
    return roles(rows, wanted)


def _conditions(rows: Rows, columns: dict[str, str]) -> list[Any]:
    """Classes, or vectors: of one column of lists, or of several columns of numbers."""
    names = [name for part, name in columns.items() if part != "target"]
    if len(names) == 1 and isinstance(rows.column(names[0])[0], list | np.ndarray):
        given = rows.column(names[0])
    else:
        texts = [rows.texts(name) for name in names]
        if len(texts) == 1:
            return list(texts[0])
        given = list(zip(*texts, strict=True))
    return [_numbers(rows.at(i), row, len(given[0])) for i, row in enumerate(given)]


def _held(
    file: Path, x: list[Any], y: list[Any], columns: dict[str, str], header: bool | None,
    check: Callable[[list[Any], Callable[[int], str]], None],
) -> tuple[list[Any], list[Any]]:  # fmt: skip
    """Conditions and sequences of another file to test on, of the kind of those to train on."""
    names = [name for part, name in columns.items() if part != "target"]
    found, sequences, _, _, at = read_sequences(file, None, names, columns["target"], header)
    check(sequences, at)
    kinds = [_kind_of(*one) for one in ((x, y), (found, sequences))]
    if kinds[0] != kinds[1]:
        raise DataError(
            f"{file}: it does not fit what is trained on.\n"
            f"  It has {kinds[1]}; expected {kinds[0]}."
        )
    if isinstance(x[0], str):
        _refuse_new(sorted(set(x)), found, at)
    return found, sequences


def _kind_of(x: list[Any], y: list[Any]) -> str:
    """What belongs to what, in words."""
    sequences = f"points of {counted(len(y[0][0]), 'number')}" if are_points(y) else "texts"
    return f"{sequences} of " + (f"vectors of {len(x[0])}" if isinstance(x[0], list) else "classes")


def _check_lengths(
    unit: str | None, most: int | None, y: list[Any], at: Callable[[int], str]
) -> None:
    """Name the row of a sequence that is too long."""
    if are_points(y):
        as_points(y, most, at)
    else:
        check_lengths(y, unit, most, at)


def _numbers(at: str, row: Any, size: int) -> list[float]:
    """One vector of a file; all of them have as many numbers as the first."""
    try:
        found = [float(value) for value in row]
    except (TypeError, ValueError):
        told = ", ".join(map(str, row)) if isinstance(row, tuple | list) else str(row)
        raise DataError(
            f"{at}: a condition of several numbers is of numbers alone.\n  It has {told}."
        ) from None
    if len(found) != size:
        raise DataError(
            f"{at}: the condition has {counted(len(found), 'number')}.\n  The first one has {size}."
        )
    return found


def _vector(text: str) -> list[float]:
    """Numbers between commas."""
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"--condition {text!r} is not a vector of numbers.\n"
            "  The model was trained on vectors: give numbers between commas, 0.2,1,3."
        ) from None


def as_learned(model: SequenceGenerator, x: list[Any]) -> list[Any]:
    """Classes by the name that they had in training: a text, or a number."""
    known = {str(k): k for k in model.classes_ or []}
    return [known.get(one, one) if isinstance(one, str) else one for one in x]


def _refuse_new(classes: list[Any], x: list[Any], at: Callable[[int], str]) -> None:
    """Name the row of a class that is not trained on."""
    new = next((i for i, one in enumerate(x) if one not in classes), None)
    if new is not None:
        raise DataError(
            f"{at(new)} has the class {x[new]!r}, which is not trained on.\n"
            f"  There are: {', '.join(map(str, classes[:SHOWN]))}."
        )


def _plain(sequence: Any) -> str:
    if isinstance(sequence, str):
        return sequence
    if isinstance(sequence, list):
        return " ".join(sequence)
    return json.dumps([[round(float(v), 3) for v in point] for point in sequence])


def _write(
    model: SequenceGenerator, out: Path, x: list[Any], y: list[Any], columns: dict[str, str],
    header: bool | None, *, overwrite: bool,
) -> None:  # fmt: skip
    """All files of the output folder, at once."""
    with written(out, overwrite=overwrite) as folder:
        names = write_trained(folder, model, title=model.summary().splitlines()[0])
        o.keep_columns(folder, columns, header=header)
        names.append(READING)
        if are_points(y):
            some = list({str(one): k for k, one in enumerate(x)}.values())[:_SAMPLES]
            drawn = model.predict([x[k] for k in some])
            trajectories(folder / "points.png", [str(x[k]) for k in some],
                         [np.asarray(y[k]) for k in some], drawn)  # fmt: skip
            names.append("points.png")
    typer.echo(f"Wrote {out}/: {', '.join(names)}")
