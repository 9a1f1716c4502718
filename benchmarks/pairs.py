"""Sequence to sequence on real pairs, each figure beside what it has to reach.

RECURNN_DATA=... python benchmarks/pairs.py              # all of these, in this order
RECURNN_DATA=... python benchmarks/pairs.py g2p          # at most 20 minutes of training
RECURNN_DATA=... python benchmarks/pairs.py translation  # two networks, 5 minutes each
RECURNN_DATA=... python benchmarks/pairs.py names        # names of a nationality
RECURNN_DATA=... python benchmarks/pairs.py strokes      # pen trajectories of a digit
"""

from __future__ import annotations

import argparse
import lzma
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import recurnn
from kernel_bench.machine import machine
from recurnn.cli.progress import TrainingProgress
from recurnn.cli.tables import score_table
from recurnn.data.pairs_answers import Answers, split_by_source
from recurnn.models.seq2seq.scores import bleu, scored
from recurnn.training import Epoch, Run, Saves

CMUDICT = Path("cmudict_g2p") / "cmudict.dict.xz"
TATOEBA = Path("tatoeba_eng_fra") / "fra.txt.xz"
NAMES = Path("names_nationality") / "names.tsv.xz"
PENDIGITS = [Path("pendigits") / f"pendigits.{part}.xz" for part in ("tra", "tes")]
ERRORS, MINUTES = 0.08, 20.0  # aims of g2p
WORDS = 10

