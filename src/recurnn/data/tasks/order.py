"""Temporal order: which symbols came, and in which order, far apart among others."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from recurnn.data.tasks.task import Inputs, Score, Task, one_hot

SYMBOLS = "abcdXYEB"


class _TemporalOrder(Task):
    """Name the order of the symbols X and Y among distractors a, b, c and d.

    Hochreiter & Schmidhuber 1997, experiment 6. A sequence begins with E and ends with B; two
    (6a) or three (6b) of its symbols are X or Y, the others one of four distractors. The class is
    which of X and Y came first, second (and third). With T = 100 all numbers are the paper's:
    100 to 110 steps, the symbols at 10 to 20 and 50 to 60 (6a), at 10 to 20, 33 to 43 and 66 to
    76 (6b), E being at 0; other T scale them. A sequence is processed correctly if every output
    (here a softmax) is less than 0.3 away from its target; the paper stops after 2,000 correct
    ones in a row, here all of 2,560 held-out sequences, its test set's size, have to be.
    """

    input_size = len(SYMBOLS)
    usual = 100
    shortest = 10
    length_is = "steps of the shortest sequences (the longest have a tenth more)"
    score_is = "right to 0.3"
    solved_when = "all right to 0.3"
    places: ClassVar[tuple[tuple[int, int], ...]]

    def draw(self, rng: Generator, count: int) -> tuple[Inputs, Tensor]:
        T, rows = self.length, np.arange(count)
        lengths = rng.integers(T, T + T // 10, size=count, endpoint=True)
        symbols = rng.integers(4, size=(count, T + T // 10))
        target = np.zeros(count, dtype=np.int64)
        for low, high in self.places:
            at = rng.integers(low * T // 100, high * T // 100, size=count, endpoint=True)
            which = rng.integers(2, size=count)
            symbols[rows, at] = SYMBOLS.index("X") + which
            target = 2 * target + which
        symbols[:, 0] = SYMBOLS.index("E")
        symbols[rows, lengths - 1] = SYMBOLS.index("B")
        x = one_hot(symbols, len(SYMBOLS), lengths)
        return (x, torch.from_numpy(lengths)), torch.from_numpy(target)

    def score(self, output: Tensor, target: Tensor) -> Score:
        wanted = torch.nn.functional.one_hot(target, self.output_size)
        off = (output.softmax(-1) - wanted).abs().amax(-1)
        return (off < 0.3).float().mean(), len(target)

    def solved(self, score: float) -> bool:
        return score == 1


class TemporalOrder6a(_TemporalOrder):
    __doc__ = _TemporalOrder.__doc__
    name = "temporal-order-6a"
    title = "Name the order of two symbols, far apart among others"
    source = "Hochreiter & Schmidhuber 1997, experiment 6a"
    output_size = 4
    chance = 0.0
    places = ((10, 20), (50, 60))
    published = {100: "LSTM 31,390 sequences (Hochreiter & Schmidhuber 1997)"}


class TemporalOrder6b(_TemporalOrder):
    __doc__ = _TemporalOrder.__doc__
    name = "temporal-order-6b"
    title = "Name the order of three symbols, far apart among others"
    source = "Hochreiter & Schmidhuber 1997, experiment 6b"
    output_size = 8
    chance = 0.0
    places = ((10, 20), (33, 43), (66, 76))
    published = {100: "LSTM 571,100 sequences (Hochreiter & Schmidhuber 1997)"}
