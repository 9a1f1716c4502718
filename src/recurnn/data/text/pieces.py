"""Text in pieces that come again and again, so that each is made into tokens only once."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurnn.data.text.tokenizer import Ids

SPACE = r"\n[^\S\n]*|[^\S\n]+"
PIECE = rf" ?\S+|{SPACE}"
"""A run without white space, with the one space before it; or a run of white space alone."""

BLOCK = 1 << 20
MOST = 500_000  # pieces kept at a time, so that memory does not grow with the text
_pieces = re.compile(PIECE).findall


def pieces(text: str) -> list[str]:
    """The pieces of a text; together they are the text."""
    return _pieces(text)


def blocks(text: str, size: int = BLOCK) -> Iterator[str]:
    """A long text in blocks that begin with a line end, so that no piece is taken apart.

    Args:
        text: the text.
        size: characters in a block; more where a line is longer.
    """
    start = 0
    while len(text) - start > size:
        end = text.find("\n", start + size)
        if end < 0:
            break
        yield text[start:end]
        start = end
    yield text[start:]


class PieceTable(dict[str, int], ABC):
    """The tokens of every piece that was met, by the number of the piece."""

    def __init__(self) -> None:
        super().__init__()
        self._new: list[str] = []
        self._ids, self._starts = array("i"), array("q", [0])

    def __missing__(self, piece: str) -> int:
        """The number of a piece that is new."""
        number = self[piece] = len(self)
        self._new.append(piece)
        return number

    def numbers(self, text: str) -> NDArray[np.int64]:
        """The numbers of the pieces of a text."""
        found = pieces(text)
        numbers = np.fromiter(map(self.__getitem__, found), dtype=np.int64, count=len(found))
        if self._new:
            for ids in self.tokens_of(self._new):
                self._ids.extend(ids)
                self._starts.append(len(self._ids))
            self._new = []
        return numbers

    @abstractmethod
    def tokens_of(self, new: list[str]) -> Iterable[Any]:
        """The tokens of each new piece, in their order."""

    def gathered(
        self, numbers: NDArray[np.int64], blank: NDArray[np.bool_] | None = None, token: int = 0
    ) -> Ids:
        """The tokens of the pieces with these numbers, one after another.

        Args:
            numbers: of the pieces.
            blank: before which of them another token stands.
            token: that token.
        """
        if not len(numbers):
            return np.empty(0, dtype=np.int32)
        # Views, not copies; they are gone before the arrays grow again.
        flat, starts = np.frombuffer(self._ids, np.int32), np.frombuffer(self._starts, np.int64)
        last = starts[numbers + 1]
        lengths = last - starts[numbers]
        many = lengths if blank is None else lengths + blank
        ends = np.cumsum(many)
        # The last token of a piece is the last of its place; what is before follows from there.
        at = np.arange(ends[-1]) + np.repeat(last - ends, many)
        out: Ids = flat[at]
        if blank is not None:
            out[(ends - many)[blank]] = token
        return out
