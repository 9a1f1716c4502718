"""Maps whose exponents and singular values are known, written as cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import estimates
from estimates import Logistic
from recurnn import cells, insight, nn


def test_logistic_map():
    assert estimates.logistic() == pytest.approx(np.log(2), rel=0.02)


def test_henon_map():
    found = estimates.henon()
    assert found[0] == pytest.approx(0.419, rel=0.02)
    assert found.sum() == pytest.approx(np.log(0.3), rel=1e-6)  # the map contracts areas by .3


@pytest.mark.parametrize("wrong", [None, "rate", "henon"])
def test_the_table_of_estimates_says_what_is_off(monkeypatch, wrong):
    right = {"rate": lambda radius, seed: radius, "logistic": lambda: np.log(2),
             "henon": lambda: np.array([0.41922, -1.6])}  # fmt: skip
    for name, function in right.items():
        monkeypatch.setattr(estimates, name, function)
    if wrong == "rate":
        monkeypatch.setattr(estimates, wrong, lambda radius, seed: radius * 0.97)
    if wrong == "henon":
        monkeypatch.setattr(estimates, wrong, lambda: np.array([0.41922 * 1.03, -1.6]))
    said = estimates.table().splitlines()[-1]
    off = {"rate": "Rates **off by** 3.000%", "henon": "exponents **off by** 3.000%"}
    assert ("**off by**" in said) == (wrong is not None)
    assert off.get(wrong, "Rates within 0.000% (aim 1%), exponents within 0.000%") in said


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
