"""Every message of the models of whole sequences, by its text."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.sparse import csr_array

import recurnn
from recurnn.cells import CELLS
from recurnn.errors import ConfigError, DataError, ModelFolderError, RecurnnError, ShapeError
from recurnn.models import NotFittedError

X = [np.arange(n, dtype=float) for n in (3, 4, 5, 6)]
Y = ["a", "b", "a", "b"]


def classifier(**options: object) -> recurnn.SequenceClassifier:
    return recurnn.SequenceClassifier(
        **({"hidden_size": 2, "epochs": 0, "validation": 0} | options)
    )


@pytest.fixture(scope="module")
def fitted() -> recurnn.SequenceClassifier:
    return classifier().fit(X, Y)


def message(kind: type[RecurnnError], call, *args, **options) -> str:
    with pytest.raises(kind) as caught:
        call(*args, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"pooling": "maxx"}, "pooling: there is no 'maxx'.\n  Known: None, last, mean, max, "
                              "attention, flat. Did you mean 'max'?"),
        ({"cell": "lsmt"},
         f"cell: there is no 'lsmt'.\n  Known: {', '.join(CELLS)}. Did you mean 'lstm'?"),
        ({"tokens": "word"}, "tokens: there is no 'word'.\n  Known: None, characters, words. "
                             "Did you mean 'words'?"),
        ({"scale": "minmax"}, "scale: there is no 'minmax'.\n  Known: standard, none."),
        ({"validation": 0, "patience": 3}, "patience is 3, but validation is 0.\n"
         "  Hold out a part to validate on, or leave patience out."),
        ({"validation": 1}, "validation is 1; expected a share of at least 0 and below 1."),
        ({"max_length": 0}, "max_length is 0; expected a whole number of at least 1."),
        ({"embedding_size": 0}, "embedding_size is 0; expected a whole number of at least 1."),
        ({"class_weight": 3}, "class_weight is 3; expected 'balanced', None, or a weight for each "
                              "class: {'yes': 2.0, 'no': 1.0}."),
        ({"threshold": "f2"}, "threshold: there is no 'f2'.\n  Known: f1, balanced. Did you mean "
                              "'f1'?"),
        ({"threshold": 2}, "threshold is 2; expected a probability, or 'f1'."),
        ({"token_dropout": 1},
         "token_dropout is 1; expected a share of at least 0 and below 1."),
        ({"class_weight": {"a": -1}},
         "class_weight of 'a' is -1; expected a number above 0."),
    ],
)  # fmt: skip
def test_options(options, text):
    assert message(ConfigError, recurnn.SequenceClassifier, **options) == text


def test_the_regressors_loss():
    assert message(ConfigError, recurnn.SequenceRegressor, loss="huber").startswith(
        "loss: there is no 'huber'.\n  Known: mse, mae."
    )


@pytest.mark.parametrize(
    ("kind", "x", "text"),
    [
        (DataError, [], "There are no sequences.\n  X is empty; give one sequence or more."),
        (DataError, 3, "The sequences are of type int.\n  Expected an array [N, T] or [N, T, C], "
                       "a frame, or a list of sequences."),
        (DataError, {"a": 1}, "The sequences are of type dict.\n  Expected an array [N, T] or "
                              "[N, T, C], a frame, or a list of sequences."),
        (DataError, [X[0], [], X[1], X[2]],
         "X[1] is empty.\n  A sequence has one step or more: leave it out."),
        (DataError, [X[0], [1.0, np.nan], X[1], X[2]],
         "X[1] holds what is not a finite number.\n  Step 1, channel 0 is NaN. Fill it, or leave "
         "the sequence out."),
        (ShapeError, [np.ones((3, 2)), np.ones((3, 2)), np.ones((4, 1)), np.ones((3, 2))],
         "X[2] does not fit the others.\n  It has 1 channel; X[0] has 2 channels.\n  Give all "
         "sequences the same channels."),
        (ShapeError, np.ones((4, 2, 2, 2)),
         "X[0] has 3 dimensions; expected [T] or [T, C]."),
        (ShapeError, np.ones((4, 2, 0)), "X[0] has no channels: it is [2, 0]."),
        (DataError, ["a", "b", 3.0, "d"], "X[2] is 3.0; expected a string, as X[0] is."),
        (DataError, [["a"], ["b", 1], ["c"], ["d"]], "X[1]: token 1 is 1; expected a string."),
    ],
)  # fmt: skip
def test_sequences(kind, x, text):
    assert message(kind, classifier().fit, x, Y) == text


def test_a_ragged_sequence_is_named():
    ragged = [X[0], [[1.0, 2.0], [3.0]], X[1], X[2]]
    text = message(DataError, classifier().fit, ragged, Y)
    assert text == (
        "X[1] does not hold numbers.\n  Step 1 has 1 number; step 0 has 2.\n"
        "  Expected [T] or [T, C], every step with the same channels."
    )
    assert text.endswith("Expected [T] or [T, C], every step with the same channels.")


def test_too_long():
    assert message(DataError, classifier(max_length=5).fit, X, Y) == (
        "X[3] is too long.\n  It has 6 steps; max_length is 5.\n  Cut it, or raise max_length."
    )


def test_numbers_are_not_cut_into_words():
    assert message(ConfigError, classifier(tokens="words").fit, X, Y) == (
        "tokens is 'words', but the sequences hold numbers.\n  Leave tokens out, or give strings."
    )


@pytest.mark.parametrize(
    ("kind", "y", "text"),
    [
        (ShapeError, ["a", "b"],
         "X and y must have the same number of sequences.\n  y has 2; X has 4."),
        (DataError, ["a", None, "b", "a"], "y[1] is None: it is missing.\n  Leave that sequence "
                                           "out."),
        (DataError, [0, 1, np.nan, 1], "y[2] is nan: it is missing.\n  Leave that sequence out."),
        (DataError, ["a"] * 4, "There is one class only: 'a'.\n  A classifier needs sequences of "
                               "two classes or more."),
        (DataError, [0.5, 1.0, 2.0, 3.0], "y holds numbers that are no classes, such as 0.5.\n  To "
                                          "learn numbers use SequenceRegressor."),
        (DataError, np.ones((4, 2)), "y has 2 dimensions; expected one class a sequence, [N]."),
    ],
)  # fmt: skip
def test_classes(kind, y, text):
    assert message(kind, classifier().fit, X, y) == text


def test_thresholds():
    assert message(DataError, classifier(threshold=0.4).fit, X, ["a", "b", "c", "a"]) == (
        "threshold is 0.4, but there are 3 classes.\n  A threshold is for two; leave it out."
    )
    assert message(DataError, classifier(threshold="f1").fit, X, Y) == (
        "threshold: 'f1' is chosen on the validation part, which has not both classes.\n  It has 0 "
        "sequences; give more, or a number."
    )


def test_forms_of_scipy_and_complex_numbers():
    assert message(DataError, classifier().fit, csr_array(np.ones((4, 3))), Y) == (
        "The sequences are a sparse matrix: sparse input is not supported.\n"
        "  Give an array: X.toarray()."
    )
    assert message(DataError, classifier().fit, np.ones((4, 3)) * 1j, Y) == (
        "Complex data not supported: X[0] holds complex numbers.\n"
        "  Give the real and imaginary parts as two channels."
    )
    assert message(DataError, classifier().fit, X, None) == (
        "fit requires y to be passed, but the target y is None."
    )


def test_a_class_without_a_weight():
    assert message(DataError, classifier(class_weight={"a": 1}).fit, X, Y) == (
        "class_weight has no weight for 'b'.\n  Give one for each class, or 'balanced'."
    )


def test_numbers_to_learn():
    regressor = recurnn.SequenceRegressor(hidden_size=2, epochs=0, validation=0)
    assert message(DataError, regressor.fit, X, Y) == (
        "y is [4] of <U1; expected a number, or a row of numbers, for each sequence."
    )
    regressor.fit(X, np.ones((4, 2)))
    assert message(ShapeError, regressor.partial_fit, X, np.ones(4)) == (
        "y has 1 number a sequence; the model was fitted on 2."
    )


def test_not_fitted():
    assert message(NotFittedError, classifier().predict, X) == (
        "The SequenceClassifier is not fitted yet.\n"
        "  Call fit(...) first, or SequenceClassifier.load(...)."
    )


def test_sequences_of_another_kind(fitted):
    assert message(DataError, fitted.predict, ["abc"]) == (
        "The sequences are not of the kind that the model was fitted on.\n"
        "  It was fitted on numbers; these are texts."
    )
    assert message(ShapeError, fitted.predict, np.ones((2, 3, 2))) == (
        "The sequences do not fit the model.\n"
        "  They have C = 2 channels; it was fitted on sequences with C = 1."
    )


def test_longer_than_what_was_fitted_on():
    model = classifier().fit([[1.0, 2, 3], [3.0, 2, 1]] * 2, Y)
    assert model.predict([[1.0, 2.0]]).shape == (1,)
    assert message(DataError, model.predict, [X[0], X[1]]) == (
        "X[1] is longer than the sequences that the model was fitted on.\n  It has 4 steps, they "
        "had 3 at most; with pooling='flat' each step has its own place.\n  Cut it, or fit with "
        "another pooling."
    )


def test_a_class_seen_for_the_first_time(fitted):
    for call in (fitted.partial_fit, fitted.compare, fitted.confusion):
        assert message(DataError, call, X, ["a", "b", "c", "a"]) == (
            "y[2] is 'c', a class that the model was not fitted on.\n  It knows 2 classes: a, b."
        )


def test_another_models_folder(fitted, tmp_path):
    fitted.save(tmp_path / "m")
    assert message(ModelFolderError, recurnn.SequenceRegressor.load, tmp_path / "m") == (
        f"{tmp_path / 'm'} does not hold a recurnn-sequence-regressor model.\n"
        "  Its config.json names the format 'recurnn-sequence-classifier'; expected "
        "'recurnn-sequence-regressor'."
    )


@pytest.mark.parametrize(
    "change",
    [
        {"facts": {"inputs": 7}},
        {"options": {"pooling": "no"}},
        {"facts": {"target": {}}},
        {"facts": {"target": {"classes": [1]}}},
    ],
)
def test_a_changed_config(fitted, tmp_path, change):
    fitted.save(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (part,) = change
    config[part] |= change[part]
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    text = message(ModelFolderError, recurnn.SequenceClassifier.load, tmp_path / "m")
    assert text.startswith(f"{tmp_path / 'm'}: the config and the weights do not make a model.\n")
