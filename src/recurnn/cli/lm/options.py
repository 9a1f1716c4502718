"""The options of ``recurnn lm``: their help, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recurnn.errors import ConfigError
from recurnn.models.language import RECIPES


def _option(panel: str, help: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False)


_READ, _TOKEN, _NET = "Text", "Tokens", "Network"
_DROP, _FIT, _OUT, _WRITE = "Dropout", "Training", "Output", "Writing"

Sources = Annotated[
    list[str] | None,
    typer.Argument(
        help="Files, folders or patterns. Without: the source text of Python's library.",
        show_default=False,
    ),
]
Text = Annotated[list[str], typer.Argument(help="Files, folders or patterns.")]
Model = Annotated[Path, typer.Argument(help="Folder that `recurnn lm train` wrote.")]

Column = Annotated[
    list[str] | None,
    _option(_READ, "Column or key of the text, or its number; several are joined."),
]
Header = Annotated[
    bool | None,
    _option(_READ, "Whether a table's first line names columns.", "--header/--no-header"),
]
Join = Annotated[str, _option(_READ, r"Stands between columns (a line end; \n, \t are read so).")]
Documents = Annotated[str, _option(_READ, "A document: file, line or paragraph (file).")]

Unit = Annotated[str | None, _option(_TOKEN, "characters, words or bpe.", "--unit", "--tokens")]
Vocabulary = Annotated[int | None, _option(_TOKEN, "Size, <unk> and <end> included.")]
MinCount = Annotated[int | None, _option(_TOKEN, "Units that come less often are <unk>.")]
Segmenter = Annotated[str | None, _option(_TOKEN, "Of words: punctuation, space or jieba.")]

Context = Annotated[str | None, _option(_NET, "left: writes; both: fills gaps.")]
Cell = Annotated[str | None, _option(_NET, "Any name that `recurnn cells` lists (lstm).")]
HiddenSize = Annotated[str | None, _option(_NET, "Units: 512; or one a layer: 1150,1150,400.")]
NumLayers = Annotated[int | None, _option(_NET, "Layers of that size.")]
EmbeddingSize = Annotated[int | None, _option(_NET, "Of the token embeddings.")]
Tied = Annotated[
    bool | None, _option(_NET, "Output weights are the embedding's.", "--tied/--untied")
]
Softmax = Annotated[str | None, _option(_NET, "full or adaptive.")]
Cutoffs = Annotated[str | None, _option(_NET, "Of the adaptive softmax: 2000,10000.")]
Start = Annotated[float | None, _option(_NET, "Weights begin between −START and START.")]
ForgetBias = Annotated[float | None, _option(_NET, "Where the forget gate's bias begins.")]

Dropout = Annotated[float | None, _option(_DROP, "Between layers.")]
InputDropout = Annotated[float | None, _option(_DROP, "Before the first layer (as --dropout).")]
OutputDropout = Annotated[float | None, _option(_DROP, "After the last layer (as --dropout).")]
Variational = Annotated[
    bool | None, _option(_DROP, "One mask for all steps of those.", "--variational/--by-step")
]
EmbeddingDropout = Annotated[float | None, _option(_DROP, "Of a token's whole embedding.")]
StateDropout = Annotated[float | None, _option(_DROP, "Of the recurrent state.")]
WeightDropout = Annotated[float | None, _option(_DROP, "Of the recurrent weights.")]
Zoneout = Annotated[float | None, _option(_DROP, "Of units that keep their state.")]

Recipe = Annotated[str, _option(_FIT, f"{', '.join(RECIPES)} (char); other options override it.")]
Optimizer = Annotated[str | None, _option(_FIT, "adam, adamw, nadam, rmsprop or sgd.")]
LearningRate = Annotated[float | None, _option(_FIT, "Of the optimizer.")]
Momentum = Annotated[float | None, _option(_FIT, "Of sgd and rmsprop.")]
WeightDecay = Annotated[float | None, _option(_FIT, "Of the optimizer.")]
Schedule = Annotated[
    str | None, _option(_FIT, "constant, cosine, linear, decay or plateau, of the learning rate.")
]
DecayAfter = Annotated[int | None, _option(_FIT, "Epochs with the full learning rate.")]
Decay = Annotated[float | None, _option(_FIT, "Factor on the learning rate after that.")]
BatchSize = Annotated[int | None, _option(_FIT, "Lanes read side by side.")]
Steps = Annotated[int | None, _option(_FIT, "Tokens of a chunk (k1).")]
Back = Annotated[int | None, _option(_FIT, "Tokens the gradient goes back (k2; as --steps).")]
Epochs = Annotated[int | None, _option(_FIT, "At most.")]
Patience = Annotated[int | None, _option(_FIT, "Epochs without a better one; 0: never stop early.")]
Clip = Annotated[float | None, _option(_FIT, "Greatest norm of the gradient; 0: any.")]
Averaging = Annotated[
    str | None, _option(_FIT, "Epochs after which weights are averaged, or non-monotonic.")
]
ActivationPenalty = Annotated[float | None, _option(_FIT, "On the squares of the outputs.")]
ChangePenalty = Annotated[float | None, _option(_FIT, "On the squares of their changes.")]
Precision = Annotated[str | None, _option(_FIT, "float32; or bfloat16, in what is multiplied.")]
Validation = Annotated[float | None, _option(_FIT, "Share or number held out to choose by (0.1).")]
Test = Annotated[float | None, _option(_FIT, "Share or number held out to report on (0).")]
Ngram = Annotated[int | None, _option(_FIT, "N of the n-gram beside the network; 0: none (5).")]
Seed = Annotated[int | None, _option(_FIT, "Of weights, order and dropout (0).")]
Prompt = Annotated[str, _option(_FIT, "What the sample after each epoch goes on from.")]

Out = Annotated[Path, typer.Option(help="Folder to write.", rich_help_panel=_OUT)]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the model there.", rich_help_panel=_OUT)
]
Checkpoints = Annotated[Path | None, _option(_OUT, "Folder for checkpoints.")]
Every = Annotated[int | None, _option(_OUT, "Updates between checkpoints.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from a checkpoint there.", rich_help_panel=_OUT)
]

Cache = Annotated[int | None, typer.Option(help="States in a neural cache beside the network.")]
Flatness = Annotated[float, typer.Option(help="θ of the cache.")]
Share = Annotated[float, typer.Option(help="λ of the cache.")]

OF_THE_MODEL = (
    "unit", "vocabulary", "min_count", "segmenter", "context", "cell", "hidden_size", "num_layers",
    "embedding_size", "tied", "softmax", "cutoffs", "start", "forget_bias", "dropout",
    "input_dropout", "output_dropout", "variational", "embedding_dropout", "state_dropout",
    "weight_dropout", "zoneout", "optimizer", "learning_rate", "momentum", "weight_decay",
    "schedule", "decay_after", "decay", "batch_size", "steps", "back", "epochs", "patience",
    "clip", "averaging", "activation_penalty", "change_penalty", "precision", "validation", "test",
    "ngram", "seed",
)  # fmt: skip


def settings(given: dict[str, Any]) -> dict[str, Any]:
    """The model's options, of those that were given on the command line."""
    chosen = dict(given)
    if "hidden_size" in given:
        sizes = _numbers("--hidden-size", given["hidden_size"])
        chosen["hidden_size"] = sizes[0] if len(sizes) == 1 else sizes
    if "cutoffs" in given:
        chosen["cutoffs"] = _numbers("--cutoffs", given["cutoffs"])
    if given.get("averaging", "").isdecimal():
        chosen["averaging"] = int(given["averaging"])
    for name in ("patience", "clip"):
        if given.get(name) == 0:
            chosen[name] = None
    for name in ("validation", "test"):
        if name in given and given[name] >= 1 and given[name] == int(given[name]):
            chosen[name] = int(given[name])
    return chosen


def reading(
    column: list[str] | None, header: bool | None, join: str, documents: str
) -> dict[str, Any]:
    """How texts are read: the arguments of `recurnn.data.text.read_texts`."""
    columns = [int(c) if c.isdecimal() else c for c in column or []]
    return {
        "column": (columns[0] if len(columns) == 1 else columns) if columns else None,
        "header": header,
        "join": join.replace("\\n", "\n").replace("\\t", "\t"),
        "documents": documents,
    }


def _numbers(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"{name} is {text!r}; expected a whole number, or several with commas: 50,200."
        ) from None
