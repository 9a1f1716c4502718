"""Tokens of many documents in one row, in memory or on the disk."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from recurnn.data.text.tokenizer import END, Ids, Tokenizer
from recurnn.errors import DataError, ShapeError, counted

Counts = NDArray[np.int64]
FORMAT = ("recurnn-corpus", 1)
_PARTS = ("tokens", "starts", "characters", "words")


@dataclass(frozen=True)
class Corpus:
    """The tokens of some documents, one after another.

    Attributes:
        tokens: [tokens], numbers from 0 to V − 1.
        starts: [documents], where each begins; the first is 0.
        characters: [documents], in the text of each.
        words: [documents], runs of characters without white space in the text of each.
        size: V.
        end: the token that ends every document, or None where documents have no such token.
    """

    tokens: Ids
    starts: Counts
    characters: Counts
    words: Counts
    size: int
    end: int | None = None

    @classmethod
    def of(
        cls,
        tokens: Any,
        *,
        starts: Any = (0,),
        size: int | None = None,
        end: int | None = None,
    ) -> Corpus:
        """A corpus of tokens that are there already; every token counts as a character and a word.

        Args:
            tokens: [tokens].
            starts: [documents].
            size: V; by default one more than the largest token.
            end: the token that ends every document, or None.

        Raises:
            ShapeError: the tokens are not in a row or out of range, or the starts do not rise.

        Example:
            >>> Corpus.of([3, 1, 4, 1, 5], starts=[0, 3]).documents
            2
        """
        row = np.asarray(tokens)
        begins = np.asarray(starts, dtype=np.int64)
        if row.ndim != 1 or row.dtype.kind not in "iu" or not len(row):
            raise ShapeError(
                f"Corpus: the tokens are {list(row.shape)} of {row.dtype}.\n"
                "  Expected whole numbers in one row, at least one."
            )
        least, most = int(row.min()), int(row.max())
        size = most + 1 if size is None else size
        if least < 0 or most >= size:
            raise ShapeError(
                f"Corpus: the tokens go from {least} to {most}.\n"
                f"  Expected 0 to V − 1 = {size - 1}."
            )
        if not len(begins) or begins[0] or (np.diff(begins) <= 0).any() or begins[-1] >= len(row):
            raise ShapeError(
                f"Corpus: the documents begin at {begins[:10].tolist()}.\n"
                f"  Expected 0 first, then rising, below the number of tokens, {len(row)}."
            )
        many = np.diff(begins, append=len(row)) - (end is not None)
        return cls(row.astype(np.int32, copy=False), begins, many, many, size, end)

    @classmethod
    def encode(cls, texts: Iterable[str], tokenizer: Tokenizer, *, ends: bool = True) -> Corpus:
        """The tokens of some documents.

        Args:
            texts: the documents.
            tokenizer: what makes tokens of them.
            ends: whether every document closes with the token `END`. Of one document that was cut
                from a longer text, False.

        Raises:
            DataError: there is no token.

        Example:
            >>> from recurnn.data.text import CharacterTokenizer
            >>> tokenizer = CharacterTokenizer.fit(["hello"])
            >>> Corpus.encode(["hell", "ole"], tokenizer).tokens.tolist()
            [4, 3, 2, 2, 1, 5, 2, 3, 1]
        """
        parts: list[Ids] = []
        lengths, characters, words = list[int](), list[int](), list[int]()

        def passed() -> Iterable[str]:
            for text in texts:
                characters.append(len(text))
                words.append(len(text.split()))
                yield text

        close = np.array([END], dtype=np.int32)
        for ids in tokenizer.encode_all(passed()):
            parts += [ids, close] if ends else [ids]
            lengths.append(len(ids) + ends)
        kept = [k for k, n in enumerate(lengths) if n]
        if not kept:
            raise DataError("The text is empty: there are no tokens.")
        ended = np.cumsum([lengths[k] for k in kept])
        starts = np.concatenate([[0], ended[:-1]])
        long, many = (np.asarray(n, dtype=np.int64)[kept] for n in (characters, words))
        end = END if ends else None
        return cls(np.concatenate(parts), starts, long, many, tokenizer.size, end)

    def __len__(self) -> int:
        """How many tokens there are."""
        return len(self.tokens)

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self.starts)

    @property
    def lengths(self) -> Counts:
        """The tokens of each document, [documents]."""
        return np.diff(self.starts, append=len(self.tokens))

    @property
    def resets(self) -> Counts:
        """The steps at which a network begins anew, where each token predicts the next.

        That is the end of the document before, where there is such a token: it is the first input
        of the next document, as it is the first context of an n-gram. Otherwise it is `starts`.

        Example:
            >>> Corpus.of([4, 5, 1, 6, 1], starts=[0, 3], end=1).resets.tolist()
            [0, 2]
        """
        return self.starts if self.end is None else np.maximum(self.starts - 1, 0)

    def document(self, number: int) -> Ids:
        """The tokens of one document."""
        start = int(self.starts[number])
        return self.tokens[start : start + int(self.lengths[number])]

    def require(self, tokens: int, what: str) -> None:
        """Refuse a corpus that is too short for what is to be done with it.

        Args:
            tokens: the least number of tokens.
            what: they are needed for, in the user's words.

        Raises:
            DataError: there are fewer.
        """
        if len(self) < tokens:
            raise DataError(
                f"The text is too short for {what}.\n"
                f"  It has {counted(len(self), 'token')}; expected {tokens:,} or more."
            )

    def save(self, folder: str | Path) -> None:
        """Write the corpus to a folder; `open` reads it without loading the tokens.

        Raises:
            DataError: the folder exists, or cannot be written.
        """
        target = Path(folder)
        if target.exists():
            raise DataError(f"{target} exists.\n  Nothing was written. Give a new folder.")
        head = {"format": FORMAT[0], "format_version": FORMAT[1], "size": self.size}
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        except OSError as error:
            raise DataError(f"{target} cannot be written: {error.strerror}.") from error
        try:
            for name in _PARTS:
                np.save(beside / f"{name}.npy", getattr(self, name), allow_pickle=False)
            (beside / "corpus.json").write_text(json.dumps(head | {"end": self.end}) + "\n")
            beside.chmod(0o755)
            os.rename(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    @classmethod
    def open(cls, folder: str | Path) -> Corpus:
        """A corpus that was saved; its tokens stay on the disk and are read where they are used.

        Raises:
            DataError: the folder is missing, no corpus, of another version, or damaged.
        """
        folder = Path(folder)
        head = _head(folder)
        try:
            parts = {name: _READ[name == "tokens"](folder / f"{name}.npy") for name in _PARTS}
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{folder} is damaged.\n  {error}") from error
        return cls(**parts, size=head["size"], end=head["end"])


_READ: dict[bool, Callable[[Path], Any]] = {
    True: lambda path: open_memmap(path, mode="r"),
    False: lambda path: np.load(path, allow_pickle=False),
}


def _head(folder: Path) -> dict[str, Any]:
    path = folder / "corpus.json"
    if not path.is_file():
        raise DataError(f"{folder} is no corpus: it has no {path.name}.")
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged: it is not JSON.\n  {error}") from error
    if not isinstance(head, dict) or (head.get("format"), head.get("format_version")) != FORMAT:
        raise DataError(
            f"{folder} is no corpus of this version.\n"
            f"  Expected the format {FORMAT[0]!r}, version {FORMAT[1]}, in {path.name}."
        )
    return head
