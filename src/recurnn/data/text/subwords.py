"""Byte-pair encoding, by Hugging Face's tokenizers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from recurnn.data.text.pieces import MOST, PIECE, PieceTable, blocks
from recurnn.data.text.tokenizer import END, NAMES, UNKNOWN, Ids, Tokenizer, check_size
from recurnn.errors import ConfigError, counted

_BYTES = 256


class BPETokenizer(Tokenizer):
    """Pieces of words by byte-pair encoding (Sennrich, Haddow & Birch 2016), on bytes.

    Every byte is a token too, so nothing is unknown and every text comes back as it was. Needs
    ``pip install "recurnn[text]"``.

    Args:
        model: what `tokenizers` keeps of itself, as JSON.

    Raises:
        ConfigError: the library `tokenizers` is not installed.
    """

    kind = "bpe"
    unit = "token"

    def __init__(self, model: str) -> None:
        self._model = _library().Tokenizer.from_str(model)

    @classmethod
    def fit(cls, documents: Iterable[str], *, size: int = 8192, min_count: int = 2) -> BPETokenizer:
        """The tokens of some texts.

        Args:
            documents: the texts.
            size: V with the two special tokens.
            min_count: pairs that come less often are not made one token.

        Raises:
            ConfigError: a size that the text does not support.
        """
        check_size(cls.kind, size)
        if size < _BYTES + len(NAMES):
            raise ConfigError(
                f"bpe: a vocabulary of {size} has no room.\n  There are {_BYTES} bytes and "
                f"{len(NAMES)} special tokens in it; expected {_BYTES + len(NAMES)} or more."
            )
        t = _library()
        model = t.Tokenizer(t.models.BPE())
        # Pieces first, so that a text can be encoded piece by piece.
        model.pre_tokenizer = t.pre_tokenizers.Sequence(
            [
                t.pre_tokenizers.Split(t.Regex(PIECE), behavior="isolated"),
                t.pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        model.decoder = t.decoders.ByteLevel()
        trainer = t.trainers.BpeTrainer(
            vocab_size=size - len(NAMES),
            min_frequency=min_count,
            show_progress=False,
            initial_alphabet=sorted(t.pre_tokenizers.ByteLevel.alphabet()),
        )
        model.train_from_iterator((b for text in documents for b in blocks(text)), trainer)
        found = model.get_vocab_size() + len(NAMES)
        if found < size:
            raise ConfigError(
                f"bpe: the text does not support a vocabulary of {size:,}.\n"
                f"  No more pairs come {min_count} times or more at {counted(found, 'token')}. "
                "Give that or less, or a smaller min_count."
            )
        return cls(model.to_str())

    @property
    def size(self) -> int:
        """V."""
        return int(self._model.get_vocab_size()) + len(NAMES)

    def encode_all(self, documents: Iterable[str]) -> Iterator[Ids]:
        """The tokens of each document."""
        table = _Table(self._model)
        for text in documents:
            parts = []
            for block in blocks(text):
                if len(table) > MOST:
                    table = _Table(self._model)
                parts.append(table.gathered(table.numbers(block)) + np.int32(len(NAMES)))
            yield np.concatenate(parts)

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of some tokens; a character of which bytes are missing is shown as U+FFFD."""
        known = [k - len(NAMES) for k in np.asarray(ids).tolist() if k not in (UNKNOWN, END)]
        return str(self._model.decode(known))

    def token(self, id: int) -> str:
        """One token, as it is shown."""
        return NAMES[id] if id < len(NAMES) else self.decode([id])

    def unknown(self, text: str) -> list[str]:
        """Nothing: every text can be written."""
        return []

    def _config(self) -> dict[str, Any]:
        return {"model": json.loads(self._model.to_str())}

    @classmethod
    def _from(cls, config: Mapping[str, Any]) -> Self:
        return cls(json.dumps(config["model"]))


class _Table(PieceTable):
    """Pieces, encoded by the library many at a time."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def tokens_of(self, new: list[str]) -> Iterator[list[int]]:
        """The tokens of each new piece."""
        for encoded in self.model.encode_batch_fast(new):
            yield encoded.ids


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise ConfigError(
            "bpe: the library tokenizers is not installed.\n"
            '  Install it with: pip install "recurnn[text]"; or take characters or words.'
        ) from None
    return tokenizers
