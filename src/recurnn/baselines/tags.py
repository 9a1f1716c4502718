"""What a sceptic would try on tags first: the word's own tag, neighbours, a window of frames."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

WORD, WINDOW, MAJORITY = "most frequent tag of the word", "window MLP", "most frequent tag"
NEIGHBOURS = "logistic regression on word, suffixes and neighbours"
_AROUND = 5  # frames on each side


class MostFrequentTag:
    """The tag that a word had most often; of new words the one that all had most often.

    Args:
        by_word: whether words are told apart.
    """

    def __init__(self, *, by_word: bool) -> None:
        self.by_word = by_word

    def fit(self, x: Sequence[Any], y: Sequence[Sequence[Any]]) -> Self:
        """Count."""
        counts: defaultdict[Any, Counter[Any]] = defaultdict(Counter)
        every: Counter[Any] = Counter()
        for words, tags in zip(x, y, strict=True):
            every.update(tags)
            for word, tag in zip(words, tags, strict=True) if self.by_word else ():
                counts[word][tag] += 1
        self._every = every.most_common(1)[0][0]
        self._of = {word: c.most_common(1)[0][0] for word, c in counts.items()}
        return self

    def predict(self, x: Sequence[Any]) -> list[list[Any]]:
        """A tag a step."""
        if not self.by_word:
            return [[self._every] * len(words) for words in x]
        return [[self._of.get(word, self._every) for word in words] for words in x]


class StepByStep:
    """A classifier without recurrence that sees each step with its neighbours.

    Args:
        model: classifier of rows.
        features: from sequences to one row a step.
    """

    def __init__(self, model: Any, features: Any) -> None:
        self.model, self.features = model, features

    def fit(self, x: Sequence[Any], y: Sequence[Sequence[Any]]) -> Self:
        """Train on all steps."""
        with warnings.catch_warnings():  # as far as it comes
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model.fit(self.features(x), np.concatenate([np.asarray(tags) for tags in y]))
        return self

    def predict(self, x: Sequence[Any]) -> list[NDArray[Any]]:
        """A tag a step."""
        found = self.model.predict(self.features(x))
        return np.split(found, np.cumsum([len(words) for words in x])[:-1])


def taggers(*, tokens: bool) -> dict[str, Any]:
    """Taggers without recurrence, by name.

    Args:
        tokens: whether the steps are words.
    """
    if tokens:
        return {
            WORD: MostFrequentTag(by_word=True),
            NEIGHBOURS: StepByStep(
                SGDClassifier(loss="log_loss", alpha=1e-6, max_iter=5, random_state=0), neighbours
            ),
        }
    mlp = MLPClassifier((128,), early_stopping=True, max_iter=50, random_state=0)
    return {
        MAJORITY: MostFrequentTag(by_word=False),
        WINDOW: StepByStep(make_pipeline(StandardScaler(), mlp), windows),
    }


def windows(sequences: Sequence[NDArray[Any]], around: int = _AROUND) -> NDArray[np.float32]:
    """Each frame with those before and after it side by side; past the ends the last one again.

    Returns:
        [all steps, (2 · around + 1) · C].
    """
    rows = []
    for x in sequences:
        at = np.arange(len(x))[:, None] + np.arange(-around, around + 1)
        rows.append(x[at.clip(0, len(x) - 1)].reshape(len(x), -1))
    return np.concatenate(rows).astype(np.float32)


def neighbours(sequences: Sequence[Sequence[str]]) -> Any:
    """Sparse rows: the word, its last letters, its form, and the words beside it."""
    hasher = FeatureHasher(2**20, input_type="string")
    return hasher.transform(
        _told(["<s>", *words, "</s>"], t) for words in sequences for t in range(1, len(words) + 1)
    )


def _told(words: Sequence[str], t: int) -> list[str]:
    word = words[t].lower()
    form = "".join(
        "A" if c.isupper() else "a" if c.isalpha() else "0" if c.isdigit() else c for c in words[t]
    )
    return [
        f"w {word}", f"f {form[:8]}", f"- {words[t - 1].lower()}", f"+ {words[t + 1].lower()}",
        *(f"s {word[-k:]}" for k in range(1, 5)), f"p {word[:2]}", f"-+ {words[t - 1].lower()[-3:]}"
        f" {word[-3:]}", "1",
    ]  # fmt: skip
