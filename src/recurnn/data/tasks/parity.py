"""Parity: whether an even or an odd number of ones came."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from recurnn.data.tasks.task import Inputs, Score, Task, past, right


class Parity(Task):
    """Say after the last step whether an odd number of the steps was 1.

    After Bengio, Simard & Frasconi 1994: steps are 1 or -1, and the answer is asked for at the
    end only. Their sequences had 25 to 50 steps; here 1 to T, since without short ones among
    them gradient descent finds nothing to begin with. Solved is no mistake in 2,560 held-out
    sequences.
    """

    name = "parity"
    title = "Say whether the number of ones was odd"
    source = "Bengio, Simard & Frasconi 1994"
    input_size = 1
    output_size = 2
    usual = 50
    length_is = "steps of the longest sequences (the shortest have one)"
    chance = 0.5
    solved_when = "all right"

    def draw(self, rng: Generator, count: int) -> tuple[Inputs, Tensor]:
        T = self.length
        lengths = rng.integers(1, T, size=count, endpoint=True)
        ones = rng.integers(2, size=(count, T))
        ones[past(T, lengths)] = 0
        x = (2 * ones - 1).astype(np.float32)
        x[past(T, lengths)] = 0
        inputs = torch.from_numpy(x[..., None]), torch.from_numpy(lengths)
        return inputs, torch.from_numpy(ones.sum(1) % 2)

    def score(self, output: Tensor, target: Tensor) -> Score:
        return right(output, target)

    def solved(self, score: float) -> bool:
        return score == 1
