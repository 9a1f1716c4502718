"""Words as a tagger reads them: a number for each, and the letters it is spelled with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurnn.data import Sequences
from recurnn.data.vocabulary import UNKNOWN, Vocabulary

_LETTERS = 32  # of a word that are read; of longer ones the first and the last half


@dataclass(frozen=True)
class Lexicon:
    """What is known of words: those that come often enough, and letters.

    Attributes:
        words: in small letters, numbered.
        letters: numbered.
        counts: how often each word of `words` came, by its number, [V]; 0 for the unknown.
    """

    words: Vocabulary
    letters: Vocabulary
    counts: Tensor

    @classmethod
    def of(cls, sequences: Sequence[Sequence[str]], *, least: int = 2) -> Lexicon:
        """The words that come at least `least` times, and all letters."""
        small = [[word.lower() for word in words] for words in sequences]
        words = Vocabulary.of(small, least=least)
        seen = Counter(word for sentence in small for word in sentence)
        counts = torch.tensor([0.0, *(float(seen[word]) for word in words.tokens)])
        return cls(words, Vocabulary.of([spelled(w) for s in sequences for w in s]), counts)

    def __len__(self) -> int:
        """V, the unknown word included."""
        return len(self.words)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The words."""
        return self.words.tokens

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` gives the same back."""
        return {
            "words": list(self.words.tokens), "letters": list(self.letters.tokens),
            "counts": [int(c) for c in self.counts[1:].tolist()],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Lexicon:
        """The lexicon that `to_dict` wrote."""
        counts = torch.tensor([0.0, *map(float, saved["counts"])])
        return cls(Vocabulary(tuple(saved["words"])), Vocabulary(tuple(saved["letters"])), counts)


class Words:
    """Sentences with a tag a word, each distinct word of a batch spelled once.

    Args:
        sentences: words.
        tags: for each sentence [T_i].
        lexicon: that numbers words and letters.

    Attributes:
        lengths: [N], the words of each sentence.
    """

    def __init__(
        self, sentences: Sequence[Sequence[str]], tags: Sequence[Tensor], lexicon: Lexicon
    ) -> None:
        forms = list(dict.fromkeys(word for words in sentences for word in words))
        at = {form: k for k, form in enumerate(forms)}
        numbered = [torch.tensor([at[word] for word in words]) for words in sentences]
        self._sequences = Sequences(numbered, list(tags))
        self.lengths = self._sequences.lengths
        self._words = lexicon.words.numbers([form.lower() for form in forms])
        letters = [lexicon.letters.numbers(spelled(form)) for form in forms]
        self._lengths = torch.tensor([len(x) for x in letters])
        self._letters = torch.nn.utils.rnn.pad_sequence(
            letters, batch_first=True, padding_value=UNKNOWN
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """The sentences with these numbers, [B].

        Returns:
            (which [B, T], lengths [B], words [U], letters [U, K], letters' lengths [U]), where
            `which` says which of the U distinct words stands there, and the tags [B, T].
        """
        (forms, lengths), tags = self._sequences.batch(index)
        distinct, which = torch.unique(forms, return_inverse=True)
        spelled_in = self._lengths[distinct]
        letters = self._letters[distinct][:, : int(spelled_in.max())]
        return (which, lengths, self._words[distinct], letters, spelled_in), tags


def spelled(word: str) -> list[str]:
    """The letters of a word that are read.

    >>> spelled("Anna")
    ['A', 'n', 'n', 'a']
    """
    half = _LETTERS // 2
    return list(word) if len(word) <= _LETTERS else [*word[:half], *word[-half:]]


def untagged(sentences: Sequence[Any]) -> list[Tensor]:
    """Tags that stand for none, for sentences whose tags are asked for."""
    return [torch.zeros(len(x), dtype=torch.int64) for x in sentences]
