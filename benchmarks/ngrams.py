"""N-grams: what grows with N on three texts, and how fast ten million tokens are counted.

    RECURNN_DATA=FOLDER python benchmarks/ngrams.py

Without RECURNN_DATA only the library's own text is there.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from recurnn.baselines import Ngram, NgramCounts, compare_ngrams
from recurnn.cli.tables import ngram_table
from recurnn.data.text import Corpus, Texts, fit_tokenizer, python_library, read_texts, split_texts

MILLIONS = 10
console = Console(width=110)


def table(name: str, texts: Texts, orders: Sequence[int], kind: str, **options: Any) -> None:
    parts = split_texts(texts, validation=0.1)
    tokenizer = fit_tokenizer(kind, parts.train, **options)
    ends = len(texts) > 1
    train, held_out = (Corpus.encode(p, tokenizer, ends=ends) for p in parts[:2])
    console.print(f"{name}: {len(train):,} tokens to count, V = {tokenizer.size:,}")
    console.print(ngram_table(compare_ngrams(train, held_out, orders=orders), unit=tokenizer.unit))


def timed(what: str, run: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    found = run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{what:60}{time.perf_counter() - began:7.2f} s   peak so far {peak:.2f} GB")
    return found


def speed() -> None:
    texts = python_library()
    text = "\n".join(texts)
    for kind in ("characters", "words", "bpe"):
        tokenizer = fit_tokenizer(kind, texts)
        ids = timed(f"encode {len(text) / 1e6:.0f} million characters, {kind}",
                    lambda t=tokenizer: t.encode(text))  # fmt: skip
        print(f"    {len(ids):,} tokens")
    shares = 1 / np.arange(3, 50_003) ** 1.05
    random = np.random.default_rng(0)
    drawn = random.choice(len(shares), MILLIONS * 10**6, p=shares / shares.sum())
    zipf = Corpus.of(drawn, size=len(shares))
    counts = timed(f"count {MILLIONS} million words of Zipf's law, order 5",
                   lambda: NgramCounts.of(zipf, 5))  # fmt: skip
    print(f"    {sum(map(len, counts.orders)):,} n-grams, "
          f"{sum(t.nbytes for t in counts.orders) / 1e6:,.0f} MB")  # fmt: skip
    model = timed("smooth", lambda: Ngram(5).fit(counts))
    one = Corpus.of(zipf.tokens[: 10**6], size=zipf.size)
    timed("score a million of them", lambda: model.score(one))


def main() -> None:
    folder = os.environ.get("RECURNN_DATA")
    if folder:
        shakespeare = Path(folder) / "tiny_shakespeare" / "input.txt.xz"
        table("tiny Shakespeare", read_texts(shakespeare), range(1, 9), "characters")
        poems = Path(folder) / "chinese_classical" / "song_ci_simp.tsv.xz"
        table("Song ci", read_texts(poems, column=3), range(1, 6), "characters")
        table("Song ci after the name of its tune", read_texts(poems, column=(2, 3)),
              range(1, 6), "characters")  # fmt: skip
    table("Python's library", read_texts(), range(1, 6), "words", size=10_000)
    speed()


if __name__ == "__main__":
    main()
