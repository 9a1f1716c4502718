"""Steps taken one at a time are the steps of a scan, bit for bit."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
from kernels import CPU, REFERENCE, tame
from problems import KINDS, normal, states_of
from recurnn import cells, nn
from recurnn.errors import ShapeError
from recurnn.scan import _say_once
from tolerance import agree, identical

T, B, I, H = 9, 3, 5, 19  # noqa: E741 - the field's own letters


def taken(step: recurnn.Stepper, x: Tensor) -> dict[str, Tensor]:
    y = torch.stack([step(row) for row in x.detach()])
    return {"y": y} | step.state


@pytest.mark.parametrize("kind", ["lstm", "layernorm-lstm", "reset-before-gru", "projected-lstm"])
def test_steps_are_a_scan(kind: str) -> None:
    cell = tame(KINDS[kind].make(I, H))
    x, start = normal(T, B, I, seed=1), states_of(cell, B, seed=2)
    step = recurnn.stepper(cell, B, engine="cpu")
    for run in (CPU, REFERENCE):
        step.reset() if run is REFERENCE else step.reset(start)
        result = run(cell, x, None if run is REFERENCE else start)
        want = {"y": result.output} | result.state
        (identical if run is CPU else lambda a, b: agree(a, b, terms=200))(taken(step, x), want)


def test_steps_in_bfloat16() -> None:
    cell = KINDS["lstm"].make(I, H, dtype=torch.bfloat16)
    x = normal(T, B, I, seed=1, dtype=torch.bfloat16)
    step = recurnn.stepper(cell, B)
    result = CPU(cell, x)
    identical(taken(step, x), {"y": result.output} | result.state)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_steps_of_the_reference(kind: str) -> None:
    cell = KINDS[kind].make(I, H)
    x, start = normal(T, B, I, seed=1), states_of(cell, B, seed=2)
    step = recurnn.stepper(nn.Recurrent(cell, engine="reference"), B)
    step.state = tuple(start.values())
    result = REFERENCE(cell, x, start)
    agree(taken(step, x), {"y": result.output} | result.state, terms=T * (I + H))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("L", [1, 3])
def test_steps_of_a_drop_in(kind: str, L: int) -> None:
    layer = getattr(nn, kind)(I, H, num_layers=L, dtype=torch.float64, dropout=0.5 if L > 1 else 0)
    layer.eval()
    h = torch.randn(L, B, H, dtype=torch.float64)
    state: Any = (h, h + 1) if kind == "LSTM" else h
    x = normal(T, B, I, seed=1)
    y, last = layer(x, state)
    layer.train()  # a step is an inference all the same
    step = recurnn.stepper(layer, B)
    assert step.state["h"].shape == (L, B, H)
    step.reset(state)
    want = {"y": y, "h": last} if kind != "LSTM" else {"y": y, "h": last[0], "c": last[1]}
    identical(taken(step, x), want)


def test_a_row_that_begins_anew() -> None:
    cell = KINDS["lstm"].make(I, H)
    x, start = normal(T, B, I, seed=1).detach(), states_of(cell, B, seed=2)
    step, other = (recurnn.stepper(cell, B) for _ in range(2))
    for rows in ([1], torch.tensor([False, True, False])):
        step.reset(start)
        other.reset()
        taken(step, x)
        taken(other, x)
        step.reset(rows=rows)
        assert not any(s[1].any() for s in step.state.values())
        other.reset(start, rows=rows)
        identical({k: s[1] for k, s in other.state.items()}, {k: s[1] for k, s in start.items()})
        whole, part = taken(step, x)["y"], taken(other, x)["y"]
        identical({"1": whole[:, 1]}, {"1": CPU(cell, x).output[:, 1]})
        identical({"1": part[:, 1]}, {"1": CPU(cell, x, start).output[:, 1]})
        assert (whole[:, 0] != CPU(cell, x).output[:, 0]).any()
    before = step.state
    step.reset(rows=[])
    identical(step.state, before)


def test_what_was_given_stays_as_it_was() -> None:
    cell = KINDS["lstm"].make(I, H)
    x = normal(600, B, I, seed=1).detach()
    step = recurnn.stepper(cell, B)
    kept = step.state
    outputs = [step(row) for row in x]
    identical({"y": torch.stack(outputs)}, {"y": CPU(cell, x).output})
    assert not kept["h"].any()
    state = step.state
    step(x[0])
    outputs[-1].zero_()
    step.state = state
    identical({"y": step(x[1])}, {"y": CPU(cell, x[1:2], state).output[0]})


def test_inputs_of_any_strides_and_no_gradient() -> None:
    cell = KINDS["lstm"].make(I, H)
    wide = normal(I, 2 * B, seed=1)
    step, again = recurnn.stepper(cell, B), recurnn.stepper(cell, B)
    y = step(wide.T[::2])
    assert not y.requires_grad
    identical({"y": y}, {"y": again(wide.T[::2].clone())})


@pytest.mark.parametrize("engine", ["cpu", "reference"])
def test_new_weights_count_after_refresh(engine: str) -> None:
    cell = KINDS["lstm"].make(I, H)
    x = normal(T, B, I, seed=1)
    step = recurnn.stepper(cell, B, engine=engine)
    old = taken(step, x)
    with torch.no_grad():
        for weight in cell.parameters():
            weight += 0.1 * torch.randn_like(weight)
    step.reset()
    identical(taken(step, x), old)
    state = step.state
    step.refresh()
    identical(step.state, state)
    step.reset()
    want = recurnn.scan(cell, x, engine=engine)
    assert (want.output != old["y"]).any()
    agree(taken(step, x), {"y": want.output} | want.state, terms=T * (I + H))


def test_the_weights_need_not_live_on() -> None:
    cell = KINDS["lstm"].make(I, H)
    x = normal(T, B, I, seed=1)
    want = CPU(cell, x).output
    step = recurnn.stepper(cell, B)
    for weight in cell.parameters():
        weight.data = torch.full_like(weight, torch.nan)
    identical({"y": taken(step, x)["y"]}, {"y": want})


def test_without_a_kernel_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    _say_once.cache_clear()

    class Odd(cells.Cell):
        weights = {"W": "H I"}

        def step(self, p: Any, x: Tensor, h: Tensor) -> dict[str, Tensor]:
            return {"h": torch.atan(p.W @ x) + 0.5 * h}

    cell = Odd(3, 4)
    with caplog.at_level(logging.WARNING, logger="recurnn"):
        step = recurnn.stepper(cell)
        first = step(torch.ones(1, 3))
        recurnn.stepper(cell)(torch.ones(1, 3))
    assert [r.getMessage() for r in caplog.records] == [
        "Odd runs on the reference engine: the step uses atan"
    ]
    agree({"y": first}, {"y": REFERENCE(cell, torch.ones(1, 1, 3)).output[0]}, terms=3)
    with pytest.raises(recurnn.errors.EngineError):
        recurnn.stepper(cell, engine="cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("kind", ["lstm", "gru", "indrnn"])
def test_steps_by_number_are_steps(kind: str, engine: str, dtype: torch.dtype) -> None:
    """Of inputs that are known beforehand, what a step makes of them alone is made once."""
    cell = KINDS[kind].make(I, H, dtype=dtype)
    inputs = normal(7, I, seed=1, dtype=dtype).detach()
    layer = nn.Recurrent(cell)
    plain = recurnn.stepper(layer, B, engine=engine)
    tabled = recurnn.stepper(layer, B, inputs=inputs, engine=engine)
    numbers = torch.randint(7, (T, B), generator=torch.Generator().manual_seed(2))
    given = inputs.clone()
    inputs.zero_()  # they count as they were
    for _ in range(2):
        for row in numbers:
            identical({"y": tabled(row)}, {"y": plain(given[row])})
        with torch.no_grad():
            for weight in cell.parameters():
                weight.mul_(0.5)
        plain.refresh()
        tabled.refresh()


def test_inputs_by_number_belong_to_the_first_layer() -> None:
    layer = nn.GRU(I, H, num_layers=2)
    inputs, numbers = (
        normal(7, I, seed=1, dtype=torch.float32).detach(),
        torch.tensor([[3], [0], [6]]),
    )
    tabled = recurnn.stepper(layer, 1, inputs=inputs)
    want = layer(inputs[numbers])[0].detach()
    agree({"y": torch.stack([tabled(row) for row in numbers])}, {"y": want}, terms=3 * 2 * H)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (torch.tensor([1, 7]), r"x is \[1, 7\]; expected \[B\] = \[2\] of torch.int64, from 0"),
        (torch.tensor([1, -1]), r"x is \[1, -1\]; expected"),
        (torch.tensor([1]), r"x is \[1\] of torch.int64; expected \[B\] = \[2\]"),
        (torch.tensor([1.0, 2.0]), r"x is \[2\] of torch.float32; expected"),
    ],
)
def test_numbers_that_do_not_fit(numbers: Tensor, message: str) -> None:
    tabled = recurnn.stepper(cells.Elman(I, H), 2, inputs=normal(7, I, seed=1, dtype=torch.float32))
    with pytest.raises(ShapeError, match=message):
        tabled(numbers)


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"inputs is \[7, 4\].*with I = 5"):
        recurnn.stepper(cells.Elman(I, H), 2, inputs=normal(7, 4, seed=1))
