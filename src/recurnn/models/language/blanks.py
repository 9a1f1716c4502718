"""Text with blanks: where they are among its tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from recurnn.data.text import UNKNOWN, Tokenizer
from recurnn.errors import DataError

_BLANK = re.compile("_{2,}")
_PLACEHOLDER = "<unk>"  # which is a word of its own to a tokenizer of words


@dataclass(frozen=True)
class Blanks:
    """Tokens with blanks.

    Attributes:
        ids: the tokens, `UNKNOWN` in the blanks.
        at: where the blanks are.
    """

    ids: list[int]
    at: list[int]


def unknown_beside(tokenizer: Tokenizer, text: str) -> list[str]:
    """The units beside the blanks of a text that the vocabulary lacks, each once.

    Args:
        tokenizer: of the tokens.
        text: with blanks.
    """
    if tokenizer.kind == "words":  # as `find_blanks` reads them
        found = tokenizer.unknown(_BLANK.sub(_PLACEHOLDER, text))
        return [u for u in found if u != _PLACEHOLDER]
    return list(dict.fromkeys(u for part in _BLANK.split(text) for u in tokenizer.unknown(part)))


def find_blanks(tokenizer: Tokenizer, text: str) -> Blanks:
    """The tokens of a text in which two or more underscores are a blank for one token.

    Args:
        tokenizer: of the tokens.
        text: with one blank or several.

    Raises:
        DataError: there is no blank.

    Example:
        >>> from recurnn.data.text import WordTokenizer
        >>> tokenizer = WordTokenizer.fit(["the dog is here, the cat there."])
        >>> blanks = find_blanks(tokenizer, "the ____, there.")
        >>> [tokenizer.token(k) for k in blanks.ids], blanks.at
        (['the', '<unk>', '￭,', 'there', '￭.'], [1])
    """
    parts = _BLANK.split(text)
    if len(parts) == 1:
        raise DataError(
            f"There is no blank in the text.\n  It is {text!r}; expected two or more underscores "
            'where a token is to be found: "I lost my ____ today."'
        )
    if tokenizer.kind == "words":
        # The words beside a blank are those that would stand beside a word in its place. How far
        # a placeholder is from the beginning, the tokens before it say.
        at, read = [], ""
        for part in parts[:-1]:
            read += part + _PLACEHOLDER
            at.append(len(tokenizer.encode(read)) - 1)
        return Blanks(tokenizer.encode(read + parts[-1]).tolist(), at)
    ids: list[int] = []
    at = []
    for k, part in enumerate(parts):
        if k:
            at.append(len(ids))
            ids.append(UNKNOWN)
        if tokenizer.kind == "bpe" and k < len(parts) - 1:
            part = part.removesuffix(" ")  # the space belongs to the token in the blank
        ids += tokenizer.encode(part).tolist() if part else []
    return Blanks(ids, at)
