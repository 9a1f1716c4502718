"""Linear recurrences in spans of time, side by side: the same numbers as step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from kernels import CPU, REFERENCE, compare, tame, threads
from problems import KINDS, normal
from recurnn import cells
from recurnn.cells import Cell
from recurnn.compiler import kernel, spans
from recurnn.compiler.differentiate import differentiate
from recurnn.compiler.linear import linear
from recurnn.compiler.trace import trace
from rows import Problem
from tolerance import agree, identical

F64 = torch.float64


class Traces(Cell):
    """Two linear states, each with a factor of another kind, and outputs that bend what they see.

    h = σ(V x) ⊙ h − tanh(W x);  m = a ⊙ m / 2 − m / 4 + g;  y = tanh(U (h ⊙ m) + d ⊙ g)
    """

    weights = {"V": "H I", "W": "H I", "a": "H", "U": "H H", "d": "H"}
    states = {"y": "H", "h": "H", "m": "H"}
    gates = ("g", "q")
    output = "y"

    def step(self, p: Any, x: Tensor, y: Tensor, h: Tensor, m: Tensor) -> dict[str, Tensor]:
        g = torch.tanh(p.W @ x)
        h = torch.sigmoid(p.V @ x) * h - g
        m = p.a * m / 2 - m / 4 + g
        q = h * m
        y = torch.tanh(p.U @ q + p.d * g)
        return {"y": y, "h": h, "m": m, "g": g, "q": q}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of a few steps, and many of them."""
    monkeypatch.setattr(spans, "LEAST_STEPS", 4)
    monkeypatch.setattr(spans, "MOST_ROWS", 24)


def made(T: int, B: int, **more: Any) -> Problem:
    return Problem(T=T, B=B, cell=Traces(3, 5, dtype=F64), **more)


RESETS = ((0, 0), (5, 0), (8, 0), (31, 2), (32, 2), (62, 0))
BOTH: list[Problem] = [
    made(63, 1),
    made(63, 1, reverse=True),
    made(64, 3, resets=RESETS),
    made(64, 3, resets=RESETS, reverse=True),
    made(63, 3, lengths=(63, 0, 37), resets=RESETS, reset_state=True),
    made(63, 3, lengths=(63, 0, 37), resets=RESETS, reset_state=True, reverse=True),
    *(made(T, B) for T, B in ((0, 2), (1, 1), (2, 1), (8, 3))),
    *(Problem("min-gru", T=T, B=2, H=9) for T in (0, 1, 2, 63)),
]


