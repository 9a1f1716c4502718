"""Attention: at each step of the decoder, a weighted mean over what the encoder said."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

ATTENTIONS = (None, "dot", "general", "bahdanau")


class Memory(NamedTuple):
    """What the decoder may look at.

    Attributes:
        values: outputs of the encoder, [B, S, M].
        keys: what a query is held against, [B, S, A].
        past: what is padding, [B, 1, S].
    """

    values: Tensor
    keys: Tensor
    past: Tensor

    def rows(self, index: Tensor) -> Memory:
        """The memory of these rows; one may be there several times."""
        return Memory(*(part[index] for part in self))


class Attention(nn.Module):
    """Weights from a score of each step of the source, and the mean that they make.

    With the query s and the encoder's output h_j, the scores are

        dot         s · h_j                     (Luong, Pham & Manning 2015)
        general     s · W h_j                   (likewise)
        bahdanau    v · tanh(U s + W h_j)       (Bahdanau, Cho & Bengio 2015)

    Args:
        kind: one of these.
        query: size of s.
        memory: M, size of h_j; for ``"dot"`` that of s.
    """

    def __init__(self, kind: str, query: int, memory: int) -> None:
        super().__init__()
        self.kind = kind
        self.key = None if kind == "dot" else nn.Linear(memory, query, bias=False)
        self.query = nn.Linear(query, query) if kind == "bahdanau" else None
        self.score = nn.Linear(query, 1, bias=False) if kind == "bahdanau" else None

    def memory(self, values: Tensor, lengths: Tensor) -> Memory:
        """Make ready for many queries.

        Args:
            values: outputs of the encoder, [S, B, M].
            lengths: real steps of each row, [B].
        """
        values = values.transpose(0, 1)
        past = torch.arange(values.shape[1], device=values.device) >= lengths[:, None]
        return Memory(values, values if self.key is None else self.key(values), past[:, None])

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Look at the memory.

        Args:
            query: s at each step, [B, T, H].
            memory: what there is to see.

        Returns:
            The mean [B, T, M], and the weights that it was made with [B, T, S].
        """
        if self.query is None or self.score is None:
            scores = query @ memory.keys.transpose(1, 2)
        else:
            both = torch.tanh(self.query(query)[:, :, None] + memory.keys[:, None])
            scores = self.score(both)[..., 0]
        weights = torch.softmax(scores.masked_fill(memory.past, -torch.inf), -1)
        return weights @ memory.values, weights
