"""What a sceptic would try on whole sequences first: summaries and bags, then a linear model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, StandardScaler

MAJORITY, MEAN = "most frequent class", "mean"
_STEPS = 32  # of a resampled sequence
_GRAMS = 3


def summary(sequences: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Mean, deviation, least, greatest, first and last value of each channel, and the length.

    Returns:
        [N, 6C + 1].
    """
    return np.stack(
        [
            np.concatenate(
                [x.mean(0), x.std(0), x.min(0), x.max(0), x[0], x[-1], [len(x)]], dtype=np.float64
            )
            for x in sequences
        ]
    )


def resampled(
    sequences: list[NDArray[np.float32]], steps: int | None = None
) -> NDArray[np.float64]:
    """Every sequence drawn out or together to the same steps along straight lines, and laid flat.

    Args:
        sequences: each [T_i, C].
        steps: of all; by default 32, or as many as all have if that is no more than 64.

    Returns:
        [N, steps · C].
    """
    lengths = {len(x) for x in sequences}
    if steps is None:
        steps = lengths.pop() if len(lengths) == 1 and max(lengths) <= 2 * _STEPS else _STEPS
    at = np.linspace(0, 1, steps)
    return np.stack(
        [
            np.concatenate([np.interp(at, np.linspace(0, 1, len(x)), c) for c in x.T])
            for x in sequences
        ]
    )


def classifiers(*, tokens: bool) -> dict[str, Pipeline]:
    """Classifiers without recurrence, by name.

    Args:
        tokens: whether the sequences are tokens.
    """
    found = {MAJORITY: make_pipeline(_ones(), DummyClassifier(strategy="most_frequent"))}
    for name, parts in _features(tokens=tokens).items():
        found[f"logistic regression, {name}"] = make_pipeline(
            *parts, LogisticRegression(max_iter=1000)
        )
    return found


def regressors(*, tokens: bool) -> dict[str, Pipeline]:
    """Regressors without recurrence, by name; the strength of the ridge by leave-one-out.

    Args:
        tokens: whether the sequences are tokens.
    """
    found = {MEAN: make_pipeline(_ones(), DummyRegressor())}
    for name, parts in _features(tokens=tokens).items():
        found[f"ridge regression, {name}"] = make_pipeline(*parts, RidgeCV(np.logspace(-3, 3, 7)))
    return found


def _features(*, tokens: bool) -> dict[str, list[Any]]:
    if tokens:
        return {
            "bag of tokens": [CountVectorizer(analyzer=_same), MaxAbsScaler()],
            f"bag of 1- to {_GRAMS}-grams": [CountVectorizer(analyzer=grams), MaxAbsScaler()],
            "tokens by place": [CountVectorizer(analyzer=_places)],
        }
    return {
        "summary statistics": [FunctionTransformer(summary), StandardScaler()],
        "resampled and flat": [FunctionTransformer(resampled), StandardScaler()],
    }


def grams(tokens: list[str]) -> list[str]:
    """Runs of one to three tokens; the ends of the sequence count as tokens.

    >>> grams(["a", "b"])[:4]
    ['<', 'a', 'b', '>']
    """
    ended = ["<", *tokens, ">"]
    return [
        "\x1f".join(ended[i : i + n])
        for n in range(1, _GRAMS + 1)
        for i in range(len(ended) - n + 1)
    ]


def _same(tokens: list[str]) -> list[str]:
    return tokens


def _places(tokens: list[str]) -> list[str]:
    return [f"{place} {token}" for place, token in enumerate(tokens[:100])]


def _ones() -> FunctionTransformer:
    return FunctionTransformer(lambda sequences: np.ones((len(sequences), 1)))
