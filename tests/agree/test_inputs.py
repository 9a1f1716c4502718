"""Inputs beside x: masks and constants, read by a step as they come."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from kernels import CPU, REFERENCE
from problems import normal
from recurnn import cells, nn
from recurnn.compiler import calls
from recurnn.scan import ScanResult
from tolerance import agree, identical

F64 = torch.float64
T, B, I, H, C = 7, 5, 3, 19, 4  # noqa: E741 - the field's own letters
RESETS = ((0, 0), (3, 0), (2, 1), (3, 1), (5, 4))


class Zoneout(cells.LSTM):
    """An LSTM some of whose units keep their cell at a step, and whose h is dropped out."""

    inputs = {"keep": "H", "drop": "H"}

    def step(self, p: Any, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        new = super().step(p, x, h * p.drop, c)
        new["c"] = p.keep * c + (1 - p.keep) * new["c"]
        return new | {"h": new["o"] * torch.tanh(new["c"])}


class Conditioned(cells.Cell):
    """A context that is multiplied, a number a row, and a context that is used twice."""

    weights = {"W": "H I", "U": "H H", "Q": "H C", "R": "H H", "b": "H"}
    inputs = {"context": "C", "clock": "1", "m": "H", "unused": "H"}

    def step(self, p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        z = p.W @ x + p.U @ (p.m * h) + p.Q @ p.context + p.R @ p.m + p.b
        h = p.clock * torch.tanh(z) + (1 - p.clock) * h * torch.sigmoid(p.m)
        return {"h": h}


MAKE = {
    "zoneout": lambda dtype: Zoneout(I, H, dtype=dtype),
    "conditioned": lambda dtype: Conditioned(I, H, C=C, dtype=dtype),
}


def given(cell: cells.Cell, dtype: torch.dtype, still: tuple[str, ...] = ()) -> dict[str, Tensor]:
    found = {}
    for n, (name, letter) in enumerate(cell.inputs.items()):
        size = 1 if letter == "1" else cell.sizes[letter]
        shape = (B, size) if name in still else (T, B, size)
        found[name] = normal(*shape, seed=50 + n, dtype=dtype)
    return found


def everything(
    cell: cells.Cell, run: Any, inputs: dict[str, Tensor], frame: str, *, slopes: bool, **more: Any
) -> dict[str, Tensor]:
    dtype = next(cell.parameters()).dtype
    x = normal(T, B, I, seed=1, dtype=dtype)
    start = {k: normal(B, H, seed=2 + n, dtype=dtype) for n, k in enumerate(cell.states)}
    options: dict[str, Any] = {"reverse": "reverse" in frame}
    if "lengths" in frame:
        options["lengths"] = [4, 7, 1, 0, 5]
    if "resets" in frame:
        options["reset"] = torch.zeros(T, B, dtype=torch.bool)
        for t, b in RESETS:
            options["reset"][t, b] = True
    if not slopes:
        inputs = {k: m.detach() for k, m in inputs.items()}
    result: ScanResult = run(
        cell, x, start, inputs=inputs, return_states="all", return_gates=True, **options, **more
    )
    outputs = {"y": result.output} | {f"last {k}": s for k, s in result.state.items()}
    outputs |= {f"all {k}": s for k, s in (result.states or {}).items()}
    outputs |= {f"gate {k}": s for k, s in (result.gates or {}).items()}
    wanted = {"x": x, **start, **dict(cell.named_parameters())}
    return with_gradients(outputs, wanted | (inputs if slopes else {}))


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("frame", ["", "lengths resets", "lengths resets reverse"])
@pytest.mark.parametrize("slopes", [True, False], ids=["gradients", "none"])
def test_kernel_is_reference(kind: str, frame: str, slopes: bool) -> None:
    cell = MAKE[kind](F64)
    for still in ((), tuple(cell.inputs)[:2]):
        inputs = given(cell, F64, still)
        want = everything(cell, REFERENCE, inputs, frame, slopes=slopes)
        agree(everything(cell, CPU, inputs, frame, slopes=slopes), want, terms=300)
        low = everything(cell, CPU, inputs, frame, slopes=slopes, memory="low")
        agree(low, want, terms=300)
    if slopes:
        assert all(want[f"d {k}"].any() for k in cell.inputs if k != "unused")


def test_a_mistake_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "strides", lambda m: (0, m.stride(-2)))  # the first step's mask
    with pytest.raises(AssertionError, match="gate"):
        test_kernel_is_reference("zoneout", "", slopes=True)


def test_kernel_is_reference_in_float32() -> None:
    cell = MAKE["zoneout"](torch.float32)
    inputs = given(cell, torch.float32)
    run = partial(everything, cell, inputs=inputs, frame="lengths", slopes=True)
    agree(run(run=CPU), run(run=REFERENCE), terms=300)


@pytest.mark.parametrize("run", [CPU, REFERENCE], ids=["cpu", "reference"])
def test_an_input_is_what_the_step_reads(run: Any) -> None:
    cell = MAKE["zoneout"](F64)
    x, inputs = normal(T, B, I, seed=1), given(cell, F64)
    result = run(cell, x, inputs=inputs)
    state = [torch.zeros(B, H, dtype=F64)] * 2
    for t in range(T):
        values = cell(x[t], *state, **{k: m[t] for k, m in inputs.items()})
        state = [values["h"], values["c"]]
        agree({"y": result.output[t]}, {"y": values["h"]}, terms=200)


@pytest.mark.parametrize("run", [CPU, REFERENCE], ids=["cpu", "reference"])
def test_the_same_at_every_step_is_a_tensor_that_repeats(run: Any) -> None:
    cell = MAKE["conditioned"](F64)
    once = given(cell, F64, tuple(cell.inputs))
    each = {k: m.expand(T, *m.shape) for k, m in once.items()}
    x = normal(T, B, I, seed=1)
    a, b = run(cell, x, inputs=once).output, run(cell, x, inputs=each).output
    identical({"y": a}, {"y": b})
    every = once | {"x": x}
    agree(with_gradients({"y": a}, every), with_gradients({"y": b}, every), terms=300)


@pytest.mark.parametrize("run", [CPU, REFERENCE], ids=["cpu", "reference"])
def test_what_lies_past_a_length_has_no_influence(run: Any) -> None:
    cell = MAKE["zoneout"](F64)
    clean, lengths = given(cell, F64), [4, 7, 1, 0, 5]
    past = torch.arange(T).unsqueeze(1) >= torch.tensor(lengths)
    dirty = {
        k: m.detach().masked_fill(past.unsqueeze(-1), torch.nan).requires_grad_()
        for k, m in clean.items()
    }
    x = normal(T, B, I, seed=1)
    found = [
        with_gradients(
            {"y": run(cell, x, inputs=m, lengths=lengths).output},
            m | {"x": x} | dict(cell.named_parameters()),
        )
        for m in (dirty, clean)
    ]
    identical(*found)
    assert not any(found[0][f"d {k}"][past].any() for k in clean)


def test_derivatives_are_those_of_finite_differences() -> None:
    cell = Conditioned(2, 2, C=2, dtype=F64)
    names = list(cell.inputs)

    def run(x: Tensor, *inputs: Tensor) -> Tensor:
        return CPU(cell, x, inputs=dict(zip(names, inputs, strict=True))).output

    shapes = {"context": (3, 2, 2), "clock": (2, 1), "m": (3, 2, 2), "unused": (2, 2)}
    inputs = [normal(*shapes[k], seed=3 + n) for n, k in enumerate(names)]
    assert torch.autograd.gradcheck(run, (normal(3, 2, 2, seed=1), *inputs), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (normal(3, 2, 2, seed=1), *inputs), fast_mode=True)


def test_inputs_of_any_strides_batch_first_and_compiled() -> None:
    cell = MAKE["zoneout"](F64)
    x, inputs = normal(T, B, I, seed=1), given(cell, F64)
    want = CPU(cell, x, inputs=inputs)
    layer = nn.Recurrent(cell, batch_first=True, engine="cpu")
    turned = {k: m.transpose(0, 1).contiguous() for k, m in inputs.items()}
    got = layer(x.transpose(0, 1), inputs=turned)
    identical({"y": got.output.transpose(0, 1)}, {"y": want.output})
    wide = {k: m.repeat_interleave(2, -1)[..., ::2] for k, m in inputs.items()}
    identical({"y": CPU(cell, x, inputs=wide).output}, {"y": want.output})
    scan = torch.compile(CPU, backend="aot_eager", fullgraph=True)
    every = inputs | {"x": x} | dict(cell.named_parameters())
    agree(
        with_gradients({"y": scan(cell, x, inputs=inputs).output}, every),
        with_gradients({"y": want.output}, every),
        terms=300,
    )


def test_norms_of_gradients_with_inputs() -> None:
    cell = MAKE["conditioned"](F64)
    x, inputs, found = normal(T, B, I, seed=1), given(cell, F64), []
    for run in (CPU, REFERENCE):
        norms = recurnn.GradientNorms()
        run(cell, x, inputs=inputs, gradient_norms=norms).output.square().sum().backward()
        found.append({"h": norms["h"]})
    agree(*found, terms=300)
