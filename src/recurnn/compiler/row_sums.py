"""Sums over the units of a row, of values that have a number of the row as a factor.

A derivative has such sums where a number of the row was used by every unit: that number's
gradient is the sum of theirs. There Σ (s ⊙ a + t ⊙ b) is written as s Σ a + t Σ b, with s and t
numbers of the row. For s and t may themselves come of sums, and Σ a need not wait for them: so a
layer normalisation's derivative has all its sums in one phase.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from recurnn.compiler.ops import Graph, Value

Term = tuple[float, tuple[Value, ...], Value | None]
"""A constant, numbers of the row, and what has units (None: ones); their product."""


def row_sum(G: Graph, parts: Iterable[Value], whole: Collection[Value]) -> Value:
    """The sum of values, each one number a row or summed over its units.

    Args:
        G: the graph, which grows by the sum.
        parts: the values.
        whole: what is summed as it is, whatever it is made of: what the step itself computes, for
            it would lose its last digits (x less the mean of x sums to zero) and may be at hand.
    """
    total: Value | None = None
    sums: dict[tuple[tuple[Value, ...], str], dict[Value | None, float]] = {}
    for part in parts:
        if part.width == "1":
            total = part if total is None else G.apply("add", total, part)
            continue
        for constant, factors, units in _terms(G, part, whole):
            same = sums.setdefault((factors, part.width), {})
            same[units] = same.get(units, 0.0) + constant
    for (factors, width), same in sums.items():
        for constant in dict.fromkeys(same.values()):
            some = [v for v, c in same.items() if c == constant]
            term = _sum(G, some, width)
            for factor in factors:
                term = G.apply("mul", factor, term)
            if constant == -1.0 and total is not None:
                total = G.apply("sub", total, term)
                continue
            term = G.apply("neg", term) if constant == -1.0 else G.apply("mul", constant, term)
            total = term if total is None else G.apply("add", total, term)
    assert total is not None
    return total


def _sum(G: Graph, values: list[Value | None], width: str) -> Value:
    """Σ over units of some values of one width; of ones it is their number."""
    if values == [None]:
        return G.make("width", width="1", data=width)
    total, ones = None, 0
    for value in values:
        if value is None:
            ones = 1
        else:
            total = value if total is None else G.apply("add", total, value)
    assert total is not None
    return G.make("sum", G.apply("add", total, float(ones)), width="1")


def _terms(G: Graph, value: Value, whole: Collection[Value]) -> list[Term]:
    """The terms of a value that is added up of several; those of one that is not are itself."""
    if value.op == "constant":
        return [(value.data, (), None)]
    if value.width == "1":
        return [(1.0, (value,), None)]
    if value in whole:
        return [(1.0, (), value)]
    if value.op == "spread":
        return _terms(G, value.args[0], whole)
    if value.op == "neg":
        return _times(G, [(-1.0, (), None)], _terms(G, value.args[0], whole))
    if value.op in ("add", "sub"):
        first, second = (_terms(G, a, whole) for a in value.args)
        sign = 1.0 if value.op == "add" else -1.0
        return first + _times(G, [(sign, (), None)], second)
    if value.op == "mul":
        first, second = (_terms(G, a, whole) for a in value.args)
        if len(first) == 1 and (len(second) == 1 or first[0][2] is None):
            return _times(G, first, second)
        if len(second) == 1 and second[0][2] is None:
            return _times(G, second, first)
    if value.op == "div" and value.args[1].width == "1":
        return _times(G, [(1.0, (G.apply("div", 1.0, value.args[1]),), None)],
                      _terms(G, value.args[0], whole))  # fmt: skip
    return [(1.0, (), value)]


def _times(G: Graph, one: list[Term], many: list[Term]) -> list[Term]:
    """The products of one term with several."""
    ((c, f, v),) = one
    return [
        (
            c * constant,
            tuple(sorted((*f, *factors), key=lambda s: s.index)),
            v if units is None else units if v is None else G.apply("mul", v, units),
        )
        for constant, factors, units in many
    ]
