"""The next tokens of many rows at once."""

from __future__ import annotations

import torch
from torch import Tensor

from recurnn.baselines import Sampling


def draw(sampling: Sampling, scores: Tensor, generator: torch.Generator) -> Tensor:
    """A token for each row, by the rules of `Sampling.weights`: cut down first, then tempered.

    Args:
        sampling: how.
        scores: log p, [B, V].
        generator: what they are drawn from.

    Returns:
        [B].
    """
    if sampling.without:
        scores = scores.clone()
        scores[:, list(sampling.without)] = -torch.inf
    if sampling.top_k == 1:
        return scores.argmax(-1)
    share, index = weights(sampling, scores)
    drawn = torch.multinomial(share, 1, generator=generator)
    return (drawn if index is None else index.gather(-1, drawn)).squeeze(-1)


def weights(sampling: Sampling, scores: Tensor) -> tuple[Tensor, Tensor | None]:
    """What is drawn from, [B, K], and the tokens that those are; None: all, in their order."""
    V, index = scores.shape[-1], None
    k, p = sampling.top_k, sampling.top_p
    if k is not None and k < V:
        scores, index = scores.topk(k)
    elif p is not None and p < 1:
        scores, index = scores.sort(descending=True)
    if p is not None and p < 1:
        share = torch.softmax(scores, -1)
        scores = scores.masked_fill(share.cumsum(-1) - share >= p, -torch.inf)
    return torch.softmax(scores / sampling.temperature, -1), index
