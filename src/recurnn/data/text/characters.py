"""Characters as tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recurnn.data.text.tokenizer import END, NAMES, UNKNOWN, Ids, Tokenizer, lasting

_SIGN = "�"  # stands for an unknown character in decoded text


class CharacterTokenizer(Tokenizer):
    """Every character is a token; so Chinese is read by characters too.

    Args:
        characters: the vocabulary after the two special tokens.

    Example:
        >>> tokenizer = CharacterTokenizer.fit(["hello"])
        >>> tokenizer.encode("hole!").tolist()
        [4, 5, 2, 3, 0]
        >>> tokenizer.decode([4, 5, 2, 3, 0])
        'hole�'
    """

    kind = "characters"
    unit = "character"

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters = list(characters)
        self._code_of = np.full(len(self.characters) + len(NAMES), ord(_SIGN), dtype=np.uint32)
        self._code_of[len(NAMES) :] = _codes("".join(self.characters))
        codes = self._code_of[len(NAMES) :]
        # One place more than there are codes: the last is that of all codes beyond.
        self._id_of = np.full(int(codes.max(initial=0)) + 2, UNKNOWN, dtype=np.int32)
        self._id_of[codes] = np.arange(len(NAMES), self.size)

    @classmethod
    def fit(
        cls, documents: Iterable[str], *, size: int | None = None, min_count: int = 1
    ) -> CharacterTokenizer:
        """The characters of some texts, the most frequent first.

        Args:
            documents: the texts.
            size: V with the two special tokens; None for all characters.
            min_count: characters that come less often are unknown.

        Raises:
            ConfigError: a size that the text does not support.
        """
        counts: Counter[str] = Counter()
        for text in documents:
            counts.update(text)
        return cls(lasting(cls.kind, counts, size=size, min_count=min_count))

    @property
    def size(self) -> int:
        """V."""
        return len(self._code_of)

    def encode_all(self, documents: Iterable[str]) -> Iterator[Ids]:
        """The tokens of each document."""
        for text in documents:
            yield self._ids(text)

    def _ids(self, text: str) -> Ids:
        return self._id_of[np.minimum(_codes(text), len(self._id_of) - 1)]

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of some tokens; an unknown character is shown as U+FFFD."""
        found = np.asarray(ids, dtype=np.int64)
        codes = self._code_of[found[found != END]]
        return str(codes.astype("<u4").tobytes(), "utf-32-le", "surrogatepass")

    def token(self, id: int) -> str:
        """One token, as it is shown."""
        return NAMES[id] if id < len(NAMES) else self.characters[id - len(NAMES)]

    def unknown(self, text: str) -> list[str]:
        """The characters of a text that are not in the vocabulary, each once."""
        each = "".join(dict.fromkeys(text))
        return [c for c, k in zip(each, self._ids(each), strict=True) if k == UNKNOWN]

    def _config(self) -> dict[str, Any]:
        return {"characters": self.characters}

    @classmethod
    def _from(cls, config: Mapping[str, Any]) -> Self:
        return cls(config["characters"])


def _codes(text: str) -> NDArray[np.uint32]:
    """The code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
