"""How well a language model predicts a text, in the units in use."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recurnn.data.text import Corpus
from recurnn.errors import ShapeError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TextScores:
    """The cost of a text under a model, a number a document.

    Attributes:
        nats: −Σ ln p of the tokens of each document, its end included, [documents].
        tokens: of each, [documents].
        characters: of each; the end of a document is none.
        words: runs of characters without white space, of each.
    """

    nats: Array
    tokens: NDArray[np.int64]
    characters: NDArray[np.int64]
    words: NDArray[np.int64]

    @classmethod
    def of(cls, log_probabilities: Array, corpus: Corpus) -> TextScores:
        """The scores of a model on a corpus.

        Args:
            log_probabilities: ln p of each token, [tokens].
            corpus: the tokens.

        Raises:
            ShapeError: not a number for each token.
        """
        if log_probabilities.shape != corpus.tokens.shape:
            raise ShapeError(
                f"TextScores: the log-probabilities are {list(log_probabilities.shape)}.\n"
                f"  Expected [{len(corpus)}], one for each token of the corpus."
            )
        nats = -np.add.reduceat(np.asarray(log_probabilities, dtype=np.float64), corpus.starts)
        return cls(nats, corpus.lengths, corpus.characters, corpus.words)

    @property
    def perplexity(self) -> float:
        """By token: exp of the mean cost of a token; by word, where tokens are words."""
        return _exp(float(self.nats.sum() / self.tokens.sum()))

    @property
    def word_perplexity(self) -> float:
        """By word, whatever the tokens are: exp of the cost of a run without white space."""
        return _exp(float(self.nats.sum() / max(int(self.words.sum()), 1)))

    @property
    def nats_per_character(self) -> float:
        """Cost of a character in nats."""
        return float(self.nats.sum() / max(int(self.characters.sum()), 1))

    @property
    def bits_per_character(self) -> float:
        """Cost of a character in bits."""
        return self.nats_per_character / math.log(2)

    @property
    def perplexities(self) -> Array:
        """By token, of each document, [documents]."""
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(self.nats / self.tokens))


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf
