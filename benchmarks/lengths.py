"""What unequal lengths cost: sequences of 10 to 2,000 steps, and as many real steps at one length.

Each model trains on two data sets in turn, an epoch at a time and in the batches that its training
makes: N sequences whose lengths are spread evenly in their logarithm, and N of their mean length.
The time is that of an epoch by real step. How much of the batches is padding is counted, too.

    python benchmarks/lengths.py [--rounds 5]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kernel_bench.machine import machine
from kernel_bench.timing import Time, over, spread
from recurnn.data import bucketed
from recurnn.models import Seq2Seq, SequenceClassifier, SequenceTagger
from recurnn.models.sequence_preparation import batch_size

SHORTEST, LONGEST, N = 10, 2000, 600
AIM = 1.3
"""How many times the time of a real step at one length."""
FEW: dict[str, Any] = {"hidden_size": 64, "epochs": 1, "patience": None, "validation": 0.0}


@dataclass(frozen=True)
class Case:
    """A model, and what it is trained on for sequences of given lengths."""

    name: str
    model: Callable[[], Any]
    data: Callable[[NDArray[np.int64]], tuple[Any, Any]]


def numbers(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    random = np.random.default_rng(0)
    return (random.normal(size=(T, 8)).astype(np.float32) for T in lengths)


def words(lengths: NDArray[np.int64]) -> list[list[str]]:
    random = np.random.default_rng(0)
    return [[f"w{k}" for k in random.integers(500, size=T)] for T in lengths]


def of_two(count: int) -> NDArray[np.int64]:
    return np.arange(count) % 2


CASES = [
    Case("classifier of numbers", lambda: SequenceClassifier(**FEW),
         lambda n: (list(numbers(n)), of_two(len(n)))),
    Case("tagger of numbers", lambda: SequenceTagger(**FEW),
         lambda n: (list(numbers(n)), [of_two(T) for T in n])),
    Case("sequence to sequence", lambda: Seq2Seq(**FEW, attention=None),
         lambda n: (words(n), words(n))),
]  # fmt: skip


def unequal() -> NDArray[np.int64]:
    """N lengths from SHORTEST to LONGEST, most of them short."""
    return np.geomspace(SHORTEST, LONGEST, N).round().astype(np.int64)


def padded(lengths: NDArray[np.int64], size: int, *, pool: int) -> float:
    """Steps of an epoch's batches, padding included, by real step."""
    batches = bucketed(lengths, size, torch.Generator().manual_seed(0), pool=pool)
    whole = sum(len(b) * int(lengths[b.numpy()].max()) for b in batches)
    return whole / float(lengths.sum())


def compared(case: Case, lengths: NDArray[np.int64], rounds: int) -> tuple[Time, Time]:
    """Nanoseconds a real step at unequal lengths, and how many times those at one length."""
    given = [case.data(n) for n in (lengths, np.full(N, round(float(lengths.mean()))))]
    models = [case.model().fit(x, y) for x, y in given]  # kernels are compiled here
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for times, model, (x, y) in zip(found, models, given, strict=True):
            seconds = model.partial_fit(x, y).history.epochs[-1].seconds
            times.append(1e9 * seconds / sum(map(len, x)))
    return spread(found[0]), over(*found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    lengths, size = unequal(), batch_size(N)
    print(machine())
    print(f"{N} sequences of {SHORTEST} to {LONGEST:,} steps, {lengths.sum():,} in all, {size} a "
          f"batch; steps with padding by real step: {padded(lengths, size, pool=100):.2f}, in "
          f"random order {padded(lengths, size, pool=1):.2f}")  # fmt: skip
    for case in CASES:
        mine, times = compared(case, lengths, rounds)
        print(f"{case.name:24}{mine.median:7.0f} ns a step, × {times.median:.2f} ({times.low:.2f} "
              f"to {times.high:.2f}) of those at one length (aim: {AIM})", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
