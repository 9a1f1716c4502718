"""Models that are set beside each other must mean the same by a token."""

from __future__ import annotations

from recurnn.data.text import Tokenizer
from recurnn.errors import ConfigError


def same_vocabulary(one: Tokenizer, other: Tokenizer) -> None:
    """Refuse two vocabularies that are not the same.

    Raises:
        ConfigError: they differ.
    """
    if one == other:
        return
    mine, theirs = (f"{t.size:,} {t.kind}" for t in (one, other))
    raise ConfigError(
        "The two models do not share a vocabulary.\n"
        f"  One has {mine}, the other {theirs}, made from another text or in another way: their "
        "probabilities of a token cannot be compared.\n"
        "  Train both on the same text with the same unit and vocabulary."
    )
