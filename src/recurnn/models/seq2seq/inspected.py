"""A model from sequence to sequence with data, as what is looked into."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from recurnn.data.pairs_batches import IGNORED, Pairs
from recurnn.data.pairs_tokens import Text, encoded, named
from recurnn.models.inspected import looked_up, spread
from recurnn.models.seq2seq.decoding import Units, attended
from recurnn.models.seq2seq.network import Seq2SeqNetwork
from recurnn.subject import Subject, wrapped

_SHOWN = 3  # rows whose attention is drawn


class Joined(nn.Module):
    """A network that reads source and target as one sequence, the one after the other.

    Tokens of the target are numbered on from those of the source.

    Args:
        network: the network.
        sources: steps of the source in each row, [B].
    """

    def __init__(self, network: Seq2SeqNetwork, sources: Tensor) -> None:
        super().__init__()
        both = torch.cat([network.of_source.weight.detach(), network.of_target.weight.detach()])
        self.embedding = looked_up(both)
        self.network, self.sources = network, sources

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Read tokens [B, N]: log p of those that follow in the target, [B, N, V]; 0 elsewhere."""
        vectors, rows = self.embedding(x), torch.arange(len(x))[:, None]
        targets = lengths - self.sources
        source = vectors[:, : int(self.sources.max())].transpose(0, 1)
        at = self.sources[:, None] + torch.arange(int(targets.max()))
        target = vectors[rows, at.clamp(max=x.shape[1] - 1)].transpose(0, 1)
        memory, states = self.network.encode_vectors(source, self.sources)
        a = self.network.decode_vectors(memory, states, target, targets)[0]
        said = self.network.log_probabilities(a).transpose(0, 1)
        step = torch.arange(x.shape[1]) - self.sources[:, None]
        there = (step >= 0) & (step < targets[:, None])
        found: Tensor = said[rows, step.clamp(0, said.shape[1] - 1)]
        return found.masked_fill(~there.unsqueeze(2), 0)


class InspectedPairs:
    """What a `Seq2Seq` offers, so that it can be looked into."""

    def subject(self: Any, X: Any, y: Any, *, rows: int = 32, lag: int | None = None) -> Subject:
        """The network on some of these pairs, to be looked into by `recurnn.insight`.

        Source and target are one sequence there, the one after the other, and what is looked at is
        how the last token before the end is said.

        Args:
            X: sources.
            y: a target of each.
            rows: pairs, evenly spread over them.
            lag: how many steps back the task reaches, if that is known.

        Raises:
            NotFittedError: there is no model yet.
            DataError: a text is empty or none.
            ShapeError: sources and targets differ in number.
        """
        network, units, both = self._fitted(), self._units, self._checked(X, y)
        index = spread(len(both[0]), rows)
        texts = [[each[i] for i in index] for each in both]
        x, asked, first, second = _joined(units, *texts)
        in_source = torch.arange(x.shape[1]) < first[:, None]
        words, said = (named(unit, each[0]) for unit, each in zip(units, texts, strict=True))
        shown = islice(zip(*texts, strict=True), _SHOWN if network.attention is not None else 0)
        looked = [attended(network, units, *pair) for pair in shown]
        S, N = len(words), len(words) + len(said) - 1
        return Subject(
            Joined(network, first), x, asked, "cross_entropy", lengths=first + second, lag=lag,
            shortens=False,
            labels=[*words, said[-1], *said[:-2]],  # what stands before each token of the target
            reads={"network.encoder": (0, S), "network.layers": (S, N)},
            others=torch.where(in_source, wrapped(x, first), wrapped(x, second, first)),
            attended=looked,
            **self._looked_into(),
        )  # fmt: skip


def _joined(
    units: Units, sources: Sequence[Text], targets: Sequence[Text]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Source and target one after the other.

    Returns:
        The tokens that are read [B, N], those that are asked for, and the steps of sources and of
        targets, [B].
    """
    pairs = Pairs(
        *(encoded(unit, each) for unit, each in zip(units, (sources, targets), strict=True))
    )
    (source, first, before, steps), y = pairs.batch(torch.arange(len(pairs)))
    second, before = steps - 1, before + units[0].size  # without the end, of which little is said
    rows = list(zip(first.tolist(), second.tolist(), strict=True))
    x = [torch.cat([source[:S, b], before[:T, b]]) for b, (S, T) in enumerate(rows)]
    asked = [torch.cat([source.new_full((S,), IGNORED), y[:T, b]]) for b, (S, T) in enumerate(rows)]
    padded = pad_sequence(asked, batch_first=True, padding_value=IGNORED)
    return pad_sequence(x, batch_first=True), padded, first, second
