"""Mistakes planted in cells, scan and layers, each of which the comparisons must refuse.

Every one is a mistake that somebody has made. If a change of the tests lets one through, this
file fails, not the user's network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, sigmoid, tanh

import layers
import recurnn
import rows
from layers import Case
from problems import KINDS, against_witness
from recurnn import cells
from recurnn.cells import Cell, Weights
from recurnn.compiler import Binding, Bound
from recurnn.nn import scanned
from recurnn.scan import ScanResult
from rows import Problem

Values = dict[str, Tensor]
Step = Callable[..., Values]


# Cells


def lstm_step(p: Any, x: Tensor, h: Tensor, c: Tensor, *, fault: str = "") -> Values:
    """The LSTM, with one mistake by name."""
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    if fault == "gates swapped":
        i, f = f, i
    if fault == "sigmoid for tanh":
        g = sigmoid(p.W_g @ x + p.U_g @ h + p.b_g)
    if fault == "output gate sees the new state":
        o = sigmoid(p.W_o @ x + p.U_o @ (h + 1e-6) + p.b_o)
    if fault == "last unit keeps its state":
        f = torch.cat([f[:, :-1], torch.ones_like(f[:, -1:])], dim=-1)
    new = f * c + i * g
    shown = c if fault == "old c shown" else new
    values = {"h": o * tanh(shown), "c": new, "i": i, "f": f, "g": g, "o": o}
    if fault == "gate names swapped":
        values["i"], values["f"] = f, i
    return values


@pytest.mark.parametrize(
    "fault",
    [
        "gates swapped", "sigmoid for tanh", "output gate sees the new state",
        "last unit keeps its state", "old c shown", "gate names swapped",
    ],
)  # fmt: skip
def test_a_wrong_lstm_is_refused(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = KINDS["lstm"]

    def right(self: Cell, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> Values:
        return lstm_step(p, x, h, c)

    def wrong(self: Cell, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> Values:
        return lstm_step(p, x, h, c, fault=fault)

    monkeypatch.setattr(cells.LSTM, "step", right)
    against_witness(kind.make(), kind.witness)
    monkeypatch.setattr(cells.LSTM, "step", wrong)
    with pytest.raises(AssertionError, match="more than"):
        against_witness(kind.make(), kind.witness)


def gru_z_turned(self: Cell, p: Any, x: Tensor, h: Tensor) -> Values:
    values = right_step["GRU"](self, p, x, h)
    z, n = values["z"], values["n"]
    return values | {"h": z * n + (1 - z) * h}


def gru_bias_outside_the_reset(self: Cell, p: Any, x: Tensor, h: Tensor) -> Values:
    values = right_step["GRU"](self, p, x, h)
    r, z = values["r"], values["z"]
    n = tanh(p.W_n @ x + p.b_n + r * (p.U_n @ h) + p.b_u)
    return values | {"n": n, "h": (1 - z) * n + z * h}


def reset_after_for_before(self: Cell, p: Any, x: Tensor, h: Tensor) -> Values:
    values = right_step["ResetBeforeGRU"](self, p, x, h)
    r, z = values["r"], values["z"]
    n = tanh(p.W_n @ x + r * (p.U_n @ h) + p.b_n)
    return values | {"n": n, "h": (1 - z) * n + z * h}


def peephole_on_the_old_state(self: Cell, p: Any, x: Tensor, h: Tensor, c: Tensor) -> Values:
    values = right_step["PeepholeLSTM"](self, p, x, h, c)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.p_o * c + p.b_o)
    return values | {"o": o, "h": o * tanh(values["c"])}


def coupled_the_wrong_way(self: Cell, p: Any, x: Tensor, h: Tensor, c: Tensor) -> Values:
    values = right_step["CoupledLSTM"](self, p, x, h, c)
    new = values["i"] * c + (1 - values["i"]) * values["g"]
    return values | {"c": new, "h": values["o"] * tanh(new)}


def jordan_feeds_the_hidden_layer_back(self: Cell, p: Any, x: Tensor, y: Tensor) -> Values:
    values = right_step["Jordan"](self, p, x, y)
    return values | {"y": values["h"]}


def norm_of_each_gate_alone(self: Cell, p: Any, x: Tensor, h: Tensor, c: Tensor) -> Values:
    def alone(z: Tensor) -> Tensor:
        return torch.nn.functional.layer_norm(z, z.shape[-1:])

    z = {
        k: getattr(p, f"alpha_{k}") * alone(getattr(p, f"W_{k}") @ x)
        + getattr(p, f"beta_{k}") * alone(getattr(p, f"U_{k}") @ h)
        + getattr(p, f"b_{k}")
        for k in "ifgo"
    }
    i, f, g, o = sigmoid(z["i"]), sigmoid(z["f"]), tanh(z["g"]), sigmoid(z["o"])
    new = f * c + i * g
    return {"h": o * tanh(p.gamma * alone(new) + p.b_c), "c": new, "i": i, "f": f, "g": g, "o": o}


right_step: dict[str, Step] = {cell.__name__: cell.step for cell in cells.CELLS.values()}


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("gru", gru_z_turned),
        ("gru", gru_bias_outside_the_reset),
        ("reset-before-gru", reset_after_for_before),
        ("peephole-lstm", peephole_on_the_old_state),
        ("coupled-lstm", coupled_the_wrong_way),
        ("jordan", jordan_feeds_the_hidden_layer_back),
        ("layernorm-lstm", norm_of_each_gate_alone),
    ],
    ids=lambda v: v if isinstance(v, str) else v.__name__,
)
def test_a_wrong_cell_is_refused(
    kind: str, wrong: Step, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(KINDS[kind].cell, "step", wrong)
    with pytest.raises(AssertionError, match="more than"):
        against_witness(KINDS[kind].make(), KINDS[kind].witness)


# Scans


def weight_forgotten(cell: Cell, x: Tensor, state: Any, **how: Any) -> ScanResult:
    """One weight's gradient is dropped."""
    given = {k: w.detach() if k == "U_f" else w for k, w in cell.named_parameters()}
    return recurnn.scan(cell, x, state, parameters=given, **how)


