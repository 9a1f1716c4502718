"""Tokens and their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

UNKNOWN = 0
"""The number of every token that is not in a vocabulary."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of the training part, numbered from 1; all others are `UNKNOWN`.

    Attributes:
        tokens: the most frequent first; of equally frequent ones, in the order of the alphabet.

    Example:
        >>> vocabulary = Vocabulary.of([["b", "a"], ["a"]])
        >>> vocabulary.tokens, vocabulary.numbers(["a", "b", "c"]).tolist(), len(vocabulary)
        (('a', 'b'), [1, 2, 0], 3)
    """

    tokens: tuple[str, ...]
    _at: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_at", {t: k for k, t in enumerate(self.tokens, start=1)})

    @classmethod
    def of(cls, sequences: Iterable[Sequence[str]], *, least: int = 1) -> Vocabulary:
        """The tokens that occur at least `least` times."""
        counts = Counter(token for tokens in sequences for token in tokens)
        kept = [token for token, count in counts.items() if count >= least]
        return cls(tuple(sorted(kept, key=lambda t: (-counts[t], t))))

    def __len__(self) -> int:
        """V, the unknown token included."""
        return len(self.tokens) + 1

    def numbers(self, tokens: Sequence[str]) -> Tensor:
        """The tokens' numbers, int64 [T]."""
        return torch.tensor([self._at.get(token, UNKNOWN) for token in tokens])
