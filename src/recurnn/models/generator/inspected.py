"""A model from a condition to a sequence with data, as what is looked into."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recurnn.data.pairs_tokens import named
from recurnn.models.generator.network import PointTeller, TokenTeller
from recurnn.models.inspected import spread
from recurnn.subject import Loss, Subject


class Conditioned(nn.Module):
    """A network with its conditions given, of what it reads beside them.

    Args:
        network: of tokens or of points.
        conditions: of each row, [B, ...].
    """

    def __init__(self, network: TokenTeller | PointTeller, conditions: Tensor) -> None:
        super().__init__()
        # Before the network: what the tokens go through, not the conditions.
        self.embedding = network.embedding if isinstance(network, TokenTeller) else None
        self.network, self.conditions = network, conditions

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Read tokens [T, B], or points with a mark [T, B, C + 1].

        Returns:
            Log p of the next tokens, [T, B, V]; or the mixtures that the next points are drawn
            from, [T, B, ...], their means those of the points and not of the steps to them.
        """
        network = self.network
        c, states = network.begin(self.conditions)
        h, _ = network.run(x if self.embedding is None else self.embedding(x), c, states, lengths)
        if isinstance(network, TokenTeller):
            return torch.log_softmax(network.output.logits(h), -1)
        said, first = network.say(h), network.components
        means = slice(first, first * (1 + network.channels))
        moved = said[..., means] + x[..., :-1].repeat(1, 1, network.components)
        return torch.cat([said[..., :first], moved, said[..., means.stop :]], -1)


class InspectedGenerator:
    """What a `SequenceGenerator` offers, so that it can be looked into."""

    def subject(self: Any, X: Any, y: Any, *, rows: int = 32, lag: int | None = None) -> Subject:
        """The network on some of these sequences, to be looked into by `recurnn.insight`.

        What is looked at is how the last token, or point, is said.

        Args:
            X: conditions, as in `fit`.
            y: their sequences.
            rows: sequences, evenly spread over them.
            lag: how many steps back the task reaches, if that is known.

        Raises:
            NotFittedError: there is no model yet.
            DataError: conditions or sequences are not of the kind that the model was fitted on.
            ShapeError: they differ in number, or points in channels.
        """
        network, (values, targets) = self._fitted(), self._again(X, y)
        index = spread(len(targets), rows)
        chosen = [targets[i] for i in index]
        data = self._data(self._conditions.numbers(values[index]), self._forms(chosen))
        (conditions, given, steps), target = data.batch(torch.arange(len(data)))
        labels: list[str] | None = None
        loss: Loss | str = "cross_entropy"
        if isinstance(network, PointTeller):
            before = torch.cat([torch.zeros_like(given[:1]), given[:-1]])
            last = torch.arange(len(given))[:, None] == steps - 1
            x, y = network.read(before), torch.cat([given, last[..., None].float()], -1)
            loss = network.nats_of
        else:
            steps = steps - 1  # without the end, of which little is to be said
            x, y = given[: int(steps.max())], target[: int(steps.max())]
            *words, end = named(self._unit, chosen[0])
            labels = [end, *words[:-1]]
        return Subject(
            Conditioned(network, conditions), x, y, loss, lengths=steps, batch_first=False, lag=lag,
            shortens=False, labels=labels, **self._looked_into(),
        )  # fmt: skip
