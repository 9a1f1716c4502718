"""The table that sets a model of whole sequences beside the baselines, and what sums it up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_ERRORS = 1.96  # standard errors of the mean difference within which two models count as equal


@dataclass(frozen=True)
class Scored:
    """One model on the test part.

    Attributes:
        model: its name.
        scores: by name, the one that decides first.
        seconds: that training took.
        recurrent: whether this is the recurrent network.
        losses: of each sequence, [N]: whether it was wrong, or its squared error. Not saved.
    """

    model: str
    scores: Mapping[str, float]
    seconds: float
    recurrent: bool = False
    losses: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)

    def row(self) -> dict[str, object]:
        """As one flat row of a table."""
        return {
            "model": self.model, **self.scores, "seconds": self.seconds,
            "recurrent": self.recurrent,
        }  # fmt: skip


def verdict(rows: Sequence[Scored], *, score: str, share: bool, interrupted: bool = False) -> str:
    """One or two plain sentences: was the network worth it?

    Two models are told apart by the paired differences of their losses: where the mean
    difference is within 1.96 of its standard errors, they count as equal.

    Args:
        rows: the models with their losses, exactly one of which is recurrent.
        score: the name of the score that decides.
        share: whether that is a share, shown in percent.
        interrupted: whether Ctrl-C ended the training.
    """
    network = next(row for row in rows if row.recurrent)
    assert network.losses is not None
    best = min((row for row in rows if not row.recurrent), key=mean_loss)
    assert best.losses is not None
    difference = network.losses - best.losses
    error = difference.std() / math.sqrt(len(difference))
    ours, theirs = (
        f"{row.scores[score]:.1%}" if share else f"{row.scores[score]:.4g}"
        for row in (network, best)
    )
    figures = f"{score} {ours} on the test part; {best.model}: {theirs}"
    if abs(difference.mean()) <= _ERRORS * error or not difference.any():
        text = (
            f"The {network.model} is no better than the best baseline, beyond chance ({figures}): "
            "use that, it is simpler."
        )
    elif difference.mean() < 0:
        text = f"The {network.model} is better than the best baseline ({figures})."
    else:
        text = f"The {network.model} is worse than a baseline ({figures}): use that instead."
    if interrupted:
        text += " Training was interrupted; these are the best weights until then."
    return text


def mean_loss(row: Scored) -> float:
    """Of a model that was just scored."""
    assert row.losses is not None
    return float(row.losses.mean())
