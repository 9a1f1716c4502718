"""Language models on real text, each figure beside what it has to reach.

RECURNN_DATA=... python benchmarks/language.py                    # all of these, in this order
RECURNN_DATA=... python benchmarks/language.py shakespeare        # at most 3 minutes
RECURNN_DATA=... python benchmarks/language.py shakespeare-long   # at most 15 minutes
RECURNN_DATA=... python benchmarks/language.py song               # beside n-grams; samples
RECURNN_DATA=... python benchmarks/language.py gaps               # filling gaps
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from rapidfuzz.distance import Levenshtein
from rich.console import Console

from kernel_bench.machine import machine
from recurnn.baselines import Ngram, Sampling
from recurnn.cli.lm.progress import LanguageProgress
from recurnn.cli.lm.tables import text_table
from recurnn.data.text import Corpus, Texts, read_texts, split_texts
from recurnn.models import LanguageModel
from recurnn.models.language import TextRow
from recurnn.models.language.filling import by_counts
from recurnn.models.language.gaps import gap_rows

SHAKESPEARE = Path("tiny_shakespeare") / "input.txt.xz"
SONG = Path("chinese_classical") / "song_ci_simp.tsv.xz"
TATOEBA = Path("tatoeba_eng_fra") / "fra.txt.xz"
TUNES = ("浣溪沙", "水调歌头", "菩萨蛮", "如梦令")
SAMPLES = 20

# What the recipe `char` leaves open.
SHORT: dict[str, Any] = {"epochs": 2}
LONG: dict[str, Any] = {
    "epochs": 9, "input_dropout": 0.1, "output_dropout": 0.3, "weight_dropout": 0.2,
}  # fmt: skip
POEMS: dict[str, Any] = {
    "hidden_size": 512, "num_layers": 2, "embedding_size": 320, "tied": True, "epochs": 9,
    "dropout": 0.4, "input_dropout": 0.3, "precision": "bfloat16",
}  # fmt: skip
SENTENCES: dict[str, Any] = {
    "unit": "words", "vocabulary": 10_000, "hidden_size": 512, "tied": True, "epochs": 8,
    "validation": 0.05, "dropout": 0.4, "output_dropout": 0.3, "ngram": 5, "precision": "bfloat16",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=[*RUNS, "all"], nargs="?", default="all")
    what = parser.parse_args().what
    if not os.environ.get("RECURNN_DATA"):
        sys.exit("Set RECURNN_DATA to the folder of the data sets.")
    print(machine())
    for name in RUNS if what == "all" else [what]:
        print(f"\n{name}", flush=True)
        RUNS[name]()


def data(file: Path) -> Path:
    return Path(os.environ["RECURNN_DATA"]) / file


def trained(texts: Texts, **options: Any) -> LanguageModel:
    console = Console(highlight=False, width=100)
    model = LanguageModel(**options)
    return model.fit(texts, watch=LanguageProgress(console, model))


def shakespeare(options: dict[str, Any], aim: float, minutes: int) -> None:
    """Nats a character on the last tenth, and the minutes that training took."""
    began = time.perf_counter()
    model = trained(read_texts(data(SHAKESPEARE)), **options)
    whole = time.perf_counter() - began
    row = next(r for r in model.comparison if r.recurrent)
    assert isinstance(row, TextRow)
    print(text_and_aims(model))
    print(
        f"{row.nats:.4f} nats a character (aim: at most {aim}), {row.seconds / 60:.2f} minutes "
        f"of training (aim: at most {minutes}), {whole / 60:.2f} with everything"
    )


def text_and_aims(model: LanguageModel) -> str:
    console = Console(highlight=False, width=100)
    with console.capture() as captured:
        console.print(text_table(model.comparison, f"On the {model.part} part"))
        console.print(model.verdict)
    return captured.get()


def song() -> None:
    """Poems by characters, the tune's name on the first line; n-grams of every order beside."""
    texts = read_texts(data(SONG), column=[2, 3])
    model = trained(texts, ngram=5, **POEMS)
    parts = split_texts(texts, validation=model.options.validation, seed=model.options.seed)
    train, held = (Corpus.encode(part, model.tokenizer) for part in parts[:2])
    print(text_and_aims(model))
    for order in (2, 3, 4, 6):
        scores = Ngram(order).fit(train).score(held)
        print(f"{order}-gram: {scores.nats_per_character:.4f} nats a character")
    assert model.ngram is not None
    print(f"\nof {SAMPLES} samples at temperature .7: how many have the form of a poem of the tune "
          "in the training part; the share of clauses as in the nearest form")  # fmt: skip
    for tune in TUNES:
        start, heat = f"{tune}\n", Sampling(temperature=0.7)
        poems = [t.removeprefix(start) for t in parts.train if t.startswith(start)]
        known = {form(t) for t in poems}
        ids, ngram = model.tokenizer.encode(start), model.ngram
        drawn = [ngram.generate(200, ids, sampling=heat, seed=k) for k in range(SAMPLES)]
        said = {
            "network": model.generate(start, samples=SAMPLES, temperature=0.7, length=200),
            "5-gram": [model.tokenizer.decode(one) for one in drawn],
        }
        told = "; ".join(f"{who} {kept(texts, known)}" for who, texts in said.items())
        print(f"{tune}, {len(poems)} poems of {len(known)} forms: {told}")
        for text in said["network"][:2]:
            print(f"  {text}")


def form(poem: str) -> tuple[int, ...]:
    """Characters of each clause: what a tune prescribes."""
    return tuple(len(clause) for clause in re.split("[，。？！；：]", poem.strip()) if clause)


def kept(poems: list[str], known: set[tuple[int, ...]]) -> str:
    """How many poems have a known form, and how near they come to the nearest one."""
    forms = [form(poem) for poem in poems]
    near = [max(Levenshtein.normalized_similarity(f, k) for k in known) for f in forms]
    whole = sum(f in known for f in forms)
    return f"{whole} of {len(poems)}, {sum(near) / len(near):.0%} of the clauses"


def gaps() -> None:
    """A word taken out of each of 500 held-out sentences."""
    lines = read_texts(data(TATOEBA), column=1, header=False)
    texts = Texts.of(list(dict.fromkeys(lines)))  # a sentence has many translations
    both = trained(texts, context="both", **SENTENCES, batch_size=128, steps=40)
    left = trained(texts, **SENTENCES, batch_size=64, steps=32)
    parts = split_texts(texts, validation=SENTENCES["validation"])
    held = both.encode(parts.validation)
    assert both.ngram is not None
    guesses = {
        "both sides": both.guesses()["both"],
        "left to right, what is before": left.guesses()["left"],
        "left to right, the whole sentence": left.guesses()["whole"],
        "5-gram, what is before": before_only(both.ngram),
        "5-gram, both sides": by_counts(both.ngram),
    }
    networks = [name for name in guesses if "gram" not in name]
    rows = gap_rows(guesses, held, places=500, recurrent=networks)
    Console(highlight=False, width=100).print(
        text_table(rows, f"A word taken out of each of {rows[0].places} sentences held out")
    )


def before_only(ngram: Ngram) -> Any:
    import numpy as np

    return lambda ids, at: np.log(ngram.distribution(ids[:at]))


RUNS = {
    "shakespeare": lambda: shakespeare(SHORT, 1.75, 3),
    "shakespeare-long": lambda: shakespeare(LONG, 1.50, 15),
    "song": song,
    "gaps": gaps,
}


if __name__ == "__main__":
    main()
