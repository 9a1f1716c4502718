"""Cells that nobody would write: random steps, compiled, against the reference.

A random cell is a list of lines. Each line makes one more value of some width from those before
it; each state takes its new value from one of them. So several states, products with the input,
with states and with what was just computed, vectors, layer norm and pointwise functions come in
every order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from kernels import CPU, REFERENCE
from problems import normal, states_of
from recurnn.cells import Cell
from rows import everything
from tolerance import agree

SIZES = {"I": 3, "H": 9, "P": 5}
ONE: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "neg": torch.neg,
    "abs": torch.abs,
    "gauss": lambda a: torch.exp(-a * a),
    "softsign": F.softsign,
    "root": lambda a: torch.sqrt(1 + a * a),
    "log": lambda a: torch.log(1 + a * a),
    "norm": lambda a: F.layer_norm(a, a.shape[-1:]),
    "mean": lambda a: a - a.mean(-1, keepdim=True),
    "share": lambda a: torch.exp(torch.tanh(a)) / torch.exp(torch.tanh(a)).sum(-1, keepdim=True),
    "clamp": lambda a: torch.clamp(a, -0.8, 0.9),
    "half": lambda a: 0.5 * a - 1,
}
TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": lambda a, b: a - b,
    "mul": torch.mul,
    "div": lambda a, b: a / (1.5 + torch.sigmoid(b)),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "mix": lambda a, b: torch.sigmoid(a) * b + (1 - torch.sigmoid(a)) * torch.tanh(a),
}


@dataclass(frozen=True)
class Line:
    """One value: an operation on earlier values, by their places in the list."""

    op: str
    args: tuple[int, ...]
    width: str
    weight: str = ""


@dataclass(frozen=True)
class Recipe:
    """A random cell: its states, its weights and its lines; values begin with x and the states."""

    states: tuple[str, ...]
    lines: tuple[Line, ...]
    results: tuple[int, ...]

    def weights(self) -> dict[str, str]:
        widths = ["I", *self.states, *(line.width for line in self.lines)]
        shapes = {}
        for line in self.lines:
            if line.op == "product":
                shapes[line.weight] = f"{line.width} {widths[line.args[0]]}"
            elif line.weight:
                shapes[line.weight] = line.width
        return shapes

    def cell(self) -> Cell:
        """A cell of a class of its own."""
        recipe = self

        def step(self: Cell, p: Any, x: Tensor, *old: Tensor) -> dict[str, Tensor]:
            values = [x, *old]
            for line in recipe.lines:
                args = [values[k] for k in line.args]
                if line.op == "product":
                    values.append(getattr(p, line.weight) @ args[0])
                elif line.op == "vector":
                    values.append(getattr(p, line.weight) * args[0] + getattr(p, line.weight))
                else:
                    values.append((ONE | TWO)[line.op](*args))
            return {f"s{n}": values[k] for n, k in enumerate(recipe.results)}

        body = {
            "__doc__": "Random.",
            "weights": self.weights(),
            "states": {f"s{n}": width for n, width in enumerate(self.states)},
            "output": "s0",
            "step": step,
        }
        kind = type("Random", (Cell,), body)
        used = set(" ".join([*self.weights().values(), *self.states]).split())
        sizes = {"P": SIZES["P"]} if "P" in used else {}
        cell: Cell = kind(SIZES["I"], SIZES["H"], dtype=torch.float64, **sizes)
        random = torch.Generator().manual_seed(5)
        for weight in cell.parameters():
            weight.data = 0.4 * torch.randn(weight.shape, generator=random, dtype=torch.float64)
        return cell


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    states = tuple(draw(st.lists(st.sampled_from("HP"), min_size=1, max_size=3)))
    states = (*states[:-1], "P" if set(states) == {"H"} else "H")  # both widths are somewhere
    widths = ["I", *states]
    lines: list[Line] = []

    def add(op: str, *args: int, width: str, weight: str = "") -> int:
        lines.append(Line(op, args, width, f"{weight}{len(lines)}" if weight else ""))
        widths.append(width)
        return len(widths) - 1

    def some(width: str) -> int:
        known = [k for k, w in enumerate(widths) if w == width]
        return draw(st.sampled_from(known))

    for width in dict.fromkeys(states):  # the input comes in at every width
        add("product", 0, width=width, weight="W")
    for _ in range(draw(st.integers(2, 9))):
        kind = draw(st.sampled_from(["product", "one", "one", "two", "two", "vector"]))
        width = draw(st.sampled_from(sorted(set(states))))
        if kind == "product":
            other = draw(st.integers(1, len(widths) - 1))
            add("product", other, width=width, weight="U")
        elif kind == "one":
            add(draw(st.sampled_from(sorted(ONE))), some(width), width=width)
        elif kind == "two":
            add(draw(st.sampled_from(sorted(TWO))), some(width), some(width), width=width)
        else:
            add("vector", some(width), width=width, weight="v")
    # A state is bounded by tanh, so that three steps stay near one.
    results = tuple(add("tanh", some(width), width=width) for width in states)
    return Recipe(states, tuple(lines), results)


def check(recipe: Recipe) -> None:
    cell = recipe.cell()
    x, start = normal(4, 3, 3, seed=1), states_of(cell, 3, seed=2)
    reset = torch.tensor([[0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    for options in ({}, {"lengths": [4, 3, 1], "reset": reset, "reverse": True}):
        got = everything(cell, x, start, options, CPU)
        want = everything(cell, x, start, options, REFERENCE)
        agree(got, want, terms=400)


quiet = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=3, derandomize=True, database=None, **quiet)
@given(recipes())
def test_a_few_random_cells(recipe: Recipe) -> None:
    check(recipe)


@pytest.mark.slow
@settings(max_examples=200, derandomize=True, database=None, **quiet)
@given(recipes())
def test_hundreds_of_random_cells(recipe: Recipe) -> None:
    check(recipe)


def test_a_state_that_nothing_changes_and_a_weight_that_nothing_uses() -> None:
    still = Recipe(("H", "P"), (Line("product", (0,), "H", "W"), Line("tanh", (3,), "H")), (4, 2))
    check(still)
