"""The operations that a step may use: one row each, with its C++ text and its derivative.

A `Value` is one vector of a step, of `width` units for each row of the batch ("H", "P", …) or one
number for each row ("1"). Values are made by `Graph.make`, which gives the same object for the
same expression, so that nothing is computed twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Value:
    """A node of the graph of a step.

    Attributes:
        op: a row of `OPS`, or a leaf: ``x``, ``input``, ``state``, ``vector``, ``constant``,
            ``width``, ``carry``, ``seed``, ``limit``, ``saved``, ``past``; or ``product``, one of
            `REDUCTIONS`, or what only derivatives have, ``spread`` or ``clip``.
        args: the values it is computed from.
        width: the letter of its number of units; ``"1"`` for one number a row.
        data: a leaf's name or number; for a product its terms (matrix, transposed, operand).
        index: its place in the order of creation, which is an order of evaluation.
    """

    op: str
    args: tuple[Value, ...]
    width: str
    data: Any = None
    index: int = 0

    def __repr__(self) -> str:
        if self.op == "product":
            return (
                "product("
                + " + ".join(
                    f"{m}{'ᵀ' if transposed else ''} %{v.index}" for m, transposed, v in self.data
                )
                + ")"
            )
        inner = [f"%{a.index}" for a in self.args] + ([] if self.data is None else [str(self.data)])
        return f"{self.op}({', '.join(inner)})"


@dataclass
class Graph:
    """Values in order of evaluation, and names for people to read them by."""

    values: list[Value] = field(default_factory=list)
    names: dict[Value, str] = field(default_factory=dict)
    _known: dict[Any, Value] = field(default_factory=dict)

    def make(self, op: str, *args: Value, width: str | None = None, data: Any = None) -> Value:
        """The value of an expression: a new one, or the one that is there already."""
        key = (op, tuple(id(a) for a in args), width, _identity(data))
        if key not in self._known:
            if width is None:
                width = _common_width(op, args)
            self._known[key] = Value(op, args, width, data, len(self.values))
            self.values.append(self._known[key])
        return self._known[key]

    def constant(self, number: float) -> Value:
        """A number, the same for every unit and row."""
        return self.make("constant", width="1", data=float(number))

    def apply(self, op: str, *args: Value | float) -> Value:
        """A pointwise operation on values and numbers, with the trivial cases folded."""
        values = [a if isinstance(a, Value) else self.constant(a) for a in args]
        numbers = [v.data if v.op == "constant" else None for v in values]
        if op == "mul" and 1.0 in numbers:
            return values[1 - numbers.index(1.0)]
        if op in ("add", "sub") and numbers[1] == 0.0:
            return values[0]
        if op == "add" and numbers[0] == 0.0:
            return values[1]
        if op == "mul" and numbers[0] is not None and values[1].op == "spread":
            number = self.apply("mul", values[0], values[1].args[0])
            return self.make("spread", number, width=values[1].width)
        if op == "neg" and values[0].op == "neg":
            return values[0].args[0]
        return self.make(op, *values)


def _identity(data: Any) -> Any:
    if isinstance(data, tuple):
        return tuple(_identity(d) for d in data)
    return id(data) if isinstance(data, Value) else data


def _common_width(op: str, args: tuple[Value, ...]) -> str:
    widths = {a.width for a in args} - {"1"}
    if len(widths) > 1:
        raise Unsupported(f"{op} of values of different widths: {', '.join(sorted(widths))}")
    return widths.pop() if widths else "1"


def reachable(ends: Iterable[Value], leaves: Collection[Value] = ()) -> list[Value]:
    """Everything that the ends are computed from, leaves left out, in order of evaluation."""
    seen: set[Value] = set()
    queue = list(ends)
    while queue:
        value = queue.pop()
        if value in seen or value in leaves:
            continue
        seen.add(value)
        queue += value.args
        queue += [operand for _, _, operand in value.data] if value.op == "product" else []
    return sorted(seen, key=lambda v: v.index)


class Unsupported(Exception):  # noqa: N818 - a reason, not a fault: the reference runs instead
    """The compiler does not know something that a step uses; the text is the reason."""


Derivative = Callable[..., tuple[Value | None, ...]]


@dataclass(frozen=True)
class Op:
    """One row of the table.

    Attributes:
        cpp: the C++ expression, ``{0}``, ``{1}``, … being the arguments.
        torch: the operation on tensors; also what the tests compare the C++ with.
        derivative: (graph, gradient, result, *args) to a gradient for each argument.
        spellings: the torch functions that mean this operation.
        cost: rough cost in additions; what is dear is saved rather than computed again.
    """

    cpp: str
    torch: Callable[..., torch.Tensor]
    derivative: Derivative
    spellings: tuple[Any, ...]
    cost: int = 1

    @property
    def arguments(self) -> int:
        """How many values it takes."""
        return sum(f"{{{k}}}" in self.cpp for k in range(3))


def _t(*names: str) -> tuple[Any, ...]:
    """Every spelling of a name, in torch, Tensor, torch.nn.functional and torch.special."""
    homes = (torch, torch.Tensor, F, torch.special)
    return tuple(getattr(home, name) for name in names for home in homes if hasattr(home, name))


def _compare(op: str) -> Op:
    return Op(
        f"where({{0}} {op} {{1}}, broadcast(1), broadcast(0))",
        lambda a, b: {">": torch.gt, ">=": torch.ge}[op](a, b).to(torch.result_type(a, b)),
        lambda G, g, y, a, b: (None, None),
        (),
    )


def _tie(G: Graph, a: Value, b: Value) -> Value:
    # 1 where a > b, ½ where equal, 0 where less: torch halves the gradient of a tie.
    return G.apply("mul", 0.5, G.apply("add", G.apply("gt", a, b), G.apply("ge", a, b)))


OPS: dict[str, Op] = {
    "add": Op("{0} + {1}", torch.add, lambda G, g, y, a, b: (g, g), _t("add", "__add__")),
    "sub": Op(
        "{0} - {1}",
        torch.sub,
        lambda G, g, y, a, b: (g, G.apply("neg", g)),
        _t("sub", "subtract", "__sub__"),
    ),
    "mul": Op(
        "{0} * {1}",
        torch.mul,
        lambda G, g, y, a, b: (
            (G.apply("mul", G.apply("mul", 2.0, g), a), None)
            if a is b
            else (G.apply("mul", g, b), G.apply("mul", g, a))
        ),
        _t("mul", "multiply", "__mul__"),
    ),
    "div": Op(
        "{0} / {1}",
        torch.div,
        lambda G, g, y, a, b: (
            G.apply("div", g, b),
            G.apply("neg", G.apply("div", G.apply("mul", g, y), b)),
        ),
        _t("div", "divide", "true_divide", "__truediv__"),
        cost=8,
    ),
    "neg": Op("-{0}", torch.neg, lambda G, g, y, a: (G.apply("neg", g),), _t("neg", "negative")),
    "sigmoid": Op(
        "sigmoid({0})",
        torch.sigmoid,
        lambda G, g, y, a: (G.apply("mul", g, G.apply("mul", y, G.apply("sub", 1.0, y))),),
        _t("sigmoid", "expit"),
        cost=25,
    ),
    "tanh": Op(
        "tanh({0})",
        torch.tanh,
        lambda G, g, y, a: (G.apply("mul", g, G.apply("sub", 1.0, G.apply("mul", y, y))),),
        _t("tanh"),
        cost=25,
    ),
    "relu": Op(
        "greater(broadcast(0), {0})",
        torch.relu,
        lambda G, g, y, a: (G.apply("mul", g, G.apply("gt", y, 0.0)),),
        _t("relu"),
    ),
    "exp": Op(
        "exp({0})", torch.exp, lambda G, g, y, a: (G.apply("mul", g, y),), _t("exp"), cost=20
    ),
    "expm1": Op(
        "expm1({0})",
        torch.expm1,
        lambda G, g, y, a: (G.apply("mul", g, G.apply("add", y, 1.0)),),
        _t("expm1"),
        cost=20,
    ),
    "log": Op(
        "log({0})", torch.log, lambda G, g, y, a: (G.apply("div", g, a),), _t("log"), cost=25
    ),
    "log1p": Op(
        "log1p({0})",
        torch.log1p,
        lambda G, g, y, a: (G.apply("div", g, G.apply("add", a, 1.0)),),
        _t("log1p"),
        cost=30,
    ),
    "softplus": Op(
        "softplus({0})",
        F.softplus,
        # beyond 20 the result is a, and the slope one
        lambda G, g, y, a: (
            G.apply("mul", g, G.apply("maximum", G.apply("sigmoid", a), G.apply("gt", a, 20.0))),
        ),
        (),
        cost=50,
    ),
    "erf": Op(
        "erf({0})",
        torch.erf,
        lambda G, g, y, a: (
            G.apply(
                "mul",
                G.apply("mul", g, 2 / math.sqrt(math.pi)),
                G.apply("exp", G.apply("neg", G.apply("mul", a, a))),
            ),
        ),
        _t("erf"),
        cost=40,
    ),
    "sqrt": Op(
        "sqrt({0})",
        torch.sqrt,
        lambda G, g, y, a: (G.apply("div", G.apply("mul", 0.5, g), y),),
        _t("sqrt"),
        cost=10,
    ),
    "abs": Op(
        "abs({0})",
        torch.abs,
        lambda G, g, y, a: (
            G.apply("mul", g, G.apply("sub", G.apply("gt", a, 0.0), G.apply("gt", 0.0, a))),
        ),
        _t("abs", "absolute"),
    ),
    "maximum": Op(
        "maximum({0}, {1})",
        torch.maximum,
        lambda G, g, y, a, b: (G.apply("mul", g, _tie(G, a, b)), G.apply("mul", g, _tie(G, b, a))),
        _t("maximum"),
        cost=2,
    ),
    "minimum": Op(
        "minimum({0}, {1})",
        torch.minimum,
        lambda G, g, y, a, b: (G.apply("mul", g, _tie(G, b, a)), G.apply("mul", g, _tie(G, a, b))),
        _t("minimum"),
        cost=2,
    ),
    # maximum and minimum again; here all of a tie's gradient goes to the first argument
    "clamp_min": Op(
        "maximum({0}, {1})",
        lambda a, b: torch.clamp(a, min=b),
        lambda G, g, y, a, b: (
            G.apply("mul", g, G.apply("ge", a, b)),
            G.apply("mul", g, G.apply("gt", b, a)),
        ),
        _t("clamp_min"),
        cost=2,
    ),
    "clamp_max": Op(
        "minimum({0}, {1})",
        lambda a, b: torch.clamp(a, max=b),
        lambda G, g, y, a, b: (
            G.apply("mul", g, G.apply("ge", b, a)),
            G.apply("mul", g, G.apply("gt", a, b)),
        ),
        _t("clamp_max"),
        cost=2,
    ),
    "gt": _compare(">"),
    "ge": _compare(">="),
    # the second where the first is not zero, else the third
    "where": Op(
        "where({0} != broadcast(0), {1}, {2})",
        lambda c, a, b: torch.where(c != 0, a, b),
        lambda G, g, y, c, a, b: (
            None,
            G.apply("where", c, g, 0.0),
            G.apply("where", c, 0.0, g),
        ),
        (),
        cost=2,
    ),
    "floor": Op("floor({0})", torch.floor, lambda G, g, y, a: (None,), _t("floor"), cost=6),
}
"""Every pointwise operation, by name. An operation with no row cannot be compiled."""

REDUCTIONS = {"sum": "total", "highest": "highest"}
"""From the units of a row to one number: their sum; the greatest, which passes no gradient on.
With the C++ function that does so for the lanes of a vector."""

SPELLINGS: dict[Any, str] = {f: name for name, op in OPS.items() for f in op.spellings}
