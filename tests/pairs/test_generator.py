"""`SequenceGenerator`: what it learns of texts and of points, its mixture, its baselines."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.distributions import Normal

import recurnn
from recurnn.baselines.one_to_many import MeanTrajectory, NgramByClass
from recurnn.data.pairs_batches import IGNORED
from recurnn.data.pairs_points import PointTargets, TokenTargets, are_points
from recurnn.data.text import END
from recurnn.models.generator.drawing import draw_points, draw_tokens
from recurnn.models.generator.network import PointTeller, TokenTeller
from recurnn.models.generator.options import GeneratorOptions

SMALL = {"hidden_size": 8, "epochs": 1, "validation": 0}
OPTIONS = GeneratorOptions(hidden_size=(6, 5), embedding_size=4, components=3)


def walks(count: int = 150, seed: int = 0) -> tuple[np.ndarray, list[np.ndarray]]:
    """Walks of 5 to 8 points in one of three directions, far from the origin."""
    random = np.random.default_rng(seed)
    x, y = random.integers(3, size=count), []
    for k in x:
        t = np.arange(random.integers(5, 9))[:, None]
        steps = t * [math.cos(2 * k), math.sin(2 * k)]
        y.append(100 + 10 * (steps + random.normal(0, 0.05, steps.shape)))
    return x, y


@pytest.fixture(scope="module")
def walker() -> recurnn.SequenceGenerator:
    return recurnn.SequenceGenerator(hidden_size=32, epochs=30, learning_rate=1e-2).fit(*walks())


def points() -> PointTargets:
    rows = [torch.randn(T, 2).numpy() for T in (5, 2, 4)]
    return PointTargets(torch.tensor([0, 2, 1]), rows)


def test_the_loss_of_points_is_that_of_the_mixture_and_of_the_end():
    module = PointTeller(OPTIONS, 3, classes=True, channels=2, longest=5).eval()
    x, target = points().batch(torch.arange(3))
    module.learn([np.zeros((T, 2), np.float32) for T in (5, 2, 4, 4, 4)])
    odds = [
        math.log((n + 0.5) / (m + 0.5 - n)) for n, m in [(0, 5), (1, 5), (0, 4), (3, 4), (1, 1)]
    ]
    assert module.ends.tolist() == pytest.approx(odds, rel=1e-5)
    with torch.no_grad():
        said, before = module(*x)
        plain = module.output(module.run(module.read(before), *module.begin(x[0]), x[2])[0])
    np.testing.assert_allclose((said - plain)[..., -1], np.tile(odds, (3, 1)).T, atol=1e-5)
    assert torch.equal(said[..., :-1], plain[..., :-1])
    expected = []
    for b, T in enumerate([5, 2, 4]):
        total = 0.0
        for t in range(T):
            weights, means, logs, end = said[t, b].double().split([3, 6, 6, 1])
            last = torch.zeros(2) if t == 0 else x[1][t - 1, b]
            p = sum(
                w * Normal(last + m, s.exp()).log_prob(x[1][t, b]).sum().exp()
                for w, m, s in zip(weights.softmax(0), means.view(3, 2), logs.view(3, 2),
                                   strict=True)
            )  # fmt: skip
            q = end.sigmoid() if t == T - 1 else 1 - end.sigmoid()
            total -= float(p.log() + q.log())
        expected.append(total)
    assert module.nats((said, before), target).tolist() == pytest.approx(expected, rel=1e-4)
    loss, count = module.loss((said, before), target)
    assert count == 11
    assert float(loss) == pytest.approx(sum(expected) / 11, rel=1e-4)


@pytest.mark.parametrize("classes", [True, False])
def test_padding_and_company_do_not_matter(classes):
    conditions = torch.tensor([0, 2, 1]) if classes else torch.randn(3, 3)
    tokens = [np.array(r, np.int32) for r in ([2, 3, 4, 5], [5], [3, 3])]
    data = {"tokens": TokenTargets(conditions, tokens), "points": points()}
    data["points"].conditions = conditions
    modules = {
        "tokens": TokenTeller(OPTIONS, 3, classes=classes, tokens=6).eval(),
        "points": PointTeller(OPTIONS, 3, classes=classes, channels=2).eval(),
    }
    for kind, module in modules.items():
        x, target = data[kind].batch(torch.arange(3))
        together = module.nats(module(*x), target)
        for k in range(3):
            x, target = data[kind].batch(torch.tensor([k]))
            torch.testing.assert_close(module.nats(module(*x), target)[0], together[k])


def test_the_loss_of_tokens_is_cross_entropy():
    module = TokenTeller(OPTIONS, 3, classes=True, tokens=6).eval()
    rows = [np.array([2, 3, 4], np.int32), np.array([5], np.int32)]
    x, target = TokenTargets(torch.tensor([0, 2]), rows).batch(torch.arange(2))
    assert x[1].T.tolist() == [[END, 2, 3, 4], [END, 5, 0, 0]]
    assert target.T.tolist() == [[2, 3, 4, END], [5, END, IGNORED, IGNORED]]
    with torch.no_grad():
        h = module(*x)
        loss, count = module.loss(h, target)
        nats = module.nats(h, target)
        scores = torch.log_softmax(module.output.logits(h), -1)
    assert count == 6
    assert float(nats.sum()) / 6 == pytest.approx(float(loss), rel=1e-5)
    assert float(nats[1]) == pytest.approx(-float(scores[0, 1, 5] + scores[1, 1, END]), rel=1e-5)


def test_tokens_are_drawn_as_often_as_they_are_likely():
    module = TokenTeller(OPTIONS, 1, classes=True, tokens=5).eval()
    with torch.no_grad():
        module.output.weight.zero_()
        module.output.bias.copy_(torch.tensor([9.0, 0.0, math.log(3), math.log(4), -99]))
    many = torch.zeros(3000, dtype=torch.int64)
    lines = draw_tokens(module, many, length=1, temperature=1.0, seed=0)
    assert sum(not line for line in lines) / 3000 == pytest.approx(1 / 8, abs=0.03)
    assert sum(line == [3] for line in lines) / 3000 == pytest.approx(4 / 8, abs=0.03)
    cold = draw_tokens(module, many[:5], length=4, temperature=0, seed=0)
    assert cold == [[3] * 4] * 5  # never the unknown token, which is the likeliest
    colder = draw_tokens(module, many, length=1, temperature=0.5, seed=0)
    assert sum(line == [3] for line in colder) / 3000 == pytest.approx(16 / 26, abs=0.03)


def test_points_are_drawn_from_the_mixture_in_the_units_of_the_data():
    module = PointTeller(OPTIONS, 1, classes=True, channels=2).eval()
    with torch.no_grad():
        module.output.weight.zero_()
        bias = [0.0, -99, -99, 1, 2, 0, 0, 0, 0, math.log(0.1), math.log(0.2), 0, 0, 0, 0, -99]
        module.output.bias.copy_(torch.tensor(bias))
        module.shift.copy_(torch.tensor([50.0, 60.0]))
        module.scale.copy_(torch.tensor([10.0, 1.0]))
    rows = draw_points(
        module, torch.zeros(2000, dtype=torch.int64), length=2, temperature=1, seed=0
    )
    both = np.stack(rows)
    np.testing.assert_allclose(both[:, 0].mean(0), [60, 62], atol=0.1)
    np.testing.assert_allclose(both[:, 1].mean(0), [70, 64], atol=0.15)
    np.testing.assert_allclose(both[:, 0].std(0), [1, 0.2], rtol=0.1)
    cold = draw_points(module, torch.zeros(1, dtype=torch.int64), length=2, temperature=0, seed=0)
    np.testing.assert_allclose(cold[0], [[60, 62], [70, 64]])


def test_it_learns_a_word_for_each_class():
    words = {"it": "ciao", "de": "hallo", "fr": "salut"}
    x = list(words) * 12
    model = recurnn.SequenceGenerator(
        hidden_size=16, epochs=40, learning_rate=0.02, validation=0, temperature=0
    ).fit(x, [words[k] for k in x])
    assert model.predict(["fr", "it", "de"]) == ["salut", "ciao", "hallo"]
    assert model.score(["fr"], ["salut"]) > model.score(["fr"], ["ciao"]) + 1


def test_it_learns_text_of_vectors_and_lists_come_back_as_lists():
    x = np.array([[0.0, 500.0], [1.0, 500.0]] * 16)
    y = [["no", "thing"], ["one"]] * 16
    model = recurnn.SequenceGenerator(
        hidden_size=16, epochs=60, learning_rate=0.02, validation=0, temperature=0
    ).fit(x, y)
    assert model.predict([[1, 500], [0, 500]]) == [["one"], ["no", "thing"]]


def test_it_learns_to_walk(walker):
    x, y = walks(60, seed=1)
    rows = walker.compare(x, y)
    assert [r.model for r in rows][-1] != "LSTM"
    assert {r.model for r in rows} == {
        "LSTM", "mean trajectory of all", "mean trajectory by class", "mean step of all",
        "mean step by class",
    }  # fmt: skip
    for k, walk in enumerate(walker.predict([0, 1, 2], temperature=0.1)):
        heading = (walk[-1] - walk[0]) / np.linalg.norm(walk[-1] - walk[0])
        np.testing.assert_allclose(heading, [math.cos(2 * k), math.sin(2 * k)], atol=0.25)
        np.testing.assert_allclose(walk[0], [100, 100], atol=8)


def test_saved_and_loaded_it_draws_the_same(walker, tmp_path):
    text = recurnn.SequenceGenerator(**SMALL).fit(["a", "b"] * 4, ["x y", "z"] * 4)
    for k, (model, x) in enumerate([(walker, [0, 2]), (text, ["b", "a"])]):
        model.save(tmp_path / str(k))
        loaded = recurnn.SequenceGenerator.load(tmp_path / str(k))
        assert len(loaded.predict(x)) == 2
        for a, b in zip(loaded.predict(x, seed=3), model.predict(x, seed=3), strict=True):
            np.testing.assert_array_equal(a, b)
        assert loaded.get_params() == clone(model).get_params()
        assert loaded.summary() == model.summary()
        y = walks(8)[1] if k == 0 else ["z"] * 8
        classes = [0, 1] * 4 if k == 0 else ["b"] * 8
        assert loaded.score(classes, y) == model.score(classes, y)
        longer = [np.concatenate([s, s]) for s in y] if k == 0 else y
        loaded.partial_fit(classes, longer)
        assert loaded.history.updates > 0
        loaded.save(tmp_path / f"{k} again")
        again = recurnn.SequenceGenerator.load(tmp_path / f"{k} again")
        assert again.score(classes, longer) == loaded.score(classes, longer)


def test_the_n_gram_of_a_class_is_that_of_its_texts():
    random = np.random.default_rng(0)
    rows = [random.integers(2, 6, size=6).astype(np.int32) for _ in range(60)]
    classes = np.array(["a", "b"] * 30)
    model = NgramByClass(6, order=2, by_class=True).fit(classes, rows)
    alone = NgramByClass(6, order=2, by_class=False).fit(classes[::2], rows[::2])
    np.testing.assert_array_equal(
        model.nats(classes[:1], rows[1:2]), alone.nats(classes[:1], rows[1:2])
    )
    assert model.nats(np.array(["c"]), rows[:1]).tolist() == [math.inf]


@pytest.mark.parametrize("relative", [True, False])
def test_the_mean_trajectory_is_the_likelihood_that_it_says(relative):
    rows = [np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]]), np.array([[2.0]])]
    classes = np.zeros(3, int)
    found = MeanTrajectory(relative=relative, by_class=True).fit(classes, rows).nats(classes, rows)
    first, second = ((1 - 2) ** 2 + (3 - 2) ** 2 + 1) / 4, (0 if relative else 2) + 1
    middle = 1.0 if relative else 3.0
    at = [(1.0, 2.0, math.sqrt(first)), (1.0 if relative else 2.0, middle, math.sqrt(second / 3))]
    expected = sum(
        -float(Normal(m, s).log_prob(torch.tensor(x, dtype=torch.float64))) for x, m, s in at
    )
    expected -= math.log(1 - 1.5 / 4) + math.log(2.5 / 3)
    assert found[0] == pytest.approx(expected)


def test_what_points_are():
    assert are_points(np.zeros((2, 3, 1)))
    assert are_points([[[1, 2]], [[3, 4], [5, 6]]])
    assert not are_points(["ab"])
    assert not are_points([["a", "b"]])
