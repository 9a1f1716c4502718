"""Texts of pairs as tokens: which unit they are cut into, and tokens that somebody cut already."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Self

import numpy as np
import pandas as pd

from recurnn.data.sequence_inputs import refuse_sparse
from recurnn.data.text import END, TOKENIZERS, UNKNOWN, CharacterTokenizer, Tokenizer, WordTokenizer
from recurnn.data.text.kinds import fit_tokenizer, tokenizer_from
from recurnn.data.text.tokenizer import NAMES, Ids, lasting
from recurnn.errors import ConfigError, DataError, counted, one_of

Text = str | Sequence[str]
"""A text, or its tokens as a list."""

UNITS = (None, *TOKENIZERS, "tokens")
_WORDY = 0.5  # share of the texts with a space from which they are read by words


class TokenTokenizer(Tokenizer):
    """Tokens as they are: lists of strings, or whatever stands between white space in a text.

    Args:
        tokens: the vocabulary after the two special tokens.

    Example:
        >>> tokenizer = TokenTokenizer.fit(["AH B AW T", ["K", "AH"]])
        >>> tokenizer.encode("B AH Z").tolist(), tokenizer.decode([4, 2, 1])
        ([4, 2, 0], 'B AH')
    """

    kind = "tokens"
    unit = "token"

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = list(tokens)
        self._id_of = {token: k + len(NAMES) for k, token in enumerate(self.tokens)}

    @classmethod
    def fit(
        cls, documents: Iterable[Text], *, size: int | None = None, min_count: int = 1
    ) -> TokenTokenizer:
        """The tokens of some texts, the most frequent first.

        Args:
            documents: the texts, or lists of tokens.
            size: V with the two special tokens; None for all.
            min_count: tokens that come less often are unknown.
        """
        counts: Counter[str] = Counter()
        for text in documents:
            counts.update(_cut(text))
        return cls(lasting(cls.kind, counts, size=size, min_count=min_count))

    @property
    def size(self) -> int:
        """V."""
        return len(self.tokens) + len(NAMES)

    def encode_all(self, documents: Iterable[Text]) -> Iterator[Ids]:
        """The tokens of each text."""
        for text in documents:
            yield np.array([self._id_of.get(t, UNKNOWN) for t in _cut(text)], dtype=np.int32)

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The tokens with spaces between them; `END` has none."""
        return " ".join(
            self.token(k) for k in np.asarray(ids).tolist() if k != NAMES.index("<end>")
        )

    def token(self, id: int) -> str:
        """One token."""
        return NAMES[id] if id < len(NAMES) else self.tokens[id - len(NAMES)]

    def unknown(self, text: Text) -> list[str]:
        """The tokens of a text that are not in the vocabulary, each once."""
        return [t for t in dict.fromkeys(_cut(text)) if t not in self._id_of]

    def _config(self) -> dict[str, Any]:
        return {"tokens": self.tokens}

    @classmethod
    def _from(cls, config: Mapping[str, Any]) -> Self:
        return cls(config["tokens"])


def as_texts(source: Any, what: str) -> list[Text]:
    """Texts in any accepted form as a list, none of them empty.

    Args:
        source: strings, or lists of strings: a list, an array or a pandas series.
        what: their name in errors, ``"X"``.

    Raises:
        DataError: there is none, one is empty, or is no text.
    """
    refuse_sparse(source, f"{what} is")
    if isinstance(source, pd.Series):
        source = source.to_numpy()
    wrong = isinstance(source, str | bytes | pd.DataFrame | Mapping | Set)
    if wrong or not hasattr(source, "__len__"):
        raise DataError(
            f"{what} is of type {type(source).__name__}.\n"
            "  Expected a list of strings, or a list of lists of strings."
        )
    if not len(source):
        raise DataError(f"{what} is empty.\n  Give one text or more.")
    found: list[Text] = []
    single = isinstance(source[0], str)
    for i, text in enumerate(source):
        if isinstance(text, str) != single or not (single or _is_tokens(text)):
            expected = "a string" if single else "a list of strings"
            raise DataError(f"{what}[{i}] is {text!r}; expected {expected}, as {what}[0] is.")
        if not len(text) or (single and not text.strip()):
            raise DataError(f"{what}[{i}] is empty.\n  A text has one token or more: leave it out.")
        found.append(str(text) if single else list(text))
    return found


