"""Gates and units: found to be what they are, and counted right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from problems import KINDS
from recurnn import Subject, cells, insight, nn
from recurnn.insight.gates import saturation
from recurnn.insight.roles import roles_of

# Read off the equations of each paper: what a unit keeps of its old state, everything else held.
KEEPS = {
    "lstm": {"c": "f"}, "peephole-lstm": {"c": "f"}, "coupled-lstm": {"c": "1 − i"},
    "projected-lstm": {"c": "f"}, "layernorm-lstm": {"c": "f"}, "multiplicative-lstm": {"c": "f"},
    "gru": {"h": "z"}, "reset-before-gru": {"h": "z"}, "layernorm-gru": {"h": "1 − z"},
    "mgu": {"h": "1 − f"}, "ugrnn": {"h": "g"}, "minimal-rnn": {"h": "u"},
    "light-ru": {"h": "1 − f"}, "ran": {"c": "f"}, "sru": {"c": "f"}, "qrnn": {"c": "f"},
    "min-gru": {"h": "1 − z"},
    "mut1": {"h": "1 − z"}, "elman": {}, "jordan": {}, "indrnn": {},
}  # fmt: skip


@pytest.mark.parametrize("kind", KEEPS)
def test_the_gate_that_keeps_a_state_is_found(kind):
    roles = roles_of(KINDS[kind].make(3, 8))
    assert {k: str(keep) for k, keep in roles.keeps.items()} == KEEPS[kind]


def test_values_are_known_by_their_range():
    kinds = roles_of(KINDS["elman-relu"].make(3, 8)).kinds
    assert kinds == {"h": "relu"}
    assert roles_of(KINDS["elman"].make(3, 8)).kinds == {"h": "bounded"}
    assert roles_of(KINDS["gru"].make(3, 8)).kinds == {
        "h": "free", "r": "gate", "z": "gate", "n": "bounded",
    }  # fmt: skip


def planted() -> Subject:
    """An LSTM whose gates are known: i shut in unit 0, o open in unit 1, f at σ(2) in all."""
    cell = cells.LSTM(2, 4, init={"*": 0.0, "W_g": 1.0})
    with torch.no_grad():
        cell.b_i[0], cell.b_o[1] = -20.0, 20.0
        cell.b_f.fill_(2.0)
    layer = nn.Recurrent(cell, batch_first=True)
    return Subject(layer, torch.randn(5, 30, 2), torch.randn(5, 30, 4))


def test_shut_open_and_horizon():
    (report,) = insight.gate_reports(planted()).values()
    assert report["i"].shut.tolist() == [1, 0, 0, 0]
    assert report["o"].open.tolist() == [0, 1, 0, 0]
    assert report["i"].saturated == pytest.approx(0.25)
    f = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(report.horizon, -1 / np.log(f), rtol=1e-5)
    assert report["h"].still.tolist() == [True, False, False, False]
    counts, edges = report["f"].histogram
    assert counts.sum() == 5 * 30 * 4
    assert edges[counts.argmax()] <= f <= edges[counts.argmax() + 1]
    np.testing.assert_allclose(report["f"].over_time, f, rtol=1e-5)


def test_the_monitors_saturation_is_the_share_of_the_planted_gates():
    subject = planted()
    lengths = torch.tensor([30, 12, 7, 30, 1])
    with insight.Record(subject.module, gates=True) as record:
        subject.module(subject.x, lengths=lengths)
    (layer,) = record
    # Of four units i is shut in one, o open in one, f between in all.
    assert saturation(layer, ["i", "f", "o"]) == pytest.approx(1 / 6)


def test_dead_and_still_units_are_told_apart():
    cell = cells.Elman(2, 6, nonlinearity="relu", init={"b": 0.1})
    with torch.no_grad():
        cell.b[:2] = -100.0
        cell.W[2], cell.U[2] = 0.0, 0.0
    layer = nn.Recurrent(cell, batch_first=True)
    subject = Subject(layer, torch.randn(4, 20, 2), torch.randn(4, 20, 6))
    (report,) = insight.gate_reports(subject).values()
    assert report["h"].dead.tolist() == [True, True, False, False, False, False]
    assert report["h"].still.tolist() == [True, True, True, False, False, False]


def test_padding_counts_for_nothing():
    layer = nn.Recurrent(cells.GRU(2, 4), batch_first=True)
    x, y = torch.randn(3, 9, 2), torch.randn(3, 9, 4)
    lengths = torch.tensor([9, 3, 1])
    (report,) = insight.gate_reports(Subject(layer, x, y, lengths=lengths)).values()
    z = layer(x, lengths=lengths, return_gates=True).gates["z"].detach()
    real = torch.arange(9) < lengths.unsqueeze(1)
    np.testing.assert_allclose(report["z"].mean, z[real].mean(0), rtol=1e-5)
    np.testing.assert_allclose(report["z"].over_time[5], z[0, 5], rtol=1e-5)
    np.testing.assert_allclose(report.horizon, -1 / z[real].log().mean(0), rtol=1e-4)


class Own(cells.Cell):
    """A gate of one's own, under a name that nobody knows."""

    weights = cells.affine("q", "v")
    states = {"m": "H"}
    gates = ("q",)
    output = "m"

    def step(self, p, x: Tensor, m: Tensor) -> dict[str, Tensor]:
        q = torch.sigmoid(p.W_q @ x + p.U_q @ m + p.b_q)
        return {"m": (1 - q) * m + q * torch.tanh(p.W_v @ x + p.b_v), "q": q}


def test_a_cell_of_ones_own_needs_no_declaration():
    assert {k: str(v) for k, v in roles_of(Own(3, 8)).keeps.items()} == {"m": "1 − q"}
