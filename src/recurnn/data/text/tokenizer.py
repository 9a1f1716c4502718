"""What every tokenizer does: text to numbers and back, and a JSON file that keeps it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from recurnn.errors import ConfigError, DataError, KindError

Ids = NDArray[np.int32]

UNKNOWN, END = 0, 1
"""The first two tokens of every vocabulary: what is not in it, and the end of a document."""

NAMES = ("<unk>", "<end>")
FORMAT = ("recurnn-tokenizer", 1)


class Tokenizer(ABC):
    """Text to numbers 0 … V − 1 and back.

    The first two numbers are `UNKNOWN` and `END` in every tokenizer. The end of a document also
    stands before its beginning, as the context of the first token. Of what `encode` makes of a
    text that has no unknown units, `decode` makes the same text.
    """

    kind: ClassVar[str]
    """The name that options and files call it by."""

    unit: ClassVar[str]
    """What one token is, for reports: ``"character"``, ``"word"``, ``"token"``."""

    @property
    @abstractmethod
    def size(self) -> int:
        """V, the number of tokens, the two special ones included."""

    @abstractmethod
    def encode_all(self, documents: Iterable[str]) -> Iterator[Ids]:
        """The tokens of each document, [its length] each."""

    @abstractmethod
    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of some tokens; `END` has none, and `UNKNOWN` that of its name or a sign."""

    @abstractmethod
    def token(self, id: int) -> str:
        """One token, as it is shown."""

    @abstractmethod
    def unknown(self, text: str) -> list[str]:
        """The units of a text that are not in the vocabulary, each once."""

    @abstractmethod
    def _config(self) -> dict[str, Any]:
        """What the file keeps."""

    @classmethod
    @abstractmethod
    def _from(cls, config: Mapping[str, Any]) -> Self:
        """The tokenizer that was kept so."""

    def encode(self, text: str) -> Ids:
        """The tokens of a text, int32 [its length]; what is unknown becomes `UNKNOWN`."""
        return next(iter(self.encode_all([text])))

    def to_json(self) -> str:
        """Everything that makes this tokenizer, as JSON."""
        head = {"format": FORMAT[0], "format_version": FORMAT[1], "kind": self.kind}
        return json.dumps(head | self._config(), ensure_ascii=False)

    def save(self, path: str | Path) -> None:
        """Write the tokenizer to a JSON file."""
        Path(path).write_text(self.to_json() + "\n", encoding="utf-8")

    def __eq__(self, other: object) -> bool:
        """Whether two tokenizers make the same of every text."""
        return isinstance(other, Tokenizer) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        """Of the file that it would be."""
        return hash(self.to_json())


def head_of(text: str, origin: str) -> dict[str, Any]:
    """The content of a tokenizer's JSON, checked for being one.

    Raises:
        DataError: it is no JSON, no tokenizer, or of another version.
    """
    try:
        config = json.loads(text)
    except ValueError as error:
        raise DataError(f"{origin} is damaged: it is not JSON.\n  {error}") from error
    name, version = FORMAT
    if not isinstance(config, dict) or config.get("format") != name:
        raise DataError(f"{origin} is not a tokenizer: expected the format {name!r}.")
    if config.get("format_version") != version:
        raise DataError(
            f"{origin} was written in another version of the format.\n"
            f"  It has version {config.get('format_version')}; this recurnn reads {version}."
        )
    return config


def lasting(
    kind: str,
    counts: Mapping[str, int],
    *,
    size: int | None,
    min_count: int,
    always: Sequence[str] = (),
) -> list[str]:
    """The units that enter a vocabulary, the most frequent first, equals in their own order.

    Args:
        kind: of tokenizer, for errors.
        counts: how often each unit comes.
        size: V with the two special tokens; None for all units.
        min_count: units that come less often are left out.
        always: units that come first, however often they come.

    Raises:
        ConfigError: the size is too small, or larger than the text supports.
    """
    if min_count < 1:
        raise ConfigError(f"{kind}: min_count is {min_count}; expected 1 or more.")
    often = (u for u, n in counts.items() if n >= min_count and u not in always)
    units = [*always, *sorted(often, key=lambda u: (-counts[u], u))]
    if counts and not units:
        raise ConfigError(
            f"{kind}: nothing is left for a vocabulary.\n  Of {len(counts):,} different {kind} the "
            f"most frequent comes {max(counts.values()):,} times; min_count is "
            f"{min_count:,}."
        )
    if size is None:
        return units
    check_size(kind, size)
    if size > len(units) + len(NAMES):
        enough = "" if min_count == 1 else f" that come {min_count} times or more"
        raise ConfigError(
            f"{kind}: the text does not support a vocabulary of {size:,}.\n"
            f"  It has {len(units):,} different {kind}{enough}, and there are {len(NAMES)} special "
            f"tokens.\n  Give {len(units) + len(NAMES):,} or less, or no size for all of them."
        )
    return units[: size - len(NAMES)]


def check_size(kind: str, size: int) -> None:
    """Refuse a size of a vocabulary that can never be."""
    if isinstance(size, bool) or not isinstance(size, int):
        raise KindError(f"{kind}: the size is {size!r}; expected a whole number.")
    if size <= len(NAMES):
        raise ConfigError(
            f"{kind}: a vocabulary of {size} has no room.\n"
            f"  {' and '.join(NAMES)} are in every vocabulary; expected {len(NAMES) + 1} or more."
        )
