"""The options that ``recurnn translate`` and ``recurnn generate`` share, and how they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from recurnn.cli import options
from recurnn.cli.labelled import READING
from recurnn.cli.options import option
from recurnn.data.pairs import Rows, read_rows
from recurnn.errors import ConfigError

READ, NET, FIT, OUT = "Data", "Network", "Training", "Output"

Header = Annotated[
    bool | None, option(READ, "Whether the first line names columns.", "--header/--no-header")
]
Vocabulary = Annotated[int | None, option(READ, "Tokens at most, <unk> and <end> included.")]
MinCount = Annotated[int | None, option(READ, "Tokens that come less often are <unk>.")]
MaxLength = Annotated[int | None, option(READ, "Most tokens that a text may have.")]
Test = Annotated[str, option(READ, "Another file, or a share held out, to report on (0.1).")]
Validation = Annotated[float | None, option(READ, "Share held out to choose by (0.1).")]

HiddenSize = Annotated[str | None, option(NET, "Units: 128; or one a layer: 256,128.")]
EmbeddingSize = Annotated[int | None, option(NET, "Of the token embeddings (64).")]
Dropout = Annotated[float | None, option(NET, "Share dropped before each layer (0).")]

LearningRate = Annotated[float | None, option(FIT, "Of the optimizer (0.002).")]
Schedule = Annotated[str | None, option(FIT, "constant, cosine or linear (cosine).")]
BatchSize = Annotated[int | None, option(FIT, "Pairs in a batch.")]
Epochs = Annotated[int | None, option(FIT, "At most (20).")]
Patience = Annotated[int | None, option(FIT, "Epochs without a better one (5); 0: never stop.")]

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there.", rich_help_panel=OUT)
]
Predicted = Annotated[Path | None, option(OUT, "CSV file to write; printed otherwise.")]

TRAINING = (
    "cell", "hidden_size", "num_layers", "embedding_size", "dropout", "optimizer", "learning_rate",
    "schedule", "batch_size", "epochs", "patience", "clip", "precision", "seed", "validation",
)  # fmt: skip


def settings(given: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The options of the model, of all that a command was given."""
    return options.settings(None, {k: v for k, v in given.items() if k in names and v is not None})


def test_of(text: str) -> float | Path:
    """What is reported on: a share that is held out, or a file.

    Raises:
        ConfigError: it is neither.
    """
    try:
        share = float(text)
    except ValueError:
        if not Path(text).is_file():
            raise ConfigError(
                f"test is {text!r}, and there is no such file.\n"
                "  Expected a file, or a share of at least 0 and below 1."
            ) from None
        return Path(text)
    if not 0 <= share < 1:
        raise ConfigError(f"test is {share:g}; expected a share of at least 0 and below 1.")
    return share


def keep_columns(folder: Path, columns: Mapping[str, str], *, header: bool | None) -> None:
    """Write which columns the data were read from, so that further files are read alike."""
    text = json.dumps({"columns": columns, "header": header}, indent=2, ensure_ascii=False)
    (folder / READING).write_text(text + "\n", encoding="utf-8")


def read_again(
    file: Path, folder: Path | None, *, header: bool | None, known: Sequence[str]
) -> tuple[Rows, dict[str, str]]:
    """A table, as the data of a model were read if nothing else is said.

    Args:
        file: the table.
        folder: of the model; None for none.
        header: whether the first line names the columns, if the user says.
        known: names that columns often have.

    Returns:
        The table; and by their part those columns of the model's data that it has too.
    """
    kept: dict[str, Any] = {"columns": {}, "header": None}
    if folder is not None and (folder / READING).is_file():
        kept = json.loads((folder / READING).read_text(encoding="utf-8"))
    rows = read_rows(file, header=kept["header"] if header is None else header, known=known)
    return rows, {part: name for part, name in kept["columns"].items() if name in rows.names}
