"""``recurnn translate``: models from sequence to sequence."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console

from recurnn.cli import options
from recurnn.cli import pair_options as o
from recurnn.cli.labelled import READING
from recurnn.cli.options import option
from recurnn.cli.outputs import check_new, say, write_trained
from recurnn.cli.pair_plots import attention_map
from recurnn.cli.progress import Announced, tell
from recurnn.cli.tables import score_table
from recurnn.data.labelled import suffix_of
from recurnn.data.pairs import SOURCE, SUFFIXES, TARGET, roles
from recurnn.data.pairs_answers import split_by_source
from recurnn.data.pairs_tokens import check_lengths
from recurnn.errors import ConfigError, DataError, counted
from recurnn.models import Seq2Seq
from recurnn.models.folder import check_free, written
from recurnn.training import is_main

_SHOWN = 3  # pairs whose attention is drawn
_OWN = ("vocabulary", "min_count", "max_length", "copy", "bidirectional", "attention",
        "scheduled_sampling", "beam", "length_penalty")  # fmt: skip

app = typer.Typer(
    help="Sequence to sequence: train on pairs, evaluate, translate.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Model = Annotated[Path, typer.Argument(help="Folder that `recurnn translate train` wrote.")]
Source = Annotated[str | None, option(o.READ, "Column of the sources; or its number.")]
Target = Annotated[str | None, option(o.READ, "Column of the targets; or its number.")]
SourceUnit = Annotated[str | None, option(o.READ, "characters, words, bpe or tokens.")]
TargetUnit = Annotated[
    str | None, option(o.READ, "characters, words, bpe, or tokens: what is between spaces.")
]
Copy = Annotated[
    bool | None,
    option(o.NET, "Unknown words are copied from the source.", "--copy/--no-copy"),
]
Directions = Annotated[
    bool | None, option(o.NET, "Read the source from both ends (on).", "--bidirectional/--one-way")
]
AttentionKind = Annotated[str | None, option(o.NET, "general, dot, bahdanau or none (general).")]
Sampling = Annotated[
    float | None, option(o.FIT, "Share of own guesses read in the last epoch (0).")
]
Beam = Annotated[int | None, option(o.OUT, "Beginnings kept at a time (4).")]
LengthPenalty = Annotated[float | None, option(o.OUT, "α of Wu et al. 2016 (0.6).")]


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="TSV, CSV, Parquet or JSON-lines file of pairs.")],
    source: Source = None,
    target: Target = None,
    header: o.Header = None,
    source_unit: SourceUnit = None,
    target_unit: TargetUnit = None,
    vocabulary: o.Vocabulary = None,
    min_count: o.MinCount = None,
    max_length: o.MaxLength = None,
    test: o.Test = "0.1",
    validation: o.Validation = None,
    copy: Copy = None,
    bidirectional: Directions = None,
    attention: AttentionKind = None,
    cell: options.Cell = None,
    hidden_size: o.HiddenSize = None,
    num_layers: options.NumLayers = None,
    embedding_size: o.EmbeddingSize = None,
    dropout: o.Dropout = None,
    scheduled_sampling: Sampling = None,
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
    beam: Beam = None,
    length_penalty: LengthPenalty = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("translation"),
    overwrite: o.Overwrite = False,
) -> None:
    """Train a recurrent network on pairs, and compare it with simple baselines on others."""
    settings = o.settings(locals(), (*o.TRAINING, *_OWN))
    if settings.get("attention") == "none":
        settings["attention"] = None
    model = Seq2Seq(source=source_unit, target=target_unit, **settings)
    held = o.test_of(test)
    kept = options.saves(checkpoints, resume=resume)
    logs = options.logs(log, replace=overwrite or resume)
    check_free(out, overwrite=overwrite)
    console = Console(highlight=False)
    sources, targets, columns, note, at = read_pairs(data, None, source, target, header)
    tell(console, [note])
    units = (source_unit, target_unit)
    _check_lengths((sources, targets), units, max_length, at)
    if isinstance(held, Path):
        x, y, _, _, place = read_pairs(held, None, columns["source"], columns["target"], header)
        _check_lengths((x, y), units, max_length, place)
        trained, tested = (sources, targets), (x, y)
    else:
        first, second = split_by_source(sources, held, model.seed)
        trained, tested = (
            ([sources[i] for i in part], [targets[i] for i in part]) for part in (first, second)
        )
    console.print(
        f"- {counted(len(trained[0]), 'pair')} to train on, {len(tested[0]):,} to test on"
    )
    model.fit(
        *trained,
        watch=[Announced(console, model, unit="tokens"), *logs], saves=kept,
    )  # fmt: skip
    if not is_main():
        return
    if tested[0]:
        model.compare(*tested)
        console.print(
            score_table(model.comparison, f"Test part, {counted(len(tested[0]), 'pair')}")
        )
        console.print(f"{model.verdict}\n", markup=False)
    shown = (tested[0] or sources)[:_SHOWN]
    _write(model, out, shown, columns, header, overwrite=overwrite)
    console.print(
        f"Use it with:\n  recurnn translate predict {shlex.quote(str(out))} "
        f"{shlex.quote(sources[0])}", markup=False, soft_wrap=True,
    )  # fmt: skip


@app.command("eval")
def evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(help="File of pairs.")],
    source: Source = None,
    target: Target = None,
    header: o.Header = None,
    beam: Beam = None,
    shown: Annotated[int, typer.Option(help="Pairs to print beside what the model says.")] = 5,
) -> None:
    """How near the model's targets are to those of a file."""
    loaded, console = Seq2Seq.load(model), Console(highlight=False)
    sources, targets, _, note, _ = read_pairs(data, model, source, target, header)
    tell(console, [note])
    rows = loaded.compare(sources, targets, baselines=False, beam=beam)
    console.print(score_table(rows, f"{data}, {counted(len(sources), 'pair')}"))
    step = max(1, len(sources) // max(shown, 1))
    for i in range(0, len(sources), step)[:shown]:
        said = loaded.predict([sources[i]], beam=beam)[0]
        mark = "=" if said == targets[i] else "≠"
        console.print(f"{sources[i]} → {said} {mark} {targets[i]}", markup=False, soft_wrap=True)


@app.command()
def predict(
    model: Model,
    texts: Annotated[
        list[str] | None, typer.Argument(help="Sources; or one file of them.", show_default=False)
    ] = None,
    source: Source = None,
    header: o.Header = None,
    beam: Beam = None,
    attention: Annotated[
        Path | None, option(o.OUT, "PNG file to draw where the model looked.")
    ] = None,
    out: o.Predicted = None,
    overwrite: o.Overwrite = False,
) -> None:
    """Say the target of texts, or of every row of a file."""
    for file in (out, attention):
        check_new(file, overwrite=overwrite)
    loaded = Seq2Seq.load(model)
    if not texts:
        raise ConfigError("There is nothing to translate.\n  Give texts, or a file of them.")
    file = Path(texts[0]) if len(texts) == 1 and Path(texts[0]).is_file() else None
    if file is None and len(texts) == 1:
        _refuse_missing(texts[0])
    sources = texts
    if file is not None:
        rows, kept = o.read_again(file, model, header=header, known=SOURCE)
        found, note = roles(rows, {"source": (source or kept.get("source"), SOURCE)})
        typer.echo(f"- {note}", err=True)
        sources = rows.texts(found["source"])
    said = loaded.predict(sources, beam=beam)
    if attention is not None:
        attention_map(attention, [loaded.attend(s) for s in sources[:_SHOWN]])
    if file is None and out is None:
        for target in said:
            typer.echo(target if isinstance(target, str) else " ".join(target))
    else:
        say(pd.DataFrame({"source": sources, "target": said}), out)


def _check_lengths(
    both: tuple[list[str], list[str]], units: tuple[str | None, str | None], most: int | None,
    at: Callable[[int], str],
) -> None:  # fmt: skip
    """Name the row of a source or a target that is too long."""
    for texts, unit in zip(both, units, strict=True):
        check_lengths(texts, unit, most, at)


def _refuse_missing(text: str) -> None:
    """Refuse a text that is the name of a file, mistyped."""
    if " " not in text and suffix_of(Path(text)) in SUFFIXES:
        raise DataError(
            f"{text}: there is no such file.\n  To translate the name itself, give it beside "
            "another text."
        )


def read_pairs(
    data: Path, folder: Path | None, source: str | None = None, target: str | None = None,
    header: bool | None = None,
) -> tuple[list[str], list[str], dict[str, str], str, Callable[[int], str]]:  # fmt: skip
    """Sources and targets of a file.

    Args:
        data: the file.
        folder: of the model that reads them; None for one that is to be trained.
        source: name of the column, if the user says.
        target: likewise.
        header: whether the first line names the columns, likewise.

    Returns:
        Sources; targets; by their part the columns that they are; a sentence that says so; and
        from the number of a row to its place in the file, for errors.
    """
    rows, kept = o.read_again(data, folder, header=header, known=(*SOURCE, *TARGET))
    source, target = source or kept.get("source"), target or kept.get("target")
    found, note = roles(rows, {"source": (source, SOURCE), "target": (target, TARGET)})
    if found["source"] == found["target"]:
        raise ConfigError(
            f"{data}: column {found['source']} is both source and target.\n  Name two columns."
        )
    return rows.texts(found["source"]), rows.texts(found["target"]), found, note, rows.at


def _write(
    model: Seq2Seq, out: Path, shown: list[Any], columns: dict[str, str], header: bool | None, *,
    overwrite: bool,
) -> None:  # fmt: skip
    """All files of the output folder, at once."""
    with written(out, overwrite=overwrite) as folder:
        names = write_trained(folder, model, title=model.summary().splitlines()[0])
        o.keep_columns(folder, columns, header=header)
        names.append(READING)
        if model.attention is not None:
            attention_map(folder / "attention.png", [model.attend(s) for s in shown])
            names.append("attention.png")
    typer.echo(f"Wrote {out}/: {', '.join(names)}")
