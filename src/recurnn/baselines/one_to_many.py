"""What a sceptic would try first where a class or a vector becomes a sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recurnn.baselines.ngram import Ngram
from recurnn.data.text import END, Corpus

Array = NDArray[np.float64]
_ORDER = 5


class NgramByClass:
    """An n-gram model of the tokens of each class, or one of all.

    Args:
        size: V.
        order: N.
        by_class: whether each class has its own.
    """

    def __init__(self, size: int, *, order: int = _ORDER, by_class: bool) -> None:
        self.size, self.order, self.by_class = size, order, by_class

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"{self.order}-gram" + (" by class" if self.by_class else " of all")

    def fit(self, classes: NDArray[Any], rows: Sequence[NDArray[np.int32]]) -> Self:
        """Count the tokens of each sequence, its end included."""
        self.models_: dict[Any, Ngram] = {
            key: Ngram(self.order).fit(self._corpus([rows[i] for i in some]))
            for key, some in _groups(classes, by_class=self.by_class).items()
        }
        return self

    def nats(self, classes: NDArray[Any], rows: Sequence[NDArray[np.int32]]) -> Array:
        """−log p of each sequence, [N]; of a class that was never seen, infinite."""
        found = np.full(len(rows), math.inf)
        for key, some in _groups(classes, by_class=self.by_class).items():
            if key in self.models_:
                found[some] = self.models_[key].score(self._corpus([rows[i] for i in some])).nats
        return found

    def _corpus(self, rows: Sequence[NDArray[np.int32]]) -> Corpus:
        closed = [np.append(row, END) for row in rows]
        starts = np.cumsum([0, *map(len, closed[:-1])])
        return Corpus.of(np.concatenate(closed), starts=starts, size=self.size, end=END)


class MeanTrajectory:
    """At each step a normal distribution of its own, by class or of all; and how often it is last.

    With `relative` it is the step from the point before that is so distributed.

    Args:
        relative: whether points are relative to the ones before.
        by_class: whether each class has its own.
    """

    def __init__(self, *, relative: bool, by_class: bool) -> None:
        self.relative, self.by_class = relative, by_class

    @property
    def name(self) -> str:
        """What it is called in tables."""
        what = "mean step" if self.relative else "mean trajectory"
        return what + (" by class" if self.by_class else " of all")

    def fit(self, classes: NDArray[Any], rows: Sequence[Array]) -> Self:
        """Take mean and deviation of each step, over the sequences that are so long."""
        self.models_ = {
            key: self._steps([rows[i] for i in some])
            for key, some in _groups(classes, by_class=self.by_class).items()
        }
        return self

    def nats(self, classes: NDArray[Any], rows: Sequence[Array]) -> Array:
        """−log p of each sequence, [N]; of a class that was never seen, infinite."""
        found = np.full(len(rows), math.inf)
        for key, some in _groups(classes, by_class=self.by_class).items():
            for i in some if key in self.models_ else ():
                found[i] = self._nats(self.models_[key], self._seen(rows[i]))
        return found

    def _seen(self, row: Array) -> Array:
        return np.diff(row, axis=0, prepend=0 * row[:1]) if self.relative else row

    def _steps(self, rows: list[Array]) -> tuple[Array, Array, Array]:
        """Mean [T, C], deviation [T, C], and the probability of being the last [T]."""
        longest, seen = max(map(len, rows)), [self._seen(row) for row in rows]
        means, deviations, last = [], [], []
        for t in range(longest):
            here = np.stack([row[t] for row in seen if len(row) > t])
            means.append(here.mean(0))
            # As if one more sequence had been one deviation of all data off.
            deviations.append(np.sqrt((here.var(0) * len(here) + 1) / (len(here) + 1)))
            last.append((sum(len(row) == t + 1 for row in seen) + 0.5) / (len(here) + 1))
        return np.stack(means), np.stack(deviations), np.array(last)

    def _nats(self, model: tuple[Array, Array, Array], row: Array) -> float:
        at = np.minimum(np.arange(len(row)), len(model[0]) - 1)
        mean, deviation, last = (part[at] for part in model)
        z = (row - mean) / deviation
        point = (0.5 * z**2 + np.log(deviation) + 0.5 * math.log(2 * math.pi)).sum()
        return float(point - np.log1p(-last[:-1]).sum() - np.log(last[-1]))


def _groups(classes: NDArray[Any], *, by_class: bool) -> dict[Any, list[int]]:
    """The numbers of the sequences of each class, or of all."""
    if not by_class:
        return {None: list(range(len(classes)))}
    found: dict[Any, list[int]] = {}
    for i, key in enumerate(classes.tolist()):
        found.setdefault(key, []).append(i)
    return found
