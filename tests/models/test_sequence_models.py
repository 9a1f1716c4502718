"""The models of whole sequences: what they learn, what they leave alone, and what is saved."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch.nn import functional as F

import recurnn
from recurnn.baselines.sequences import grams, resampled, summary
from recurnn.data import Sequences
from recurnn.data.sequence_inputs import as_inputs
from recurnn.errors import NotFittedError
from recurnn.models.sequence_classifier import WeightedCrossEntropy, best_threshold
from recurnn.models.sequence_comparison import Scored, verdict
from recurnn.models.sequence_network import POOLINGS, SequenceNetwork
from recurnn.models.sequence_preparation import by_length, parts_of, settled

SMALL = {"hidden_size": 5, "epochs": 2}


def ramps(n: int = 40, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences [T_i, 2] that rise or fall in their first channel; the mean says nothing."""
    random = np.random.default_rng(seed)
    x, y = [], []
    for i in range(n):
        T = int(random.integers(4, 15))
        slope = np.linspace(-1, 1, T) * (1 if i % 2 else -1)
        x.append(np.stack([slope + 40, random.normal(size=T)], 1) + random.normal(0, 0.05, (T, 2)))
        y.append("up" if i % 2 else "down")
    return x, np.array(y)


def network(pooling: str, **more: object) -> SequenceNetwork:
    torch.manual_seed(3)
    return SequenceNetwork(
        inputs=2, outputs=3, hidden_sizes=(4, 3), pooling=pooling, steps=6, **more
    ).eval()


