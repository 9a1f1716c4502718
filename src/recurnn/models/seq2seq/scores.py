"""How near outputs are to what is right: edit distance, and BLEU for text."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from recurnn.data.pairs_tokens import Text
from recurnn.errors import ConfigError
from recurnn.models.sequence_comparison import Scored

UNIT = {"characters": "character", "words": "word", "bpe": "word", "tokens": "token"}
"""What errors are counted in, by the unit of the targets."""


def score_name(unit: str) -> str:
    """What the share of errors is called: ``"word errors"``."""
    return f"{UNIT[unit]} errors"


def edits(found: Text, references: Sequence[Text], unit: str) -> tuple[int, int]:
    """Insertions, deletions and exchanges to the nearest reference, and its length.

    Example:
        >>> edits("AH B", ["B AH B", "K"], "tokens")
        (1, 3)
    """
    tokens, each = _cut(found, unit), [_cut(r, unit) for r in references]
    return min((Levenshtein.distance(tokens, r), len(r)) for r in each)


def scored(
    name: str,
    found: Sequence[Text],
    references: Sequence[Sequence[Text]],
    unit: str,
    *,
    seconds: float = 0.0,
    recurrent: bool = False,
) -> Scored:
    """A model's row of the comparison.

    Args:
        name: of the model.
        found: an output for each source.
        references: the right ones, one or more for each source.
        unit: of the targets.
        seconds: that training took.
        recurrent: whether it is the network.
    """
    counts = np.array([edits(f, r, unit) for f, r in zip(found, references, strict=True)])
    wrong, length = counts.T
    scores = {
        score_name(unit): float(wrong.sum() / length.sum()),
        "exact": float((wrong == 0).mean()),
    }
    if UNIT[unit] == "word" and has_bleu():
        scores["BLEU"] = bleu(
            [str(f) for f in found], [[str(r) for r in each] for each in references]
        )
    losses: NDArray[np.float64] = wrong / length.mean()
    return Scored(name, scores, seconds, recurrent, losses)


def has_bleu() -> bool:
    """Whether sacrebleu is installed."""
    return importlib.util.find_spec("sacrebleu") is not None


def bleu(found: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU of a corpus, 0 to 100, as sacrebleu has it with its defaults (Post 2018).

    Args:
        found: an output for each source.
        references: one or more for each source.

    Raises:
        ConfigError: sacrebleu is not installed.
    """
    if not has_bleu():
        raise ConfigError(
            'BLEU needs sacrebleu, which is not installed.\n  pip install "recurnn[translate]"'
        )
    from sacrebleu.metrics.bleu import BLEU

    most = max(map(len, references))
    # One stream a reference; a source with fewer has none in the later ones.
    streams = [[r[k] if k < len(r) else None for r in references] for k in range(most)]
    return float(BLEU().corpus_score(list(found), streams).score)  # type: ignore[arg-type]


def _cut(text: Text, unit: str) -> list[str]:
    if not isinstance(text, str):
        return list(text)
    return list(text) if unit == "characters" else text.split()
