"""Pairs of token sequences, gathered and padded a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.data.text import END

IGNORED = -100
"""What stands past the end of a target, as in torch's cross entropy."""

Ids = NDArray[np.int32]


class TokenRows:
    """Sequences of tokens, each closed by `END`, laid end to end.

    Args:
        rows: the tokens of each sequence.

    Attributes:
        lengths: tokens of each, `END` included, [N].
    """

    def __init__(self, rows: Sequence[Ids]) -> None:
        self.lengths = torch.tensor([len(row) + 1 for row in rows])
        closed = [part for row in rows for part in (row, np.array([END], dtype=np.int32))]
        self._tokens = torch.from_numpy(np.concatenate(closed).astype(np.int64))
        self._begin = self.lengths.cumsum(0) - self.lengths

    def gather(self, index: Tensor, padding: int) -> tuple[Tensor, Tensor]:
        """The sequences with these numbers [B]: tokens [T, B], and lengths [B]."""
        lengths = self.lengths[index]
        steps = torch.arange(int(lengths.max()))[:, None]
        tokens = self._tokens[self._begin[index] + steps.minimum(lengths - 1)]
        return tokens.masked_fill_(steps >= lengths, padding), lengths


class Pairs:
    """Sources with their targets, as a network of both is trained on them.

    Args:
        sources: the tokens of each source.
        targets: the tokens of each target.

    Attributes:
        lengths: tokens of source and target together, which batches are made by, [N].

    Example:
        >>> pairs = Pairs([np.array([5, 6]), np.array([7])], [np.array([2]), np.array([3, 4])])
        >>> (source, lengths, before, steps), target = pairs.batch(torch.tensor([1, 0]))
        >>> source.T.tolist(), lengths.tolist()
        ([[7, 1, 0], [5, 6, 1]], [2, 3])
        >>> before.T.tolist(), target.T.tolist(), steps.tolist()
        ([[1, 3, 4], [1, 2, 0]], [[3, 4, 1], [2, 1, -100]], [3, 2])
    """

    def __init__(self, sources: Sequence[Ids], targets: Sequence[Ids]) -> None:
        self.sources, self.targets = TokenRows(sources), TokenRows(targets)
        self.lengths = self.sources.lengths + self.targets.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """The pairs with these numbers [B].

        Returns:
            (source [S, B], its lengths [B], what stands before each token of the target [T, B],
            the target's lengths [B]), and the target [T, B].
        """
        source, lengths = self.sources.gather(index, 0)
        target, steps = self.targets.gather(index, IGNORED)
        return (source, lengths, before(target), steps), target


def before(target: Tensor) -> Tensor:
    """What stands before each token of targets [T, B]: `END` before the first, 0 past the last."""
    found = target.roll(1, 0)
    found[0] = END
    return found.masked_fill_(target == IGNORED, 0)