def state_forgotten(cell: Cell, x: Tensor, state: Any, **how: Any) -> ScanResult:
    return recurnn.scan(cell, x, state | {"c": state["c"].detach()}, **how)


def truncated(cell: Cell, x: Tensor, state: Any, **how: Any) -> ScanResult:
    """The gradient stops half way through time; every value is right."""
    T, reverse = len(x), how["reverse"]
    halves = [slice(0, T // 2), slice(T // 2, T)]
    results: list[ScanResult] = []
    for part in reversed(halves) if reverse else halves:
        cut = dict(how)
        if "lengths" in how:
            cut["lengths"] = (how["lengths"] - part.start).clamp(0, part.stop - part.start)
        if "reset" in how:
            cut["reset"] = how["reset"][part]
        results.append(recurnn.scan(cell, x[part], state, **cut))
        state = {k: s.detach() for k, s in results[-1].state.items()}
    last = results[-1].state
    return joined(results[::-1] if reverse else results, last)


def joined(results: list[ScanResult], last: Values) -> ScanResult:
    def along(part: str) -> Values:
        return {
            k: torch.cat([getattr(r, part)[k] for r in results]) for k in getattr(results[0], part)
        }

    output = torch.cat([r.output for r in results])
    return ScanResult(output, last, along("states"), along("gates"))


def shifted(cell: Cell, x: Tensor, state: Any, **how: Any) -> ScanResult:
    result = recurnn.scan(cell, x, state, **how)
    return result._replace(output=result.output.roll(1, 0))


def last_column_skipped(cell: Cell, x: Tensor, state: Any, **how: Any) -> ScanResult:
    return recurnn.scan(cell, torch.cat([x[..., :-1], 0 * x[..., -1:]], -1), state, **how)


def one_reset_missed(cell: Cell, x: Tensor, state: Any, **how: Any) -> ScanResult:
    reset = how["reset"].clone()
    reset[3, 0] = False
    return recurnn.scan(cell, x, state, **how | {"reset": reset})


def first_reset_missed(cell: Cell, x: Tensor, state: Any, **how: Any) -> ScanResult:
    reset = how["reset"].clone()
    reset[0] = False
    return recurnn.scan(cell, x, state, **how | {"reset": reset})


def resets_in_padding_seen(cell: Cell, x: Tensor, state: Any, **how: Any) -> ScanResult:
    result = recurnn.scan(cell, x, state, **how)
    in_padding = torch.arange(len(x))[:, None] >= how["lengths"]
    hit = (how["reset"] & in_padding).any(0)[:, None]
    again = how.get("reset_state") or {k: torch.zeros_like(s) for k, s in state.items()}
    seen = {k: torch.where(hit, again[k], s) for k, s in result.state.items()}
    return result._replace(state=seen)


def restarts_from_zero(cell: Cell, x: Tensor, state: Any, **how: Any) -> ScanResult:
    return recurnn.scan(cell, x, state, **how | {"reset_state": None})


def reverse_begins_at_the_end(cell: Cell, x: Tensor, state: Any, **how: Any) -> ScanResult:
    """The padding is run first, instead of each row's last real step."""
    lengths = how.pop("lengths")
    real = (torch.arange(len(x))[:, None] < lengths)[..., None]
    result = recurnn.scan(cell, torch.where(real, x, 0), state, **how)
    assert result.states is not None
    assert result.gates is not None
    return ScanResult(
        result.output * real,
        result.state,
        {k: v * real for k, v in result.states.items()},
        {k: v * real for k, v in result.gates.items()},
    )


def last_state_is_of_the_last_step(cell: Cell, x: Tensor, state: Any, **how: Any) -> ScanResult:
    result = recurnn.scan(cell, x, state, **how)
    assert result.states is not None
    return result._replace(state={k: v[-1] for k, v in result.states.items()})


def padding_not_zeroed(cell: Cell, x: Tensor, state: Any, **how: Any) -> ScanResult:
    result = recurnn.scan(cell, x, state, **how)
    past = (torch.arange(len(x))[:, None] >= how["lengths"])[..., None]
    return result._replace(output=torch.where(past, result.state["h"], result.output))


def direction_ignored(cell: Cell, x: Tensor, state: Any, **how: Any) -> ScanResult:
    return recurnn.scan(cell, x, state, **how | {"reverse": False})


RAGGED, RESETS = (4, 6, 1), ((0, 0), (3, 0), (2, 1), (5, 2))
FULL = Problem(lengths=RAGGED, resets=RESETS, reset_state=True)
BACK = Problem(lengths=RAGGED, resets=RESETS, reset_state=True, reverse=True)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (weight_forgotten, Problem()),
        (weight_forgotten, BACK),
        (state_forgotten, Problem()),
        (state_forgotten, Problem(T=1)),
        (truncated, Problem(T=2)),
        (truncated, Problem(reverse=True)),
        (shifted, Problem()),
        (shifted, Problem(lengths=(2, 2, 2))),
        (last_column_skipped, FULL),
        (one_reset_missed, FULL),
        (one_reset_missed, BACK),
        (first_reset_missed, FULL),
        (resets_in_padding_seen, FULL),
        (resets_in_padding_seen, BACK),
        (restarts_from_zero, FULL),
        (reverse_begins_at_the_end, Problem(lengths=RAGGED, reverse=True)),
        (last_state_is_of_the_last_step, Problem(lengths=RAGGED)),
        (last_state_is_of_the_last_step, Problem(reverse=True)),
        (padding_not_zeroed, Problem(lengths=RAGGED)),
        (direction_ignored, Problem(T=2, reverse=True)),
    ],
    ids=lambda v: str(v) if isinstance(v, Problem) else v.__name__,
)
def test_a_wrong_scan_is_refused(wrong: rows.Scan, problem: Problem) -> None:
    rows.compare(problem)
    with pytest.raises(AssertionError, match="more than"):
        rows.compare(problem, wrong)


