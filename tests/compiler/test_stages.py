"""Each stage of the compiler alone: names, phases, what is saved, the table of operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import recurnn
from graphs import evaluate
from problems import KINDS
from recurnn import compiler
from recurnn.cells import Cell
from recurnn.compiler.differentiate import differentiate
from recurnn.compiler.ops import OPS, SPELLINGS, Graph, Value
from recurnn.compiler.phases import cost
from recurnn.compiler.plan import plan_backward, plan_forward
from recurnn.compiler.symbols import Symbol
from recurnn.compiler.trace import trace
from recurnn.errors import ConfigError

F32, F64 = torch.float32, torch.float64
every_kind = pytest.mark.parametrize("kind", KINDS)


# Trace


@every_kind
def test_a_trace_keeps_the_names_of_the_author(kind: str) -> None:
    cell = KINDS[kind].make()
    step = trace(cell)
    for name in (*cell.states, *cell.gates):
        assert step.graph.names[step.value(name)] == name
    assert list(step.states) == list(step.old) == list(cell.states)
    assert list(step.observed) == list(cell.gates)
    assert step.matrices | {k: (v,) for k, v in step.vectors.items()} == {
        k: tuple(v.replace("1", "H").split()) for k, v in cell.weights.items()
    }


@every_kind
def test_a_traced_graph_computes_what_the_step_does(kind: str) -> None:
    cell = KINDS[kind].make()
    step = trace(cell)
    x = torch.randn(3, cell.input_size, dtype=F64)
    old = {k: torch.randn(3, cell.sizes[w], dtype=F64) for k, w in cell.states.items()}
    want = cell(x, *old.values())
    found = evaluate(step.graph, {"x": x} | old, cell)
    for name in (*cell.states, *cell.gates):
        assert torch.allclose(found[step.value(name)], want[name], rtol=1e-12, atol=1e-14)


def test_a_row_computed_twice_is_one_value() -> None:
    step = trace(Twice(3, 4))
    assert [v.op for v in step.graph.values].count("tanh") == 1
    assert [v.op for v in step.graph.values].count("product") == 2


class Twice(Cell):
    """tanh written twice."""

    weights = {"W": "H I", "U": "H H"}

    def step(self, p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        return {"h": torch.tanh(p.W @ x + p.U @ h) * torch.tanh(p.W @ x + p.U @ h)}


# Phases and what is saved

MATRICES = {
    "elman": 1, "jordan-2": 1, "lstm": 4, "peephole-lstm": 4, "coupled-lstm": 3,
    "projected-lstm": 4, "layernorm-lstm": 4, "gru": 3, "reset-before-gru": 3,
}  # fmt: skip
"""How many products with the input each cell has."""
PHASES = {
    "elman": 1, "jordan-2": 2, "lstm": 1, "peephole-lstm": 1, "coupled-lstm": 1,
    "projected-lstm": 2, "gru": 1, "reset-before-gru": 2,
    # two sums each over the products and over c, one after the other
    "layernorm-lstm": 5,
}  # fmt: skip
SAVED = {
    "elman": set(), "elman-relu": set(), "elman-sigmoid": set(), "jordan": {"h"}, "jordan-2": {"h"},
    "lstm": {"i", "f", "g", "o"}, "peephole-lstm": {"i", "f", "g", "o"},
    "coupled-lstm": {"i", "g", "o"}, "projected-lstm": {"i", "f", "g", "o"},
    "reset-before-gru": {"r", "z", "n"},
}  # fmt: skip


@pytest.mark.parametrize("kind", PHASES)
def test_input_products_are_hoisted_and_phases_are_few(kind: str) -> None:
    step = trace(KINDS[kind].make())
    plan = plan_forward(step, [], ())
    hoisted = [output for group in plan.hoisted for output in group.outputs]
    assert len(hoisted) == MATRICES[kind]
    assert len(plan.hoisted) == 1  # one group: the input is read once
    assert all(value.data[0][2].op == "x" for value in hoisted)
    inside = [
        o for p in plan.phases for b in p.bodies.values() for g in b.groups for o in g.outputs
    ]
    assert inside
    assert not any(operand.op == "x" for value in inside for _, _, operand in value.data)
    assert (
        len(set(inside + hoisted))
        == len(inside + hoisted)
        == len([v for v in step.graph.values if v.op == "product"])
    )
    assert len(plan.phases) == PHASES[kind]


@pytest.mark.parametrize("kind", SAVED)
def test_no_more_is_saved_than_the_backward_needs(kind: str) -> None:
    step = trace(KINDS[kind].make())
    back = differentiate(step, tuple(step.states))
    assert {step.graph.names.get(v) for v in back.saved} == SAVED[kind]


def test_gru_saves_the_product_that_the_reset_gate_multiplies() -> None:
    step = trace(KINDS["gru"].make())
    back = differentiate(step, ("h",))
    named = [step.graph.names.get(v) for v in back.saved]
    assert sorted(n for n in named if n) == ["n", "r", "z"]
    assert len(named) == 4  # and U_n h, or that plus b_u


@every_kind
def test_a_backward_plan_computes_what_it_needs_in_order(kind: str) -> None:
    step = trace(KINDS[kind].make())
    back = differentiate(step, (*step.states, *step.observed))
    plan = plan_backward(step, back)
    seen: set[Value] = set()
    for phase in plan.phases:
        products = {o for b in phase.bodies.values() for g in b.groups for o in g.outputs}
        for o in products:
            if o.op == "product":
                assert all(operand in plan.homes for _, _, operand in o.data)
        here = [*phase.scalars, *(v for b in phase.bodies.values() for v in b.values)]
        assert all(cost(v) == 1 for v in seen & set(here))  # what is cheap is computed again
        seen |= set(here) | products
        for value in here:
            for a in value.args:
                leaf = a.op in ("constant", "width", "vector", "state", "carry", "seed")
                assert a in seen or a in plan.homes or leaf, (value, a)
    assert set(back.outer) == set(step.matrices)
    assert set(back.vectors) == set(step.vectors)


# The table of operations: torch, C++ and derivative say the same

UNARY = ["neg", "sigmoid", "tanh", "relu", "exp", "log", "sqrt", "abs", "expm1"]
UNARY += ["log1p", "softplus", "erf", "floor"]
BINARY = ["add", "sub", "mul", "div", "maximum", "minimum", "gt", "ge", "clamp_min", "clamp_max"]
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 1e-30, -1e-30, 88.0, -88.0]
SPECIAL += [3e38, -3e38, 1e-45, 20.0, -20.0, 0.5, -0.5, 2.0, 103.0, -104.0]


def test_every_operation_is_tested_and_has_a_cpp_text_and_spellings() -> None:
    assert {*UNARY, *BINARY, "where"} == set(OPS)
    for name, op in OPS.items():
        assert op.arguments == (1 if name in UNARY else 2 if name in BINARY else 3)
        assert bool(op.spellings) == (name not in ("gt", "ge", "softplus", "where"))
    assert SPELLINGS[torch.Tensor.tanh] == SPELLINGS[torch.tanh] == "tanh"
    assert SPELLINGS[torch.true_divide] == SPELLINGS[torch.Tensor.__truediv__] == "div"


def apply(op: str, *args: Any) -> Any:
    """An operation by its name in the table, on symbols or on tensors."""
    if isinstance(args[0], Symbol):
        graph = args[0].graph
        return Symbol(graph, (graph.apply(op, *(a.parts[0] for a in args)),))
    return OPS[op].torch(*args)


class EveryUnary(Cell):
    """Every function of one value, of the state."""

    weights = {"W": "H I"}
    states = {"a": "H"}
    output = "a"
    gates = tuple(UNARY)

    def step(self, p: Any, x: Tensor, a: Tensor) -> dict[str, Tensor]:
        return {"a": a + p.W @ x} | {op: apply(op, a) for op in UNARY}


class EveryBinary(Cell):
    """Every function of two values, of the states."""

    weights = {"W": "H I"}
    states = {"a": "H", "b": "H"}
    output = "a"
    gates = (*BINARY, "where")

    def step(self, p: Any, x: Tensor, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        found = {op: apply(op, a, b) for op in BINARY} | {"where": apply("where", b, a, b)}
        return {"a": a + p.W @ x, "b": b} | found


def applied(kind: type[Cell], *values: Tensor) -> Mapping[str, Tensor]:
    """Every operation of a cell on values [B, H], by the kernel, with and without gradient."""
    dtype, units = values[0].dtype, values[0].shape[1]
    cell = kind(1, units, dtype=dtype)
    result = recurnn.scan(
        cell, torch.zeros(1, len(values[0]), 1, dtype=dtype), values, return_gates=True,
        engine="cpu",
    )  # fmt: skip
    assert result.gates is not None
    return {k: v.detach()[0] for k, v in result.gates.items()}


both_types = pytest.mark.parametrize(
    "dtype", [F32, pytest.param(F64, marks=pytest.mark.slow)], ids=["f32", "f64"]
)


@both_types
@pytest.mark.parametrize("units", [1, 21])
def test_cpp_of_every_unary_operation_is_torchs(dtype: torch.dtype, units: int) -> None:
    special = torch.tensor(SPECIAL, dtype=dtype)
    values = torch.cat([special, torch.randn(21 * 20, dtype=dtype) * 3]).reshape(-1, units)
    found = applied(EveryUnary, values)
    for op in UNARY:
        same_as_torch(found[op], OPS[op].torch(values), dtype)


@both_types
def test_cpp_of_every_binary_operation_is_torchs(dtype: torch.dtype) -> None:
    special = torch.tensor(SPECIAL, dtype=dtype)
    a, b = torch.cartesian_prod(special, special).reshape(len(SPECIAL), -1, 2).unbind(-1)
    for left, right in ((a, b), (torch.randn(3, 37, dtype=dtype), torch.randn(3, 37, dtype=dtype))):
        found = applied(EveryBinary, left.contiguous(), right.contiguous())
        for op in BINARY:
            same_as_torch(found[op], OPS[op].torch(left, right), dtype)
        same_as_torch(found["where"], OPS["where"].torch(right, left, right), dtype)


def same_as_torch(got: Tensor, want: Tensor, dtype: torch.dtype) -> None:
    """NaN where torch has NaN, the same infinities, and 8 units in the last place elsewhere."""
    info = torch.finfo(dtype)
    assert torch.equal(got.isnan(), want.isnan()), got[got.isnan() != want.isnan()]
    exact = want.isinf() | got.isinf()
    assert torch.equal(got[exact], want[exact])
    rest = want.isfinite()
    far = (got[rest] - want[rest]).abs() - (8 * info.eps * want[rest].abs() + 8 * info.tiny)
    assert not bool((far > 0).any()), (got[rest][far > 0], want[rest][far > 0])


@pytest.mark.parametrize("op", OPS)
def test_derivative_of_every_operation_is_autograds(op: str) -> None:
    count = OPS[op].arguments
    points = torch.tensor([0.0, 1.0, -1.0, 0.3, -0.7, 2.0, 1.0, 0.0, 30.0, -30.0], dtype=F64)
    inputs = [points.roll(3 * n).requires_grad_() for n in range(count)]
    graph = Graph()
    leaves = [graph.make("state", width="H", data=f"a{n}") for n in range(count)]
    g = graph.make("state", width="H", data="g")
    y = graph.apply(op, *leaves)
    slopes = OPS[op].derivative(graph, g, y, *leaves)
    seed = torch.linspace(0.5, 2.0, len(points), dtype=F64)
    with torch.no_grad():
        found = evaluate(graph, {f"a{n}": v for n, v in enumerate(inputs)} | {"g": seed})
    result = OPS[op].torch(*inputs)
    if not result.requires_grad:
        assert slopes == (None,) * count
        return
    want = torch.autograd.grad(result, inputs, seed, materialize_grads=True)
    for slope, expected in zip(slopes, want, strict=True):
        if slope is None:
            assert not expected.any()
            continue
        assert torch.allclose(found[slope], expected, rtol=1e-14, atol=0, equal_nan=True)


# What is made of several operations


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "silu": F.silu, "mish": F.mish, "gelu": F.gelu, "softplus": F.softplus, "elu": F.elu,
    "selu": F.selu, "logsigmoid": F.logsigmoid, "softsign": F.softsign, "relu": F.relu,
    "tanhshrink": F.tanhshrink, "leaky_relu": F.leaky_relu, "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish, "hardtanh": F.hardtanh, "relu6": F.relu6,
    "expit": torch.special.expit, "gelu_tanh": lambda a: F.gelu(a, approximate="tanh"),
    "softplus_3": lambda a: F.softplus(a, beta=3), "elu_half": lambda a: F.elu(a, 0.5),
    "leaky_relu_5": lambda a: F.leaky_relu(a, 5.0), "hardtanh_0": lambda a: F.hardtanh(a, 0.0, 2.0),
    "cube": lambda a: a**3, "tenth": lambda a: torch.pow(a, 10),
    "inverse": lambda a: (a * a + 0.5) ** -3,
    "where": lambda a: torch.where(a > 0.3, a * a, 0.5), "le": lambda a: (a <= 0.3) * a,
    "lt or eq": lambda a: torch.where((a < -0.3) | (a == 1.7), a, -a),
    "ge and ne": lambda a: torch.where((a >= 0.3) & ~(a != 1.7), 1.0, 0.0) * a,
    "softmax": lambda a: torch.softmax(a, dim=-1), "log_softmax": lambda a: a.log_softmax(-1),
    "clamp": lambda a: a.clamp(-1.7, 6.0), "clamp_min": lambda a: torch.clamp_min(a, 0.3),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_and_its_derivative_are_torchs(name: str) -> None:
    graph = Graph()
    symbol = ACTIVATIONS[name](Symbol(graph, (graph.make("state", width="H", data="a"),)))
    a = torch.tensor([0.0, 0.3, -0.3, 1.7, -1.7, 3.0, -3.0, 6.0, 40.0, -40.0], dtype=F64)
    want = ACTIVATIONS[name](a.requires_grad_())
    got = evaluate(graph, {"a": a})[symbol.parts[0]]
    assert torch.allclose(got, want, rtol=1e-14, atol=1e-15)
    seed = torch.linspace(0.5, 2.0, len(a), dtype=F64)
    (slope,), (wanted,) = (torch.autograd.grad(y, a, seed) for y in (got, want))
    rounding = 1e-7 if name == "hardsigmoid" else 1e-13  # torch has its slope, 1/6, in float32
    assert torch.allclose(slope, wanted, rtol=rounding, atol=1e-15)


def test_an_activation_in_place_is_an_error() -> None:
    graph = Graph()
    a = Symbol(graph, (graph.make("state", width="H", data="a"),))
    with pytest.raises(ConfigError, match="changes a tensor in place: relu"):
        F.relu(a, inplace=True)


# Three functions over the whole range, in a kernel; test_vectors has all of them, outside


def errors_in_ulp(got: Tensor, exact: Tensor) -> Tensor:
    """The distance to the exact value in units in the last place of float32."""
    ulp = torch.exp2(exact.abs().log2().floor() - 23).clamp(min=2.0**-149)
    return (got.double() - exact).abs() / ulp


def sweep(stride: int) -> Tensor:
    """Float32 of every `stride`-th bit pattern, NaN and infinities left out."""
    bits = torch.arange(-(2**31), 2**31, stride, dtype=torch.int64)
    values = (bits + 2**31 + bits % 7).remainder(2**32).sub(2**31).to(torch.int32).view(F32)
    near = torch.linspace(-110, 100, 2**18, dtype=F32)
    values = torch.cat([values[values.isfinite()], near])
    return values[: len(values) // 4096 * 4096].reshape(-1, 4096)


@pytest.mark.parametrize(
    "stride", [4099, pytest.param(97, marks=pytest.mark.slow)], ids=["sparse", "dense"]
)
def test_sigmoid_tanh_and_exp_are_within_four_ulp_everywhere(stride: int) -> None:
    for values in sweep(stride).split(2048):
        found = applied(EveryUnary, values)
        functions: dict[str, Callable[[Tensor], Tensor]] = {
            "sigmoid": torch.sigmoid, "tanh": torch.tanh, "exp": torch.exp,
        }  # fmt: skip
        for name, function in functions.items():
            exact = function(values.double())
            there = exact.abs() < torch.finfo(F32).max
            wrong = errors_in_ulp(found[name][there], exact[there])
            worst = int(wrong.argmax())
            assert wrong[worst] <= 4, (name, values[there][worst], wrong[worst])
            assert bool(found[name][exact.abs() > 3.5e38].isinf().all())
        assert torch.equal(found["neg"], -values)


# What cannot be compiled says why


class Odd(Cell):
    """A step that is given, to see what the trace says of it."""

    weights = {"W": "H I", "U": "H H", "b": "H"}

    def step(self, p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        return {"h": self.equation(p, x, h)}

    equation: Callable[..., Any]


@pytest.mark.parametrize(
    ("equation", "reason"),
    [
        (lambda p, x, h: torch.erfinv(p.W @ x + h), "the step uses erfinv"),
        (lambda p, x, h: F.softplus(h, threshold=5.0), "softplus with a threshold of 5"),
        (lambda p, x, h: F.gelu(h, approximate="odd"), "gelu with approximate='odd'"),
        (lambda p, x, h: torch.tanh(h) if h.sum() > 0 else h, "a sum that is not over the units"),
        (lambda p, x, h: h if h > 0 else -h, "a decision that depends on a value of the step"),
        (lambda p, x, h: (p.U @ h) ** 2.5, "a power of 2.5"),
        (lambda p, x, h: h**h, "a power that is not a number"),
        (lambda p, x, h: h > 0, "the step returns h as a comparison, true or false"),
        (lambda p, x, h: 1 - (h > 0), "sub of a comparison"),
        (lambda p, x, h: (h > 0) * (h < 1) * h, "mul of a comparison"),
        (lambda p, x, h: torch.where(h > 0, 0.1, 1.0) * h, "where between two numbers"),
        (lambda p, x, h: torch.where(h, h, 1.0), "where with something that is not a comparison"),
        (lambda p, x, h: torch.softmax(h, dim=0), "a softmax that is not over the units"),
        (lambda p, x, h: x, "the step returns h, which is not computed for each unit"),
        (lambda p, x, h: p.b, "the step returns h, which is not computed for each unit"),
        (lambda p, x, h: h.mean(-1, keepdim=True), "h, which is not computed for each unit"),
        (lambda p, x, h: h + p.U @ p.b, "U multiplies a vector of weights"),
        (lambda p, x, h: p.W @ x + h + torch.ones(4), "Tensor that is not a weight or a state"),
        (lambda p, x, h: torch.cat([h, h], -1), "something that is not one row"),
    ],
    ids=range(19),
)
def test_the_reason_why_a_step_is_not_compiled(equation: Any, reason: str) -> None:
    cell = Odd(3, 4)
    cell.equation = equation
    with pytest.raises(compiler.Unsupported, match=reason):
        trace(cell)
