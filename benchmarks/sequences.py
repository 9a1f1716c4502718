"""Classifying and tagging real sequences: networks beside baselines, and the aims.

Every network is trained with the settings below, which were chosen on parts of the training data;
the test part is the data set's own, or a third drawn by a fixed seed, or each tenth in turn.
Where a set has `members`, so many networks of other seeds vote, by the mean of their probabilities.
RECURNN_DATA names the folder of the data sets.

    python benchmarks/sequences.py [--sets japanese_vowels pendigits] [--seeds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from kernel_bench.machine import machine
from recurnn.data.labelled import Labelled, Roles, read_labelled
from recurnn.data.labelled_tags import read_tagged
from recurnn.models import SequenceClassifier, SequenceTagger
from recurnn.models.sequence_preparation import parts_of

RESULTS = Path("out/benchmarks/sequences.json")
UCI = "uci_sentiment_sentences"
SETS: dict[str, dict[str, Any]] = {
    "japanese_vowels": {
        "file": "japanese_vowels/JapaneseVowels.npz", "aim": 0.975,
        "settings": {"cell": "gru", "pooling": "max"},
    },
    "pendigits": {
        "file": "pendigits/pendigits.tra.xz", "test": "pendigits/pendigits.tes.xz",
        "roles": Roles(width=2), "aim": 0.975, "settings": {},
    },
    "fsdd_mfcc": {
        "file": "fsdd_mfcc/fsdd_mfcc.npz", "roles": Roles(label=("digit",)), "test": "take<5",
        "aim": 0.97, "settings": {},
    },
    "splice_junction": {
        "file": "splice_junction/splice.data.xz", "folds": 10, "aim": 0.955,
        "settings": {
            "cell": "elman", "hidden_size": 8, "embedding_size": 4, "dropout": 0.3,
            "token_dropout": 0.0, "validation": 0.0, "epochs": 12,
        },
    },
    "names_nationality": {
        "file": "names_nationality/names.tsv.xz", "test": 1 / 3,
        "aim": "above bag of n-grams", "members": 5,
        "settings": {"pooling": "max", "hidden_size": 128},
    },
    UCI: {
        "file": [f"{UCI}/{name}_labelled.txt.xz" for name in ("amazon_cells", "imdb", "yelp")],
        "test": 1 / 3, "aim": "above bag of tokens, or it says not",
        "settings": {"tokens": "words", "pooling": "max", "hidden_size": 32,
                     "learning_rate": 1e-3},
    },
    "ud_english_ewt": {
        "file": "ud_english_ewt/train.tsv.xz", "test": "ud_english_ewt/test.tsv.xz",
        "roles": Roles(label=("2",)), "aim": 0.945, "settings": {},
    },
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if not os.environ.get("RECURNN_DATA"):
        sys.exit("Set RECURNN_DATA to the folder of the data sets.")
    print(machine())
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in arguments.sets:
        found[name] = run(name, arguments.seeds)
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    print(f"\nWrote {RESULTS}")


def run(name: str, seeds: int) -> dict[str, Any]:
    """The accuracy of every model on the test part; the network's for each seed."""
    case = SETS[name]
    tags = name == "ud_english_ewt"
    folds = parts(case, tags=tags)
    told = ", ".join(f"{k} {v}" for k, v in case["settings"].items()) or "defaults"
    turns = f", {len(folds)} folds" if len(folds) > 1 else ""
    train, test = folds[0]
    print(f"\n{name}: {len(train):,} sequences to train, {len(test):,} to test{turns}; {told}")
    networks, votes, seconds = list[float](), list[float](), list[float]()
    rows: dict[str, list[float]] = {}
    verdict = ""
    for seed in range(seeds):
        of_folds = list[float]()
        for train, test in folds:
            model = (SequenceTagger if tags else SequenceClassifier)(**case["settings"], seed=seed)
            model.fit(train.sequences, train.labels)
            for row in model.compare(test.sequences, test.labels, baselines=seed == 0):
                if row.recurrent:
                    of_folds.append(row.scores["accuracy"])
                    seconds.append(row.seconds)
                    title = row.model
                else:
                    rows.setdefault(row.model, []).append(row.scores["accuracy"])
            verdict = verdict or model.verdict
            if "members" in case:
                votes.append(voted(model, case, train, test, seconds))
        networks.append(mean(of_folds))
        together = f", {votes[-1]:.4f} together" if votes else ""
        print(f"  seed {seed}: {networks[-1]:.4f} in {max(seconds):.0f} s{together}", flush=True)
    baselines = {model_name: mean(values) for model_name, values in rows.items()}
    spread = stdev(networks) if len(networks) > 1 else 0.0
    if votes:
        said = f"{case['members']} of them, the mean of their probabilities"
        print(f"  {said:55} {mean(votes):.4f} ± {stdev(votes) if seeds > 1 else 0.0:.4f}")
    print(f"  {title:55} {mean(networks):.4f} ± {spread:.4f}  (aim: {case['aim']})")
    for model_name, value in sorted(baselines.items(), key=lambda row: -row[1]):
        print(f"  {model_name:55} {value:.4f}")
    print(f"  seed 0: {verdict}")
    return {
        "network": networks, "votes": votes, "seconds": seconds, "baselines": baselines,
        "aim": case["aim"], "verdict": verdict,
    }  # fmt: skip


