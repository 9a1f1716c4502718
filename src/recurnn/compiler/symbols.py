"""Symbols: what a step is run on in place of tensors, and what it may do with them.

A symbol knows its width as a letter, so that one graph serves every size. A row that was joined
with ``torch.cat`` keeps its parts, so that joining and cutting cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from recurnn.compiler.ops import OPS, SPELLINGS, Graph, Unsupported, Value
from recurnn.errors import ConfigError, changed_in_place

COMPOSED: dict[Any, Callable[..., Any]] = {}
"""Functions that are made of rows of `OPS`, products and sums: see `composed`."""

SIGNS = {"mul": "*", "div": "/", "add": "+", "sub": "-"}
MOST_FACTORS = 16  # in a power


@dataclass(frozen=True)
class SymbolicMatrix:
    """A weight matrix of the step, or its transpose; all it can do is multiply a row."""

    name: str
    rows: str
    columns: str
    transposed: bool = False

    @property
    def T(self) -> SymbolicMatrix:  # noqa: N802 - torch's name
        """The transpose, which is read from the same weights."""
        return SymbolicMatrix(self.name, self.columns, self.rows, not self.transposed)

    def dim(self) -> int:
        """Two, as a matrix has."""
        return 2

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatch(func, args, kwargs or {})


def _assigned(op: str) -> Callable[[Symbol, Any], Symbol]:
    """``a *= b``: of a value of the step's own a new one; what the step is given would change."""

    def make(self: Symbol, other: Any) -> Symbol:
        if any(part.op in ("x", "state", "input", "vector") for part in self.parts):
            raise changed_in_place("its input, a state or a weight")
        return pointwise(op, self, other)

    return make


class Symbol:
    """A row of the step: one value, or several parts joined side by side."""

    def __init__(self, graph: Graph, parts: tuple[Value, ...], dims: int = 2) -> None:
        self.graph, self.parts, self.dims = graph, parts, dims

    def dim(self) -> int:
        """Two for a row of the batch, one for a vector of weights."""
        return self.dims

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatch(func, args, kwargs or {})

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(torch.Tensor, name, None)
        if method is None or name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: _dispatch(method, (self, *args), kwargs)

    def __add__(self, other: Any) -> Symbol:
        return pointwise("add", self, other)

    def __radd__(self, other: Any) -> Symbol:
        return pointwise("add", other, self)

    def __sub__(self, other: Any) -> Symbol:
        return pointwise("sub", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return pointwise("sub", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return pointwise("mul", self, other)

    def __rmul__(self, other: Any) -> Symbol:
        return pointwise("mul", other, self)

    def __truediv__(self, other: Any) -> Symbol:
        return pointwise("div", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return pointwise("div", other, self)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise changed_in_place("an assignment to some of its units", "torch.cat")

    __iadd__, __isub__ = _assigned("add"), _assigned("sub")
    __imul__, __itruediv__ = _assigned("mul"), _assigned("div")

    def __neg__(self) -> Symbol:
        return pointwise("neg", self)

    def __pow__(self, exponent: Any) -> Symbol:
        if not isinstance(exponent, int | float):
            raise Unsupported("a power that is not a number")
        if exponent == 0.5:
            return pointwise("sqrt", self)
        if abs(exponent) not in range(1, MOST_FACTORS + 1):
            raise Unsupported(f"a power of {exponent}")
        return self._times(int(exponent)) if exponent > 0 else 1.0 / self._times(int(-exponent))

    def _times(self, n: int) -> Symbol:
        """The product of n of them."""
        if n == 1:
            return self
        square = self._times(n // 2) * self._times(n // 2)
        return square * self if n % 2 else square

    def __gt__(self, other: Any) -> Condition:
        return _condition("gt", self, other)

    def __ge__(self, other: Any) -> Condition:
        return _condition("ge", self, other)

    def __lt__(self, other: Any) -> Condition:
        return _condition("gt", other, self)

    def __le__(self, other: Any) -> Condition:
        return _condition("ge", other, self)

    def __eq__(self, other: Any) -> Condition:  # type: ignore[override]
        return _condition("mul", _condition("ge", self, other), _condition("ge", other, self))

    def __ne__(self, other: Any) -> Condition:  # type: ignore[override]
        return _condition("sub", 1.0, self.__eq__(other))

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise Unsupported("a decision that depends on a value of the step")


class Condition(Symbol):
    """What a comparison gives: one where it is true, else zero, as torch's booleans count.

    It picks (`torch.where`), multiplies a row, and joins with others by ``&``, ``|`` and ``~``.
    With anything else torch has its own rules for booleans, which are left to torch.
    """

    def __and__(self, other: Any) -> Condition:
        return _condition("mul", self, _one(other))

    def __or__(self, other: Any) -> Condition:
        return _condition("maximum", self, _one(other))

    def __invert__(self) -> Condition:
        return _condition("sub", 1.0, self)


def _one(other: Any) -> Condition:
    if not isinstance(other, Condition):
        raise Unsupported(f"a comparison joined with a {type(other).__name__}")
    return other


def _condition(op: str, *args: Any) -> Condition:
    plain = [Symbol(a.graph, a.parts, a.dims) if isinstance(a, Condition) else a for a in args]
    found = pointwise(op, *plain)
    return Condition(found.graph, found.parts, found.dims)


def _refuse_matrices(name: str, args: tuple[Any, ...]) -> None:
    """A cell's matrix multiplies and does nothing else, and has an error that says so."""
    for value in args:
        if hasattr(value, "not_with"):
            raise value.not_with(SIGNS.get(name, name))


def _dispatch(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = getattr(func, "__name__", "")
    _refuse_matrices(name, (*args, *kwargs.values()))
    inplace = kwargs.get("inplace", False)
    kwargs = {k: v for k, v in kwargs.items() if k != "inplace"}
    if inplace or (name.endswith("_") and not name.endswith("__")):
        raise ConfigError(
            f"The step changes a tensor in place: {name}.\n"
            "  Later steps and gradients would see the change. Use "
            f"{'inplace=False' if inplace else name.rstrip('_')}."
        )
    if func in SPELLINGS and not kwargs and len(args) == OPS[SPELLINGS[func]].arguments:
        return pointwise(SPELLINGS[func], *args)
    if func in COMPOSED:
        return COMPOSED[func](*args, **kwargs)
    raise Unsupported(f"the step uses {getattr(func, '__name__', func)}")


def pointwise(op: str, *args: Any) -> Symbol:
    """A row of `OPS` on symbols and numbers."""
    symbols = [a for a in args if isinstance(a, Symbol)]
    conditions = sum(isinstance(a, Condition) for a in args)
    if conditions and not (op == "mul" and conditions == 1 and len(symbols) == 2):
        raise Unsupported(f"{op} of a comparison")
    if not all(isinstance(a, Symbol | int | float) for a in args):
        odd = next(a for a in args if not isinstance(a, Symbol | int | float))
        _refuse_matrices(op, args)
        raise Unsupported(f"{op} with a {type(odd).__name__} that is not a weight or a state")
    graph, count = symbols[0].graph, max(len(s.parts) for s in symbols)
    if any(len(s.parts) not in (1, count) for s in symbols):
        raise Unsupported(f"{op} of rows that were joined differently")
    parts = []
    for k in range(count):
        row = [
            (a.parts[k if len(a.parts) > 1 else 0] if isinstance(a, Symbol) else float(a))
            for a in args
        ]
        parts.append(graph.apply(op, *row))
    return Symbol(graph, tuple(parts), max(s.dims for s in symbols))
