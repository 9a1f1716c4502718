"""Functions of torch that a step may use beside the rows of `OPS`, made of those rows."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional as F

from recurnn.compiler.ops import Unsupported, Value
from recurnn.compiler.symbols import COMPOSED, Condition, Symbol, SymbolicMatrix, pointwise
from recurnn.errors import ShapeError


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


def _joined(op: str, join: str, row: Symbol) -> Symbol:
    """One number for each row, from those of its parts: the sum, the greatest, the width.

    Parts of one width are joined unit by unit before.
    """
    G, whole = row.graph, None
    parts: dict[str, Value] = {}
    for k, part in enumerate(row.parts):
        one = part.width if op != "width" else str(k)
        parts[one] = G.apply(join, parts[one], part) if one in parts else part
    for part in parts.values():
        value = (
            G.make(op, width="1", data=part.width) if op == "width" else G.make(op, part, width="1")
        )
        whole = value if whole is None else G.apply(join, whole, value)
    if whole is None:
        raise Unsupported(f"the {op} of a row without units")
    return Symbol(G, (whole,))


def _sum(row: Symbol, dim: int = -1, keepdim: bool = False) -> Symbol:
    if dim not in (-1, 1) or not keepdim:
        raise Unsupported("a sum that is not over the units with keepdim=True")
    return _joined("sum", "add", row)


def _mean(row: Symbol, dim: int = -1, keepdim: bool = False) -> Symbol:
    if dim not in (-1, 1) or not keepdim:
        raise Unsupported("a mean that is not over the units with keepdim=True")
    return _joined("sum", "add", row) / _joined("width", "add", row)


def _exponentials(row: Symbol, dim: int | None, dtype: Any) -> tuple[Symbol, Symbol, Symbol]:
    """A row less its greatest, their exponentials, and the sum of these."""
    if dim not in (-1, 1) or dtype is not None:
        raise Unsupported("a softmax that is not over the units, or in another type")
    shifted = row - _joined("highest", "maximum", row)
    parts = pointwise("exp", shifted)
    return shifted, parts, _sum(parts, keepdim=True)


def _softmax(
    row: Symbol, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Symbol:
    _, parts, total = _exponentials(row, dim, dtype)
    return parts / total


def _log_softmax(
    row: Symbol, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Symbol:
    shifted, _, total = _exponentials(row, dim, dtype)
    return shifted - pointwise("log", total)


def _where(condition: Any, a: Any, b: Any) -> Symbol:
    if not isinstance(condition, Condition):
        raise Unsupported("where with something that is not a comparison")
    numbers = [n for n in (a, b) if isinstance(n, int | float)]
    if len(numbers) == 2 and any(float(torch.tensor(float(n))) != n for n in numbers):
        raise Unsupported("where between two numbers, which torch rounds to its default type")
    plain = Symbol(condition.graph, condition.parts, condition.dims)
    return pointwise("where", plain, a, b)


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
    result = centred * (1.0 / pointwise("sqrt", variance + eps))
    result = result if weight is None else result * weight
    return result if bias is None else result + bias


def _clamp(a: Symbol, min: float | None = None, max: float | None = None) -> Symbol:
    a = a if min is None else pointwise("clamp_min", a, min)
    return a if max is None else pointwise("clamp_max", a, max)


def _hardtanh(a: Symbol, min_val: float = -1.0, max_val: float = 1.0) -> Symbol:
    # As clamp, but on a bound the gradient is zero: there the bound is the result.
    return pointwise("clamp_max", max_val, pointwise("clamp_min", min_val, a))


def _softplus(a: Symbol, beta: float = 1.0, threshold: float = 20.0) -> Symbol:
    if threshold != 20:
        raise Unsupported(f"softplus with a threshold of {threshold}")
    return pointwise("softplus", a) if beta == 1 else pointwise("softplus", a * beta) / beta


def _elu(a: Symbol, alpha: float = 1.0, scale: float = 1.0) -> Symbol:
    below = pointwise("expm1", _clamp(a, max=0.0))
    return scale * pointwise("relu", a) + (scale * alpha) * below


def _selu(a: Symbol) -> Symbol:
    return _elu(a, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


def _gelu(a: Symbol, approximate: str = "none") -> Symbol:
    if approximate == "tanh":
        inner = pointwise("tanh", (a + 0.044715 * (a * a * a)) * math.sqrt(2 / math.pi))
    elif approximate == "none":
        inner = pointwise("erf", a * math.sqrt(0.5))
    else:
        raise Unsupported(f"gelu with approximate={approximate!r}")
    return 0.5 * a * (1 + inner)


def _logsigmoid(a: Symbol) -> Symbol:
    small = pointwise("exp", -pointwise("abs", a))
    return pointwise("minimum", a, 0.0) - pointwise("log1p", small)


def _hardsigmoid(a: Symbol) -> Symbol:
    return _hardtanh(a + 3, 0.0, 6.0) / 6


Symbol.shape = _Shape()  # type: ignore[attr-defined]

COMPOSED |= {
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
    torch.where: _where,
    torch.gt: lambda a, b: a > b,
    torch.Tensor.gt: lambda a, b: a > b,
    torch.ge: lambda a, b: a >= b,
    torch.Tensor.ge: lambda a, b: a >= b,
    torch.lt: lambda a, b: a < b,
    torch.Tensor.lt: lambda a, b: a < b,
    torch.le: lambda a, b: a <= b,
    torch.Tensor.le: lambda a, b: a <= b,
    torch.eq: lambda a, b: a == b,
    torch.Tensor.eq: lambda a, b: a == b,
    torch.ne: lambda a, b: a != b,
    torch.Tensor.ne: lambda a, b: a != b,
    torch.softmax: _softmax,
    torch.Tensor.softmax: _softmax,
    F.softmax: _softmax,
    torch.log_softmax: _log_softmax,
    torch.Tensor.log_softmax: _log_softmax,
    F.log_softmax: _log_softmax,
    torch.square: lambda a: a * a,
    torch.Tensor.square: lambda a: a * a,
    torch.rsqrt: lambda a: 1.0 / pointwise("sqrt", a),
    torch.reciprocal: lambda a: 1.0 / a,
    torch.rsub: lambda a, b: b - a,
    torch.Tensor.pow: lambda a, b: a**b,
    torch.pow: lambda a, b: a**b,
    F.silu: lambda a: a * pointwise("sigmoid", a),
    F.mish: lambda a: a * pointwise("tanh", _softplus(a)),
    F.gelu: _gelu,
    F.softplus: _softplus,
    F.logsigmoid: _logsigmoid,
    F.elu: _elu,
    F.selu: _selu,
    torch.selu: _selu,
    F.softsign: lambda a: a / (1 + pointwise("abs", a)),
    F.tanhshrink: lambda a: a - pointwise("tanh", a),
    F.hardsigmoid: _hardsigmoid,
    F.hardswish: lambda a: a * _hardsigmoid(a),
    F.hardtanh: _hardtanh,
    F.relu6: lambda a: _hardtanh(a, 0.0, 6.0),
    F.leaky_relu: lambda a, negative_slope=0.01: (
        pointwise("relu", a) + negative_slope * _clamp(a, max=0.0)
    ),
}
