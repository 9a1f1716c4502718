"""How weights start: a gate at a time, by name or pattern, and as in torch by default."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase

import pytest
import torch
from torch import Tensor, nn

from recurnn import cells


def drawn(cell: cells.Cell, names: str) -> Tensor:
    weights = dict(cell.named_parameters())
    return torch.cat([weights[name].detach().flatten() for name in names.split()])


@pytest.mark.parametrize("name", [n for n in cells.CELLS if n != "projected-lstm"])
def test_default_is_torchs_uniform(name: str) -> None:
    cell = cells.CELLS[name](40, 64)
    for key, weight in cell.state_dict().items():
        start = [s for pattern, s in cell.start.items() if fnmatchcase(key, pattern)]
        if start and isinstance(start[-1], float):
            assert (weight == start[-1]).all()
        elif not start:
            assert weight.abs().max() <= 1 / math.sqrt(64)
            if weight.numel() > 1000:
                assert weight.std().item() == pytest.approx(1 / math.sqrt(3 * 64), rel=0.1)
                assert weight.mean().abs() < 0.01


def test_default_is_the_same_law_as_torchs_layer() -> None:
    ours = drawn(cells.LSTM(200, 100), "W_i W_f W_g W_o")
    torchs = nn.LSTM(200, 100).weight_ih_l0.detach().flatten()
    quantiles = torch.linspace(0, 1, 21)
    assert torch.allclose(ours.quantile(quantiles), torchs.quantile(quantiles), atol=2e-3)


def test_glorot_draws_each_gate_for_itself() -> None:
    cell = cells.LSTM(30, 50, init="glorot", dtype=torch.float64)
    bound = math.sqrt(6 / (30 + 50))
    for gate in "ifgo":
        W, U = drawn(cell, f"W_{gate}").view(50, 30), drawn(cell, f"U_{gate}").view(50, 50)
        assert 0.95 * bound < W.abs().max() <= bound
        assert torch.allclose(U @ U.T, torch.eye(50, dtype=torch.float64), atol=1e-12)
        assert (drawn(cell, f"b_{gate}") == 0).all()


def test_glorot_leaves_the_gains_of_layer_norm_at_one() -> None:
    for init in ("glorot", cells.PRESETS["glorot"] | {"b_f": 1.0}, {"*": 0.0}):
        cell = cells.LayerNormLSTM(3, 4, init=init)
        gains = drawn(cell, "alpha_i alpha_o beta_f gamma")
        assert (gains == 1).all()


def test_forget_bias_a_pattern_and_a_function() -> None:
    def count(weight: Tensor) -> None:
        with torch.no_grad():
            weight.copy_(torch.arange(weight.numel()).view_as(weight))

    cell = cells.LSTM(3, 4, init={"b_*": 0, "b_f": 1.0, "U_*": "identity", "W_g": count})
    assert (drawn(cell, "b_f") == 1).all()
    assert (drawn(cell, "b_i b_g b_o") == 0).all()
    assert torch.equal(cell.U_o.detach(), torch.eye(4))
    assert drawn(cell, "W_g").tolist() == list(range(12))
    assert 0 < drawn(cell, "W_i W_f W_o").abs().max() <= 0.5


@pytest.mark.parametrize(
    ("init", "want"),
    [
        ({"b_f": 1.0, "b_*": 2.0}, 2.0),
        ({"b_*": 2.0, "b_f": 1.0}, 1.0),
        ({"b_f": 1.0, "*": 3.0}, 3.0),
        ({"*": 3.0, "b_f": 1.0}, 1.0),
    ],
)
def test_the_last_match_wins(init: dict[str, float], want: float) -> None:
    assert (drawn(cells.LSTM(3, 4, init=init), "b_f") == want).all()


def test_the_last_match_wins_over_a_start_of_the_cells_own() -> None:
    cell = cells.LayerNormLSTM(3, 4, init={"alpha_i": 2.0, "alpha_*": 0.5, "gamma": 3.0})
    assert (drawn(cell, "alpha_i alpha_f") == 0.5).all()
    assert (drawn(cell, "gamma") == 3).all()
    assert (drawn(cell, "beta_i") == 1).all()


@pytest.mark.parametrize("scheme", [s for s in cells.SCHEMES if s not in ("zeros", "ones")])
def test_every_scheme_fills_a_matrix(scheme: str) -> None:
    W = cells.Elman(6, 5, init={"W": scheme}).W
    assert W.isfinite().all()
    assert W.any()


def test_reset_parameters_draws_afresh_by_the_same_rules() -> None:
    cell = cells.GRU(3, 4, init={"b_z": 2.0})
    before = cell.W_r.detach().clone()
    cell.reset_parameters()
    assert not torch.equal(before, cell.W_r)
    assert (cell.b_z == 2).all()


def test_dtype_device_and_seed() -> None:
    torch.manual_seed(3)
    first = cells.GRU(3, 4, dtype=torch.float64, device="cpu")
    torch.manual_seed(3)
    again = cells.GRU(3, 4, dtype=torch.float64)
    assert first.U_n.dtype == torch.float64
    assert torch.equal(first.U_n, again.U_n)
    assert cells.GRU(3, 4, device="meta").U_n.is_meta


def test_the_memory_of_an_lmu_starts_as_a_delay() -> None:
    cell = cells.LMU(1, 2, memory_size=8, theta=50, dtype=torch.float64)
    signal = torch.sin(2 * math.pi * torch.arange(400, dtype=torch.float64) / 80)
    m = torch.zeros(8, dtype=torch.float64)
    memory = []
    for u in signal:
        m = cell.A @ m + cell.B[:, 0] * u
        memory.append(m)
    # A Legendre polynomial is 1 at the far end of the window and ±1 at the near one.
    far = torch.stack(memory).sum(1)
    near = torch.stack(memory) @ (-1.0) ** torch.arange(8, dtype=torch.float64)
    assert torch.allclose(far[150:], signal[100:-50], atol=0.06)
    assert torch.allclose(near[150:], signal[150:], atol=0.06)


def test_an_rg_lru_starts_to_forget_slowly() -> None:
    decay = torch.sigmoid(cells.RGLRU(3, 500, dtype=torch.float64).Lambda) ** 8
    assert 0.9 <= decay.min() < 0.91
    assert 0.99 < decay.max() <= 0.999


def test_identities_and_ranges_of_the_zoo() -> None:
    assert torch.equal(cells.IntersectionRNN(3, 3).V.detach(), torch.eye(3))
    assert torch.equal(cells.MUT2(2, 3).W_r.detach(), torch.eye(3, 2))
    assert (cells.IndRNN(3, 50).u >= 0).all()
    assert cells.UnICORNN(3, 50).c.abs().max() <= 0.1
