"""Sources that come several times are one source with several right answers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Answers:
    """Every source once, with all that belongs to it.

    Attributes:
        sources: in the order in which they first come.
        targets: of each source, one or more.
        rows: of each source, the pairs that it came from.

    Example:
        >>> answers = Answers.of(["a", "b", "a"], ["1", "2", "3"])
        >>> answers.sources, answers.targets, answers.rows
        (['a', 'b'], [['1', '3'], ['2']], [[0, 2], [1]])
    """

    sources: list[Any]
    targets: list[list[Any]]
    rows: list[list[int]]

    @classmethod
    def of(cls, sources: Sequence[Any], targets: Sequence[Any]) -> Answers:
        """Put the pairs of each source together."""
        rows: dict[Hashable, list[int]] = {}
        for i, source in enumerate(sources):
            rows.setdefault(_key(source), []).append(i)
        return cls(
            [sources[each[0]] for each in rows.values()],
            [[targets[i] for i in each] for each in rows.values()],
            list(rows.values()),
        )

    def __len__(self) -> int:
        return len(self.sources)


def split_by_source(sources: Sequence[Any], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the pairs of two parts; all pairs of a source are in the same.

    Args:
        sources: of the pairs.
        share: of the sources that goes into the second part.
        seed: of the draw.

    Example:
        >>> split_by_source(["a", "b", "a", "c"], 0.34, seed=1)
        ([1, 3], [0, 2])
    """
    answers = Answers.of(sources, sources)
    order = np.random.default_rng(seed).permutation(len(answers))
    count = min(int(len(answers) * share), len(answers) - 1)
    first, second = (
        sorted(i for k in part.tolist() for i in answers.rows[k])
        for part in (order[count:], order[:count])
    )
    return first, second


def _key(source: Any) -> Hashable:
    if isinstance(source, np.ndarray):
        return source.tobytes()
    return tuple(source) if isinstance(source, list) else source
