"""Drawing the next token from a distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurnn.errors import ConfigError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: 1 draws from the distribution as it is; less makes the likely likelier.
        top_k: only the k most likely tokens; None for all.
        top_p: only the most likely tokens that together have this probability (Holtzman, Buys,
            Du, Forbes & Choi 2020); None for all.
        without: tokens that are never drawn.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    without: Sequence[int] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not _is_number(self.temperature) or not 0 < self.temperature < float("inf"):
            raise ConfigError(
                f"temperature is {self.temperature!r}; expected a number above 0.\n"
                "  For the likeliest token each time give top_k=1."
            )
        if self.top_k is not None and not (_is_number(self.top_k, int) and self.top_k >= 1):
            raise ConfigError(f"top_k is {self.top_k!r}; expected a whole number from 1, or None.")
        if self.top_p is not None and not (_is_number(self.top_p) and 0 < self.top_p <= 1):
            raise ConfigError(f"top_p is {self.top_p!r}; expected above 0 and up to 1, or None.")

    def weights(self, p: Array) -> Array:
        """The distribution that is drawn from, [V].

        Args:
            p: the model's, [V].

        Raises:
            ConfigError: no token is left to draw.
        """
        q = p.copy()
        q[list(self.without)] = 0.0
        if not q.any():
            raise ConfigError("Every token that is likely at all was excluded.")
        if self.top_k is not None and self.top_k < len(q):
            # Equals at the edge: those with the smaller numbers, so that exactly k stay.
            order = np.argsort(-q, kind="stable")
            q[order[self.top_k :]] = 0.0
        if self.top_p is not None:
            order = np.argsort(-q, kind="stable")
            before = np.cumsum(q[order]) / q.sum() - q[order] / q.sum()
            q[order[before >= self.top_p]] = 0.0
        q = (q / q.max()) ** (1 / self.temperature)
        return np.asarray(q / q.sum())

    def draw(self, p: Array, random: np.random.Generator) -> int:
        """One token.

        Args:
            p: the model's distribution, [V].
            random: where chance comes from.
        """
        total = np.cumsum(self.weights(p))
        return int(np.searchsorted(total, random.random() * total[-1], side="right"))


def _is_number(value: object, kinds: Any = int | float) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
