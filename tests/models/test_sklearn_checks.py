"""scikit-learn's own checks of an estimator, and the reasons for those that do not apply.

The checks give an array of numbers and one number for each row. Where a model learns something
else, a subclass makes it of that, and one number for each row of what the model says.
"""

from __future__ import annotations

import zlib
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.utils.estimator_checks import parametrize_with_checks

import recurnn


class Tagger(recurnn.SequenceTagger):
    """Every step of a row has the row's label for its tag; the first one is told."""

    def fit(self, X: Any, y: Any) -> Self:
        return super().fit(X, every_step(X, y))

    def partial_fit(self, X: Any, y: Any) -> Self:
        return super().partial_fit(X, every_step(X, y))

    def score(self, X: Any, y: Any) -> float:
        return super().score(X, every_step(X, y))

    def predict(self, X: Any) -> Any:
        return np.array([tags[0] for tags in super().predict(X)])

    def predict_proba(self, X: Any) -> Any:
        return np.array([shares[0] for shares in super().predict_proba(X)])


class Pairs(recurnn.Seq2Seq):
    """A row's numbers are the tokens of a source, its label is the target."""

    def fit(self, X: Any, y: Any) -> Self:
        return super().fit(tokens(X), texts(y))

    def partial_fit(self, X: Any, y: Any) -> Self:
        return super().partial_fit(tokens(X), texts(y))

    def score(self, X: Any, y: Any) -> float:
        return super().score(tokens(X), texts(y))

    def predict(self, X: Any, **more: Any) -> Any:
        said = super().predict(tokens(X), **more)
        return as_numbers(said) if isinstance(X, np.ndarray) else said  # `score` asks with tokens


class Generator(recurnn.SequenceGenerator):
    """A row is the condition, its label is the text."""

    def fit(self, X: Any, y: Any) -> Self:
        return super().fit(X, texts(y))

    def partial_fit(self, X: Any, y: Any) -> Self:
        return super().partial_fit(X, texts(y))

    def score(self, X: Any, y: Any) -> float:
        return super().score(X, texts(y))

    def predict(self, X: Any) -> Any:
        return as_numbers(super().predict(X))


def every_step(X: Any, y: Any) -> Any:
    if y is None or np.ndim(X) < 2 or len(X) != len(y):  # which is refused
        return y
    return [[k] * len(x) for k, x in zip(y, X, strict=True)]


def tokens(X: Any) -> Any:
    if not isinstance(X, np.ndarray) or X.ndim != 2:  # refused, or tokens already
        return X
    return [[f"{v:.1f}" for v in row] for row in X]


def texts(y: Any) -> Any:
    return y if y is None else [f"{k:.3g}" for k in y]


def as_numbers(said: list[str]) -> NDArray[np.int64]:
    return np.array([zlib.crc32(text.encode()) for text in said])


SEQUENCES: dict[str, str] = {
    "check_dont_overwrite_parameters": "history has the name that it has on every model here",
    "check_do_not_raise_errors_in_init_or_set_params": "a bad option is told at once, in __init__",
    "check_n_features_in_after_fitting": "sequences have no fixed number of columns",
    "check_n_features_in": "sequences have no fixed number of columns",
    "check_estimators_empty_data_messages": "the message is in our words: which sequence is empty",
    "check_fit2d_predict1d": "the message is in our words; X[0] is one number, no sequence",
}
BOTH = SEQUENCES | {
    "check_supervised_y_2d": "[N, 1] is a vector of one number, not a column to be flattened",
}
FAILING: dict[type, dict[str, str]] = {
    recurnn.SequenceClassifier: BOTH | {
        "check_classifiers_regression_target": "the message names SequenceRegressor instead",
        "check_estimators_partial_fit_n_features": "the first call is fit and sees every class",
    },
    recurnn.SequenceRegressor: BOTH | {
        "check_dtype_object": "the message is in our words: what y is and should be",
        "check_estimators_partial_fit_n_features": "sequences may have other lengths at every call",
    },
    Tagger: SEQUENCES | {
        "check_fit2d_1sample": "the message is in our words: there is one tag only",
    },
    Pairs: SEQUENCES | {
        "check_complex_data": "sources are texts, not numbers",
        "check_dtype_object": "sources are texts, not numbers",
        "check_estimators_nan_inf": "sources are texts, not numbers",
    },
    Generator: SEQUENCES | {
        "check_dtype_object": "the message is in our words: which condition is no number",
        "check_fit1d": "[N] is a class for each sequence",
    },
}  # fmt: skip
SMALL: dict[str, Any] = {"hidden_size": 4, "epochs": 3, "learning_rate": 0.05}
FEW = SMALL | {"embedding_size": 4}


def failing(estimator: Any) -> dict[str, str]:
    return FAILING[type(estimator)]


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [
        recurnn.SequenceClassifier(**SMALL), recurnn.SequenceRegressor(**SMALL),
        Tagger(**FEW, letter_size=4), Pairs(**FEW, beam=1), Generator(**FEW, temperature=0),
    ],
    expected_failed_checks=failing,
)  # fmt: skip
def test_scikit_learns_checks(estimator, check):
    check(estimator)
