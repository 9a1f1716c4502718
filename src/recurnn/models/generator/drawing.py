"""Drawing sequences from the networks, many at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.baselines import Sampling
from recurnn.data.text import END, UNKNOWN
from recurnn.models.generator.network import PointTeller, TokenTeller
from recurnn.models.language.drawing import draw


@torch.inference_mode()
def draw_tokens(
    network: TokenTeller, conditions: Tensor, *, length: int, temperature: float, seed: int
) -> list[list[int]]:
    """A sequence of tokens for each condition.

    Args:
        network: in evaluation mode.
        conditions: of the sequences, [B] or [B, F].
        length: most tokens.
        temperature: 0 for the likeliest token each time.
        seed: of what is drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    how = Sampling(temperature or 1.0, None if temperature else 1, without=(UNKNOWN,))
    c, states = network.begin(conditions)
    last = torch.full((len(c),), END)
    done = torch.zeros(len(c), dtype=torch.bool)
    lines = []
    for _ in range(length):
        h, states = network.run(network.embedding(last)[None], c, states)
        last = draw(how, torch.log_softmax(network.output.logits(h[0]), -1), generator)
        done |= last == END
        if done.all():
            break
        lines.append(last.masked_fill(done, END))
    rows = torch.stack(lines, 1).tolist() if lines else [[] for _ in range(len(c))]
    return [[k for k in row if k != END] for row in rows]


@torch.inference_mode()
def draw_points(
    network: PointTeller, conditions: Tensor, *, length: int, temperature: float, seed: int
) -> list[NDArray[np.float32]]:
    """A sequence of points [T_i, C], in the data's units, for each condition.

    Args:
        network: in evaluation mode.
        conditions: of the sequences, [B] or [B, F].
        length: most points.
        temperature: 0 for the mean of the likeliest component each time.
        seed: of what is drawn.
    """
    c, states = network.begin(conditions)
    last = torch.zeros(len(c), network.channels)
    steps = torch.full((len(c),), length)
    points = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for t in range(length):
            h, states = network.run(network.read(last[None], t), c, states)
            last, ends = _next(network, network.say(h, t)[0], last, temperature)
            points.append(last)
            steps = torch.where(ends & (steps == length), t + 1, steps)
            if (steps <= t + 1).all():
                break
    rows = torch.stack(points, 1) * network.scale + network.shift
    return [row[:n].numpy() for row, n in zip(rows, steps.tolist(), strict=True)]


def _next(
    network: PointTeller, said: Tensor, last: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """The next points [B, C], and which of them are the last of their sequences, [B]."""
    if temperature:
        p = torch.sigmoid(said[..., -1] / temperature)
        mixture = network.mixture(said, last, temperature)
        return mixture.sample(), torch.bernoulli(p).bool()
    mixture = network.mixture(said, last)
    best = mixture.mixture_distribution.logits.argmax(-1)
    means = mixture.component_distribution.mean
    return means[torch.arange(len(best)), best], said[..., -1] > 0
