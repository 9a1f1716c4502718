"""The kinds of tokenizers by name, for options and files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recurnn.data.text.characters import CharacterTokenizer
from recurnn.data.text.subwords import BPETokenizer
from recurnn.data.text.tokenizer import Tokenizer, head_of
from recurnn.data.text.words import WordTokenizer
from recurnn.errors import DataError, one_of

TOKENIZERS: dict[str, type[Any]] = {
    kind.kind: kind for kind in (CharacterTokenizer, WordTokenizer, BPETokenizer)
}
"""Every kind by its name."""


def fit_tokenizer(kind: str, documents: Iterable[str], **options: Any) -> Tokenizer:
    """A tokenizer with the vocabulary of some texts.

    Args:
        kind: ``"characters"``, ``"words"`` or ``"bpe"``.
        documents: the texts, of the training part only.
        options: of the kind's `fit`: `size`, `min_count`, and `segmenter` of words.

    Raises:
        ConfigError: an unknown kind, or a size that the text does not support.

    Example:
        >>> fit_tokenizer("words", ["to be or not to be"], size=5).token(3)
        'be'
    """
    if kind not in TOKENIZERS:
        raise one_of("tokenizer", kind, TOKENIZERS)
    found: Tokenizer = TOKENIZERS[kind].fit(documents, **options)
    return found


def tokenizer_from(text: str, origin: str = "the tokenizer") -> Tokenizer:
    """The tokenizer that `Tokenizer.to_json` wrote.

    Args:
        text: the JSON.
        origin: where it comes from, for errors.

    Raises:
        DataError: it is damaged, no tokenizer, or of another version.
    """
    config = head_of(text, origin)
    kind = TOKENIZERS.get(str(config.get("kind")))
    if kind is None:
        raise DataError(
            f"{origin} is a tokenizer of an unknown kind, {config.get('kind')!r}.\n"
            f"  Known: {', '.join(TOKENIZERS)}."
        )
    try:
        found: Tokenizer = kind._from(config)
    except (KeyError, TypeError) as error:
        raise DataError(f"{origin} is damaged: it lacks {error}.") from error
    return found


def load_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer that `Tokenizer.save` wrote.

    Raises:
        DataError: there is no such file, or as for `tokenizer_from`.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged: it is not UTF-8.\n  {error}") from error
    return tokenizer_from(text, str(path))
