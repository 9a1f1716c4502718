"""Copy memory: ten symbols, a long silence, and the ten symbols again."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from recurnn.data.tasks.task import Inputs, Score, Task, one_hot

RECALLED = 10
BLANK, MARK = 0, 9


class CopyMemory(Task):
    """Repeat ten symbols after T steps of silence.

    In the form of Arjovsky, Shah & Bengio 2016 (section 4.1) and of Bai, Kolter & Koltun 2018
    (arXiv 1803.01271, section 4): ten symbols of eight, T - 1 blanks, and a mark that stands
    eleven times; the answer is blank but for the last ten steps, where it is the ten symbols in
    order. The loss is over all T + 20 steps; who knows the rule and remembers nothing has
    10 ln 8 / (T + 20). Solved is 99 % of the last ten symbols on held-out sequences, a
    threshold of this project: the papers show losses.
    """

    name = "copy-memory"
    title = "Repeat ten symbols after T steps of silence"
    source = "Arjovsky, Shah & Bengio 2016, section 4.1"
    input_size = 10
    output_size = 9
    every_step = True
    usual = 30
    length_is = "steps between the symbols and their recall"
    score_is = "symbols right"
    chance = 1 / 8
    solved_when = "99 % right"
    held_out = 500

    def draw(self, rng: Generator, count: int) -> tuple[Inputs, Tensor]:
        seen = rng.integers(1, 9, size=(count, RECALLED))
        symbols = np.full((count, self.length + 2 * RECALLED), BLANK)
        symbols[:, :RECALLED] = seen
        symbols[:, -RECALLED - 1 :] = MARK
        target = np.full_like(symbols, BLANK)
        target[:, -RECALLED:] = seen
        return one_hot(symbols, self.input_size), torch.from_numpy(target)

    def score(self, output: Tensor, target: Tensor) -> Score:
        right = output[:, -RECALLED:].argmax(-1) == target[:, -RECALLED:]
        return right.float().mean(), right.numel()

    def solved(self, score: float) -> bool:
        return score >= 0.99
