"""A tagger with data, as what is looked into."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recurnn.models.inspected import looked_up, spread
from recurnn.models.sequence_tag_network import TagNetwork
from recurnn.subject import Subject


class Tagged(nn.Module):
    """A tagger's network from where words are vectors and numbers are scaled.

    Args:
        network: the network.
        vectors: of each word that occurs, [U, size]: what the network makes of it and of its
            letters. None for numbers.
    """

    def __init__(self, network: TagNetwork, vectors: Tensor | None = None) -> None:
        super().__init__()
        self.embedding = None if vectors is None else looked_up(vectors)
        self.network = network

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Read x [B, T, C], or which words they are [B, T]: scores of tags, [B, T, tags].

        Where tags are chosen together, it is the logarithm of the probability that a tag stands
        there, whatever the others are.
        """
        if lengths is None:
            lengths = torch.full((len(x),), x.shape[1])
        scores = self.network.scores(x if self.embedding is None else self.embedding(x), lengths)
        if self.network.crf is None:
            return scores
        return log_marginals(self.network.crf, scores, lengths)


def log_marginals(crf: Any, scores: Tensor, lengths: Tensor) -> Tensor:
    """Log p of each tag at each step, of tags that are chosen together; [B, T, tags].

    p is the slope of the logarithm of the sum over all sequences of tags by the tag's score.

    Args:
        crf: of torchcrf, batch-first.
        scores: [B, T, tags].
        lengths: real steps, [B].
    """
    real = torch.arange(scores.shape[1]) < lengths.unsqueeze(1)
    with torch.enable_grad():
        given = scores if scores.requires_grad else scores.detach().requires_grad_()
        first = torch.zeros(scores.shape[:2], dtype=torch.int64)
        total = crf(given, first, mask=real, reduction="sum")  # of tag 0 everywhere, less the sum
        (slope,) = torch.autograd.grad(total, given, create_graph=True)
    p = nn.functional.one_hot(first, scores.shape[2]) - slope
    return p.clamp(min=torch.finfo(p.dtype).tiny).log().masked_fill(~real.unsqueeze(2), 0)


class InspectedTagger:
    """What a `SequenceTagger` offers, so that it can be looked into."""

    def subject(self: Any, X: Any, y: Any, *, rows: int = 32, lag: int | None = None) -> Subject:
        """The network on some of these sequences, to be looked into by `recurnn.insight`.

        A tagger that reads in both directions is looked at where the middle of each sequence is
        tagged, so that it has something to remember on either side.

        Args:
            X: sequences of the kind that the model was fitted on.
            y: the tags of each.
            rows: sequences, evenly spread over them.
            lag: how many steps away the task reaches, if that is known.

        Raises:
            NotFittedError: there is no model yet.
            DataError: the sequences or `y` do not fit the model.
        """
        inputs, network = self._again(X), self._fitted()
        y = self._checked(y, inputs)
        index = spread(len(inputs), rows)
        chosen = [inputs[i] for i in index]
        (x, lengths, *words), tags = self._fed(chosen, self._indices(y[index])).batch(
            torch.arange(len(chosen))
        )
        vectors = None
        if words:
            with torch.no_grad():
                vectors = network.words(torch.arange(len(words[0])), *words)
        else:
            x = (x - network.shift) / network.scale
        return Subject(
            Tagged(network, vectors),
            x,
            tags,
            "cross_entropy",
            lengths=None if bool((lengths == x.shape[1]).all()) else lengths,
            at=(lengths - 1) // 2 if self._options().bidirectional else None,
            lag=lag,
            labels=list(chosen[0]) if words else None,
            **self._looked_into(),
        )
