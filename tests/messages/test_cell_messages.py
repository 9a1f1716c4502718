"""What a user is told who makes a mistake in a cell of his own, by its text."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import recurnn
from recurnn.cells import Cell
from recurnn.errors import ConfigError, RecurnnError, ShapeError

WEIGHTS = {"W": "H I", "U": "H H", "b": "H"}
TWO = {"h": "H", "c": "H"}
FORM = (
    "\n  H is the number of units, I the size of x; any other is a size that the constructor takes "
    "by name."
)
NAMES = (
    "\n  Give one of them another name: `step` takes weights as p.name, and returns states and "
    "gates by name."
)
ONLY = "and all that it does is"


def good(self: Any, p: Any, x: Any, h: Any) -> Any:
    return {"h": torch.tanh(p.W @ x + p.U @ h + p.b)}


def own(step: Any = good, **declared: Any) -> Cell:
    made = type("Own", (Cell,), {"weights": WEIGHTS, "step": step, **declared})
    return made(3, 4)  # type: ignore[no-any-return]


def turned(step: Any) -> str:
    """Where the message says that a step stands."""
    return f"\n  See test_cell_messages.py, line {step.__code__.co_firstlineno}."


few: Any = lambda self, p, x: {"h": x}  # noqa: E731
many: Any = lambda self, p, x, h, c: {"h": h}  # noqa: E731
first: Any = lambda self, x, p, h: {"h": h}  # noqa: E731
swapped: Any = lambda self, p, x, c, h: {"h": h, "c": c}  # noqa: E731
selfless: Any = lambda p, x, h: {"h": h}  # noqa: E731
needs: Any = lambda self, p, x, h, *, t: {"h": h}  # noqa: E731

DECLARED: list[tuple[Callable[[], object], str]] = [
    (
        lambda: own(weights={"W": "HI"}),
        "Own: the shape of the weight W is 'HI'.\n"
        "  Expected one letter, or two with a blank between them, such as 'H I'. "
        f"Did you mean 'H I'?{FORM}",
    ),
    (
        lambda: own(weights={"W": ("H", "I")}),
        "Own: the shape of the weight W is ('H', 'I').\n"
        "  Expected one letter, or two with a blank between them, such as 'H I'. "
        f"Did you mean 'H I'?{FORM}",
    ),
    (
        lambda: own(weights={"W": "h, i"}),
        "Own: the shape of the weight W is 'h, i'.\n"
        "  Expected one letter, or two with a blank between them, such as 'H I'. "
        f"Did you mean 'H I'?{FORM}",
    ),
    (
        lambda: own(weights={"W": "4 3"}),
        "Own: the shape of the weight W is '4 3'.\n"
        f"  Expected one letter, or two with a blank between them, such as 'H I'.{FORM}",
    ),
    (
        lambda: own(weights={"W": "H H I"}),
        "Own: the shape of the weight W is 'H H I'.\n"
        f"  Expected one letter, or two with a blank between them, such as 'H I'.{FORM}",
    ),
    (
        lambda: own(weights={"W": torch.zeros(4, 3)}),
        "Own: the shape of the weight W is a Tensor.\n"
        f"  Expected one letter, or two with a blank between them, such as 'H I'.{FORM}",
    ),
    (
        lambda: own(weights={"W": "H Z"}),
        "Own: the size Z is not given.\n  A weight or a state has it in its shape: give Z=..., a "
        "whole number of at least 1.",
    ),
    (
        lambda: own(states={"h": "1"}),
        f"Own: the shape of the state h is '1'.\n  Expected one letter, such as 'H'.{FORM}",
    ),
    (
        lambda: own(weights=["W", "U"]),
        "Own: `weights` is a list.\n  Expected a mapping by name, such as "
        'weights = {"W": "H I", "U": "H H", "b": "H"}.',
    ),
    (
        lambda: own(states=("h",)),
        'Own: `states` is a tuple.\n  Expected a mapping by name, such as states = {"h": "H"}.',
    ),
    (
        lambda: own(weights={}),
        "Own: `weights` is empty.\n"
        '  A cell has at least one: weights = {"W": "H I", "U": "H H", "b": "H"}.',
    ),
    (
        lambda: own(gates=("forget")),
        "Own: `gates` is the string 'forget', and not a tuple of names.\n"
        '  With a comma it is one: gates = ("forget",).',
    ),
    (lambda: own(output="y"), "Own: `output`: state: there is no 'y'.\n  Known: h."),
    (
        lambda: own(constants=("V",)),
        "Own: `constants`: weight: there is no 'V'.\n  Known: W, U, b.",
    ),
    (
        lambda: own(start={"bb": 1.0}),
        "Own: `start`: weight: there is no 'bb'.\n  Known: W, U, b. Did you mean 'b'?",
    ),
    (lambda: own(weights={"h": "H", **WEIGHTS}), f"Own: 'h' names a weight and a state.{NAMES}"),
    (lambda: own(gates=("W",)), f"Own: 'W' names a weight and a gate.{NAMES}"),
    (lambda: own(gates=("h",)), f"Own: 'h' names a state and a gate.{NAMES}"),
    (
        lambda: own(weights={"W x": "H I"}),
        "Own: a weight has the name 'W x'.\n"
        "  Expected a name as Python's: letters, digits and _, no digit in front.",
    ),
    (
        lambda: own(weights={"class": "H I"}),
        "Own: a weight has the name 'class'.\n"
        "  Expected a name as Python's: letters, digits and _, no digit in front.",
    ),
    (
        lambda: own(weights={"sizes": "H I"}),
        "Own: the weight 'sizes' has the name of something else of the cell's.\n"
        "  The cell, or what `step` gets as p, has an attribute sizes: give the weight another "
        "name.",
    ),
    (
        lambda: type("Own", (Cell,), {"weights": WEIGHTS, "states": TWO, "gates": ("f",)})(3, 4),
        "Own: the class has no step.\n"
        "  Expected def step(self, p, x, h, c), which returns h, c, f by name.",
    ),
    (
        lambda: own({}),
        "Own: the class has no step.\n"
        "  Expected def step(self, p, x, h), which returns h by name.",
    ),
    *(
        (
            lambda step=step, declared=declared: own(step, **declared),  # type: ignore[misc]
            f"Own: step takes ({taken}).\n"
            f"  Expected def step(self, {expected}): the weights, the input, and each of `states` "
            f"in its order.{turned(step)}",
        )
        for step, declared, taken, expected in (
            (few, {}, "self, p, x", "p, x, h"),
            (many, {}, "self, p, x, h, c", "p, x, h"),
            (first, {}, "self, x, p, h", "p, x, h"),
            (swapped, {"states": TWO}, "self, p, x, c, h", "p, x, h, c"),
            (selfless, {}, "p, x, h", "p, x, h"),
            (needs, {}, "self, p, x, h, t", "p, x, h"),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "text"), DECLARED)
def test_a_declaration(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value) == text


@pytest.mark.parametrize("step", [
    lambda self, weights, row, state: {"h": weights.W @ row + state},
    lambda self, p, x, *states: {"h": p.W @ x + states[0]},
    lambda self, p, x, h, slope=0.1: {"h": p.W @ x + slope * h},
])  # fmt: skip
def test_a_step_may_name_its_arguments_as_it_likes(step: Any) -> None:
    output = recurnn.scan(own(step), torch.zeros(2, 1, 3), engine="reference").output
    assert output.shape == (2, 1, 4)


RETURNED: list[tuple[type[RecurnnError], Any, dict[str, Any], str]] = [
    (
        ConfigError, lambda self, p, x, h: None, {},
        "Own: step does not return a dict, but None.\n  Expected a dict by name: h.",
    ),
    (
        ConfigError, lambda self, p, x, h: (h, h), {},
        "Own: step does not return a dict, but a tuple.\n  Expected a dict by name: h.",
    ),
    (
        ConfigError, lambda self, p, x, h, c: {"h": p.W @ x}, {"states": TWO},
        "Own: step does not return the state 'c'.\n"
        "  It returns h; the cell declares 'c' in `states`.",
    ),
    (
        ConfigError, lambda self, p, x, h: {}, {},
        "Own: step does not return the state 'h'.\n"
        "  It returns nothing; the cell declares 'h' in `states`.",
    ),
    (
        ConfigError, lambda self, p, x, h: {"h": p.W @ x}, {"gates": ("f",)},
        "Own: step does not return the gate 'f'.\n"
        "  It returns h; the cell declares 'f' in `gates`.",
    ),
    (
        ConfigError, lambda self, p, x, h: {"h": p.W @ x, "f": p.W @ x, "z": h}, {"gates": ("f",)},
        "Own: step returns 'z', which the cell does not declare.\n"
        "  It declares h, f: name 'z' in `gates`, or do not return it.",
    ),
    (
        ConfigError, lambda self, p, x, h: {"h": 0.0}, {},
        "Own: step returns the state 'h' as a float.\n"
        "  Expected a tensor [B, H], a row for each row of x.",
    ),
    (
        ConfigError, lambda self, p, x, h: {"h": p.W}, {},
        "Own: step returns the state 'h' as a Matrix.\n"
        "  Expected a tensor [B, H], a row for each row of x.",
    ),
    (
        ConfigError, lambda self, p, x, h: {"h": p.W @ x, "f": None}, {"gates": ("f",)},
        "Own: step returns the gate 'f' as None.\n"
        "  Expected a tensor [B, its size], a row for each row of x.",
    ),
    (
        ShapeError, lambda self, p, x, h: {"h": (p.W @ x).sum(-1, keepdim=True)}, {},
        "Own: step returns the state 'h' in another shape.\n"
        "  h is [2, 1]; expected [B, H] = [2, 4], because `states` gives h the size H = 4.",
    ),
    (
        ShapeError, lambda self, p, x, h: {"h": p.b}, {},
        "Own: step returns the state 'h' in another shape.\n"
        "  h is [4]; expected [B, H] = [2, 4], because `states` gives h the size H = 4.",
    ),
    (
        ShapeError, lambda self, p, x, h: {"h": p.W @ x > h}, {},
        "Own: step returns the state 'h' in another type.\n"
        "  h is torch.bool; expected torch.float32, because x is of that type.",
    ),
    (
        ShapeError, lambda self, p, x, h: {"h": p.W @ x, "f": p.b}, {"gates": ("f",)},
        "Own: step returns the gate 'f' in a shape that has no rows.\n"
        "  f is [4]; expected [B, its size] with B = 2, because x is [2, 3].",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "step", "declared", "text"), RETURNED)
@pytest.mark.parametrize("T", [0, 3])
def test_what_a_step_returns(
    kind: type[RecurnnError], step: Any, declared: dict[str, Any], text: str, T: int
) -> None:
    cell = own(step, **declared)
    for run in (
        lambda: recurnn.scan(cell, torch.zeros(T, 2, 3)),
        lambda: recurnn.scan(cell, torch.zeros(T, 2, 3), engine="reference"),
        lambda: cell(torch.zeros(2, 3), *(torch.zeros(2, 4) for _ in cell.states)),
    ):
        with pytest.raises(kind) as caught:
            run()
        assert str(caught.value) == text
        assert type(caught.value) is kind


def test_a_state_of_another_size_is_told_in_letters_or_in_numbers() -> None:
    cell = own(lambda self, p, x, h: {"h": p.W.T @ (p.W @ x + h)})
    size = "because `states` gives h the size H = 4."
    for engine, got in (
        ("auto", "[B, I] = [B, 3]; expected [B, H] = [B, 4]"),
        ("cpu", "[B, I] = [B, 3]; expected [B, H] = [B, 4]"),
        ("reference", "[2, 3]; expected [B, H] = [2, 4]"),
    ):
        with pytest.raises(ShapeError) as caught:
            recurnn.scan(cell, torch.zeros(5, 2, 3), engine=engine)
        assert str(caught.value) == (
            f"Own: step returns the state 'h' in another shape.\n  h is {got}, {size}"
        )


USED: list[tuple[Any, str]] = [
    (
        lambda self, p, x, h: {"h": p.W * x + h},
        f"Own: the step uses the matrix W with *.\n  W is [H, I], {ONLY} p.W @ x: of a row [B, I] "
        "it makes [B, H].\n  What acts unit by unit is a vector, of shape 'H'.",
    ),
    (
        lambda self, p, x, h: {"h": p.W @ x + h * p.U},
        f"Own: the step uses the matrix U with *.\n  U is [H, H], {ONLY} p.U @ x: of a row [B, H] "
        "it makes [B, H].\n  What acts unit by unit is a vector, of shape 'H'.",
    ),
    (
        lambda self, p, x, h: {"h": p.W.T / x + h},
        f"Own: the step uses the matrix W.T with /.\n  W.T is [I, H], {ONLY} p.W.T @ x: of a row "
        "[B, H] it makes [B, I].\n  What acts unit by unit is a vector, of shape 'I'.",
    ),
    (
        lambda self, p, x, h: {"h": (p.U + p.U) @ h},
        f"Own: the step uses the matrix U with +.\n  U is [H, H], {ONLY} p.U @ x: of a row [B, H] "
        "it makes [B, H].",
    ),
    (
        lambda self, p, x, h: {"h": p.W(x)},
        f"Own: the step uses the matrix W with a call.\n  W is [H, I], {ONLY} p.W @ x: of a row "
        "[B, I] it makes [B, H].",
    ),
    (
        lambda self, p, x, h: {"h": F.linear(x, p.W)},
        "Own: the step uses a weight matrix with linear.\n"
        "  All that a matrix W [H, I] does is p.W @ x: of a row [B, I] it makes [B, H].",
    ),
    (
        lambda self, p, x, h: {"h": torch.matmul(p.W, x)},
        "Own: the step uses a weight matrix with matmul.\n"
        "  All that a matrix W [H, I] does is p.W @ x: of a row [B, I] it makes [B, H].",
    ),
    (
        lambda self, p, x, h: {"h": x @ p.W.T},
        "Own: the step multiplies from the right: x @ W.T.\n"
        "  A weight stands before what it multiplies, as in the papers: p.W @ x.",
    ),
    (
        lambda self, p, x, h: {"h": p.W @ x + p.V @ h},
        "Own: step: weight: there is no 'V'.\n  Known: W, U, b.",
    ),
]


@pytest.mark.parametrize(("step", "text"), USED)
@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_what_a_step_does_with_a_weight(
    step: Any, text: str, engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(ConfigError) as caught:
        recurnn.scan(own(step), torch.zeros(5, 2, 3), engine=engine)
    assert str(caught.value) == text + turned(step)


def test_the_operators_are_told_before_any_engine(caplog: pytest.LogCaptureFixture) -> None:
    """No word of the reference engine before the error: the trace has seen it already."""
    for step in (USED[0][0], USED[1][0], lambda self, p, x, h: {"h": x.mm(p.W)}):
        with pytest.raises(ConfigError, match="the step uses the matrix"):
            recurnn.scan(own(step), torch.zeros(5, 2, 3))
    assert not caplog.records


@pytest.mark.parametrize("name", ["W", "U.T"])
def test_a_row_that_does_not_fit_a_matrix(name: str) -> None:
    step: Any = lambda self, p, x, h: {"h": p.W @ h}  # noqa: E731
    shapes = ("W", "I", "[H, I] = [4, 3]", "I = 3", 4)
    if name == "U.T":
        step = lambda self, p, x, h: {"h": p.U.T @ x}  # noqa: E731
        shapes = ("U.T", "H", "[H, H] = [4, 4]", "H = 4", 3)
    _, letter, both, expected, got = shapes
    for engine, text in (
        ("auto", f"a row of width {'H' if name == 'W' else 'I'} by {name}.\n"
         f"  {name} is {both[:6]}; expected a row of width {letter}."),
        ("reference", f"a row of {got} by {name}.\n  {name} is {both}; expected a row of "
         f"{expected}."),
    ):  # fmt: skip
        with pytest.raises(ShapeError) as caught:
            recurnn.scan(own(step), torch.zeros(5, 2, 3), engine=engine)
        assert str(caught.value) == f"Own: the step multiplies {text}{turned(step)}"


def test_dropout_of_the_state_changes_no_word() -> None:
    step: Any = lambda self, p, x, h: {"h": p.W @ x + p.U * h}  # noqa: E731
    layer = recurnn.nn.Recurrent(own(step), state_dropout=0.5)
    with pytest.raises(ConfigError, match=r"^Own: the step uses the matrix U with \*\.\n") as e:
        layer(torch.zeros(5, 2, 3))
    assert str(e.value).endswith(turned(step))
