"""The baselines and their scores, against plain numpy on the same series."""

import math

import numpy as np
import pytest
import torch

from recurnn.baselines import (
    LinearAutoregression,
    NetworkPredictor,
    Persistence,
    SeasonalNaive,
    Units,
    WindowMLP,
    evaluate,
    flat,
    naive_error,
    relative,
)
from recurnn.data import Windows


def series(T: int, C: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(T, C)).cumsum(0)


def windows(values: list[np.ndarray], context: int, horizon: int, gap: int = 0, extra: int = 0):
    """Windows over series [T, C], with `extra` further features, over all steps."""
    targets = [torch.tensor(v, dtype=torch.float32) for v in values]
    inputs = [
        torch.cat([y, torch.randn(len(y), extra, generator=torch.Generator().manual_seed(3))], 1)
        for y in targets
    ]
    ranges = [(0, len(y)) for y in targets]
    return Windows(inputs, targets, context=context, horizon=horizon, gap=gap, ranges=ranges)


def all_of(predictor, w: Windows) -> np.ndarray:
    return predictor.predict(w, torch.arange(len(w))).double().numpy()


def test_flat_is_the_values_in_order_and_the_last_features():
    x = torch.arange(2 * 3 * 3).reshape(2, 3, 3).float()  # two columns, one feature
    assert flat(x, 2).tolist() == [[0, 1, 3, 4, 6, 7, 8], [9, 10, 12, 13, 15, 16, 17]]


def test_relative_takes_the_last_values_off_the_values_alone():
    x = torch.tensor([[[1.0, 5.0], [3.0, 6.0], [10.0, 7.0]]])
    near, last = relative(x, 1)
    assert near.tolist() == [[[-9.0, 5.0], [-7.0, 6.0], [0.0, 7.0]]]
    assert last.tolist() == [[[10.0]]]


def test_persistence_repeats_the_last_value_of_each_column():
    y = series(12, 2)
    w = windows([y], context=3, horizon=4, gap=2, extra=1)
    expected = np.stack([np.repeat(y[e : e + 1], 4, axis=0) for e in range(2, 2 + len(w))])
    assert np.allclose(all_of(Persistence(2), w), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("context", "horizon", "gap"), [(2, 3, 0), (5, 9, 2), (9, 4, 1), (1, 1, 4)]
)
def test_seasonal_naive_takes_the_last_season_before_the_end_from_the_series(context, horizon, gap):
    m, parts = 4, [series(25, 2), series(21, 2, seed=1)]
    w = windows(parts, context, horizon, gap)
    expected = []
    for y in parts:
        for e in range(context - 1, len(y) - gap - horizon):
            rows = []
            for t in range(e + 1 + gap, e + 1 + gap + horizon):
                source = t
                while source > e:
                    source -= m
                rows.append(y[source] if source >= 0 else y[e])
            expected.append(rows)
    got = all_of(SeasonalNaive([torch.tensor(y) for y in parts], m), w)
    assert np.allclose(got, np.array(expected), atol=1e-6)


def test_autoregression_recovers_the_coefficients_of_a_process():
    noise = np.random.default_rng(2).normal(scale=0.1, size=20000)
    y = np.zeros(20000)
    for t in range(2, 20000):
        y[t] = 0.3 + 1.2 * y[t - 1] - 0.5 * y[t - 2] + noise[t]
    w = windows([y[:, None]], context=2, horizon=2)
    model = LinearAutoregression(1).fit(w)
    a, b, c = 1.2, -0.5, 0.3
    # One step ahead (older value first), and two: y'' = a y' + b y + c.
    expected = [[b, a], [a * b, a * a + b]]
    assert np.allclose(model.weight.numpy(), expected, atol=0.02)
    assert np.allclose(model.bias.numpy(), [c, c + a * c], atol=0.02)


def test_autoregression_is_least_squares_over_many_blocks(monkeypatch):
    monkeypatch.setattr("recurnn.baselines.linear._ROWS", 7)
    parts = [series(40, 2), series(33, 2, seed=1)]
    w = windows(parts, context=3, horizon=2, gap=1, extra=2)
    x, y = w.batch(torch.arange(len(w)))
    design = np.column_stack([
        np.ones(len(x)), x[:, :, :2].reshape(len(x), -1).double(), x[:, -1, 2:].double()
    ])  # fmt: skip
    solution = np.linalg.lstsq(design, y.reshape(len(y), -1).double().numpy(), rcond=None)[0]
    model = LinearAutoregression(2).fit(w)
    assert np.allclose(model.weight.numpy(), solution[1:].T, atol=1e-9)
    assert np.allclose(model.bias.numpy(), solution[0], atol=1e-9)
    assert np.allclose(all_of(model, w), (design @ solution).reshape(len(x), 2, 2), atol=1e-9)