def test_a_gradient_stopped_in_time_leaves_the_values_right() -> None:
    """So it is the gradients that refuse `truncated`, and not something else."""
    cell, x, start, how = Problem().build()
    got = truncated(cell, x, start, **how, return_states="all", return_gates=True)
    assert torch.allclose(got.output, recurnn.scan(cell, x, start).output, atol=1e-14, rtol=0)


# Layers


def swap(a: str, b: str) -> Callable[[Bound], Bound]:
    """The rows of one weight are taken for those of another."""

    def change(w: Bound) -> Bound:
        pieces = dict(w.binding.pieces)
        pieces[a], pieces[b] = pieces[b], pieces[a]
        return Bound(Binding(tuple(pieces.items())), w.tensors)

    return change


def second_bias_dropped(w: Bound) -> Bound:
    pieces = {k: p[:1] for k, p in w.binding.pieces}
    return Bound(Binding(tuple(pieces.items())), w.tensors)


def last_gate(w: Bound, tensor: int, change: Callable[[Tensor], Tensor]) -> Bound:
    """Change the last gate's rows of one of torch's stacked tensors."""
    H = w.tensors[1].shape[1]
    tensors = list(w.tensors)
    tensors[tensor] = torch.cat([tensors[tensor][:-H], change(tensors[tensor][-H:])])
    return Bound(w.binding, tensors)