G2P: dict[str, Any] = {
    "source": "characters", "cell": "lstm", "hidden_size": 256, "embedding_size": 64,
    "dropout": 0.1, "batch_size": 128, "learning_rate": 2e-3, "epochs": 8, "patience": None,
    "beam": 4, "validation": 5 / 95,
}  # fmt: skip
TRANSLATION: dict[str, Any] = {
    "source": "words", "target": "words", "vocabulary": 6000, "cell": "lstm", "hidden_size": 256,
    "embedding_size": 128, "dropout": 0.1, "batch_size": 256, "learning_rate": 3e-3, "epochs": 3,
    "patience": None, "beam": 4, "validation": 0.02, "precision": "bfloat16",
}  # fmt: skip
OF_NAMES: dict[str, Any] = {
    "hidden_size": 128, "embedding_size": 32, "dropout": 0.3, "batch_size": 64, "epochs": 12,
    "learning_rate": 3e-3,
}  # fmt: skip
OF_STROKES: dict[str, Any] = {
    "hidden_size": 96, "components": 8, "batch_size": 64, "epochs": 15, "learning_rate": 3e-3,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=[*RUNS, "all"], nargs="?", default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--checkpoints", type=Path, help="g2p: where to go on after an end")
    given = parser.parse_args()
    if given.checkpoints is not None and given.what != "g2p":
        parser.error("--checkpoints is for g2p")
    if not os.environ.get("RECURNN_DATA"):
        sys.exit("Set RECURNN_DATA to the folder of the data sets.")
    print(machine())
    more: dict[str, Any] = {} if given.epochs is None else {"epochs": given.epochs}
    if given.checkpoints is not None:
        more["saves"] = Saves(given.checkpoints, every=200, resume=True)
    for name in RUNS if given.what == "all" else [given.what]:
        print(f"\n{name}", flush=True)
        RUNS[name](more | {"seed": given.seed})


def lines(file: Path) -> list[str]:
    with lzma.open(Path(os.environ["RECURNN_DATA"]) / file, "rt", encoding="utf-8") as text:
        return text.read().splitlines()


def pronunciations() -> tuple[list[str], list[list[str]]]:
    """Words, one or more times each, and their phonemes without stress."""
    words, phonemes = [], []
    for line in lines(CMUDICT):
        word, *rest = line.split("#")[0].split()
        words.append(re.sub(r"\(\d+\)$", "", word))
        phonemes.append([re.sub(r"\d", "", p) for p in rest])
    return words, phonemes


class Epochs(TrainingProgress):
    """A line an epoch, with the processor's time of this process so far."""

    def epoch(self, run: Run, epoch: Epoch, *, best: bool) -> None:
        super().epoch(run, epoch, best=best)
        used = time.process_time() / 60
        print(f"epoch {epoch.number}: validation {epoch.validation_loss:.4f}, {epoch.seconds:.0f} s"
              f", {used:.1f} minutes of processor time", flush=True)  # fmt: skip


def trained(
    sources: list[Any], targets: list[Any], options: dict[str, Any]
) -> tuple[recurnn.Seq2Seq, float, float]:
    """A model, and the minutes that its training took: on the clock, and of the processor.

    Of a training that was taken up again the processor's time is that since then.
    """
    saves = options.pop("saves", None)
    model = recurnn.Seq2Seq(**options)
    processor = time.process_time()
    model.fit(sources, targets, watch=Epochs(Console(width=100), unit="tokens"), saves=saves)
    print(model.summary(), flush=True)
    return model, model.history.seconds / 60, (time.process_time() - processor) / 60


def parts(sources: list[Any], targets: list[Any], share: float) -> tuple[Any, Any, Any, Any]:
    """Pairs to train on, and to test on; the split is fixed, whatever the seed of the network."""
    train, test = split_by_source(sources, share, seed=0)
    return (
        [sources[i] for i in train], [targets[i] for i in train],
        [sources[i] for i in test], [targets[i] for i in test],
    )  # fmt: skip


def g2p(more: dict[str, Any]) -> None:
    """Phoneme and word error rate on 5 % of the words; the nearest pronunciation counts."""
    x, y, x_test, y_test = parts(*pronunciations(), 0.05)
    options = G2P | more
    model, minutes, processor = trained(x, y, options)
    began = time.perf_counter()
    rows = model.compare(x_test, y_test)
    print(f"{len(set(x_test)):,} words of the test part, {time.perf_counter() - began:.0f} s")
    Console(width=100).print(score_table(rows, "CMUdict without stress, test words"))
    print(model.verdict)
    for beam in (1, options["beam"]):
        answers = Answers.of(x_test, y_test)
        found = model.predict(answers.sources, beam=beam)
        row = scored("", found, answers.targets, "tokens")
        print(
            f"beam {beam}: phoneme error rate {row.scores['token errors']:.2%}, "
            f"word error rate {1 - row.scores['exact']:.2%}"
        )
    errors = next(r for r in rows if r.recurrent).scores["token errors"]
    print(
        f"phoneme error rate {errors:.2%} with beam {options['beam']} (aim: at most {ERRORS:.0%}), "
        f"{minutes:.1f} minutes of training, {processor:.1f} of processor time on two cores "
        f"(aim: at most {MINUTES:.0f} minutes)"
    )


def translation(more: dict[str, Any]) -> None:
    """BLEU with and without attention, on the shorter and the longer half of the test part."""
    pairs = [line.split("\t")[:2] for line in lines(TATOEBA)]
    pairs = [p for p in pairs if all(len(text.split()) <= WORDS for text in p)]
    x, y, x_test, y_test = parts([p[0] for p in pairs], [p[1] for p in pairs], 0.05)
    answers = Answers.of(x_test, y_test)
    length = np.array([len(source.split()) for source in answers.sources])
    order = np.argsort(length, kind="stable")
    halves = {"shorter half": order[: len(order) // 2], "longer half": order[len(order) // 2 :]}
    print(f"{len(x):,} pairs to train on, {len(answers):,} sentences to test on")
    table = []
    for attention in (None, "general"):
        model, minutes, processor = trained(x, y, TRANSLATION | more | {"attention": attention})
        found = {"network": model.predict(answers.sources)}
        if attention is not None:
            found |= {
                name: baseline.predict(model.cut(answers.sources))
                for name, baseline in model.baselines().items()
            }
        for name, said in found.items():
            row = {k: _bleu(said, answers, part) for k, part in halves.items()}
            row["all"] = _bleu(said, answers, order)
            named = name if name != "network" else f"LSTM, attention {attention}"
            cost = f"{minutes:.1f} min, processor {processor:.1f}" if name == "network" else ""
            table.append((named, row, cost))
        for source in answers.sources[:: len(answers) // 5][:5]:
            print(f"  {source} → {model.predict([source])[0]}")
    print(f"BLEU, {length[halves['longer half']].min()} words and more in the longer half")
    for name, row, cost in table:
        print(f"{name:28}" + "".join(f"{k} {v:5.1f}   " for k, v in row.items()) + cost)
    without, with_ = (r for name, r, _ in table if name.startswith("LSTM"))
    gain = with_["longer half"] - without["longer half"]
    print(f"attention on the longer half: {gain:+.1f} BLEU (aim: clearly better)")


def names(more: dict[str, Any]) -> None:
    """Nats a letter of names that were held out, beside 5-grams."""
    rows = [line.split("\t") for line in lines(NAMES)]
    # The same name comes several times, also in several nationalities: it is in one part.
    train, test = split_by_source([name for name, _ in rows], 0.1, seed=0)
    drawn(
        *([rows[i][k] for i in part] for part in (train, test) for k in (1, 0)),
        OF_NAMES | more, ["Italian", "Japanese", "Russian", "German"],
    )  # fmt: skip


def strokes(more: dict[str, Any]) -> None:
    """Nats a point of digits of other writers, beside mean trajectories."""
    parts_ = [np.array([[int(v) for v in line.split(",")] for line in lines(file)])
              for file in PENDIGITS]  # fmt: skip
    given = [part for rows in parts_ for part in (rows[:, 16], rows[:, :16].reshape(-1, 8, 2))]
    drawn(*given, OF_STROKES | more, [0, 3, 7])


def drawn(x: Any, y: Any, x_test: Any, y_test: Any, options: dict[str, Any], show: Any) -> None:
    """Train a generator, print its comparison, and what it draws."""
    model = recurnn.SequenceGenerator(**options)
    clock, processor = time.perf_counter(), time.process_time()
    model.fit(x, y, watch=TrainingProgress(Console(width=100), unit="steps"))
    minutes, used = ((t() - b) / 60 for t, b in ((time.perf_counter, clock),
                                                 (time.process_time, processor)))  # fmt: skip
    print(model.summary())
    rows = model.compare(x_test, y_test)
    Console(width=100).print(score_table(rows, f"{len(y_test):,} sequences held out"))
    print(f"{model.verdict}\n{minutes:.1f} minutes of training, {used:.1f} of processor time")
    for one in show:
        found = model.predict([one] * 4, temperature=0.7)
        print(one, *(s if isinstance(s, str) else s.round().tolist() for s in found))


def _bleu(found: list[str], answers: Answers, part: np.ndarray) -> float:
    return bleu([found[i] for i in part], [answers.targets[i] for i in part])


RUNS = {"g2p": g2p, "translation": translation, "names": names, "strokes": strokes}

if __name__ == "__main__":
    main()
