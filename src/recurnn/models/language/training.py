"""From text to a trained network: parts, vocabulary, tokens, training."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recurnn.baselines import Ngram
from recurnn.data.text import UNKNOWN, Corpus, Texts, Tokenizer, fit_tokenizer, split_texts
from recurnn.models.language.describing import name_of
from recurnn.models.language.feeding import Pieces, stream
from recurnn.models.language.network import Network, network
from recurnn.models.language.options import LanguageOptions
from recurnn.training import History, Saves, Supervised, Watch, fit

BUDGET, MOST = 12_000_000, 40
"""Tokens that are trained on where the epochs are open, and the most epochs."""


@dataclass(frozen=True)
class Prepared:
    """The text of a model in its parts.

    Attributes:
        tokenizer: made from the training part.
        train: its tokens.
        validation: None where nothing was held out.
        test: likewise.
        ends: whether documents close with a token of their own.
        notes: what was guessed or left out.
    """

    tokenizer: Tokenizer
    train: Corpus
    validation: Corpus | None
    test: Corpus | None
    ends: bool
    notes: tuple[str, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """Tokens of each part that there is, and those that are unknown."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        found = {name: len(part) for name, part in parts.items() if part is not None}
        unknown = sum(
            int((part.tokens == UNKNOWN).sum()) for part in parts.values() if part is not None
        )
        return found | {"unknown": unknown}


def prepare(texts: Texts, options: LanguageOptions, *, limit: bool) -> Prepared:
    """Hold out parts, make the vocabulary of the training part, and the tokens of all.

    Args:
        texts: the documents.
        options: of the model.
        limit: whether a vocabulary larger than the text's is an upper limit; otherwise it is an
            error.

    Raises:
        DataError: the text cannot be used.
        ConfigError: a vocabulary that the text does not support.
    """
    o = options
    parts = split_texts(texts, validation=o.validation, test=o.test, seed=o.seed)
    tokenizer = _tokenizer(parts.train, o, limit=limit)
    # One text that was cut has no end; documents have.
    ends = len(texts) > 1
    corpora = [Corpus.encode(part, tokenizer, ends=ends) if len(part) else None for part in parts]
    assert corpora[0] is not None
    return Prepared(tokenizer, corpora[0], corpora[1], corpora[2], ends, texts.notes)


def _tokenizer(train: Texts, o: LanguageOptions, *, limit: bool) -> Tokenizer:
    extra: dict[str, Any] = {"segmenter": o.segmenter} if o.unit == "words" else {}
    if o.unit == "bpe":
        size = {} if o.vocabulary is None else {"size": o.vocabulary}
        return fit_tokenizer("bpe", train, **size)
    extra["min_count"] = o.min_count
    if limit and o.vocabulary is not None:
        every = fit_tokenizer(o.unit, train, **extra)
        if every.size <= o.vocabulary:
            return every
    return fit_tokenizer(o.unit, train, size=o.vocabulary, **extra)


def train(
    prepared: Prepared,
    options: LanguageOptions,
    *,
    watch: Watch | Sequence[Watch] | None = None,
    saves: Saves | None = None,
) -> tuple[Network, History]:
    """Train the network that the options describe.

    Raises:
        DataError: the text is shorter than a chunk.
        TrainingError: the loss is no longer a number.
        CheckpointError: as `recurnn.training.fit`.
    """
    module = network(options, prepared.tokenizer.size)
    epochs = max(1, min(MOST, round(BUDGET / len(prepared.train))))
    data, held = _parts(prepared, options)
    history = fit(
        module,
        data,
        held,
        options.plan(epochs, validated=held is not None),
        name=name_of(options),
        watch=watch,
        objective=Supervised(module.loss),
        saves=saves,
    )
    return module, history


def _parts(prepared: Prepared, o: LanguageOptions) -> tuple[Any, Any]:
    """Training and validation part as `fit` takes them."""
    if o.context == "both":
        held = None if prepared.validation is None else Pieces(prepared.validation, o.steps)
        return Pieces(prepared.train, o.steps), held
    data = stream(prepared.train, o.batch_size, o.window, "training")
    if prepared.validation is None:
        return data, None
    lanes = max(1, min(16, len(prepared.validation) // 256))
    return data, stream(prepared.validation, lanes, 1, "validation")


def count_ngrams(prepared: Prepared, order: int) -> tuple[Ngram | None, float]:
    """The n-gram model of the training part, None for order 0; and the seconds it took."""
    began = time.perf_counter()
    found = Ngram(order).fit(prepared.train) if order else None
    return found, time.perf_counter() - began
