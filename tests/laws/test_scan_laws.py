"""What must hold of every scan, whatever the cell."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import recurnn
from gradients import with_gradients
from problems import CORE, KINDS, normal, states_of
from recurnn.cells import Cell
from recurnn.scan import ScanResult
from rows import Problem, compare
from tolerance import agree, identical

kinds = pytest.mark.parametrize("kind", CORE)
both_ways = pytest.mark.parametrize("reverse", [False, True])
States = dict[str, Tensor]


def problem(kind: str, T: int = 7, B: int = 3) -> tuple[Cell, Tensor, States]:
    cell = KINDS[kind].make()
    return cell, normal(T, B, 3, seed=1), states_of(cell, B, seed=2)


def named(result: ScanResult) -> States:
    return {"output": result.output} | {f"last {k}": v for k, v in result.state.items()}


def graded(result: ScanResult | States, cell: Cell, **inputs: Tensor) -> States:
    outputs = result if isinstance(result, dict) else named(result)
    return with_gradients(outputs, inputs | dict(cell.named_parameters()))


@kinds
@both_ways
def test_split_is_whole(kind: str, reverse: bool) -> None:
    cell, x, start = problem(kind)
    whole = recurnn.scan(cell, x, start, reverse=reverse)
    state, outputs = start, []
    for part in reversed(x.split([2, 4, 1])) if reverse else x.split([2, 4, 1]):
        result = recurnn.scan(cell, part, state, reverse=reverse)
        state = result.state
        outputs.append(result.output)
    pieces = torch.cat(outputs[::-1] if reverse else outputs)
    got = {"output": pieces} | {f"last {k}": v for k, v in state.items()}
    agree(graded(got, cell, x=x, **start), graded(whole, cell, x=x, **start), terms=50)


@kinds
def test_stream_is_batch(kind: str) -> None:
    cell, x, start = problem(kind)
    whole = recurnn.scan(cell, x, start)
    state, outputs = start, []
    for x_t in x:
        values = cell(x_t, *state.values())
        state = {k: values[k] for k in state}
        outputs.append(values[cell.output])
    agree({"y": torch.stack(outputs)} | state, {"y": whole.output} | whole.state, terms=50)


@kinds
@both_ways
@pytest.mark.parametrize("junk", [math.nan, math.inf, -1e300])
def test_padding_is_invisible(kind: str, reverse: bool, junk: float) -> None:
    cell, x, start = problem(kind)
    lengths = [5, 7, 0]
    mask = torch.arange(7)[:, None] >= torch.tensor(lengths)
    reset = torch.zeros(7, 3, dtype=torch.bool)
    reset[3, :] = True
    how = {"reset": reset, "lengths": lengths, "reverse": reverse}
    dirty = torch.where(mask[..., None], junk, x.detach()).requires_grad_()
    clean = torch.where(mask[..., None], 0.25, x.detach()).requires_grad_()
    got = graded(recurnn.scan(cell, dirty, start, **how), cell, x=dirty, **start)
    want = graded(recurnn.scan(cell, clean, start, **how), cell, x=clean, **start)
    identical(got, want)
    assert not got["d x"][mask].any()
    assert not got["output"][mask].any()
    assert all(v.isfinite().all() for v in got.values())


@kinds
def test_padding_may_be_longer(kind: str) -> None:
    cell, x, start = problem(kind)
    long = torch.cat([x, torch.full((4, 3, 3), math.nan, dtype=x.dtype)])
    got = named(recurnn.scan(cell, long, start, lengths=[7, 7, 7], reverse=True))
    got["output"] = got["output"][:7]
    identical(got, named(recurnn.scan(cell, x, start, reverse=True)))


@kinds
def test_batch_order_is_irrelevant(kind: str) -> None:
    cell, x, start = problem(kind)
    lengths, order = torch.tensor([7, 2, 4]), torch.tensor([2, 0, 1])
    reset = torch.rand(7, 3) < 0.3
    a = recurnn.scan(cell, x, start, lengths=lengths, reset=reset)
    turned = {k: s[order] for k, s in start.items()}
    b = recurnn.scan(cell, x[:, order], turned, lengths=lengths[order], reset=reset[:, order])
    want = {"output": a.output[:, order]} | {k: s[order] for k, s in a.state.items()}
    agree({"output": b.output} | b.state, want, terms=50)


@kinds
@both_ways
def test_a_reset_makes_two_sequences(kind: str, reverse: bool) -> None:
    cell, x, start = problem(kind)
    again = states_of(cell, 3, seed=9)
    reset = torch.zeros(7, 3, dtype=torch.bool)
    reset[3] = True
    got = recurnn.scan(cell, x, start, reset=reset, reset_state=again, reverse=reverse)
    first, second = (again, start) if reverse else (start, again)
    head = recurnn.scan(cell, x[:3], first, reverse=reverse)
    tail = recurnn.scan(cell, x[3:], second, reverse=reverse)
    last = head if reverse else tail
    want = named(last) | {"output": torch.cat([head.output, tail.output])}
    inputs = {"x": x} | {f"start {k}": s for k, s in start.items()}
    inputs |= {f"again {k}": s for k, s in again.items()} | dict(cell.named_parameters())
    agree(with_gradients(named(got), inputs), with_gradients(want, inputs), terms=50)


@kinds
def test_no_gradient_crosses_a_reset(kind: str) -> None:
    cell, x, start = problem(kind)
    reset = torch.zeros(7, 3, dtype=torch.bool)
    reset[3, 1] = True
    y = recurnn.scan(cell, x, start, reset=reset).output
    slopes = torch.autograd.grad(y[3:].square().sum(), [x, *start.values()])
    assert not slopes[0][:3, 1].any()
    assert not any(s[1].any() for s in slopes[1:])
    assert slopes[0][3:, 1].any()
    for other in (0, 2):  # where nothing was reset, the gradient goes through
        assert slopes[0][2, other].any()


@kinds
def test_reverse_is_a_flip_of_each_row(kind: str) -> None:
    cell, x, start = problem(kind)
    lengths = [7, 3, 1]

    def flip(values: Tensor) -> Tensor:
        rows = [
            torch.cat([values[:n, b].flip(0), values[n:, b]]) for b, n in enumerate(lengths)
        ]  # fmt: skip
        return torch.stack(rows, dim=1)

    got = recurnn.scan(cell, x, start, lengths=lengths, reverse=True)
    mirrored = recurnn.scan(cell, flip(x), start, lengths=lengths)
    want = named(mirrored) | {"output": flip(mirrored.output)}
    agree(graded(got, cell, x=x, **start), graded(want, cell, x=x, **start), terms=50)


@kinds
@both_ways
def test_a_row_without_steps_keeps_its_state(kind: str, reverse: bool) -> None:
    cell, x, start = problem(kind)
    reset = torch.ones(7, 3, dtype=torch.bool)
    result = recurnn.scan(cell, x, start, lengths=[2, 0, 7], reset=reset, reverse=reverse)
    identical({k: s[1] for k, s in result.state.items()}, {k: s[1] for k, s in start.items()})
    assert not result.output[:, 1].any()
    loss = sum(s[1].sum() for s in result.state.values())
    assert isinstance(loss, Tensor)
    for slope in torch.autograd.grad(loss, list(start.values())):
        assert slope[1].eq(1).all()
        assert not slope[[0, 2]].any()


@kinds
def test_no_steps_and_no_rows(kind: str) -> None:
    cell, x, start = problem(kind)
    none = recurnn.scan(cell, x[:0], start, return_states="all", return_gates=True)
    identical(none.state, start)
    full = recurnn.scan(cell, x, start, return_states="all", return_gates=True)
    assert none.gates is not None
    assert full.gates is not None
    assert none.states is not None
    assert full.states is not None
    for empty, whole in ((none.gates, full.gates), (none.states, full.states)):
        assert {k: v.shape[1:] for k, v in empty.items()} == {
            k: v.shape[1:] for k, v in whole.items()
        }
        assert all(len(v) == 0 for v in empty.values())
    nobody = recurnn.scan(cell, x[:, :0], reverse=True, lengths=[])
    assert nobody.output.shape == (7, 0, cell.output_size)
    assert all(len(s) == 0 for s in nobody.state.values())


@kinds
def test_the_past_does_not_see_the_future(kind: str) -> None:
    cell, x, start = problem(kind)
    later = x.detach().clone()
    later[4:] += 1
    a, b = (recurnn.scan(cell, v, start).output for v in (x, later))
    identical({"before": a[:4]}, {"before": b[:4]})
    assert (a[4] != b[4]).any(dim=-1).all()


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    T, B = draw(st.integers(0, 5)), draw(st.integers(0, 3))
    some = st.tuples(st.integers(0, max(T - 1, 0)), st.integers(0, max(B - 1, 0)))
    resets = draw(st.none() | st.lists(some, max_size=4 if T and B else 0).map(tuple))
    return Problem(
        draw(st.sampled_from(sorted(CORE))),
        T=T,
        B=B,
        lengths=draw(st.none() | st.tuples(*[st.integers(0, T)] * B)),
        resets=resets,
        reset_state=resets is not None and draw(st.booleans()),
        reverse=draw(st.booleans()),
        I=draw(st.integers(1, 3)),
        H=draw(st.sampled_from([1, 3])),
        bias=draw(st.booleans()),
    )


@given(problems())
def test_any_scan_is_its_rows(problem: Problem) -> None:
    compare(problem)