@pytest.mark.parametrize("cell", ["mgu", "projected-lstm", "scrn", "gru", "elman"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_last_state_of_any_cell(cell, bidirectional):
    module = network("last", bidirectional=bidirectional, cell=cell)
    x, lengths = torch.randn(3, 6, 2), torch.tensor([6, 1, 4])
    for row, (part, T) in enumerate(zip(x, lengths, strict=True)):
        h = part[None, :T]
        for layer in module.layers:
            h = layer(h)[0]
        units = h.shape[2] // (2 if bidirectional else 1)
        ends = torch.cat([h[:, -1, :units], h[:, 0, units:]], 1)
        torch.testing.assert_close(module(x, lengths)[row], module.head(ends)[0])
    model = recurnn.SequenceClassifier(cell=cell, bidirectional=bidirectional, pooling="last",
                                       **SMALL)  # fmt: skip
    x, y = ramps()
    assert model.fit(x, y).predict_proba(x).shape == (40, 2)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_and_company_do_not_matter(pooling, bidirectional):
    module = network(pooling, bidirectional=bidirectional)
    module.shift.fill_(0.7)  # so that padding is not zero when it is read
    parts = [torch.randn(T, 2) for T in (6, 1, 4)]
    (x, lengths), _ = Sequences(parts, torch.zeros(3), padding=9.0).batch(torch.arange(3))
    together = module(x, lengths)
    for part, row in zip(parts, together, strict=True):
        alone = module(part[None], torch.tensor([len(part)]))[0]
        torch.testing.assert_close(row, alone, rtol=1e-5, atol=1e-6)


def test_the_poolings_are_what_they_are_called():
    h = torch.randn(2, 5, 6)
    lengths = torch.tensor([5, 3])
    pooled = {name: network(name)._pooled(h, lengths) for name in POOLINGS}
    torch.testing.assert_close(pooled["mean"][1], h[1, :3].mean(0))
    torch.testing.assert_close(pooled["max"][1], h[1, :3].amax(0))
    torch.testing.assert_close(pooled["last"][1], torch.cat([h[1, 2, :3], h[1, 0, 3:]]))
    assert pooled["flat"].shape == (2, 6 * 6)
    assert torch.equal(pooled["flat"][1].view(6, 6)[:3], h[1, :3])
    assert not pooled["flat"][1].view(6, 6)[3:].any()
    attention = network("attention").attention
    scores = [attention.score(torch.tanh(attention.hidden(h[1, t]))) for t in range(3)]
    weights = torch.softmax(torch.cat(scores), 0)
    torch.testing.assert_close(pooled["attention"][1], (weights[:, None] * h[1, :3]).sum(0))


def test_last_is_what_each_direction_ends_with():
    module = network("last")
    x, lengths = torch.randn(2, 6, 2), torch.tensor([6, 3])
    h = module.layers[0](x, lengths=lengths)[0]
    h, *_ = module.layers[1](h, lengths=lengths)
    forward, backward = h[1, 2, :3], h[1, 0, 3:]
    torch.testing.assert_close(module(x, lengths)[1], module.head(torch.cat([forward, backward])))


@pytest.mark.parametrize("pooling", ["last", "attention"])
def test_it_learns_what_a_mean_cannot_show(pooling):
    x, y = ramps()
    model = recurnn.SequenceClassifier(
        pooling=pooling, hidden_size=8, epochs=25, learning_rate=0.02, bidirectional=False
    ).fit(x, y)
    new, true = ramps(seed=5)
    assert model.score(new, true) == 1.0
    assert model.classes_.tolist() == ["down", "up"]
    probabilities = model.predict_proba(new)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (model.classes_[probabilities.argmax(1)] == true).all()
    assert model.confusion(new, true).to_numpy().tolist() == [[20, 0], [0, 20]]


def test_texts_and_tokens():
    x = ["abab", "ba", "cdcd", "ddc", "aab", "ccd"] * 6
    y = [0, 0, 1, 1, 0, 1] * 6
    model = recurnn.SequenceClassifier(hidden_size=8, epochs=20, learning_rate=0.02).fit(x, y)
    assert model.predict(["bbb", "dcc"]).tolist() == [0, 1]
    assert model._kind == "characters"
    assert np.isfinite(model.predict_proba(["ξξξ"])).all()  # tokens never seen
    tokens = recurnn.SequenceClassifier(hidden_size=8, epochs=20, learning_rate=0.02)
    tokens.fit([list(t) for t in x], y)
    assert np.array_equal(tokens.predict_proba([["a"]]), model.predict_proba(["a"]))


def test_what_is_left_open_is_settled_by_the_sequences():
    equal, unequal = [[1.0, 2, 3]] * 8, [[1.0, 2, 3]] * 7 + [[1.0]]
    y = [0, 1] * 4
    model = recurnn.SequenceClassifier(**SMALL).fit(equal, y)
    few = {"dropout": 0.2, "steps": 3, "validation": 0.0, "schedule": "cosine"}
    assert model._settled == few | {"pooling": "flat"}
    assert model.get_params()["pooling"] is None
    assert recurnn.SequenceClassifier(**SMALL).fit(unequal, y)._settled["pooling"] == "mean"
    assert settled(model._options(), [3] * 4999, tokens=True)["dropout"] == 0.5
    many = settled(model._options(), [101] * 5000, tokens=True)
    assert many == {
        "pooling": "mean", "dropout": 0.2, "steps": 101, "validation": 0.1, "schedule": "constant",
    }  # fmt: skip
    given = recurnn.SequenceClassifier(pooling="max", dropout=0.1, **SMALL).fit(equal, y)
    assert given._settled == few | {"pooling": "max", "dropout": 0.1}
    chosen = recurnn.SequenceClassifier(threshold="f1")._options()
    assert settled(chosen, [3] * 8, tokens=False)["validation"] == 0.1


def test_rare_tokens_of_the_validation_part_are_unknown():
    x = ["ab" + chr(200 + i) for i in range(20)]
    model = recurnn.SequenceClassifier(validation=0.5, **SMALL).fit(x, [0, 1] * 10)
    assert len(model._vocabulary.tokens) == 2 + 10


def test_forms_of_the_same_numbers_are_one():
    values = np.random.default_rng(0).normal(size=(12, 5))
    y = np.arange(12) % 3
    expected = recurnn.SequenceClassifier(**SMALL).fit(values, y).predict_proba(values)
    for form in (values[..., None], list(values), values.tolist(), pd.DataFrame(values)):
        model = recurnn.SequenceClassifier(**SMALL).fit(form, y)
        assert np.array_equal(model.predict_proba(form), expected)


def test_the_scale_comes_from_the_training_part_alone():
    x, y = ramps()
    groups = np.unique(y, return_inverse=True)[1]
    training, held = parts_of(groups, 0.25, seed=4)
    model = recurnn.SequenceClassifier(validation=0.25, seed=4, **SMALL).fit(x, y)
    steps = np.concatenate([x[i] for i in training])
    np.testing.assert_allclose(model._network.shift.numpy(), steps.mean(0), rtol=1e-6)
    for i in held:
        x[i] = x[i] * 100
    again = recurnn.SequenceClassifier(validation=0.25, seed=4, **SMALL).fit(x, y)
    assert torch.equal(again._network.shift, model._network.shift)


def test_a_constant_channel_is_left_at_its_size():
    x = [np.stack([np.full(5, 3.0), np.arange(5.0) + i], 1) for i in range(8)]
    model = recurnn.SequenceClassifier(**SMALL).fit(x, [0, 1] * 4)
    assert model._network.scale[0] == 1
    assert np.isfinite(model.predict_proba(x)).all()


def test_scikit_learns_tools_take_it():
    x, y = ramps(24)
    model = recurnn.SequenceClassifier(
        cell="gru", hidden_size=(4, 3), class_weight={"up": 2, "down": 1}
    )
    assert clone(model).get_params() == model.get_params()
    small = recurnn.SequenceClassifier(**SMALL)
    found = GridSearchCV(small, {"pooling": ["last", "max"]}, cv=2).fit(x, y)
    assert found.best_params_["pooling"] in ("last", "max")
    halves = FunctionTransformer(lambda sequences: [s / 2 for s in sequences])
    assert make_pipeline(halves, clone(small)).fit(x, y).predict(x).shape == (24,)
    members = [(f"seed {k}", clone(small).set_params(seed=k)) for k in range(2)]
    together = VotingClassifier(members, voting="soft").fit(x, y)
    each = [one.predict_proba(x) for one in together.estimators_]
    np.testing.assert_allclose(together.predict_proba(x), np.mean(each, axis=0))
    assert small.set_params(epochs=1).get_params()["epochs"] == 1


def test_the_seed_decides_everything_and_leaves_torchs_alone():
    x, y = ramps()

    def told(seed: int) -> np.ndarray:
        return (
            recurnn.SequenceClassifier(seed=seed, dropout=0.4, **SMALL).fit(x, y).predict_proba(x)
        )

    state = torch.get_rng_state()
    first = told(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(first, told(1))
    assert not np.array_equal(first, told(2))


def test_class_weights():
    output, target = torch.randn(6, 3), torch.tensor([0, 1, 1, 2, 2, 2])
    weights = torch.tensor([3.0, 1.0, 0.5])
    loss, total = WeightedCrossEntropy(weights)(output, target)
    torch.testing.assert_close(loss, F.cross_entropy(output, target, weight=weights))
    assert total == 3 + 2 + 1.5
    model = recurnn.SequenceClassifier(class_weight="balanced", **SMALL)
    model.classes_ = np.array(["a", "b"])
    torch.testing.assert_close(
        model._loss(np.array(list("aaab"))).weights, torch.tensor([2 / 3, 2])
    )
    model.set_params(class_weight={"b": 5, "a": 1})
    assert model._loss(np.array(["a"])).weights.tolist() == [1, 5]


def test_the_threshold_is_the_best_of_all():
    random = np.random.default_rng(3)
    told, true = random.random(60).round(2), random.random(60) < 0.3
    edges = np.linspace(0, 1, 102)
    for name, score in (("f1", f1_score), ("balanced", balanced_accuracy_score)):
        found = score(true, told >= best_threshold(told, true, name))
        assert found == pytest.approx(max(score(true, told >= e) for e in edges if e <= told.max()))


def test_a_threshold_moves_what_is_told(tmp_path):
    x, y = ramps(60)
    y = y.copy()
    y[::3] = "down"  # more of these
    plain = recurnn.SequenceClassifier(validation=0.3, **SMALL).fit(x, y)
    assert plain.threshold_ is None
    p = plain.predict_proba(x)[:, 1]
    for edge in (0.0, 1.0, float(np.median(p))):
        model = clone(plain).set_params(threshold=edge).fit(x, y)
        assert np.array_equal(model.predict_proba(x)[:, 1], p)
        assert np.array_equal(model.predict(x) == "up", p >= edge)
    chosen = clone(plain).set_params(threshold="balanced").fit(x, y)
    held = parts_of(np.unique(y, return_inverse=True)[1], 0.3, seed=0)[1]
    assert chosen.threshold_ == best_threshold(p[held], y[held] == "up", "balanced")
    chosen.save(tmp_path / "m")
    again = recurnn.SequenceClassifier.load(tmp_path / "m")
    assert np.array_equal(again.predict(x), chosen.predict(x))
    assert again.threshold_ == chosen.threshold_


def test_tokens_are_dropped_in_training_alone():
    module = network("mean", embedding_size=4, token_dropout=0.999)
    x, lengths = torch.tensor([[1, 1, 1, 1]]), torch.tensor([4])
    unknown = module(torch.zeros_like(x), lengths)
    assert not torch.allclose(module(x, lengths), unknown)
    torch.testing.assert_close(module.train()(x, lengths), unknown)


def test_training_goes_on_where_it_stood(tmp_path):
    x, y = ramps()
    model = recurnn.SequenceClassifier(validation=0, **SMALL).fit(x, y)
    model.save(tmp_path / "m")
    before = model.predict_proba(x)
    weights = model._network.state_dict()["head.weight"].clone()
    model.partial_fit(x, y)
    assert not torch.equal(weights, model._network.head.weight)
    again = recurnn.SequenceClassifier.load(tmp_path / "m")
    assert np.array_equal(again.predict_proba(x), before)
    again.partial_fit(x, y)
    assert np.array_equal(again.predict_proba(x), model.predict_proba(x))
    assert recurnn.SequenceClassifier(validation=0, **SMALL).partial_fit(x, y).score(x, y) >= 0


def test_a_model_loaded_by_another_process_says_the_same(tmp_path):
    x, y = ["ab", "ba", "cd", "dc"] * 4, [3, 3, 7, 7] * 4
    model = recurnn.SequenceClassifier(class_weight={3: 1.0, 7: 2.0}, pooling="mean", **SMALL).fit(
        x, y
    )
    model.compare(x, y)
    model.save(tmp_path / "m")
    code = (
        "import sys, recurnn\n"
        "m = recurnn.SequenceClassifier.load(sys.argv[1])\n"
        "print([float(p).hex() for p in m.predict_proba(['abc', 'd']).flatten()])\n"
        "print(m.predict(['abc']).dtype, m.get_params()['class_weight'], m.verdict)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m")],
        capture_output=True,
        text=True,
        check=True,
    )
    probabilities, rest = done.stdout.splitlines()
    assert eval(probabilities) == [float(p).hex() for p in model.predict_proba(["abc", "d"]).flat]
    assert rest == f"int64 {{3: 1.0, 7: 2.0}} {model.verdict}"
    again = recurnn.SequenceClassifier.load(tmp_path / "m")
    assert again.comparison == model.comparison
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["format"] == "recurnn-sequence-classifier"
    with pytest.raises(NotFittedError, match="no data to train baselines on"):
        again.compare(x, y)


def test_numbers_from_sequences(tmp_path):
    random = np.random.default_rng(0)
    x = [random.normal(size=(int(random.integers(3, 9)), 1)) for _ in range(60)]
    y = np.array([[200 + 5 * v.max(), v.mean()] for v in x])
    model = recurnn.SequenceRegressor(
        hidden_size=12, epochs=60, pooling="max", learning_rate=0.02, patience=None
    ).fit(x, y)
    assert model.predict(x).shape == (60, 2)
    assert model.score(x, y) > 0.9
    rows = model.compare(x, y)
    assert {r.model for r in rows} >= {"LSTM", "mean", "ridge regression, summary statistics"}
    model.save(tmp_path / "m")
    again = recurnn.SequenceRegressor.load(tmp_path / "m")
    assert np.array_equal(again.predict(x), model.predict(x))
    flat = recurnn.SequenceRegressor(loss="mae", **SMALL).fit(x, y[:, 0])
    assert flat.predict(x).shape == (60,)
    assert clone(flat).get_params()["loss"] == "mae"


def test_the_baselines_see_the_data_as_they_should():
    x = [np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[2.0, 0.0], [4.0, 1.0], [9.0, 2.0]])]
    row = summary(x)[1]
    np.testing.assert_allclose(row[[0, 4, 6, 8, 10, 12]], [5, 2, 9, 2, 9, 3])
    assert resampled(x, 3)[0].tolist() == [1, 2, 3, 5, 5, 5]
    assert resampled([v[:2] for v in x]).shape == (2, 4)
    assert "a\x1fb\x1fb" in grams(list("abb"))
    x, y = ramps(60)
    model = recurnn.SequenceClassifier(**SMALL).fit(x, y)
    scores = {r.model: r.scores["accuracy"] for r in model.compare(*ramps(60, seed=8))}
    assert scores["most frequent class"] == 0.5
    assert scores["logistic regression, resampled and flat"] > 0.95


