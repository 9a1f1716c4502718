"""The two-sequence problem with noise: a signal at the beginning, noise from then on."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from recurnn.data.tasks.task import Inputs, Score, Task, past, right

SIGNAL = 3
NOISE = math.sqrt(0.2)


class NoisyTwoSequence(Task):
    """Name the class of a sequence that shows it in its first three steps, then only noise.

    Hochreiter & Schmidhuber 1997, experiment 3a, after Bengio, Simard & Frasconi 1994. The first
    three steps are 1 or -1, which is the class; the others are Gaussian with mean 0 and variance
    0.2; sequences have T to 1.1 T steps. Solved is the paper's first criterion: no mistake in 256
    held-out sequences.
    """

    name = "noisy-two-sequence"
    title = "Keep what the first three steps said through noise"
    source = "Hochreiter & Schmidhuber 1997, experiment 3a"
    input_size = 1
    output_size = 2
    usual = 100
    shortest = SIGNAL
    length_is = "steps of the shortest sequences (the longest have a tenth more)"
    chance = 0.5
    solved_when = "all right"
    held_out = 256
    published = {
        100: "LSTM 27,380 sequences (Hochreiter & Schmidhuber 1997)",
        1000: "LSTM 446,850 sequences (Hochreiter & Schmidhuber 1997)",
    }

    def draw(self, rng: Generator, count: int) -> tuple[Inputs, Tensor]:
        T = self.length
        lengths = rng.integers(T, T + T // 10, size=count, endpoint=True)
        target = rng.integers(2, size=count)
        x = rng.standard_normal((count, T + T // 10), dtype=np.float32) * np.float32(NOISE)
        x[:, :SIGNAL] = 2 * target[:, None] - 1
        x[past(x.shape[1], lengths)] = 0
        inputs = torch.from_numpy(x[..., None]), torch.from_numpy(lengths)
        return inputs, torch.from_numpy(target)

    def score(self, output: Tensor, target: Tensor) -> Score:
        return right(output, target)

    def solved(self, score: float) -> bool:
        return score == 1
