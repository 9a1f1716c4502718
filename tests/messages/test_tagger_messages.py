"""Every message of the tagger, by its text."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import recurnn
from recurnn.errors import ConfigError, DataError, RecurnnError, ShapeError

X, Y = [["a", "b"], ["c"], ["a"]], [["x", "y"], ["x"], ["y"]]
SMALL = {"hidden_size": 2, "embedding_size": 2, "letter_size": 2, "epochs": 0, "validation": 0}


def message(kind: type[RecurnnError], call, *args, **options) -> str:
    with pytest.raises(kind) as caught:
        call(*args, **options)
    return str(caught.value)


@pytest.fixture(scope="module")
def fitted() -> recurnn.SequenceTagger:
    return recurnn.SequenceTagger(**SMALL).fit(X, Y)


@pytest.mark.parametrize(
    ("kind", "y", "text"),
    [
        (ShapeError, Y[:2],
         "X and y must have the same number of sequences.\n  y has 2; X has 3."),
        (DataError, None, "y is of type NoneType.\n  Expected a list of tags for each sequence."),
        (ShapeError, [["x", "y"], ["x", "y"], ["y"]],
         "y[1] does not fit X[1].\n  It has 2 tags; the sequence has 1 step.\n  Give a tag for "
         "every step."),
        (ShapeError, [["x", "y"], "x", ["y"]],
         "y[1] does not fit X[1].\n  It has 1 tag; the sequence has 1 step.\n  Give a tag for "
         "every step."),
        (DataError, [["x", None], ["x"], ["y"]],
         "y[0][1] is None: it is missing.\n  Give a tag."),
        (DataError, [["x", "x"], ["x"], ["x"]],
         "There is one tag only: 'x'.\n  A tagger needs sequences with two tags or more."),
        (DataError, [["x", 1], ["x"], ["x"]],
         "The tags are of several types.\n  Give strings, or whole numbers."),
    ],
)  # fmt: skip
def test_tags(kind, y, text):
    assert message(kind, recurnn.SequenceTagger(**SMALL).fit, X, y) == text


def test_a_tag_seen_for_the_first_time(fitted):
    assert message(DataError, fitted.partial_fit, X, [["x", "y"], ["z"], ["y"]]) == (
        "y[1][0] is 'z', a tag that the model was not fitted on.\n  It knows 2: x, y."
    )


def test_options():
    assert message(ConfigError, recurnn.SequenceTagger, word_dropout=-1) == (
        "word_dropout is -1; expected a number of at least 0."
    )
    assert message(ConfigError, recurnn.SequenceTagger, letter_size=-1) == (
        "letter_size is -1; expected a whole number of at least 0."
    )
    assert message(ConfigError, recurnn.SequenceTagger, dropout=None) == (
        "dropout is None; expected a share of at least 0 and below 1."
    )


def test_a_crf_without_its_library_or_probabilities(monkeypatch):
    model = recurnn.SequenceTagger(crf=True, **SMALL)
    assert message(ConfigError, model.fit(X, Y).predict_proba, X) == (
        "predict_proba: with crf=True tags are chosen together.\n  They have no probabilities one "
        "by one; use predict."
    )
    monkeypatch.setitem(sys.modules, "torchcrf", None)
    assert message(ConfigError, model.fit, X, Y) == (
        "crf: the library pytorch-crf is not installed.\n"
        '  Install it with: pip install "recurnn[crf]"'
    )


def test_sequences_of_another_kind(fitted):
    assert message(DataError, fitted.predict, [np.ones((3, 2))]) == (
        "The sequences are not of the kind that the model was fitted on.\n"
        "  It was fitted on lists of tokens; these are numbers."
    )
