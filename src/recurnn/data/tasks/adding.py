"""The adding problem, in its modern form and in that of 1997."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from recurnn.data.tasks.task import Inputs, Score, Task, past


class Adding(Task):
    """Add the two numbers that are marked.

    The form of Le, Jaitly & Hinton 2015 (arXiv 1504.00941, section 4.1), which Bai, Kolter &
    Koltun 2018 (arXiv 1803.01271, section 4) use too: T pairs of a number from U(0, 1) and a
    mark, which is 1 at two steps drawn at random, and 0 elsewhere; the target after the last step
    is the sum of the two numbers marked. Always saying 1 has an error of 1/6.

    Example:
        >>> import numpy as np
        >>> x, y = Adding(5).draw(np.random.default_rng(0), 3)
        >>> x.shape, bool(((x[..., 0] * x[..., 1]).sum(1, keepdim=True) == y).all())
        (torch.Size([3, 5, 2]), True)
    """

    name = "adding"
    title = "Add the two of T numbers that are marked"
    source = "Le, Jaitly & Hinton 2015, section 4.1; Bai, Kolter & Koltun 2018"
    input_size = 2
    output_size = 1
    loss = "mse"
    lowest = True
    usual = 100
    shortest = 2
    score_is = "MSE"
    chance = 1 / 6
    solved_when = "MSE < 0.001"
    published = {
        600: "MSE: LSTM .164, GRU 5.3e-5, RNN .177 (Bai, Kolter & Koltun 2018)",
    }

    def draw(self, rng: Generator, count: int) -> tuple[Inputs, Tensor]:
        T, rows = self.length, np.arange(count)
        x = np.zeros((count, T, 2), dtype=np.float32)
        x[..., 0] = rng.random((count, T), dtype=np.float32)
        first = rng.integers(T, size=count)
        second = (first + rng.integers(1, T, size=count)) % T
        x[rows, first, 1] = x[rows, second, 1] = 1
        target = x[rows, first, 0] + x[rows, second, 0]
        return torch.from_numpy(x), torch.from_numpy(target[:, None])

    def score(self, output: Tensor, target: Tensor) -> Score:
        return F.mse_loss(output, target), len(target)

    def solved(self, score: float) -> bool:
        return score < 1e-3


class Adding1997(Task):
    """Add the two numbers that are marked, as Hochreiter & Schmidhuber 1997 put it (experiment 4).

    Numbers are from U(-1, 1), sequences have T to 1.1 T steps. One of the first ten steps is
    marked (its number is X1), and then one of the first T/2 - 1 others (X2): the mark is 1. It is
    -1 at the first and at the last step, elsewhere 0. If the first step is drawn, its mark
    stays -1 and its number counts as 0. The target after the last step is 0.5 + (X1 + X2) / 4, and
    an answer is right if it is less than 0.04 off. The paper stops after 2,000 right answers in a
    row; here 2,560 held-out sequences, its test set's size, all have to be right.
    """

    name = "adding-1997"
    title = "Add the two numbers that are marked, in the first half of about T"
    source = "Hochreiter & Schmidhuber 1997, experiment 4"
    input_size = 2
    output_size = 1
    loss = "mse"
    usual = 100
    shortest = 12
    length_is = "steps of the shortest sequences (the longest have a tenth more)"
    score_is = "right to 0.04"
    chance = 0.154
    solved_when = "all right to 0.04"
    published = {
        100: "LSTM 74,000 sequences (Hochreiter & Schmidhuber 1997)",
        500: "LSTM 209,000 sequences (Hochreiter & Schmidhuber 1997)",
        1000: "LSTM 853,000 sequences (Hochreiter & Schmidhuber 1997)",
    }

    def draw(self, rng: Generator, count: int) -> tuple[Inputs, Tensor]:
        T, rows = self.length, np.arange(count)
        lengths = rng.integers(T, T + T // 10, size=count, endpoint=True)
        x = np.zeros((count, T + T // 10, 2), dtype=np.float32)
        x[..., 0] = rng.uniform(-1, 1, size=x.shape[:2])
        x[past(x.shape[1], lengths)] = 0
        first = rng.integers(min(10, T // 2 - 1), size=count)
        second = rng.integers(T // 2 - 2, size=count)
        second += second >= first  # one of the others
        x[rows, first, 1] = x[rows, second, 1] = 1
        x[:, 0, 1] = x[rows, lengths - 1, 1] = -1
        marked = (x[..., 0] * (x[..., 1] == 1)).sum(1, keepdims=True)
        return (torch.from_numpy(x), torch.from_numpy(lengths)), torch.from_numpy(0.5 + marked / 4)

    def score(self, output: Tensor, target: Tensor) -> Score:
        return ((output - target).abs() < 0.04).float().mean(), len(target)

    def solved(self, score: float) -> bool:
        return score == 1
