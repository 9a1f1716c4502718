"""``recurnn translate``: models from sequence to sequence."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console

from recurnn.cli import pair_options as o
from recurnn.cli.options import saves
from recurnn.cli.pair_plots import attention_map, learning_curve
from recurnn.cli.pair_tables import scored_table
from recurnn.data.pairs import SOURCE, TARGET, read_rows, roles
from recurnn.data.pairs_answers import split_by_source
from recurnn.errors import ConfigError
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
Source = Annotated[str | None, o.option(o.READ, "Column of the sources; or its number.")]
Target = Annotated[str | None, o.option(o.READ, "Column of the targets; or its number.")]
SourceUnit = Annotated[str | None, o.option(o.READ, "characters, words, bpe or tokens.")]
TargetUnit = Annotated[
    str | None, o.option(o.READ, "characters, words, bpe, or tokens: what is between spaces.")
]
Copy = Annotated[
    bool | None, o.option(o.NET, "Unknown words are copied from the source.", "--copy/--no-copy")
]
Directions = Annotated[
    bool | None, o.option(o.NET, "Read the source from both ends (on).", "--both/--forward")
]
AttentionKind = Annotated[str | None, o.option(o.NET, "general, dot, bahdanau or none (general).")]
Sampling = Annotated[
    float | None, o.option(o.FIT, "Share of own guesses read in the last epoch (0).")
]
Beam = Annotated[int | None, o.option(o.OUT, "Beginnings kept at a time (4).")]
LengthPenalty = Annotated[float | None, o.option(o.OUT, "α of Wu et al. 2016 (0.6).")]


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
    test: o.Test = 0.1,
    validation: o.Validation = None,
    copy: Copy = None,
    bidirectional: Directions = None,
    attention: AttentionKind = None,
    cell: o.Cell = None,
    hidden_size: o.HiddenSize = None,
    num_layers: o.NumLayers = None,
    embedding_size: o.EmbeddingSize = None,
    dropout: o.Dropout = None,
    scheduled_sampling: Sampling = None,
    optimizer: o.Optimizer = None,
    learning_rate: o.LearningRate = None,
    schedule: o.Schedule = None,
    batch_size: o.BatchSize = None,
    epochs: o.Epochs = None,
    patience: o.Patience = None,
    clip: o.Clip = None,
    seed: o.Seed = None,
    checkpoints: o.Checkpoints = None,
    resume: o.Resume = False,
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
    o.check_test(test)
    kept = saves(checkpoints, resume=resume)
    check_free(out, overwrite=overwrite)
    console = Console(highlight=False)
    sources, targets = _pairs(console, data, source, target, header)
    first, second = split_by_source(sources, test, model.seed)
    console.print(f"- {len(first):,} pairs to train on, {len(second):,} to test on")
    model.fit(
        [sources[i] for i in first], [targets[i] for i in first],
        watch=o.Announced(console, model, "tokens"), saves=kept,
    )  # fmt: skip
    if not is_main():
        return
    if second:
        model.compare([sources[i] for i in second], [targets[i] for i in second])
        console.print(scored_table(model.comparison, f"Test part, {len(second):,} pairs"))
        console.print(f"{model.verdict}\n", markup=False)
    _write(model, out, [sources[i] for i in (second or first)], overwrite=overwrite)
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
    sources, targets = _pairs(console, data, source, target, header)
    rows = loaded.compare(sources, targets, baselines=False, beam=beam)
    console.print(scored_table(rows, f"{data}, {len(sources):,} pairs"))
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
        Path | None, o.option(o.OUT, "PNG file to draw where the model looked.")
    ] = None,
    out: o.Predicted = None,
    overwrite: o.Overwrite = False,
) -> None:
    """Say the target of texts, or of every row of a file."""
    for file in (out, attention):
        o.check_new(file, overwrite=overwrite)
    loaded = Seq2Seq.load(model)
    if not texts:
        raise ConfigError("There is nothing to translate.\n  Give texts, or a file of them.")
    file = Path(texts[0]) if len(texts) == 1 and Path(texts[0]).is_file() else None
    sources = texts
    if file is not None:
        rows = read_rows(file, header=header, known=SOURCE)
        found, note = roles(rows, {"source": (source, SOURCE)})
        typer.echo(f"- {note}", err=True)
        sources = rows.texts(found["source"])
    said = loaded.predict(sources, beam=beam)
    if attention is not None:
        attention_map(attention, [loaded.attend(s) for s in sources[:_SHOWN]])
    if file is None and out is None:
        for target in said:
            typer.echo(target if isinstance(target, str) else " ".join(target))
    else:
        o.say(pd.DataFrame({"source": sources, "target": said}), out)


def _pairs(
    console: Console, data: Path, source: str | None, target: str | None, header: bool | None
) -> tuple[list[str], list[str]]:
    """Sources and targets of a file; what was guessed is printed."""
    rows = read_rows(data, header=header, known=(*SOURCE, *TARGET))
    found, note = roles(rows, {"source": (source, SOURCE), "target": (target, TARGET)})
    console.print(f"- {note}", markup=False, soft_wrap=True)
    return rows.texts(found["source"]), rows.texts(found["target"])


def _write(model: Seq2Seq, out: Path, sources: list[Any], *, overwrite: bool) -> None:
    """All files of the output folder, at once."""
    names = ["model.safetensors", "config.json", "history.csv", "learning.png"]
    with written(out, overwrite=overwrite) as folder:
        model.write_to(folder)
        rows = pd.DataFrame([e.row() for e in model.history.epochs])
        rows.to_csv(folder / "history.csv", index=False)
        learning_curve(
            folder / "learning.png", model.history, title=model.summary().splitlines()[0]
        )
        if getattr(model, "comparison", None):
            table = pd.DataFrame([row.row() for row in model.comparison])
            table.to_csv(folder / "comparison.csv", index=False)
            names.append("comparison.csv")
        if model.attention is not None:
            attention_map(folder / "attention.png", [model.attend(s) for s in sources[:_SHOWN]])
            names.append("attention.png")
    typer.echo(f"Wrote {out}/: {', '.join(names)}")