def unit_of(texts: Sequence[Text], unit: str | None, what: str) -> str:
    """What texts are cut into.

    Args:
        texts: all of them.
        unit: as the user says; None decides by whether most of them have a space.
        what: the name of that option.

    Raises:
        ConfigError: no such unit, or one for tokens that are cut already.
    """
    if unit not in UNITS:
        raise one_of(what, unit, [str(u) for u in UNITS])
    if not isinstance(texts[0], str):
        if unit not in (None, "tokens"):
            raise ConfigError(
                f"{what} is {unit!r}, but the texts are lists of tokens.\n"
                f"  Leave {what} out, or give strings."
            )
        return "tokens"
    if unit is not None:
        return unit
    spaced = sum(" " in text.strip() for text in texts if isinstance(text, str))
    return "words" if spaced > _WORDY * len(texts) else "characters"


def check_lengths(
    texts: Sequence[Text], unit: str | None, most: int | None, where: Callable[[int], str]
) -> None:
    """Refuse a text of too many tokens; of byte pairs the model alone knows how many there are.

    Args:
        texts: all of them.
        unit: as the user says.
        most: tokens; None for any.
        where: from a number to what the text is called in errors.
    """
    if most is None:
        return
    kind = unit_of(texts, unit, "unit")
    if kind == "bpe":
        return
    for i, ids in enumerate(encoded(fit_unit(kind, texts), texts)):
        if len(ids) > most:
            raise DataError(
                f"{where(i)} is too long.\n  It has {counted(len(ids), 'token')}; max_length is "
                f"{most:,}.\n  Leave it out, or raise max_length."
            )


def fit_unit(
    unit: str, texts: Sequence[Text], *, size: int | None = None, min_count: int = 1
) -> Tokenizer:
    """A tokenizer with the vocabulary of some texts.

    Args:
        unit: one of `UNITS`.
        texts: of the training part only.
        size: V at most, the two special tokens included; None for all.
        min_count: tokens that come less often are unknown.
    """
    if unit == "bpe":
        return fit_tokenizer("bpe", texts, **({} if size is None else {"size": size}))  # type: ignore[arg-type]

    def fitted(size: int | None) -> Tokenizer:
        if unit == "tokens":
            return TokenTokenizer.fit(texts, size=size, min_count=min_count)
        return fit_tokenizer(unit, texts, size=size, min_count=min_count)  # type: ignore[arg-type]

    every = fitted(None)
    return every if size is None or every.size <= size else fitted(size)


def unit_from(config: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that `config_of` kept.

    Raises:
        DataError: it is none.
    """
    if config.get("kind") == TokenTokenizer.kind:
        return TokenTokenizer._from(config)
    return tokenizer_from(json.dumps(config))


def config_of(tokenizer: Tokenizer) -> dict[str, Any]:
    """A tokenizer as a part of a JSON file."""
    found: dict[str, Any] = json.loads(tokenizer.to_json())
    return found


def encoded(tokenizer: Tokenizer, texts: Sequence[Text]) -> list[Ids]:
    """The tokens of each text."""
    return list(tokenizer.encode_all(texts))  # type: ignore[arg-type]  # lists: TokenTokenizer's


def surfaces(tokenizer: Tokenizer, texts: Sequence[Text]) -> list[list[str]]:
    """The tokens of each text as they stand there, also those that are not in the vocabulary."""
    every = _like(tokenizer, texts)
    return [[every.token(k) for k in ids.tolist()] for ids in encoded(every, texts)]


def named(unit: Tokenizer, text: Text) -> list[str]:
    """The tokens of a text as they stand there, and the end."""
    if unit.kind == "bpe":
        words = [unit.token(k) for k in encoded(unit, [text])[0].tolist()]
    else:
        words = surfaces(unit, [text])[0]
    return [*words, unit.token(END)]


def extended(tokenizer: Tokenizer, tokens: Sequence[str]) -> Tokenizer:
    """The tokenizer with further tokens, numbered on from V."""
    if isinstance(tokenizer, CharacterTokenizer):
        return CharacterTokenizer([*tokenizer.characters, *tokens])
    if isinstance(tokenizer, WordTokenizer):
        return WordTokenizer([*tokenizer.tokens, *tokens], segmenter=tokenizer.segmenter)
    assert isinstance(tokenizer, TokenTokenizer)
    return TokenTokenizer([*tokenizer.tokens, *tokens])


def _like(tokenizer: Tokenizer, texts: Sequence[Text]) -> Tokenizer:
    """One that knows every token of some texts."""
    if isinstance(tokenizer, WordTokenizer):
        return WordTokenizer.fit(texts, segmenter=tokenizer.segmenter)  # type: ignore[arg-type]
    return fit_unit(tokenizer.kind, texts)


def _cut(text: Text) -> Sequence[str]:
    return text.split() if isinstance(text, str) else text


def _is_tokens(text: Any) -> bool:
    return isinstance(text, list | tuple | np.ndarray) and all(isinstance(t, str) for t in text)
