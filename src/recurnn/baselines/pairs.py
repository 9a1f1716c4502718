"""What a sceptic would try first where a sequence becomes another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors

from recurnn.baselines.sequences import grams

FREQUENT, NEAREST = "most frequent output", "nearest neighbour"


class MostFrequent:
    """Says the most frequent target, whatever the source.

    >>> MostFrequent().fit([["a"], ["b"], ["c"]], ["x", "y", "y"]).predict([["d"]])
    ['y']
    """

    def fit(self, X: Sequence[Sequence[str]], y: Sequence[Any]) -> Self:
        """Count the targets."""
        counts = Counter(map(_key, y))
        most = counts.most_common(1)[0][0]
        self.target_ = next(target for target in y if _key(target) == most)
        return self

    def predict(self, X: Sequence[Sequence[str]]) -> list[Any]:
        """The same for every source."""
        return [self.target_] * len(X)


class Nearest:
    """Says the target of the most similar source: by cosine of tf-idf of 1- to 3-grams of tokens.

    >>> sources = [list("abc"), list("xyz")]
    >>> Nearest().fit(sources, ["one", "two"]).predict([list("xyy")])
    ['two']
    """

    def fit(self, X: Sequence[Sequence[str]], y: Sequence[Any]) -> Self:
        """Keep the pairs.

        Args:
            X: the tokens of each source.
            y: the targets.
        """
        self.targets_ = list(y)
        self._features = TfidfVectorizer(analyzer=_grams)
        self._neighbours = NearestNeighbors(n_neighbors=1, metric="cosine")
        self._neighbours.fit(self._features.fit_transform(X))
        return self

    def predict(self, X: Sequence[Sequence[str]]) -> list[Any]:
        """What belongs to the nearest source."""
        found = self._neighbours.kneighbors(self._features.transform(X), return_distance=False)
        return [self.targets_[k] for k in found[:, 0].tolist()]


def _grams(tokens: Sequence[str]) -> list[str]:
    return grams(list(tokens))


def _key(target: Any) -> Any:
    return target if isinstance(target, str) else tuple(target)
