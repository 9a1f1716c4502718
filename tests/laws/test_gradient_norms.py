"""The norm of dL/dstate at every step: from the kernel, from the reference, and by hand."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
import rows
from kernels import CPU, REFERENCE, tame
from problems import KINDS, normal, states_of
from recurnn import cells, nn
from rows import Problem
from tolerance import agree, identical

RESETS = ((0, 0), (3, 0), (2, 1), (3, 1), (5, 4))
FRAME: dict[str, Any] = {"T": 6, "B": 5, "lengths": (4, 6, 1, 0, 5), "resets": RESETS}
PROBLEMS = [
    Problem("lstm", T=9, B=5, H=17),
    Problem("lstm", H=17, **FRAME),
    Problem("lstm", H=17, reverse=True, **FRAME),
    Problem("lstm", H=17, dtype=torch.float32, **FRAME),
    Problem("projected-lstm", H=33, **FRAME),
    Problem("layernorm-lstm", H=8, **FRAME),
    Problem("reset-before-gru", H=7, reverse=True, **FRAME),
]


def norms(problem: Problem, run: Any) -> dict[str, Tensor]:
    cell, x, start, options = problem.build()
    tame(cell)
    found = recurnn.GradientNorms()
    values = rows.everything(cell, x, start, options, partial(run, gradient_norms=found))
    return values | {f"norm {k}": found[k] for k in found.states}


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_kernel_is_reference(problem: Problem) -> None:
    want = norms(problem, REFERENCE)
    got = norms(problem, CPU)
    agree(got, want, terms=300)
    agree(norms(problem, partial(CPU, memory="low")), want, terms=300)
    agree(norms(problem, partial(REFERENCE, memory="low")), want, terms=300)
    for k in (k for k in want if k.startswith("norm")):
        assert got[k].shape == (problem.T, problem.B)
        assert (got[k] > 0).sum() == (sum(problem.lengths) if problem.lengths else got[k].numel())


@pytest.mark.parametrize("run", [CPU, REFERENCE], ids=["cpu", "reference"])
def test_they_are_those_of_a_loop_written_out(run: Any) -> None:
    T, B, H = 6, 3, 5
    cell = tame(KINDS["lstm"].make(3, H))
    x, start = normal(T, B, 3, seed=1), states_of(cell, B, seed=2)
    weight = torch.randn(T, B, H, dtype=torch.float64)
    found = recurnn.GradientNorms()
    result = run(cell, x, start, gradient_norms=found)
    ((weight * result.output).sum() + result.state["c"].square().sum()).backward()
    state, every = dict(start), []
    for t in range(T):
        values = cell(x[t], *state.values())
        state = {k: values[k] for k in cell.states}
        for s in state.values():
            s.retain_grad()
        every.append(state)
    h = torch.stack([s["h"] for s in every])
    ((weight * h).sum() + every[-1]["c"].square().sum()).backward()
    want = {k: torch.stack([s[k].grad.norm(dim=-1) for s in every]) for k in cell.states}
    agree({k: found[k] for k in want}, want, terms=100)


def test_they_vanish_before_a_reset_and_where_nothing_depends() -> None:
    cell = KINDS["lstm"].make(3, 5)
    x = normal(6, 2, 3, seed=1)
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[3, 0] = True
    for run in (CPU, REFERENCE):
        found = recurnn.GradientNorms()
        run(cell, x, reset=reset, gradient_norms=found).output[4].sum().backward()
        for k in found.states:
            assert (found[k] > 0).tolist() == [
                [False, True], [False, True], [False, True], [True, True], [True, True],
                [False, False],
            ]  # fmt: skip


def test_the_gradients_are_the_same_with_and_without() -> None:
    plain = Problem("lstm", H=17, **FRAME)
    cell, x, start, options = plain.build()
    tame(cell)
    a = rows.everything(cell, x, start, options, CPU)
    b = norms(plain, CPU)
    agree({k: b[k] for k in a}, a, terms=100)


def test_a_later_backward_pass_replaces_the_norms() -> None:
    cell = KINDS["lstm"].make(3, 5)
    for run in (CPU, REFERENCE):
        x, found = normal(6, 2, 3, seed=1), recurnn.GradientNorms()
        y = run(cell, x, gradient_norms=found).output
        y[5].sum().backward(retain_graph=True)
        late = found["h"]
        y[1].sum().backward(retain_graph=True)
        assert late[5].all()
        assert not found["h"][2:].any()
        assert found["h"][:2].all()
        (dx,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        assert dx.requires_grad
        assert found["h"].all()


class Handed(cells.Cell):
    """A cell that hands on the state before as it was."""

    weights = {"W": "H I", "U": "H H", "R": "H H"}
    states = {"h": "H", "past": "H"}

    def step(self, p: Any, x: Tensor, h: Tensor, past: Tensor) -> dict[str, Tensor]:
        return {"h": torch.tanh(p.W @ x + p.U @ h + p.R @ past), "past": h}


def test_a_state_that_is_handed_on_has_a_gradient_of_its_own() -> None:
    cell = Handed(3, 4, dtype=torch.float64)
    x, found = normal(5, 2, 3, seed=1), recurnn.GradientNorms()
    start = states_of(cell, 2, seed=2)
    recurnn.scan(cell, x, start, gradient_norms=found).output[3].sum().backward()
    assert (found["h"] > 0).all(dim=1).tolist() == [True, True, True, True, False]
    # the last use of h₁ as the past is at step 3
    assert (found["past"] > 0).all(dim=1).tolist() == [True, True, True, False, False]
    with pytest.raises(recurnn.errors.EngineError, match="hands on past as it came"):
        CPU(cell, x, gradient_norms=recurnn.GradientNorms())


def test_a_layer_fills_them_too_and_a_plain_kernel_stays_as_it_is() -> None:
    cell = KINDS["lstm"].make(3, 5)
    layer = nn.Recurrent(cell, batch_first=True, engine="cpu")
    x, found = normal(2, 6, 3, seed=1), recurnn.GradientNorms()
    layer(x, gradient_norms=found).output.sum().backward()
    assert found["c"].shape == (6, 2)
    again = recurnn.GradientNorms()
    recurnn.scan(cell, x.transpose(0, 1), gradient_norms=again).output.sum().backward()
    identical({"c": found["c"]}, {"c": again["c"]})
    numbers = [recurnn.compiler.prepare(cell, torch.float64, ("h",), None, CPU, more)
               for more in ((), ("norms",))]  # fmt: skip
    kernels = [recurnn.compiler.engine.compiled(n).kernel for n in numbers]
    assert "norm_h" not in kernels[0].text("backward")
    assert "norm_h" in kernels[1].text("backward")
    assert kernels[0].text("forward") == kernels[1].text("forward")


def of_each(layer: Any) -> list[recurnn.GradientNorms]:
    return [recurnn.GradientNorms() for _ in range(layer.num_layers * layer.directions)]


def test_a_drop_in_fills_one_for_each_layer_and_direction() -> None:
    """The upper layer's gradients reach the lower one through its input."""
    torch.manual_seed(1)
    layer = nn.LSTM(3, 5, 2, bidirectional=True, dtype=torch.float64)
    x, lengths, found = normal(6, 3, 3, seed=1), [6, 2, 4], of_each(layer)
    weight = normal(6, 3, 10, seed=2).detach()
    (weight * layer(x, lengths=lengths, gradient_norms=found)[0]).sum().backward()
    lower, upper = (nn.LSTM(size, 5, bidirectional=True, dtype=torch.float64) for size in (3, 10))
    for n, one in enumerate((lower, upper)):
        one.load_state_dict({k: getattr(layer, k.replace("l0", f"l{n}")) for k in one.state_dict()})
    between = lower(x, lengths=lengths)[0].detach().requires_grad_()
    norms = of_each(upper)
    (weight * upper(between, lengths=lengths, gradient_norms=norms)[0]).sum().backward()
    below = of_each(lower)
    lower(x, lengths=lengths, gradient_norms=below)[0].backward(between.grad)
    for mine, want in zip(found, [*below, *norms], strict=True):
        agree({k: mine[k] for k in "hc"}, {k: want[k] for k in "hc"}, terms=200)
    scanned = recurnn.GradientNorms()
    cell = tame(KINDS["lstm"].make(3, 5))
    nn.Recurrent(cell, reverse=True)(x, gradient_norms=scanned).output[0].sum().backward()
    assert (scanned["h"] > 0).all()


@pytest.mark.parametrize("kind", ["drop-in", "cell"])
def test_they_stand_at_the_steps_of_a_mask_with_gaps(kind: str) -> None:
    layer: Any = nn.GRU(3, 5, dtype=torch.float64)
    if kind == "cell":
        layer = nn.Recurrent(tame(KINDS["gru"].make(3, 5)))
    x, mask = normal(6, 2, 3, seed=1), torch.ones(6, 2, dtype=torch.bool)
    mask[1, 0] = mask[0, 1] = mask[4, 1] = False
    found, want = recurnn.GradientNorms(), recurnn.GradientNorms()
    layer(x, mask=mask, gradient_norms=found)[0].square().sum().backward()
    assert torch.equal(found["h"] > 0, mask)
    for b in range(2):
        row = x[mask[:, b], b : b + 1]
        layer(row, gradient_norms=want)[0].square().sum().backward()
        agree({"h": found["h"][mask[:, b], b]}, {"h": want["h"][:, 0]}, terms=100)
    layer(x, gradient_norms=found)[0].sum().backward()
    assert found["h"].all()  # no gaps are left from the call before
