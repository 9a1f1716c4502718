"""Maps whose exponents and singular values are known, written as cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from recurnn import cells, insight, nn


class Logistic(cells.Cell):
    """h = 4 h (1 − h): its exponent is ln 2."""

    weights = {"W": "H I"}

    def step(self, p, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        return {"h": 4 * h * (1 - h) + p.W @ x}


class Henon(cells.Cell):
    """Hénon's map: .419, and with it ln .3 in all (Wolf et al. 1985)."""

    weights = {"W": "H I"}
    states = {"a": "H", "b": "H"}
    output = "a"

    def step(self, p, x: Tensor, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        return {"a": 1 - 1.4 * a * a + b + p.W @ x, "b": 0.3 * a}


def test_logistic_map():
    start = torch.linspace(0.1, 0.9, 30).unsqueeze(1)
    (found,) = insight.lyapunov(Logistic(1, 1), state=start, exponents=1, steps=200)
    assert found == pytest.approx(np.log(2), rel=0.02)


def test_henon_map():
    start = torch.linspace(-0.1, 0.1, 40).unsqueeze(1)
    found = insight.lyapunov(Henon(1, 1), state=(start, start), exponents=2, steps=250)
    assert found[0] == pytest.approx(0.419, rel=0.02)
    assert found.sum() == pytest.approx(np.log(0.3), rel=1e-6)  # the map contracts areas by .3


def test_exponents_of_a_linear_network_are_the_logarithms_of_its_eigenvalues():
    layer = nn.RNN(2, 4, nonlinearity="relu")
    values = np.diag([0.9, 0.7, 0.5, 0.2])
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    with torch.no_grad():  # far above zero, relu is the identity
        layer.weight_hh_l0.copy_(torch.from_numpy(basis @ values @ basis.T))
        layer.bias_ih_l0.fill_(50.0)
        layer.bias_hh_l0.copy_(50.0 - 90 * layer.weight_hh_l0.sum(1))
    found = insight.lyapunov(layer, exponents=4, steps=400)
    np.testing.assert_allclose(found, np.log([0.9, 0.7, 0.5, 0.2]), rtol=1e-3)


def test_singular_values_are_those_of_the_jacobian():
    torch.manual_seed(2)
    cell = cells.LSTM(2, 3, dtype=torch.float64)
    x = torch.randn(4, 1, 2, dtype=torch.float64)

    def after(states: Tensor) -> Tensor:
        state = states.reshape(1, 6).split(3, dim=1)
        for row in x:
            values = cell(row, *state)
            state = values["h"], values["c"]
        return torch.cat(state, dim=1)[0]

    J = torch.autograd.functional.jacobian(after, torch.zeros(6, dtype=torch.float64))
    want = torch.linalg.svdvals(J)[:3].tolist()
    table = insight.singular_values(cell, x, lags=[1, 4])
    assert table["lag"].tolist() == [1, 4]
    np.testing.assert_allclose(table.loc[1, ["s1", "s2", "s3"]].tolist(), want, rtol=1e-9)
    np.testing.assert_allclose(np.exp(table["log s1"]), table["s1"], rtol=1e-12)


def test_a_long_product_neither_vanishes_nor_overflows():
    cell = Logistic(1, 1)
    with torch.no_grad():
        cell.W.zero_()
    fixed = torch.full((1, 1), 0.75)  # the slope there is −2
    table = insight.singular_values(cell, state=fixed, lags=[1100], count=1)
    assert table["log s1"].iloc[0] == pytest.approx(1100 * np.log(2), rel=1e-9)


def test_layers_of_a_record_are_run_with_their_own_input_and_weights():
    torch.manual_seed(1)
    stack = nn.Stack(torch.nn.Linear(2, 3), nn.GRU(3, 4))
    x = torch.randn(12, 2, 2)
    with insight.Record(stack, norms=False) as record:
        stack(x)
    inner = stack.layers[0](x).detach()
    options = {"exponents": 2, "steps": 30, "transient": 5}
    got = insight.lyapunov(record["layers.1"], inner, **options)
    np.testing.assert_array_equal(got, insight.lyapunov(stack.layers[1], inner, **options))
    np.testing.assert_array_equal(record["layers.1"].calls[0].x.detach(), inner)
