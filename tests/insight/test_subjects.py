"""Models of whole sequences as what is looked into: their own predictions, on input as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recurnn
from recurnn import insight
from recurnn.errors import ConfigError


def sequences(lengths: list[int]) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.normal(200.0, 30.0, size=(n, 2)) for n in lengths]


LENGTHS = [9, 3, 7, 5, 9, 6, 4, 8]


def test_a_classifier_with_numbers_of_any_lengths():
    X, y = sequences(LENGTHS), np.array(list("abababab"))
    model = recurnn.SequenceClassifier(hidden_size=4, epochs=1, validation=0, pooling="last")
    model.fit(X, y)
    subject = model.subject(X[::-1], y[::-1], rows=3, lag=2)
    chosen = [X[::-1][k] for k in (0, 4, 7)]  # evenly spread, to be rounded to even
    assert subject.lengths.tolist() == [len(x) for x in chosen]
    assert float(subject.x.abs().max()) < 8  # scaled: no verdict on what the model does itself
    p = torch.softmax(subject.predict().detach(), 1).numpy()
    np.testing.assert_allclose(p, model.predict_proba(chosen), rtol=1e-4)
    label = ["ab".index(v) for v in y[::-1][[0, 4, 7]]]
    want = -np.log(model.predict_proba(chosen)[np.arange(3), label])
    np.testing.assert_allclose(subject.losses().detach(), want, rtol=1e-4)
    found = insight.inspect(subject)
    assert "unscaled input" not in [v.name for v in found.verdicts]
    assert found.subject.configuration["hidden size"] == 4
    with pytest.raises(ConfigError, match="rows is 0; expected a whole number of at least 1"):
        model.subject(X, y, rows=0)


def test_a_classifier_of_texts_has_their_tokens_as_labels():
    X = ["the cat sat", "a dog ran off"] * 6
    y = [0, 1] * 6
    model = recurnn.SequenceClassifier(hidden_size=4, epochs=1, validation=0).fit(X, y)
    subject = model.subject(X, y, rows=2)
    assert list(subject.labels) == ["the", "cat", "sat"]
    p = torch.softmax(subject.predict().detach(), 1).numpy()
    np.testing.assert_allclose(p, model.predict_proba([X[0], X[-1]]), rtol=1e-5)


def test_a_regressor_whose_numbers_are_as_many_as_its_steps():
    X = np.random.default_rng(4).normal(size=(10, 3, 2))
    y = X.sum(axis=2) * 50 + 1000
    model = recurnn.SequenceRegressor(hidden_size=4, epochs=1, validation=0, loss="mae").fit(X, y)
    subject = model.subject(X, y, rows=10)
    assert subject.lengths is None
    error = np.abs(model.predict(X) - y) / y.std(0)
    np.testing.assert_allclose(subject.losses().detach(), error.mean(1), rtol=1e-3)
    changed = insight.occlusion(subject, [0])  # of all three numbers, not of the last
    spread = model.predict(X).std(0) / y.std(0)
    x = torch.tensor(X).float()
    x[:, -1] = x.mean((0, 1))
    other = (model.predict(x.numpy()) - model.predict(X)) / y.std(0)
    want = np.sqrt(np.square(other).mean() / np.square(spread).mean())
    assert changed["change"].iloc[0] == pytest.approx(want, rel=1e-3)
