"""Models in words."""

from __future__ import annotations

from collections.abc import Mapping

from recurnn.baselines import Ngram
from recurnn.data.text import Tokenizer
from recurnn.models.language.options import LanguageOptions

_SHORT = {"lstm": "LSTM", "gru": "GRU", "elman": "Elman"}


def name_of(options: LanguageOptions) -> str:
    """What the network is called in progress and tables."""
    name = _SHORT.get(options.cell, options.cell)
    return f"{name} from both sides" if options.context == "both" else name


def ngram_name(ngram: Ngram) -> str:
    """What an n-gram model is called in tables."""
    return f"{ngram.order}-gram"


def ngram_size(ngram: Ngram) -> int:
    """The counts that it keeps."""
    return sum(len(table.counts) for table in ngram.counts.orders[: ngram.order])


def summary(options: LanguageOptions, tokenizer: Tokenizer, tokens: Mapping[str, int]) -> str:
    """What is read and by what, in two lines.

    Args:
        options: of the model.
        tokenizer: of the tokens.
        tokens: how many each part has; under ``"unknown"``, how many are unknown.
    """
    parts = [f"{n:,} for {_FOR[name]}" for name, n in tokens.items() if name in _FOR]
    every = sum(n for name, n in tokens.items() if name in _FOR)
    unknown = tokens.get("unknown", 0)
    said = f", {unknown / every:.2%} unknown" if unknown else ""
    o, sizes = options, options.hidden_sizes
    layers = " + ".join(map(str, sizes)) if len(set(sizes)) > 1 else f"{len(sizes)} × {sizes[0]}"
    return (
        f"Tokens ({tokenizer.kind}): {', '.join(parts)}; V = {tokenizer.size:,}{said}\n"
        f"Network: {name_of(o)} ({layers}), embedding {o.embedding(tokenizer.size)}"
        f"{', tied' if o.tied else ''}{', adaptive softmax' if o.softmax == 'adaptive' else ''}; "
        f"{o.optimizer} {o.learning_rate:g}, {o.schedule}, batch {o.batch_size} × {o.window}, "
        f"seed {o.seed}"
    )


_FOR = {"train": "training", "validation": "validation", "test": "the test"}
