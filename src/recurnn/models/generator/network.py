"""The networks from a condition to a sequence: of tokens, and of points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.nn import functional as F

from recurnn.data.pairs_batches import IGNORED
from recurnn.models.generator.options import GeneratorOptions
from recurnn.models.options import cell_of
from recurnn.nn import Dropout, LinearCrossEntropy, Recurrent

States = list[dict[str, Tensor]]
"""The states of every layer by name, each [B, its size]."""

_LEAST = math.log(
    1e-3
)  # of a deviation, in scaled units: a mixture would narrow on repeated values


class Teller(nn.Module):
    """Recurrent layers that begin from a condition, and read it beside every step.

    Args:
        options: of the model.
        conditions: classes, or numbers of a vector.
        classes: whether conditions are classes.
        inputs: size of what is read at each step, beside the condition.
    """

    def __init__(
        self, options: GeneratorOptions, conditions: int, *, classes: bool, inputs: int
    ) -> None:
        super().__init__()
        E = options.embedding_size
        self.condition: nn.Module = nn.Embedding(conditions, E) if classes else nn.Sequential(
            nn.Linear(conditions, E), nn.Tanh()
        )  # fmt: skip
        layers, size = [], inputs + E
        for units in options.hidden_sizes:
            layers.append(Recurrent(cell_of(options.cell, size, units)))
            size = layers[-1].cell.output_size
        self.layers, self.size = nn.ModuleList(layers), size
        self.starts = nn.ModuleList(
            nn.ModuleDict({k: nn.Linear(E, cell.sizes[n]) for k, n in cell.states.items()})
            for cell in (layer.cell for layer in layers)
        )
        self.dropout = Dropout(options.dropout)

    def begin(self, condition: Tensor) -> tuple[Tensor, States]:
        """The condition as a vector [B, E], and the states before the first step."""
        c: Tensor = self.condition(condition)
        return c, [{k: one(c) for k, one in dict(s.named_children()).items()} for s in self.starts]

    def run(
        self, x: Tensor, c: Tensor, states: States, steps: Tensor | None = None
    ) -> tuple[Tensor, States]:
        """Go on with x [T, B, inputs], of which `steps` [B] are real: outputs [T, B, size]."""
        x, found = torch.cat([x, c.expand(len(x), -1, -1)], -1), []
        for layer, state in zip(self.layers, states, strict=True):
            result = layer(self.dropout(x), state, lengths=steps)
            x = result.output
            found.append(result.state)
        return x, found


class TokenTeller(Teller):
    """Guesses each token from the condition and the tokens before it.

    Args:
        options: of the model.
        conditions: as of `Teller`, and so `classes`.
        tokens: V.

    Example:
        >>> network = TokenTeller(GeneratorOptions(hidden_size=8), 3, tokens=20, classes=True)
        >>> network(torch.tensor([0, 2]), torch.ones(5, 2).long(), torch.tensor([5, 3])).shape
        torch.Size([5, 2, 8])
    """

    def __init__(
        self, options: GeneratorOptions, conditions: int, *, classes: bool, tokens: int
    ) -> None:
        super().__init__(options, conditions, classes=classes, inputs=options.embedding_size)
        self.embedding = nn.Embedding(tokens, options.embedding_size)
        self.output = LinearCrossEntropy(self.size, tokens)

    def forward(self, condition: Tensor, before: Tensor, steps: Tensor) -> Tensor:
        """What there is to know of each token, [T, B, size], of the tokens before them [T, B]."""
        c, states = self.begin(condition)
        return self.run(self.embedding(before), c, states, steps)[0]

    def loss(self, h: Tensor, target: Tensor) -> tuple[Tensor, int]:
        """The mean of −log p of the targets [T, B], padding left out, and how many there are."""
        real = target != IGNORED
        return self.output(self.dropout(h[real]), target[real]), int(real.sum())

    def nats(self, h: Tensor, target: Tensor) -> Tensor:
        """−log p of each sequence, [B]."""
        scores = torch.log_softmax(self.output.logits(h), -1)
        found = -scores.gather(-1, target.clamp(min=0)[..., None])[..., 0]
        return found.masked_fill(target == IGNORED, 0).double().sum(0)


class PointTeller(Teller):
    """Guesses each point from the condition and the points before it, and whether it is the last.

    The next point is drawn from a mixture of normal distributions whose means are relative to the
    point before (Bishop 1994; Graves 2013, here with axes of their own in place of a correlation).

    Args:
        options: of the model.
        conditions: as of `Teller`, and so `classes`.
        channels: C, of a point.
        longest: points of the longest sequence.

    Attributes:
        shift: mean of each channel, [C].
        scale: deviation of each channel, [C].
        ends: log-odds of ending at each step, that the network adds to, [longest]; see `learn`.
    """

    shift: Tensor
    scale: Tensor
    ends: Tensor

    def __init__(
        self,
        options: GeneratorOptions,
        conditions: int,
        *,
        classes: bool,
        channels: int,
        longest: int = 1,
    ) -> None:
        super().__init__(options, conditions, classes=classes, inputs=channels + 1)
        self.channels, self.components = channels, options.components
        self.output = nn.Linear(self.size, self.components * (1 + 2 * channels) + 1)
        self.register_buffer("shift", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("ends", torch.zeros(longest))

    def learn(self, rows: list[NDArray[np.float32]]) -> None:
        """Take the scale of the channels, and how often a sequence ends at each step, from data.

        Counting is hard to learn beside points: the network begins with what is known of it.
        """
        every = np.concatenate(rows).astype(np.float64)
        scale = every.std(0)
        scale[np.ptp(every, axis=0) == 0] = 1.0
        self.shift, self.scale = (torch.from_numpy(v).float() for v in (every.mean(0), scale))
        lengths = torch.tensor([len(row) for row in rows])
        last = torch.bincount(lengths, minlength=len(self.ends) + 1)[1:].double()
        there = last.flip(0).cumsum(0).flip(0)
        self.ends = torch.logit((last + 0.5) / (there + 1)).float()

    def forward(self, condition: Tensor, points: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        """What there is to know of each point.

        Args:
            condition: of each sequence.
            points: scaled, [T, B, C].
            steps: of the sequences, [B].

        Returns:
            What the output layer says [T, B, ...], and the points before them [T, B, C].
        """
        c, states = self.begin(condition)
        before = torch.cat([torch.zeros_like(points[:1]), points[:-1]])
        h, _ = self.run(self.read(before), c, states, steps)
        return self.say(h), before

    def read(self, before: Tensor, begin: int = 0) -> Tensor:
        """Points [T, B, C] with a mark at those that stand for none yet, [T, B, C + 1].

        Args:
            before: the points before each, from step `begin` on.
            begin: number of the first step.
        """
        mark = torch.zeros_like(before[..., :1])
        if begin == 0:
            mark[0] = 1
        return torch.cat([before, mark], -1)

    def say(self, h: Tensor, begin: int = 0) -> Tensor:
        """What the output layer says from step `begin` on, of h [T, B, size]."""
        said: Tensor = self.output(self.dropout(h))
        at = torch.arange(begin, begin + len(h), device=h.device).clamp(max=len(self.ends) - 1)
        return torch.cat([said[..., :-1], said[..., -1:] + self.ends[at][:, None, None]], -1)

    def mixture(self, said: Tensor, before: Tensor, temperature: float = 1.0) -> Any:
        """The distribution of the next points.

        Args:
            said: by the output layer, [..., components · (1 + 2C) + 1].
            before: the points before them, [..., C].
            temperature: below 1 the likely components are likelier, and all are narrower
                (as the bias of Graves 2013).
        """
        M, C = self.components, self.channels
        weights, shape = said[..., :M], (*said.shape[:-1], M, C)
        means = said[..., M : M + M * C].reshape(shape)
        deviations = said[..., M + M * C : -1].reshape(shape).clamp(min=_LEAST).exp()
        return MixtureSameFamily(
            Categorical(logits=weights / temperature),
            Independent(
                Normal(before[..., None, :] + means, deviations * math.sqrt(temperature)), 1
            ),
        )

    def loss(self, output: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Any:
        """The mean of −log p of each point and of whether it is the last, and how many there are.

        Args:
            output: of `forward`.
            target: the points [T, B, C], and of each sequence its steps [B].
        """
        nats = self._each(output, target)
        count = int(target[1].sum())
        return nats.sum() / count, count

    def nats(self, output: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
        """−log p of each sequence, in scaled units, [B]."""
        return self._each(output, target).double().sum(0)

    def _each(self, output: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
        (said, before), (points, steps) = output, target
        at = torch.arange(len(points), device=points.device)[:, None]
        last = (at == steps - 1).to(said.dtype)
        found = self.nats_of(said, torch.cat([points, last[..., None]], -1), before)
        return found.masked_fill(at >= steps, 0)

    def nats_of(self, said: Tensor, target: Tensor, before: Tensor | None = None) -> Tensor:
        """−log p of points, and of whether each is the last, [T, B].

        Args:
            said: by the output layer, [T, B, ...].
            target: points, and 1 for the last of a sequence, else 0, [T, B, C + 1].
            before: the points before them, which the means are relative to; None for 0.
        """
        points, last = target[..., :-1], target[..., -1]
        before = torch.zeros_like(points) if before is None else before
        point: Tensor = -self.mixture(said, before).log_prob(points)
        return point + F.binary_cross_entropy_with_logits(said[..., -1], last, reduction="none")