def transposed(w: Bound) -> Bound:
    return last_gate(w, 1, lambda rows: rows.T)


def detached(w: Bound) -> Bound:
    return last_gate(w, 2, torch.Tensor.detach)


def recurrent_bias_zero(w: Bound) -> Bound:
    return last_gate(w, 3, torch.zeros_like)


@pytest.mark.parametrize(
    ("case", "change"),
    [
        (Case("LSTM"), swap("W_i", "W_f")),
        (Case("LSTM"), swap("b_g", "b_o")),
        (Case("LSTM", L=2, bidirectional=True), transposed),
        (Case("LSTM"), detached),
        (Case("GRU"), swap("W_r", "W_z")),
        (Case("GRU"), swap("b_n", "b_u")),
        (Case("GRU"), second_bias_dropped),
        (Case("GRU"), recurrent_bias_zero),
        (Case("LSTM", dtype=torch.float32), swap("U_i", "U_o")),
    ],
    ids=[
        "W_i-W_f",
        "b_g-b_o",
        "U_o-T",
        "b_o-detached",
        "W_r-W_z",
        "b_n-b_u",
        "b_hh",
        "b_u-0",
        "f32",
    ],
)
def test_wrong_weights_in_a_layer_are_refused(
    case: Case, change: Callable[[Bound], Bound], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = scanned.scan

    def wrong(cell: Cell, x: Tensor, *args: Any, parameters: Bound, **how: Any) -> ScanResult:
        return scan(cell, x, *args, parameters=change(parameters), **how)

    layers.compare(case)
    monkeypatch.setattr(scanned, "scan", wrong)
    with pytest.raises(AssertionError, match="more than"):
        layers.compare(case)


@pytest.mark.parametrize("case", [Case("GRU", bidirectional=True), Case("LSTM", L=2)], ids=str)
def test_layers_that_share_a_weight_or_a_state_are_refused(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layer 0 forward is taken wherever another layer or direction is meant."""
    scan = scanned.scan

    def first_state_for_all(cell: Cell, x: Tensor, start: Any, **how: Any) -> ScanResult:
        seen.append(start)
        return scan(cell, x, seen[0], **how)

    seen: list[Any] = []
    monkeypatch.setattr(scanned, "scan", first_state_for_all)
    with pytest.raises(AssertionError, match="more than"):
        layers.compare(case)
