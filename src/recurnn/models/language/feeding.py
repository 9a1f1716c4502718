"""A corpus as what the networks are trained on: a stream for one, pieces for the other."""

from __future__ import annotations

import heapq
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.data import Streams
from recurnn.data.text import END, Corpus
from recurnn.errors import DataError, counted
from recurnn.training.objective import IGNORED

_GROUP = 32  # documents that are scored side by side


def stream(corpus: Corpus, lanes: int, steps: int, part: str) -> Streams:
    """The tokens as lanes; each token is guessed from what stands before it in its document.

    Before the first token of a document stands `END`, and the state there is zero.

    Args:
        corpus: the tokens.
        lanes: B.
        steps: least steps of a lane.
        part: what the corpus is, for errors: ``"training"``.

    Raises:
        DataError: the corpus is too short.
    """
    if len(corpus) < lanes * steps:
        raise DataError(
            f"The {part} part of the text is shorter than a chunk.\n"
            f"  It has {counted(len(corpus), 'token')}; {lanes} lanes of {counted(steps, 'step')} "
            f"need {lanes * steps:,}.\n"
            "  Give more text, a smaller batch_size, or fewer steps."
        )
    return Streams(before(corpus), corpus.tokens, batch_size=lanes, starts=corpus.starts)


def before(corpus: Corpus) -> NDArray[np.int32]:
    """What stands before each token: the token before it, or `END`; [tokens]."""
    found = np.empty_like(corpus.tokens)
    found[1:] = corpus.tokens[:-1]
    found[corpus.starts] = END
    return found


def after(corpus: Corpus) -> NDArray[np.int32]:
    """What stands after each token: the token after it, or `END`; [tokens]."""
    found = np.empty_like(corpus.tokens)
    found[:-1] = corpus.tokens[1:]
    found[corpus.starts[1:] - 1] = END
    found[-1] = END
    return found


class Pieces:
    """Documents, cut where they are longer than `longest`, each token with its two neighbours.

    The places to guess are the tokens but the closing `END` of a document.

    Args:
        corpus: the tokens.
        longest: most places of a piece.

    Attributes:
        lengths: places of each piece, [pieces].

    Example:
        >>> pieces = Pieces(Corpus.of([5, 6, 7, 1, 8, 1], starts=[0, 4], end=1), 2)
        >>> (left, right, lengths), target = pieces.batch(torch.tensor([0, 2]))
        >>> left.T.tolist(), target.T.tolist(), right.T.tolist()
        ([[1, 5], [1, 0]], [[5, 6], [8, -100]], [[6, 7], [1, 0]])
    """

    def __init__(self, corpus: Corpus, longest: int) -> None:
        self._before, self._after, self._tokens = before(corpus), after(corpus), corpus.tokens
        begins: list[NDArray[np.int64]] = []
        ends: list[NDArray[np.int64]] = []
        close = corpus.end is not None
        for start, length in zip(corpus.starts.tolist(), corpus.lengths.tolist(), strict=True):
            cuts = np.arange(start, start + length - close, longest)
            begins.append(cuts)
            ends.append(np.minimum(cuts + longest, start + length - close))
        self._begins = torch.from_numpy(np.concatenate(begins))
        self.lengths = torch.from_numpy(np.concatenate(ends)) - self._begins
        if not len(self.lengths):
            raise DataError("The text is empty: there is no token to guess.")

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """The pieces with these numbers [B]: (left, right, lengths [B]), and the tokens; [T, B]."""
        lengths = self.lengths[index]
        steps = torch.arange(int(lengths.max()))[:, None]
        real = steps < lengths
        at = (self._begins[index] + steps.minimum(lengths - 1)).numpy()
        left, right, target = (
            torch.from_numpy(row[at].astype(np.int64))
            for row in (self._before, self._after, self._tokens)
        )
        left, right = (torch.where(real, x, 0) for x in (left, right))
        return (left, right, lengths), torch.where(real, target, IGNORED)


class Lanes(NamedTuple):
    """Whole documents in lanes of equal length, for scoring.

    Attributes:
        x: [T, B], what stands before each token.
        y: [T, B], the tokens.
        reset: [T, B], where a document begins.
        place: [T, B], where in the corpus each token is; −1 for padding.
    """

    x: Tensor
    y: Tensor
    reset: Tensor
    place: NDArray[np.int64]


def documents_in_lanes(corpus: Corpus) -> Lanes:
    """The documents side by side, those of a lane one after another.

    Every document is read from its beginning, so that what is said of it does not depend on the
    lanes.
    """
    lengths = corpus.lengths
    longest = int(lengths.max())
    lanes = min(len(lengths), _GROUP, -(-len(corpus) // longest))
    held: list[list[Any]] = [[] for _ in range(lanes)]
    filled = [(0, k) for k in range(lanes)]
    for number in np.argsort(-lengths, kind="stable").tolist():
        steps, lane = heapq.heappop(filled)
        held[lane].append(np.arange(lengths[number]) + corpus.starts[number])
        heapq.heappush(filled, (steps + int(lengths[number]), lane))
    place = np.full((max(steps for steps, _ in filled), lanes), -1, dtype=np.int64)
    for lane, rows in enumerate(held):
        row = np.concatenate(rows)
        place[: len(row), lane] = row
    reset = np.zeros(len(corpus), dtype=bool)
    reset[corpus.starts] = True
    x, y = (torch.from_numpy(t[place].astype(np.int64)) for t in (before(corpus), corpus.tokens))
    return Lanes(x, y, torch.from_numpy(reset[place]), place)
