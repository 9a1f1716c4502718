"""Documents of text, and their division into training, validation and test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from recurnn.data.splits import split
from recurnn.errors import ConfigError, DataError, one_of

WAYS = ("auto", "documents", "end")
_MANY = 20  # documents from which on whole ones are held out


@dataclass(frozen=True)
class Texts:
    """Documents, kept apart.

    Attributes:
        documents: the texts; none is empty.
        names: of each document, for reports: its file, and its row where a file has several.
        notes: a sentence for everything that was left out or guessed.
    """

    documents: tuple[str, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, documents: Sequence[str] | str) -> Texts:
        """Texts that are in memory already.

        Args:
            documents: one text, or one a document.

        Raises:
            DataError: there is no document, or an empty one.

        Example:
            >>> Texts.of(["one", "two"]).characters
            6
        """
        given = (documents,) if isinstance(documents, str) else tuple(documents)
        for number, text in enumerate(given):
            if not text:
                raise DataError(f"The text of document {number} is empty.")
        if not given:
            raise DataError("There is no text: the list of documents is empty.")
        return cls(given, tuple(f"document {k}" for k in range(len(given))))

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self.documents)

    def __iter__(self) -> Iterator[str]:
        """The texts, one after another."""
        return iter(self.documents)

    @property
    def characters(self) -> int:
        """Of all documents together."""
        return sum(map(len, self.documents))

    def chosen(self, index: Sequence[int]) -> Texts:
        """The documents with these numbers."""
        return replace(
            self,
            documents=tuple(self.documents[k] for k in index),
            names=tuple(self.names[k] for k in index),
        )

    def between(self, start: int, end: int) -> Texts:
        """The characters from `start` to `end` of all documents in a row.

        What is left of a document that was cut stands as a document of its own.
        """
        documents, names, at = [], [], 0
        for text, name in zip(self.documents, self.names, strict=True):
            piece = text[max(start - at, 0) : max(end - at, 0)]
            if piece:
                documents.append(piece)
                names.append(name)
            at += len(text)
        return replace(self, documents=tuple(documents), names=tuple(names))


class TextParts(NamedTuple):
    """Texts to train, validate and test on; a part that was not asked for has no documents."""

    train: Texts
    validation: Texts
    test: Texts


def split_texts(
    texts: Texts,
    *,
    validation: int | float = 0.1,
    test: int | float = 0.0,
    by: str = "auto",
    seed: int = 0,
) -> TextParts:
    """Hold out a part of the texts, before any vocabulary is made.

    Args:
        texts: the documents.
        validation: a share (below 1), or a number of documents or of characters. 0 leaves the
            part empty.
        test: likewise.
        by: ``"documents"`` holds out whole documents, drawn by the seed. ``"end"`` holds out the
            last characters: the end of the training part is the beginning of the validation part,
            and its end that of the test part. ``"auto"`` means documents if there are twenty.
        seed: of the draw.

    Raises:
        ConfigError: an unknown way, or a size that is neither a share nor a whole number.
        DataError: nothing is left to train on, or the share holds out nothing.

    Example:
        >>> parts = split_texts(Texts.of("to be or not"), validation=0.25)
        >>> parts.train.documents, parts.validation.documents
        (('to be or ',), ('not',))
    """
    if by not in WAYS:
        raise one_of("by", by, WAYS)
    if by == "auto":
        by = "documents" if len(texts) >= _MANY else "end"
    whole = by == "documents"
    total, unit = (len(texts), "documents") if whole else (texts.characters, "characters")
    ends = split(total, validation=validation, test=test, of=("The text", unit))
    for name, size, (start, end) in (
        ("validation", validation, ends.validation),
        ("test", test, ends.test),
    ):
        if size and start == end:
            raise DataError(
                f"{name}: a share of {size:g} holds out nothing.\n"
                f"  The text has {total:,} {unit}. Give a larger share."
            )
    if not whole:
        return TextParts(*(texts.between(*p) for p in (ends.train, ends.validation, ends.test)))
    if seed < 0:
        raise ConfigError(f"seed is {seed}; expected a whole number from 0 on.")
    order = np.random.default_rng(seed).permutation(total)
    parts = (sorted(order[a:b].tolist()) for a, b in (ends.train, ends.validation, ends.test))
    return TextParts(*map(texts.chosen, parts))
