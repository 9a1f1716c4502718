"""The network that reads a whole sequence: recurrent layers, a pooling of their outputs, a head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurnn.data.vocabulary import UNKNOWN
from recurnn.models.options import layers_of
from recurnn.nn import Dropout

POOLINGS = ("last", "mean", "max", "attention", "flat")


class Attention(nn.Module):
    """A weighted mean over the steps, the weights learned: softmax over t of v · tanh(W h_t + b).

    The attention over words of Yang et al. 2016.

    Args:
        size: of what is pooled.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, size)
        self.score = nn.Linear(size, 1, bias=False)

    def forward(self, h: Tensor, past: Tensor) -> Tensor:
        """Pool h [B, T, H], where `past` [B, T] marks what is padding: [B, H]."""
        scores = self.score(torch.tanh(self.hidden(h)))[..., 0].masked_fill(past, -torch.inf)
        return (torch.softmax(scores, 1)[:, None] @ h)[:, 0]


class SequenceNetwork(nn.Module):
    """From a batch of sequences to one vector each.

    Args:
        inputs: C, channels of numbers; or V, where tokens are embedded.
        outputs: size of the vector.
        embedding_size: of a token; None for numbers.
        cell: ``"lstm"``, ``"gru"``, or any other of `recurnn.cells.CELLS`.
        hidden_sizes: units of each layer and direction, the lowest first.
        bidirectional: whether each layer also reads from the end.
        dropout: share of the embedding's and of each layer's outputs that training zeroes.
        token_dropout: share of the tokens that training takes for the unknown one, so that this
            one is learned too.
        pooling: ``"last"`` (what each direction ends with), ``"mean"``, ``"max"``,
            ``"attention"``, or ``"flat"`` (the outputs of all steps side by side).
        steps: most of a sequence, for ``"flat"``.

    Example:
        >>> network = SequenceNetwork(inputs=3, outputs=2, hidden_sizes=(8,), pooling="max")
        >>> network(torch.zeros(5, 7, 3), torch.tensor([7, 7, 2, 1, 4])).shape
        torch.Size([5, 2])
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        embedding_size: int | None = None,
        cell: str = "lstm",
        hidden_sizes: Sequence[int] = (64,),
        bidirectional: bool = True,
        dropout: float = 0.0,
        token_dropout: float = 0.0,
        pooling: str = "mean",
        steps: int = 1,
    ) -> None:
        super().__init__()
        self.embedding: nn.Embedding | None = None
        if embedding_size is not None:
            self.embedding = nn.Embedding(inputs, embedding_size)
            inputs = embedding_size
        else:
            self.register_buffer("shift", torch.zeros(inputs))
            self.register_buffer("scale", torch.ones(inputs))
        directions = 2 if bidirectional else 1
        self.layers, size = layers_of(cell, inputs, hidden_sizes, bidirectional=bidirectional)
        self.forward_units = size // directions
        self.dropout = Dropout(dropout)
        self.token_dropout = token_dropout
        self.pooling = pooling
        self.attention = Attention(size) if pooling == "attention" else None
        self.steps = steps if pooling == "flat" else 1
        self.head = nn.Linear(size * self.steps, outputs)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Read x [B, T, C], or tokens [B, T], of these lengths [B]: [B, outputs]."""
        if self.embedding is not None:
            if self.training and self.token_dropout:
                x = x.masked_fill(
                    torch.rand(x.shape, device=x.device) < self.token_dropout, UNKNOWN
                )
            h = self.dropout(self.embedding(x))
        else:
            h = (x - self.shift) / self.scale
        for k, layer in enumerate(self.layers):
            h = layer(self.dropout(h) if k else h, lengths=lengths)[0]
        y: Tensor = self.head(self.dropout(self._pooled(h, lengths)))
        return y

    def _pooled(self, h: Tensor, lengths: Tensor) -> Tensor:
        """One vector for each sequence, [B, D·H], or [B, steps · D·H] where they are flat."""
        if self.pooling == "last":
            ends = h[torch.arange(len(h), device=h.device), lengths - 1]
            # From the end on, a direction ends at the first step.
            return torch.cat([ends[:, : self.forward_units], h[:, 0, self.forward_units :]], 1)
        past = torch.arange(h.shape[1], device=h.device) >= lengths[:, None]
        if self.pooling == "flat":
            real = h.masked_fill(past[..., None], 0)
            return F.pad(real, (0, 0, 0, self.steps - h.shape[1])).flatten(1)
        if self.attention is not None:
            pooled: Tensor = self.attention(h, past)
            return pooled
        if self.pooling == "max":
            return h.masked_fill(past[..., None], -torch.inf).amax(1)
        return h.masked_fill(past[..., None], 0).sum(1) / lengths[:, None]