def voted(
    first: Any, case: dict[str, Any], train: Labelled, test: Labelled, seconds: list[float]
) -> float:
    """The accuracy of a network and others of other seeds together."""
    models = [first]
    for k in range(1, case["members"]):
        seed = first.get_params()["seed"] + 100 * k
        models.append(SequenceClassifier(**case["settings"], seed=seed))
        models[-1].fit(train.sequences, train.labels)
    seconds[-1] = sum(model.history.seconds for model in models)
    shares = sum(model.predict_proba(test.sequences) for model in models)
    found = first.classes_[shares.argmax(1)]
    return float((found == np.asarray(test.labels)).mean())


def parts(case: dict[str, Any], *, tags: bool) -> list[tuple[Labelled, Labelled]]:
    """What is trained on, and what is tested on: once, or for each fold."""
    files = case["file"] if isinstance(case["file"], list) else [case["file"]]
    found = [read(file, case.get("roles"), tags=tags) for file in files]
    test = case.get("test")
    if isinstance(test, str) and test.endswith(".xz"):
        return [(found[0], read(test, case.get("roles"), tags=tags))]
    if "folds" in case:
        (data,) = found
        turns = StratifiedKFold(case["folds"], shuffle=True, random_state=0)
        return [(data.take(a), data.take(b)) for a, b in turns.split(data.sequences, data.labels)]
    pairs = [cut(data, test) for data in found]
    return [(joined([a for a, _ in pairs]), joined([b for _, b in pairs]))]


def read(file: str, roles: Roles | None, *, tags: bool) -> Labelled:
    path = Path(os.environ["RECURNN_DATA"]) / file
    return read_tagged(path, roles) if tags else read_labelled(path, roles)


def cut(data: Labelled, test: str | float | None) -> tuple[Labelled, Labelled]:
    """By the file's own parts, a condition, or a share of each class drawn by seed 0."""
    if test is None:
        chosen = data.parts == "test"
    elif isinstance(test, str):
        chosen = data.matching(test)
    else:
        groups = np.unique(data.labels.astype(str), return_inverse=True)[1]
        chosen = np.zeros(len(data), dtype=bool)
        chosen[parts_of(groups, test, seed=0)[1]] = True
    return data.take(np.flatnonzero(~chosen)), data.take(np.flatnonzero(chosen))


def joined(parts: list[Labelled]) -> Labelled:
    """Files of the same kind as one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return Labelled(
        [x for part in parts for x in part.sequences],
        np.concatenate([part.labels for part in parts]),
        first.columns, [p for part in parts for p in part.places], first.origin,
    )  # fmt: skip


if __name__ == "__main__":
    main()