@pytest.mark.parametrize("problem", BOTH, ids=str)
@pytest.mark.usefixtures("short")
def test_spans_are_the_reference(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    run = kernel.Kernel.run

    def watched(self: Any, kind: str, *rest: Any) -> None:
        called.append(kind)
        run(self, kind, *rest)

    monkeypatch.setattr(kernel.Kernel, "run", watched)
    compare(problem)
    split = problem.T >= 8
    assert called == (
        ["ahead", "after", "behind", "backward"] if split else ["forward", "backward"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qrnn", "t-rnn", "min-gru", "min-lstm", "rg-lru"])
@pytest.mark.usefixtures("short")
def test_spans_of_every_linear_cell_are_the_reference(kind: str) -> None:
    shared: dict[str, Any] = {"lengths": (63, 0, 37), "resets": RESETS, "reset_state": True}
    for reverse in (False, True):
        compare(Problem(kind, T=63, B=3, H=9, reverse=reverse, **shared))


def test_a_thousand_steps_as_they_are_cut_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = tame(KINDS["min-gru"].make(3, 9))
    x = normal(4100, 1, 3, seed=1)
    inputs = {"x": x} | dict(cell.named_parameters())

    def run() -> dict[str, Tensor]:
        return with_gradients({"y": recurnn.scan(cell, x, engine="cpu").output}, inputs)

    cut = run()
    monkeypatch.setattr(spans, "MOST_ROWS", 1)
    whole = run()
    assert any(not torch.equal(cut[k], whole[k]) for k in whole), "it was not cut"
    agree(cut, whole, terms=4100)
    monkeypatch.setattr(spans, "MOST_ROWS", 8)
    monkeypatch.setattr(spans, "LEAST_STEPS", 125)
    compare(Problem("min-gru", T=1000, B=1, H=9))


@pytest.mark.usefixtures("short")
def test_derivatives_are_those_of_finite_differences_and_so_are_theirs() -> None:
    cell = tame(Traces(2, 2, dtype=F64))
    names = [name for name, _ in cell.named_parameters()]
    weights = [weight.detach().clone().requires_grad_() for weight in cell.parameters()]
    reset = torch.zeros(8, 1, dtype=torch.bool)
    reset[5] = True

    y = torch.zeros(1, 2, dtype=F64)  # what it begins with acts on nothing

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        result = CPU(
            cell, x, [y, *rest[:2]], reset=reset, reset_state=[y, *rest[2:4]], return_states="all",
            return_gates=True, parameters=dict(zip(names, rest[4:], strict=True)),
        )  # fmt: skip
        assert result.gates is not None
        return (result.output, *result.state.values(), *result.gates.values())

    states = [normal(1, 2, seed=k) for k in range(2, 6)]
    inputs = (normal(8, 1, 2, seed=1), *states, *weights)
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@pytest.mark.usefixtures("short")
def test_without_a_gradient_and_with_little_memory() -> None:
    cell, x, _, options = made(64, 2, lengths=(64, 41)).build()
    kept = CPU(cell, x, **options)
    with torch.no_grad():
        plain = CPU(cell, x, **options)
    identical({"y": plain.output, **plain.state}, {"y": kept.output, **kept.state})
    inputs = {"x": x} | dict(cell.named_parameters())
    low = CPU(cell, x, **options, memory="low")  # in segments of eight steps, of two spans each
    got, want = (with_gradients({"y": r.output, **r.state}, inputs) for r in (low, kept))
    agree(got, want, terms=64 * 10)


def test_the_same_bits_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = tame(KINDS["min-gru"].make(40, 50))
    x = normal(4096, 1, 40, seed=1)
    inputs = {"x": x} | dict(cell.named_parameters())
    teams: list[int] = []
    run = kernel.Kernel.run

    def watched(self: Any, kind: str, layout: Any, *rest: Any) -> None:
        teams.append(layout.call.threads)
        run(self, kind, layout, *rest)

    monkeypatch.setattr(kernel.Kernel, "run", watched)
    results = []
    for n in (1, 2, 3):
        with threads(n):
            result = CPU(cell, x, return_states="all", return_gates=True)
            results.append(with_gradients({"y": result.output, **result.state}, inputs))
    assert teams == [n for n in (1, 2, 3) for _ in ("ahead", "after", "behind", "backward")]
    identical(results[1], results[0])
    identical(results[2], results[0])


# What must not pass from span to span


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
@pytest.mark.usefixtures("short")
def test_what_is_not_finite_stays_in_its_row_and_sequence(wrong: float, reverse: bool) -> None:
    cell, x, start, options = made(
        63, 3, lengths=(63, 40, 63), resets=((30, 0),), reverse=reverse
    ).build()
    clean = x.detach().clone()
    spoilt = clean.clone()
    spoilt[45 if reverse else 5, 0] = wrong  # in the sequence of row 0 that is run first
    spoilt[41:, 1] = wrong  # padding

    def others(v: Tensor) -> dict[str, Tensor]:
        y = CPU(cell, v.requires_grad_(), start, **options).output[:, 1:]
        found = with_gradients({"y": y}, {"x": v} | start)
        return {k: g if k == "y" else g[:, 1:] if k == "d x" else g[1:] for k, g in found.items()}

    agree(others(spoilt), others(clean), terms=400)
    rest = slice(0, 30) if reverse else slice(30, 63)
    a, b = (CPU(cell, v, start, **options).output[rest, 0] for v in (spoilt, clean))
    agree({"y": a}, {"y": b}, terms=400)
    # and no gradient passes back over the reset from where it is not finite
    for v in (spoilt, clean):
        v.grad = None
        CPU(cell, v, start, **options).output[rest, 0].sum().backward()
    assert spoilt.grad is not None
    assert clean.grad is not None
    agree({"dx": spoilt.grad[rest]}, {"dx": clean.grad[rest]}, terms=400)


@pytest.mark.usefixtures("short")
def test_of_zeros_nothing_grows() -> None:
    class Growing(Cell):
        weights = {"W": "H I"}

        def step(self, p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
            return {"h": 1e20 * h + p.W @ x}

    x = torch.zeros(64, 1, 2)
    x[63] = 1
    cell = Growing(2, 3)
    with torch.no_grad():
        identical({"y": CPU(cell, x).output}, {"y": REFERENCE(cell, x).output})


# Which recurrences are linear


def found(step: Any, states: dict[str, str], **weights: str) -> tuple[str, ...] | None:
    kind = type("Own", (Cell,), {
        "weights": {"W": "H I", **weights}, "states": states, "step": step,
        "output": next(iter(states)),
    })  # fmt: skip
    graph = trace(kind(3, 4))
    is_linear = linear(graph, differentiate(graph, (graph.output,)))
    return None if is_linear is None else is_linear.states


def test_the_cells_that_are_linear() -> None:
    names = set()
    for name in cells.CELLS:
        cell = KINDS[name].make()
        graph = trace(cell)
        if linear(graph, differentiate(graph, (cell.output,))) is not None:
            names.add(name)
    assert names == {"qrnn", "t-rnn", "min-gru", "min-lstm", "rg-lru"}
    graph = trace(cells.IndRNN(3, 4, nonlinearity="identity"))
    assert linear(graph, differentiate(graph, ("h",))) is not None


ONE, TWO = {"h": "H"}, {"h": "H", "m": "H"}


@pytest.mark.parametrize(
    ("step", "states"),
    [
        (lambda s, p, x, h: {"h": torch.sigmoid(p.W @ x + h) * h}, ONE),
        (lambda s, p, x, h: {"h": torch.tanh(p.W @ x + h)}, ONE),
        (lambda s, p, x, h: {"h": (p.W @ x) / h}, ONE),
        (lambda s, p, x, h: {"h": torch.maximum(p.W @ x, h)}, ONE),
        (lambda s, p, x, h: {"h": p.W @ x + p.U @ h}, ONE),
        (lambda s, p, x, h: {"h": p.W @ x + h.sum(-1, keepdim=True) * p.v}, ONE),
        (lambda s, p, x, h, m: {"h": p.W @ x + 0.5 * h + m, "m": 0.5 * m + p.W @ x}, TWO),
        (lambda s, p, x, h, m: {"h": p.v * h + p.W @ x, "m": p.U @ h}, TWO),
        (lambda s, p, x, h: {"h": p.W @ x + 0 * p.v}, ONE),
    ],
    ids=["gate", "bent", "below", "maximum", "product", "sum", "coupled", "read by a product",
         "nothing comes back"],
)  # fmt: skip
def test_a_recurrence_that_is_not_linear(step: Any, states: dict[str, str]) -> None:
    assert found(step, states, U="H H", v="H") is None


@pytest.mark.parametrize(
    "step",
    [
        lambda s, p, x, h: {"h": h + p.W @ x},
        lambda s, p, x, h: {"h": p.W @ x - h / p.v},
        lambda s, p, x, h: {"h": (1 - p.v) * (-h) + 2 * (h - p.W @ x) * torch.exp(p.W @ x)},
    ],
    ids=["sum", "quotient", "expanded"],
)
@pytest.mark.usefixtures("short")
def test_a_recurrence_that_is_linear_however_it_is_written(step: Any) -> None:
    assert found(step, ONE, v="H") == ("h",)


# Mistakes that these tests must notice


@pytest.mark.parametrize(
    ("which", "right", "wrong"),
    [
        ("inference", "end[old] + through[old] * begin[old]", "end[old]"),
        ("backward", "bool inside = s.joined ?", "bool inside = false ?"),
        ("after", "+ r.nth * s.span", ""),
        ("ahead", "step = r.nth * c.call.T_ + later", "step = later"),
    ],
    ids=["nothing comes through", "not joined", "every span the first", "resets of the first span"],
)
@pytest.mark.usefixtures("short")
def test_a_mistake_is_noticed(
    which: str, right: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recurnn.compiler import engine

    for name in ("_kernels", "_numbers"):
        monkeypatch.setattr(engine, name, {})
    load = kernel.load

    def planted(text: str, dtype: str, called: str) -> Any:
        if called.endswith(f"-{which}"):
            assert text.count(right) == 1
            text, called = text.replace(right, wrong), f"Planted{called}"
        return load(text, dtype, called)

    monkeypatch.setattr(kernel, "load", planted)
    with pytest.raises(AssertionError, match="more than"):
        compare(Problem("min-gru", T=63, B=2, H=9, resets=((5, 0), (40, 1))))