def scored(losses: list[float], accuracy: float, *, recurrent: bool = False) -> Scored:
    name = "LSTM" if recurrent else "a baseline"
    return Scored(name, {"accuracy": accuracy}, 0.0, recurrent, np.array(losses))


def test_verdicts():
    def said(ours: list[float], theirs: list[float], **more: bool) -> str:
        rows = [
            scored(ours, 1 - np.mean(ours), recurrent=True),
            scored(theirs, 1 - np.mean(theirs)),
        ]
        return verdict(rows, score="accuracy", share=True, **more)

    few, many = [1.0] * 2 + [0.0] * 98, [1.0] * 30 + [0.0] * 70
    assert said(few, many) == (
        "The LSTM is better than the best baseline (accuracy 98.0% on the test part; a baseline: "
        "70.0%)."
    )
    assert said(many, few).endswith("70.0% on the test part; a baseline: 98.0%): use that instead.")
    assert "no better than the best baseline, beyond chance" in said(few, [0.0, 0, 1, *few[3:]])
    assert "no better" in said(few, few)
    assert said(few, many, interrupted=True).endswith("these are the best weights until then.")


def test_parts_have_of_every_class():
    groups = np.array([0] * 40 + [1] * 3 + [2])
    first, second = parts_of(groups, 0.2, seed=0)
    assert sorted(first + second) == list(range(44))
    assert sum(groups[i] == 0 for i in second) in (8, 9)
    assert set(groups[first]) == {0, 1, 2}
    assert parts_of(groups, 0.2, seed=1)[1] != second
    assert parts_of(groups, 0, seed=0) == (list(range(44)), [])


def test_batches_of_prediction_waste_little():
    lengths = torch.tensor([10, 2000] * 300)
    batches = list(by_length(lengths))
    assert torch.cat(batches).sort().values.tolist() == list(range(600))
    read = sum(len(b) * int(lengths[b].max()) for b in batches)
    assert read < 1.1 * lengths.sum()
    assert max(len(b) * int(lengths[b].max()) for b in batches) <= 200_000


def test_words_and_characters_are_told_apart():
    assert as_inputs(["Don't go!", "ok"], tokens="words")[0] == ["don", "'", "t", "go", "!"]
    assert as_inputs(["O'Neil", "van X", "Li"])[1] == list("van X")
