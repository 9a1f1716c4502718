"""Cells of a user's own: whatever a step reads from its cell must reach the kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from kernels import compare
from recurnn.cells import Cell
from recurnn.errors import ConfigError, EngineError
from rows import Problem
from tolerance import agree


class Scaled(Cell):
    """One cell, and a number that its step takes from somewhere."""

    weights = {"W": "H I", "U": "H H"}

    def __init__(self, *sizes: int, factor: float, at: Callable[[Any], float]) -> None:
        self._private, self.own_size, self.table = factor, factor, {"inner": [factor]}
        self.at = at
        super().__init__(*sizes, dtype=torch.float64)

    def step(self, p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        return {"h": torch.tanh(p.W @ x + p.U @ h) * self.at(self)}


PLACES: dict[str, Callable[[Any], float]] = {
    "private attribute": lambda cell: cell._private,
    "attribute that ends in _size": lambda cell: cell.own_size,
    "inside of a dict": lambda cell: cell.table["inner"][0],
    "training": lambda cell: 0.5 if cell.training else 2.0,
    "size as a number": lambda cell: 1 / cell.hidden_size,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_second_cell_does_not_get_the_numbers_of_the_first(place: str) -> None:
    at = PLACES[place]
    first = Scaled(3, 4, factor=0.5, at=at)
    second = Scaled(3, 5 if place == "size as a number" else 4, factor=2.0, at=at)
    second.eval()
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    for cell in (first, second):
        got = recurnn.scan(cell, x, engine="cpu").output
        agree({"y": got}, {"y": recurnn.scan(cell, x, engine="reference").output}, terms=6)
    cell = first
    cell._private, cell.own_size, cell.table["inner"][0] = 3.0, 3.0, 3.0
    got = recurnn.scan(cell, x, engine="cpu").output
    agree({"y": got}, {"y": recurnn.scan(cell, x, engine="reference").output}, terms=6)


def test_sizes_do_not_make_another_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    from recurnn.compiler import engine

    x = torch.randn(3, 2, 3)
    recurnn.scan(recurnn.cells.GRU(3, 4), x, engine="cpu")
    monkeypatch.setattr(engine, "Kernel", None)  # to build another would fail
    recurnn.scan(recurnn.cells.GRU(3, 9), x, engine="cpu")


class Choosing(Cell):
    """Comparisons, powers, softmax: what decides, and what is made of many units."""

    weights = {"W": "H I", "U": "H H", "V": "K H", "a": "K"}
    gates = ("s", "l", "k")

    def step(self, p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        z = p.W @ x + p.U @ h
        s = torch.softmax(torch.cat([z, -(z**3)], dim=-1), dim=-1).chunk(2, dim=-1)[1]
        l = torch.log_softmax(p.V @ h + p.a, dim=-1)  # noqa: E741
        k = torch.where((z > 0.1) & ~(h <= -0.5), z, (h < 0) * s)
        return {"h": torch.floor(2 * k) + torch.tanh(k + s), "s": s, "l": l, "k": k}


@pytest.mark.parametrize("units", [4, 37])
def test_decisions_powers_and_softmax_with_all_gradients(units: int) -> None:
    cell = Choosing(3, units, K=units - 3, dtype=torch.float64)
    problem = Problem(T=7, B=5, lengths=(7, 2, 0, 7, 5), resets=((3, 0), (2, 3)), cell=cell)
    compare(problem)


def test_softmax_of_numbers_that_exp_cannot_hold() -> None:
    def step(self: Cell, p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        return {"h": torch.softmax(p.W @ x, dim=-1) + 0 * h}

    cell = own(step)
    for scale in (3e4, -3e4):
        x = scale * (1 + torch.rand(2, 3, 3))
        with torch.no_grad():
            got, want = (recurnn.scan(cell, x, engine=e).output for e in ("cpu", "reference"))
        assert torch.isfinite(want).all()
        agree({"y": got}, {"y": want}, terms=3)


def own(step: Any, **declared: Any) -> Cell:
    made = type("Own", (Cell,), {"weights": {"W": "H I"}, "step": step, **declared})
    return made(3, 4)


MISTAKES: list[tuple[str, Callable[[], Any]]] = [
    (
        "Own: step does not return a dict, but a Tensor.\n  Expected a dict by name: h.",
        lambda: own(lambda self, p, x, h: p.W @ x),
    ),
    (
        "Own: step does not return the state 'h'.\n"
        "  It returns y; the cell declares 'h' in `states`.",
        lambda: own(lambda self, p, x, h: {"y": p.W @ x}),
    ),
    (
        "Own: step does not return the gate 'f'.\n"
        "  It returns h; the cell declares 'f' in `gates`.",
        lambda: own(lambda self, p, x, h: {"h": p.W @ x}, gates=("f",)),
    ),
    (
        "Own: the size K is not given.\n  A weight or a state has it in its shape: give K=..., "
        "a whole number of at least 1.",
        lambda: own(lambda self, p, x, h: {"h": h}, weights={"W": "K I"}),
    ),
    (
        "scan: the cell is <class 'recurnn.cells.gru.GRU'>.\n"
        "  Expected a cell with its sizes, such as recurnn.cells.GRU(8, 32).",
        lambda: recurnn.cells.GRU,
    ),
]


@pytest.mark.parametrize(("message", "make"), MISTAKES)
@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_a_mistake_in_a_cell_is_told(message: str, make: Callable[[], Any], engine: str) -> None:
    with pytest.raises(ConfigError) as caught:
        recurnn.scan(make(), torch.zeros(2, 1, 3), engine=engine)
    assert str(caught.value) == message


def test_a_cell_without_weights_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^Bare: the class declares no weights\.\n"):
        type("Bare", (Cell,), {})(3, 4)


def test_an_input_that_is_no_tensor_is_told() -> None:
    with pytest.raises(recurnn.errors.ShapeError, match=r"^GRU: the input is a list\.\n"):
        recurnn.scan(recurnn.cells.GRU(3, 4), [[[0.0] * 3]])  # type: ignore[arg-type]


def zeroed(p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
    h[:, 0] = 0
    return {"h": p.W @ x + h}


def halved(p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
    h *= 0.5
    return {"h": p.W @ x + h}


def summed(p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
    z = p.W @ x
    z += h
    return {"h": torch.tanh(z)}


@pytest.mark.parametrize("step", [zeroed, halved])
def test_the_reference_notices_a_change_in_place_too(step: Any) -> None:
    cell = own(lambda self, p, x, h: step(p, x, h))
    with pytest.raises(ConfigError, match="in place: its input or a state"):
        recurnn.scan(cell, torch.zeros(2, 1, 3), engine="reference")


def test_a_value_of_the_steps_own_may_be_added_to() -> None:
    cell, x = own(lambda self, p, x, h: summed(p, x, h)), torch.randn(4, 2, 3)
    got, want = (recurnn.scan(cell, x, engine=e).output for e in ("cpu", "reference"))
    torch.testing.assert_close(got, want)


MISTAKES_IN_A_STEP: list[tuple[str, Any]] = [
    ("changes a tensor in place: add_", lambda self, p, x, h: {"h": h.add_(p.W @ x)}),
    ("changes a tensor in place: an assignment", lambda self, p, x, h: zeroed(p, x, h)),
    ("changes a tensor in place: its input, a state", lambda self, p, x, h: halved(p, x, h)),
    ("multiplies from the right: x @ W", lambda self, p, x, h: {"h": x @ p.W}),
    ("multiplies a row of width H by W", lambda self, p, x, h: {"h": p.W @ h}),
]


@pytest.mark.parametrize(("message", "step"), MISTAKES_IN_A_STEP)
def test_a_mistake_in_a_step_is_told(message: str, step: Any) -> None:
    with pytest.raises(recurnn.errors.RecurnnError, match=message):
        recurnn.scan(own(step), torch.zeros(2, 1, 3))


def test_a_cell_without_a_docstring_prints_its_step() -> None:
    assert str(Bare) == (
        "Bare has no docstring; its step:\n\n"
        "    def step(self, p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:\n"
        '        return {"h": p.W @ x}\n'
    )


class Bare(Cell):
    weights = {"W": "H I"}

    def step(self, p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        return {"h": p.W @ x}


class Transposed(Cell):
    """A transpose of the input's matrix, of a matrix that is not square, of a computed row."""

    weights = {"W": "H I", "V": "K H", "U": "H H"}

    def step(self, p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        k = torch.tanh(p.V @ h)
        return {"h": torch.tanh(p.W @ x + p.V.T @ k + p.U.T @ h + p.U @ (p.U.T @ h))}


def test_transposed_products_and_their_derivatives() -> None:
    cell = Transposed(3, 4, K=2, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    h = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    inputs = {"x": x, "h": h} | dict(cell.named_parameters())
    results = []
    for engine in ("cpu", "reference"):
        result = recurnn.scan(cell, x, h, lengths=[5, 3], engine=engine)
        results.append(with_gradients({"y": result.output, **result.state}, inputs))
    agree(*results, terms=50)

    def run(x: Tensor, U: Tensor) -> Tensor:
        weights = cell.tensors() | {"U": U}
        return recurnn.scan(cell, x, h.detach(), parameters=weights, engine="cpu").output

    assert torch.autograd.gradgradcheck(run, (x, cell.U.detach().requires_grad_()), fast_mode=True)


def test_a_transpose_that_multiplies_the_input_runs_on_the_reference() -> None:
    cell = own(lambda self, p, x, h: {"h": p.W.T @ x}, weights={"W": "I H"})
    with pytest.raises(EngineError, match="the transpose of W multiplies the input"):
        recurnn.scan(cell, torch.zeros(2, 1, 3), engine="cpu")
    assert recurnn.scan(cell, torch.zeros(2, 1, 3)).output.shape == (2, 1, 4)


def test_one_number_for_all_units_and_its_derivatives() -> None:
    class Mixed(Cell):
        weights = {"W": "H I", "a": "1"}

        def step(self, p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
            return {"h": torch.sigmoid(p.a) * h + torch.tanh(p.W @ x)}

    cell = Mixed(3, 4, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64)

    def run(a: Tensor) -> Tensor:
        weights = cell.tensors() | {"a": a}
        return recurnn.scan(cell, x, parameters=weights, engine="cpu").output

    a = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (a,))
    assert torch.autograd.gradgradcheck(run, (a,))


NAMES = """
    class new int union and this unit left row scan operand product0 weights0 v8 V8 LANES Phase0_H
    factors products room round letter
    at_old_h vector_0 vector_b_ state_h_ state_h carry_h_ seed_h size_H room_H memcpy body hoisted
""".split()


def test_a_gate_may_have_any_name() -> None:
    """Words of C++, of the headers, and those that the compiler gives itself."""

    class Named(Cell):
        gates = tuple(NAMES)
        weights = {"W": "H I", "U": "H H", "b": "H"}

        def step(self, p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
            value = p.W @ x + p.U @ h + p.b
            values = {name: (value := torch.tanh(value * 1.1 + h)) for name in NAMES}
            return {"h": value * 0.5} | values

    cell = Named(3, 4, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        got, want = (
            recurnn.scan(cell, x, engine=engine, return_gates=True).gates
            for engine in ("cpu", "reference")
        )
    assert got is not None
    assert want is not None
    agree(got, want, terms=200)