def test_the_penalty_is_chosen_on_validation_and_shrinks_to_the_last_value():
    y = np.random.default_rng(8).normal(size=(400, 1)).cumsum(0) / 5
    whole = windows([y], context=20, horizon=2)
    train, judge = whole.restrict([(0, 60)]), whole.restrict([(60, 400)])
    model = LinearAutoregression(1).fit(train, judge)
    x, target = (part.double().numpy()[..., 0] for part in train.batch(torch.arange(len(train))))
    xv, tv = (part.double().numpy()[..., 0] for part in judge.batch(torch.arange(len(judge))))
    design, change = np.column_stack([np.ones(len(x)), x]), target - x[:, -1:]
    losses, found = {}, {}
    for ridge in (1e-4, 1e-3, 1e-2, 1e-1, 1.0):
        lift = np.diag([0.0] + [ridge * len(x)] * 20)
        a = np.linalg.solve(design.T @ design + lift, design.T @ change)
        found[ridge] = a
        losses[ridge] = np.square(a[0] + xv @ a[1:] + xv[:, -1:] - tv).sum()
    best = min(losses, key=losses.get)
    assert model.ridge == best
    assert np.allclose(model.bias.numpy(), found[best][0], atol=1e-6)
    last = np.eye(20)[-1][:, None]
    assert np.allclose(model.weight.numpy(), (found[best][1:] + last).T, atol=1e-6)
    assert LinearAutoregression(1).fit(train).ridge == 0


def test_autoregression_copes_with_directions_that_do_not_vary():
    t = np.arange(60.0)
    y = np.sin(2 * np.pi * t / 12)[:, None]  # any three values in a row are linearly dependent
    w = windows([y], context=6, horizon=3)
    model = LinearAutoregression(1).fit(w)
    assert float(model.weight.abs().max()) < 10
    assert np.allclose(all_of(model, w), w.batch(torch.arange(len(w)))[1].numpy(), atol=1e-5)


def test_window_mlp_relative_forecasts_follow_the_level():
    torch.manual_seed(0)
    mlp = WindowMLP(context=4, features=3, columns=2, horizon=3, hidden_size=8, relative=True)
    x = torch.randn(5, 4, 3)
    shift = torch.tensor([100.0, -50.0, 0.0])
    assert torch.allclose(mlp(x + shift), mlp(x) + shift[:2], atol=1e-4)


def scores_by_hand(actual, forecast, naive):
    """MSE, MAE, MASE and sMAPE of [N, horizon, C] in plain loops; naive is [N, C]."""
    se = ae = ase = ape = 0.0
    for n in range(actual.shape[0]):
        for h in range(actual.shape[1]):
            for c in range(actual.shape[2]):
                a, f = actual[n, h, c], forecast[n, h, c]
                se, ae = se + (f - a) ** 2, ae + abs(f - a)
                ase += abs(f - a) / naive[n, c]
                ape += 200 * abs(f - a) / (abs(f) + abs(a))
    return [total / actual.size for total in (se, ae, ase, ape)]


def test_scores_are_those_of_the_definitions_in_the_data_s_own_units():
    parts = [series(15, 2), series(12, 2, seed=1)]
    shift = np.array([[1.0, -3.0], [20.0, 0.5]])
    scale = np.array([[2.0, 10.0], [0.5, 3.0]])
    naive = np.array([[0.7, 5.0], [1.5, 0.2]])
    w = windows(parts, context=3, horizon=2)
    got = evaluate(Persistence(2), w, Units(shift, scale, naive))
    actual, forecast, ratio = [], [], []
    for s, part in enumerate(parts):
        y = part * scale[s] + shift[s]
        for e in range(2, len(y) - 2):
            actual.append(y[e + 1 : e + 3])
            forecast.append([y[e], y[e]])
            ratio.append(naive[s])
    expected = scores_by_hand(np.array(actual), np.array(forecast), np.array(ratio))
    assert [got.mse, got.mae, got.mase, got.smape] == pytest.approx(expected, rel=1e-5)
    assert got.windows == len(w) == len(actual)


def test_scores_by_hand_numbers():
    y = np.array([1.0, 2.0, 4.0, 3.0])[:, None]
    w = windows([y], context=1, horizon=1)
    one = np.ones((1, 1))
    got = evaluate(Persistence(1), w, Units(0 * one, one, 0.5 * one))
    # Errors 1, 2, 1 of actual 2, 4, 3 forecast as 1, 2, 4.
    assert got.mse == pytest.approx(2.0)
    assert got.mae == pytest.approx(4 / 3)
    assert got.mase == pytest.approx(8 / 3)
    assert got.smape == pytest.approx((200 / 3 + 400 / 6 + 200 / 7) / 3)


def test_naive_error_is_one_season_back_on_the_training_part_only():
    y = np.array([1.0, 5.0, 2.0, 8.0, 100.0, 900.0])[:, None]
    assert naive_error([y], [4], 2).tolist() == [[(1 + 3) / 2]]
    assert naive_error([y], [4], 9).tolist() == [[(4 + 3 + 6) / 3]]  # longer than the part: 1
    assert naive_error([np.ones((5, 1))], [5], 1).tolist() == [[math.inf]]


def test_network_predictor_evaluates_without_dropout_and_leaves_the_mode():
    torch.manual_seed(0)
    net = torch.nn.Sequential(WindowMLP(context=3, features=1, columns=1, horizon=1),
                              torch.nn.Dropout(0.9))  # fmt: skip
    net.train()
    w = windows([series(9, 1)], context=3, horizon=1)
    a, b = all_of(NetworkPredictor(net), w), all_of(NetworkPredictor(net), w)
    assert np.array_equal(a, b)
    assert np.count_nonzero(a) == len(w)
    assert net.training
