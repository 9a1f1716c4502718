"""Every cell against its equations written a second time, in numpy and row by row."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

import recurnn
from problems import KINDS, against_witness, engine_of, normal, states_of
from recurnn import cells
from tolerance import agree


@pytest.mark.parametrize("H", [1, 7])
@pytest.mark.parametrize("name", KINDS)
def test_cell_is_its_equations(name: str, H: int) -> None:
    against_witness(KINDS[name].make(3, H), KINDS[name].witness, engine=engine_of(name))


@pytest.mark.parametrize("name", KINDS)
def test_cell_without_biases_is_its_equations_without_them(name: str) -> None:
    cell = KINDS[name].make(5, 4, bias=False)
    assert not [n for n, _ in cell.named_parameters() if n.startswith("b_") or n == "b"]
    left = set(cell.weights) - set(cell.absent) - set(cell.constants)
    assert set(dict(cell.named_parameters())) == left
    against_witness(cell, KINDS[name].witness, engine=engine_of(name))


@pytest.mark.parametrize(
    ("name", "layer", "gates"),
    [
        ("elman", nn.RNN(3, 7), ("",)),
        ("elman-relu", nn.RNN(3, 7, nonlinearity="relu"), ("",)),
        ("lstm", nn.LSTM(3, 7), ("_i", "_f", "_g", "_o")),
        ("projected-lstm", nn.LSTM(3, 7, proj_size=2), ("_i", "_f", "_g", "_o")),
        ("gru", nn.GRU(3, 7), ("_r", "_z", "_n")),
    ],
)
def test_cell_is_torchs(name: str, layer: nn.RNNBase, gates: tuple[str, ...]) -> None:
    cell = KINDS[name].make(3, 7)
    w = dict(cell.named_parameters())
    layer = layer.double()
    second = torch.zeros(7 * len(gates), dtype=torch.float64)
    if "b_u" in w:
        second[-7:] = w["b_u"].detach()
    weights = {
        "weight_ih_l0": torch.cat([w[f"W{k}"] for k in gates]),
        "weight_hh_l0": torch.cat([w[f"U{k}"] for k in gates]),
        "bias_ih_l0": torch.cat([w[f"b{k}"] for k in gates]),
        "bias_hh_l0": second,
    }
    layer.load_state_dict(weights | ({"weight_hr_l0": w["W_p"]} if "W_p" in w else {}))
    x, start = normal(5, 2, 3, seed=3), states_of(cell, 2, seed=4)
    h0 = tuple(s.unsqueeze(0) for s in start.values())
    output, last = layer(x, h0 if len(h0) > 1 else h0[0])
    last = last if isinstance(last, tuple) else (last,)
    got = recurnn.scan(cell, x, start)
    agree(
        {"output": got.output} | got.state,
        {"output": output} | {k: s[0] for k, s in zip(start, last, strict=True)},
        terms=50,
    )


class Spy(dict[str, object]):
    """Weights that note which of them a step takes."""

    def __init__(self, weights: cells.Weights) -> None:
        super().__init__()
        self._weights = weights

    def __getattr__(self, name: str) -> object:
        self[name] = getattr(self._weights, name)
        return self[name]


LETTERS = {
    "α": "alpha", "β": "beta", "γ": "gamma", "ζ": "zeta", "η": "eta", "θ": "theta", "ν": "nu",
    "Λ": "Lambda", "τ": "tau", "φ": "phi",
}  # fmt: skip


def spelled(names: Iterable[str]) -> list[str]:
    """Names as the equations have them: the layers of a highway are numbered l."""
    return [re.sub(r"_\d+$", "_l", name) for name in names]


def in_ascii(text: str) -> str:
    """Equations with the names that the code has for Greek letters."""
    for letter, word in LETTERS.items():
        text = text.replace(letter, word)
    return text


@pytest.mark.parametrize("name", KINDS)
def test_equations_name_every_weight_and_value_of_the_step(name: str) -> None:
    cell = KINDS[name].make()
    states = states_of(cell, 2, seed=1)
    spy = Spy(cell.bind())
    values = cell.step(spy, normal(2, 3, seed=1), *states.values())  # type: ignore[arg-type]
    text = in_ascii(cell.equations())
    words = set(re.findall(r"[A-Za-z]+(?:_[a-z]+)*", text))
    assert set(spy) == set(cell.weights), "the step takes the weights that the cell declares"
    assert set(spelled(cell.weights)) <= words
    defined = {
        name.strip() for left in re.findall(r"^(.*?)=", text, re.M) for name in left.split(",")
    }
    assert set(spelled(values)) <= defined
    assert set(values) == {*cell.states, *cell.gates}


@pytest.mark.parametrize("name", KINDS)
def test_equations_stand_in_the_order_of_the_step(name: str) -> None:
    cell = KINDS[name].make()
    lefts = re.findall(r"^(\S+) =", in_ascii(cell.equations()), re.M)
    assert lefts == [k for k in lefts if k in {*cell.states, *spelled(cell.gates)}]
    assert len(lefts) == len(set(lefts))


def test_every_built_in_cell_is_tested() -> None:
    assert {kind.cell for kind in KINDS.values()} == set(cells.CELLS.values())


def test_print_shows_the_equations() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "import recurnn; print(recurnn.cells.LSTM)"],
        capture_output=True, text=True, check=True, encoding="utf-8",
        env={"PYTHONIOENCODING": "utf-8", "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout  # fmt: skip
    lines = [line.strip() for line in shown.splitlines()]
    at = lines.index("i = σ(W_i x + U_i h + b_i)")
    assert lines[at + 1 : at + 6] == [
        "f = σ(W_f x + U_f h + b_f)",
        "g = tanh(W_g x + U_g h + b_g)",
        "o = σ(W_o x + U_o h + b_o)",
        "c = f ⊙ c + i ⊙ g",
        "h = o ⊙ tanh(c)",
    ]
    assert lines[0] == "Long short-term memory with a forget gate, as in torch."


def test_equations_of_a_cell_without_any_are_empty() -> None:
    class Silent(cells.Cell):
        weights = {"W": "H I"}

    class Wordy(cells.Cell):
        """A cell with arguments only.

        Args:
            input_size: I.
        """

        weights = {"W": "H I"}

    assert Silent.equations() == ""
    assert Wordy.equations() == ""


def test_equations_may_be_the_last_of_a_docstring() -> None:
    class Last(cells.Cell):
        """A cell of two lines.

        a = x + h
        h = σ(a)
        """

        weights = {"W": "H I"}

    assert Last.equations() == "a = x + h\nh = σ(a)"


def test_forward_is_one_step_with_the_cells_own_weights() -> None:
    cell = KINDS["gru"].make()
    x, h = normal(2, 3, seed=1), normal(2, 4, seed=2)
    want: dict[str, Tensor] = cell.step(cell.bind(), x, h)
    agree(cell(x, h), want, terms=1)


def test_tied_weights_are_one_parameter_under_two_names() -> None:
    cell = KINDS["lstm"].make()
    cell.U_f = cell.U_i
    x = normal(3, 2, 3, seed=1)
    alone = KINDS["lstm"].make()
    alone.U_f.data = alone.U_i.data.clone()
    agree(recurnn.scan(cell, x).state, recurnn.scan(alone, x).state, terms=1)


def test_torchs_parametrizations_reach_the_step() -> None:
    cell = KINDS["elman"].make()
    W, original, b = (weight.detach().clone() for weight in (cell.W, cell.U, cell.b))
    nn.utils.parametrizations.weight_norm(cell, "U")
    x, h = normal(2, 3, seed=1), normal(2, 4, seed=2)
    want = torch.tanh(x @ W.T + h @ original.T + b)
    agree(cell(x, h), {"h": want}, terms=10)
