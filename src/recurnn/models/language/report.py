"""What a language model and the n-grams beside it come to, and a sentence that says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recurnn.baselines import TextScores

NOISE = 0.005
"""A difference in nats below this share is none."""

LONGEST = 30
"""Mean characters between white space from which on these are no words."""


@dataclass(frozen=True)
class TextRow:
    """A model on a text that it was not trained on.

    Attributes:
        model: its name.
        perplexity: by token.
        word_perplexity: by word, whatever the tokens are; None for a script without spaces.
        nats: by character.
        bits: by character.
        size: numbers that the model keeps: weights, or counts.
        seconds: that training took.
        recurrent: whether it is a network.
    """

    model: str
    perplexity: float
    word_perplexity: float | None
    nats: float
    bits: float
    size: int
    seconds: float
    recurrent: bool = False

    @classmethod
    def of(cls, model: str, scores: TextScores, **more: Any) -> TextRow:
        """The row of some scores."""
        words = scores.characters.sum() <= LONGEST * scores.words.sum()
        by_word = scores.word_perplexity if words else None
        return cls(
            model, scores.perplexity, by_word, scores.nats_per_character,
            scores.bits_per_character, **more,
        )  # fmt: skip


@dataclass(frozen=True)
class GapRow:
    """A model that guesses tokens taken out of a text that it was not trained on.

    Attributes:
        model: its name.
        top1: share of the tokens that were its first guess.
        top5: share of those that were among its first five.
        nats: mean of −ln p of the token.
        places: tokens taken out, each alone.
        recurrent: whether it is a network.
    """

    model: str
    top1: float
    top5: float
    nats: float
    places: int
    recurrent: bool = False


def verdict(rows: Sequence[TextRow] | Sequence[GapRow], part: str) -> str:
    """A plain sentence: was the network worth it?

    Args:
        rows: the models, exactly one of which is recurrent.
        part: of the text that they were compared on.
    """
    network = next(row for row in rows if row.recurrent)
    others = [row for row in rows if not row.recurrent]
    if not others:
        return ""
    best = min(others, key=lambda row: row.nats)
    per = "character" if isinstance(network, TextRow) else "gap"
    figures = f"{network.nats:.3f} nats a {per} on the {part} part, {best.nats:.3f}"
    change = (network.nats - best.nats) / best.nats
    if abs(change) <= NOISE:
        return f"The {network.model} is no better than the {best.model}: {figures}. Use that."
    if change > 0:
        return f"The {network.model} is worse than the {best.model}: {figures}. Use that instead."
    return f"The {network.model} is better than the {best.model}: {figures}."


def plain(rows: Sequence[TextRow] | Sequence[GapRow]) -> list[dict[str, Any]]:
    """The rows as JSON keeps them."""
    return [asdict(row) for row in rows]


def rows_of(kept: Sequence[dict[str, Any]]) -> list[TextRow] | list[GapRow]:
    """The rows that `plain` wrote."""
    if kept and "top5" in kept[0]:
        return [GapRow(**row) for row in kept]
    return [TextRow(**row) for row in kept]
