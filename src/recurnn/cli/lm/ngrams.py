"""``recurnn lm ngrams``: what counting comes to, before a network is trained."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from recurnn.baselines import Ngram, NgramCounts, Sampling, compare_ngrams
from recurnn.cli.lm import options as o
from recurnn.cli.lm.unknown import tell_unknown
from recurnn.cli.tables import ngram_table
from recurnn.data.text import Corpus, Tokenizer, fit_tokenizer, read_texts, split_texts
from recurnn.errors import ConfigError
from recurnn.models.language.writing import never

_MOST = 20


def ngrams(
    text: o.Sources = None,
    column: o.Column = None,
    header: o.Header = None,
    join: o.Join = "\n",
    documents: o.Documents = "file",
    unit: o.Unit = "characters",
    vocabulary: o.Vocabulary = None,
    min_count: o.MinCount = None,
    segmenter: o.Segmenter = None,
    order: Annotated[int, typer.Option(help="The greatest N.")] = 5,
    k: Annotated[float, typer.Option("--k", help="Of add-k.")] = 0.01,
    validation: Annotated[float, typer.Option(help="Share that is held out.")] = 0.1,
    length: Annotated[int, typer.Option(help="Tokens of text that each N writes; 0: none.")] = 100,
    prompt: Annotated[str, typer.Option(help="What they go on from.")] = "",
    seed: Annotated[int, typer.Option(help="Of the parts and of what is drawn.")] = 0,
) -> None:
    """What grows with N: n-grams, memory, and what was never seen; and what each N writes."""
    if not 1 <= order <= _MOST:
        raise ConfigError(f"order is {order}.\n  N-grams have from 1 to {_MOST} tokens.")
    if length < 0:
        raise ConfigError(f"length is {length}; expected a whole number of at least 0.")
    if not validation:
        raise ConfigError(
            "validation is 0: there is no text to count unseen n-grams in.\n  Hold some out: 0.1."
        )
    parts = split_texts(
        read_texts(text or None, **o.reading(column, header, join, documents)),
        validation=validation, seed=seed,
    )  # fmt: skip
    asked = {"size": vocabulary, "min_count": min_count, "segmenter": segmenter}
    tokenizer = fit_tokenizer(
        unit or "characters", parts.train, **{k: v for k, v in asked.items() if v is not None}
    )
    ends = len(parts.train) > 1
    train, held = (Corpus.encode(part, tokenizer, ends=ends) for part in parts[:2])
    console = Console(highlight=False)
    console.print(f"Tokens ({tokenizer.kind}): {len(train):,} counted; V = {tokenizer.size:,}")
    orders = range(1, order + 1)
    rows = compare_ngrams(train, held, orders=orders, k=k)
    console.print(ngram_table(rows, unit=tokenizer.unit))
    if length:
        tell_unknown(console, tokenizer, (prompt,))
        counts = NgramCounts.of(train, order)
        for n in orders:
            model = Ngram(n).fit(counts, tokenizer)
            written = _written(model, tokenizer, prompt, length, seed, ends=ends)
            console.print(f"N = {n}: {written!r}", markup=False, soft_wrap=True)


def _written(
    model: Ngram, tokenizer: Tokenizer, prompt: str, length: int, seed: int, *, ends: bool
) -> str:
    """The prompt, and what the n-grams go on with."""
    start = tokenizer.encode(prompt)
    ids = model.generate(length, start, sampling=Sampling(without=never(ends=ends)), seed=seed)
    return tokenizer.decode(np.concatenate([start, ids]))
