"""Symbols: what a step is run on in place of tensors, and what it may do with them.

A symbol knows its width as a letter, so that one graph serves every size. A row that was joined
with ``torch.cat`` keeps its parts, so that joining and cutting cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from recurnn.compiler.ops import OPS, SPELLINGS, Graph, Unsupported, Value
from recurnn.errors import ConfigError, ShapeError, changed_in_place


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
        return _pointwise(op, self, other)

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
        return _pointwise("add", self, other)

    def __radd__(self, other: Any) -> Symbol:
        return _pointwise("add", other, self)

    def __sub__(self, other: Any) -> Symbol:
        return _pointwise("sub", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return _pointwise("sub", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return _pointwise("mul", self, other)

    def __rmul__(self, other: Any) -> Symbol:
        return _pointwise("mul", other, self)

    def __truediv__(self, other: Any) -> Symbol:
        return _pointwise("div", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return _pointwise("div", other, self)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise changed_in_place("an assignment to some of its units", "torch.cat")

    __iadd__, __isub__ = _assigned("add"), _assigned("sub")
    __imul__, __itruediv__ = _assigned("mul"), _assigned("div")

    def __neg__(self) -> Symbol:
        return _pointwise("neg", self)

    def __pow__(self, exponent: Any) -> Symbol:
        if exponent == 2:
            return self * self
        if exponent == 0.5:
            return _pointwise("sqrt", self)
        raise Unsupported(f"a power of {exponent}")

    def __bool__(self) -> bool:
        raise Unsupported("a decision that depends on a value of the step")


def _dispatch(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = getattr(func, "__name__", "")
    inplace = kwargs.get("inplace", False)
    kwargs = {k: v for k, v in kwargs.items() if k != "inplace"}
    if inplace or (name.endswith("_") and not name.endswith("__")):
        raise ConfigError(
            f"The step changes a tensor in place: {name}.\n"
            "  Later steps and gradients would see the change. Use "
            f"{'inplace=False' if inplace else name.rstrip('_')}."
        )
    if func in SPELLINGS and not kwargs and len(args) == OPS[SPELLINGS[func]].arguments:
        return _pointwise(SPELLINGS[func], *args)
    if func in COMPOSED:
        return COMPOSED[func](*args, **kwargs)
    raise Unsupported(f"the step uses {getattr(func, '__name__', func)}")


def _pointwise(op: str, *args: Any) -> Symbol:
    symbols = [a for a in args if isinstance(a, Symbol)]
    if not all(isinstance(a, Symbol | int | float) for a in args):
        odd = next(a for a in args if not isinstance(a, Symbol | int | float))
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


def _linear(x: Symbol, weight: SymbolicMatrix, bias: Symbol | None = None) -> Symbol:
    if not isinstance(x, Symbol) or not isinstance(weight, SymbolicMatrix) or len(x.parts) != 1:
        raise Unsupported("a product that is not of a weight matrix and one row")
    (operand,) = x.parts
    if operand.op == "vector":
        raise Unsupported(f"{weight.name} multiplies a vector of weights")
    if operand.width != weight.columns:
        name = f"{weight.name}.T" if weight.transposed else weight.name
        raise ShapeError(
            f"The step multiplies a row of width {operand.width} by {name}.\n"
            f"  {name} is [{weight.rows}, {weight.columns}]; expected a row of width "
            f"{weight.columns}."
        )
    if operand.op == "x" and weight.transposed:
        raise Unsupported(f"the transpose of {weight.name} multiplies the input")
    terms = ((weight.name, weight.transposed, operand),)
    z = x.graph.make("product", operand, width=weight.rows, data=terms)
    result = Symbol(x.graph, (z,))
    return result if bias is None else result + bias


def _cat(rows: Any, dim: int = -1) -> Symbol:
    if dim not in (-1, 1):
        raise Unsupported("a join that is not along the units")
    return Symbol(rows[0].graph, tuple(part for row in rows for part in row.parts))


def _chunk(row: Symbol, chunks: int, dim: int = 0) -> tuple[Symbol, ...]:
    if dim not in (-1, 1) or chunks != len(row.parts):
        raise Unsupported("a cut that is not where rows were joined")
    return tuple(Symbol(row.graph, (part,)) for part in row.parts)


def _total(row: Symbol) -> tuple[Value, Value]:
    """The sum over all units of a row, and their number."""
    G = row.graph
    total = count = None
    for part in row.parts:
        s = G.make("sum", part, width="1")
        n = G.make("width", width="1", data=part.width)
        total = s if total is None else G.apply("add", total, s)
        count = n if count is None else G.apply("add", count, n)
    if total is None or count is None:
        raise Unsupported("a sum over a row without units")
    return total, count


def _sum(row: Symbol, dim: int = -1, keepdim: bool = False) -> Symbol:
    if dim not in (-1, 1) or not keepdim:
        raise Unsupported("a sum that is not over the units with keepdim=True")
    return Symbol(row.graph, (_total(row)[0],))


def _mean(row: Symbol, dim: int = -1, keepdim: bool = False) -> Symbol:
    if dim not in (-1, 1) or not keepdim:
        raise Unsupported("a mean that is not over the units with keepdim=True")
    return Symbol(row.graph, (row.graph.apply("div", *_total(row)),))


class _Shape:
    """Stands for ``row.shape[-1:]`` in a call of layer_norm."""

    def __getitem__(self, key: Any) -> _Shape:
        return self


def _layer_norm(
    row: Symbol, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Symbol:
    if not isinstance(shape, _Shape):
        raise Unsupported("layer_norm over something other than row.shape[-1:]")
    centred = row - _mean(row, keepdim=True)
    variance = _mean(centred * centred, keepdim=True)
    result = centred * (1.0 / _pointwise("sqrt", variance + eps))
    result = result if weight is None else result * weight
    return result if bias is None else result + bias


def _clamp(a: Symbol, min: float | None = None, max: float | None = None) -> Symbol:
    a = a if min is None else _pointwise("clamp_min", a, min)
    return a if max is None else _pointwise("clamp_max", a, max)


def _hardtanh(a: Symbol, min_val: float = -1.0, max_val: float = 1.0) -> Symbol:
    # As clamp, but on a bound the gradient is zero: there the bound is the result.
    return _pointwise("clamp_max", max_val, _pointwise("clamp_min", min_val, a))


def _softplus(a: Symbol, beta: float = 1.0, threshold: float = 20.0) -> Symbol:
    if threshold != 20:
        raise Unsupported(f"softplus with a threshold of {threshold}")
    return _pointwise("softplus", a) if beta == 1 else _pointwise("softplus", a * beta) / beta


def _elu(a: Symbol, alpha: float = 1.0, scale: float = 1.0) -> Symbol:
    below = _pointwise("expm1", _clamp(a, max=0.0))
    return scale * _pointwise("relu", a) + (scale * alpha) * below


def _selu(a: Symbol) -> Symbol:
    return _elu(a, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


def _gelu(a: Symbol, approximate: str = "none") -> Symbol:
    if approximate == "tanh":
        inner = _pointwise("tanh", (a + 0.044715 * (a * a * a)) * math.sqrt(2 / math.pi))
    elif approximate == "none":
        inner = _pointwise("erf", a * math.sqrt(0.5))
    else:
        raise Unsupported(f"gelu with approximate={approximate!r}")
    return 0.5 * a * (1 + inner)


def _logsigmoid(a: Symbol) -> Symbol:
    small = _pointwise("exp", -_pointwise("abs", a))
    return _pointwise("minimum", a, 0.0) - _pointwise("log1p", small)


def _hardsigmoid(a: Symbol) -> Symbol:
    return _hardtanh(a + 3, 0.0, 6.0) / 6


Symbol.shape = _Shape()  # type: ignore[attr-defined]

COMPOSED: dict[Any, Callable[..., Any]] = {
    F.linear: _linear,
    F.layer_norm: _layer_norm,
    torch.cat: _cat,
    torch.concat: _cat,
    torch.chunk: _chunk,
    torch.Tensor.chunk: _chunk,
    torch.sum: _sum,
    torch.Tensor.sum: _sum,
    torch.mean: _mean,
    torch.Tensor.mean: _mean,
    torch.clamp: _clamp,
    torch.Tensor.clamp: _clamp,
    torch.square: lambda a: a * a,
    torch.Tensor.square: lambda a: a * a,
    torch.rsqrt: lambda a: 1.0 / _pointwise("sqrt", a),
    torch.reciprocal: lambda a: 1.0 / a,
    torch.rsub: lambda a, b: b - a,
    torch.Tensor.pow: lambda a, b: a**b,
    torch.pow: lambda a, b: a**b,
    F.silu: lambda a: a * _pointwise("sigmoid", a),
    F.mish: lambda a: a * _pointwise("tanh", _softplus(a)),
    F.gelu: _gelu,
    F.softplus: _softplus,
    F.logsigmoid: _logsigmoid,
    F.elu: _elu,
    F.selu: _selu,
    torch.selu: _selu,
    F.softsign: lambda a: a / (1 + _pointwise("abs", a)),
    F.tanhshrink: lambda a: a - _pointwise("tanh", a),
    F.hardsigmoid: _hardsigmoid,
    F.hardswish: lambda a: a * _hardsigmoid(a),
    F.hardtanh: _hardtanh,
    F.relu6: lambda a: _hardtanh(a, 0.0, 6.0),
    F.leaky_relu: lambda a, negative_slope=0.01: (
        _pointwise("relu", a) + negative_slope * _clamp(a, max=0.0)
    ),
}
"""Functions that are made of rows of `OPS`, products and sums."""
