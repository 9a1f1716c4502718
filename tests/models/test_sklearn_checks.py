"""scikit-learn's own checks of an estimator, and the reasons for those that do not apply."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import recurnn

BOTH = {
    "check_dont_overwrite_parameters": "history has the name that it has on every model here",
    "check_do_not_raise_errors_in_init_or_set_params": "a bad option is told at once, in __init__",
    "check_n_features_in_after_fitting": "sequences have no fixed number of columns",
    "check_n_features_in": "sequences have no fixed number of columns",
    "check_estimators_empty_data_messages": "the message is in our words: which sequence is empty",
    "check_fit2d_predict1d": "the message is in our words; X[0] is one number, no sequence",
    "check_supervised_y_2d": "[N, 1] is a vector of one number, not a column to be flattened",
}
CLASSIFIER = BOTH | {
    "check_classifiers_regression_target": "the message names SequenceRegressor instead",
    "check_estimators_partial_fit_n_features": "the first call is fit and sees every class",
}
REGRESSOR = BOTH | {
    "check_dtype_object": "the message is in our words: what y is and should be",
    "check_estimators_partial_fit_n_features": "sequences may have other lengths at every call",
}
SMALL: dict[str, Any] = {"hidden_size": 4, "epochs": 3, "learning_rate": 0.05}


def failing(estimator: Any) -> dict[str, str]:
    return CLASSIFIER if isinstance(estimator, recurnn.SequenceClassifier) else REGRESSOR


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [recurnn.SequenceClassifier(**SMALL), recurnn.SequenceRegressor(**SMALL)],
    expected_failed_checks=failing,
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
