"""Bidirectional, Stack and ConvLSTM against what they are made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from problems import normal
from recurnn import cells, nn
from recurnn.nn import bidirectional
from tolerance import agree, identical

F64 = torch.float64
LENGTHS = [6, 0, 3]


def gru(inputs: int, units: int, **options: Any) -> nn.Recurrent:
    return nn.Recurrent(cells.GRU(inputs, units, dtype=F64), **options)


def flipped(x: Tensor, lengths: list[int]) -> Tensor:
    """Each row's real steps turned round, one row after another."""
    rows = [torch.cat([x[:n, b].flip(0), x[n:, b]]) for b, n in enumerate(lengths)]
    return torch.stack(rows, 1)


# Bidirectional


@pytest.mark.parametrize("merge", ["concat", "sum", "mean", "mul", None])
@pytest.mark.parametrize("batch_first", [False, True])
def test_two_directions_are_two_layers(merge: str | None, batch_first: bool) -> None:
    torch.manual_seed(1)
    layer = nn.Bidirectional(gru(4, 5, batch_first=batch_first), merge=merge)
    x = normal(6, 3, 4, seed=1)
    first, second = (normal(3, 5, seed=n) for n in (2, 3))
    there, back = layer.forward_layer.cell, layer.backward_layer.cell
    a = recurnn.scan(there, x, first, lengths=LENGTHS)
    b = recurnn.scan(back, flipped(x, LENGTHS), second, lengths=LENGTHS)
    pair = a.output, flipped(b.output, LENGTHS)
    want: dict[str | None, Any] = {
        "concat": torch.cat(pair, -1), "sum": sum(pair), "mean": sum(pair) / 2,
        "mul": pair[0] * pair[1], None: torch.stack(pair),
    }  # fmt: skip
    given = x.transpose(0, 1) if batch_first else x
    y, state, *_ = layer(given, (first, second), lengths=LENGTHS)
    y = torch.stack(y) if merge is None else y
    y = y.transpose(-2, -3) if batch_first else y
    everything = {"x": x, "first": first, "second": second} | dict(layer.named_parameters())
    got = {"y": y, "a": state[0]["h"], "b": state[1]["h"]}
    right = {"y": want[merge], "a": a.state["h"], "b": b.state["h"]}
    agree(with_gradients(got, everything), with_gradients(right, everything), terms=300)


def test_directions_exchanged_or_lengths_off_by_one_are_noticed() -> None:
    layer, x = nn.Bidirectional(gru(4, 5)), normal(6, 3, 4, seed=1)
    want = layer(x, lengths=LENGTHS).output
    wrong = nn.Bidirectional(layer.backward_layer, layer.forward_layer)
    for other in (wrong(x, lengths=LENGTHS), layer(x, lengths=[6, 0, 4]), layer(x)):
        with pytest.raises(AssertionError, match="more than"):
            agree({"y": other.output}, {"y": want}, terms=300)


@pytest.mark.parametrize("share", ["input", "recurrent", "both"])
def test_shared_weights_are_one_parameter(share: str) -> None:
    layer = nn.Bidirectional(gru(4, 5), share=share)
    a, b = layer.forward_layer.cell, layer.backward_layer.cell
    for name in a.weights:
        of_input = name.startswith(("W", "b"))
        same = getattr(a, name) is getattr(b, name)
        assert same == (share == "both" or share == ("input" if of_input else "recurrent"))


@pytest.mark.parametrize("share", ["input", "recurrent", "both"])
def test_drop_ins_share_as_their_own_two_directions_do(share: str) -> None:
    torch.manual_seed(1)
    layer = nn.Bidirectional(nn.GRU(4, 5, dtype=F64), share=share)
    own = nn.GRU(4, 5, bidirectional=True, share=share, dtype=F64)
    there = layer.forward_layer.state_dict()
    back = {f"{k}_reverse": v for k, v in layer.backward_layer.state_dict().items()}
    own.load_state_dict({k: (there | back)[k] for k in own.state_dict()})
    x = normal(6, 3, 4, seed=1)
    assert (
        len(list(layer.parameters()))
        == len(list(own.parameters()))
        == (4 if share == "both" else 6)
    )
    mine, theirs = layer(x, lengths=LENGTHS), own(x, lengths=LENGTHS)
    names = {id(w): k for k, w in layer.forward_layer.named_parameters()}
    names |= {id(w): f"{k}_reverse" for k, w in layer.backward_layer.named_parameters()
              if id(w) not in names}  # fmt: skip
    weights = {names[id(w)]: w for w in layer.parameters()}
    got = with_gradients({"y": mine.output}, {"x": x} | weights)
    agree(got, with_gradients({"y": theirs[0]}, {"x": x} | dict(own.named_parameters())), terms=300)


def test_every_layer_of_a_drop_in_shares() -> None:
    layer = nn.Bidirectional(nn.LSTM(4, 5, 2, layer_norm=True), share="recurrent")
    for name, weight in layer.forward_layer.named_parameters():
        same = weight is getattr(layer.backward_layer, name)
        assert same == name.startswith(("weight_hh", "bias_hh"))


@pytest.mark.parametrize("batch_first", [False, True])
def test_resets_states_and_gates_of_a_drop_in_are_those_of_its_cell(batch_first: bool) -> None:
    torch.manual_seed(1)
    layer = nn.Bidirectional(nn.LSTM(4, 5, dtype=F64, batch_first=batch_first))
    want = nn.Bidirectional(nn.Recurrent(cells.LSTM(4, 5, dtype=F64), batch_first=batch_first))
    for one, other in ((layer.forward_layer, want.forward_layer),
                       (layer.backward_layer, want.backward_layer)):  # fmt: skip
        with torch.no_grad():
            for n, gate in enumerate("ifgo"):
                rows = slice(5 * n, 5 * n + 5)
                getattr(other.cell, f"W_{gate}").copy_(one.weight_ih_l0[rows])
                getattr(other.cell, f"U_{gate}").copy_(one.weight_hh_l0[rows])
                getattr(other.cell, f"b_{gate}").copy_((one.bias_ih_l0 + one.bias_hh_l0)[rows])
    x, reset = normal(6, 3, 4, seed=1), torch.zeros(6, 3, dtype=torch.bool)
    reset[2, 0] = reset[5, 0] = reset[1, 2] = reset[4, 2] = True
    gaps = torch.tensor([1, 0, 1, 1, 0, 1], dtype=torch.bool)[:, None].expand(6, 3)
    how: dict[str, Any] = {"return_states": "all", "return_gates": True}
    if batch_first:
        x, reset, gaps = (v.transpose(0, 1) for v in (x, reset, gaps))
    for given in ({}, {"lengths": LENGTHS}, {"mask": gaps}):
        a, b = (one(x, reset=reset, **given, **how) for one in (layer, want))
        agree({"y": a.output}, {"y": b.output}, terms=200)
        for n in range(2):
            agree(a.states[n][0], b.states[n], terms=200)
            agree(a.gates[n][0], b.gates[n], terms=200)


@pytest.mark.parametrize("kind", ["drop-in", "stack", "convolutional"])
def test_any_layer_runs_both_ways(kind: str) -> None:
    torch.manual_seed(1)
    x = normal(6, 3, 4, seed=1)
    inner: torch.nn.Module
    if kind == "drop-in":
        inner = nn.LSTM(4, 5, 2, dtype=F64)
    elif kind == "stack":
        inner = nn.Stack(torch.nn.Linear(4, 4, dtype=F64), gru(4, 5), batch_first=True)
    else:
        inner, x = nn.ConvLSTM(2, 3, dtype=F64, dimensions=1), normal(6, 3, 2, 4, seed=1)
    layer = nn.Bidirectional(inner, merge="sum")
    given = x.transpose(0, 1) if layer.batch_first else x
    turned = flipped(x, LENGTHS)
    turned = turned.transpose(0, 1) if layer.batch_first else turned
    a = layer.forward_layer(given, lengths=LENGTHS)[0]
    b = layer.backward_layer(turned, lengths=LENGTHS)[0]
    a, b = (y.transpose(0, 1) if layer.batch_first else y for y in (a, b))
    y = layer(given, lengths=LENGTHS).output
    y = y.transpose(0, 1) if layer.batch_first else y
    agree({"y": y}, {"y": a + flipped(b, LENGTHS)}, terms=300)


def test_a_mask_in_both_directions() -> None:
    layer, x = nn.Bidirectional(gru(4, 5)), normal(6, 3, 4, seed=1)
    mask = torch.tensor([1, 0, 1, 1, 0, 1], dtype=torch.bool)[:, None].expand(6, 3)
    y = layer(x, mask=mask).output
    agree({"y": y[mask[:, 0]]}, {"y": layer(x[mask[:, 0]]).output}, terms=200)
    assert not y[~mask[:, 0]].any()


# Stack


def test_the_classical_picture() -> None:
    """Feed-forward, two bidirectional layers, feed-forward."""
    torch.manual_seed(1)
    stack = nn.Stack(
        torch.nn.Linear(4, 5, dtype=F64), torch.nn.Tanh(),
        nn.Bidirectional(gru(5, 3)), nn.LSTM(6, 4, bidirectional=True, dtype=F64, batch_first=True),
        torch.nn.Linear(8, 2, dtype=F64),
    )  # fmt: skip
    x = normal(6, 3, 4, seed=1)
    y, state, *_ = stack(x, lengths=LENGTHS)
    linear, _, both, lstm, head = stack.layers
    z = both(torch.tanh(linear(x)), lengths=LENGTHS)
    want, last = lstm(z.output.transpose(0, 1), lengths=LENGTHS)
    want = head(want.transpose(0, 1))
    for b, n in enumerate(LENGTHS):
        agree({"y": y[:n, b]}, {"y": want[:n, b]}, terms=300)
        assert not y[n:, b].any()
    identical({"h": state[3][0].detach()}, {"h": last[0].detach()})
    agree(
        {"y": stack(x, state).output},
        {"y": head(lstm(both(torch.tanh(linear(x)), state[2]).output.transpose(0, 1), state[3])[0]
                   .transpose(0, 1))}, terms=300,
    )  # fmt: skip


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Conv1d(4, 4, 3, padding=1), torch.nn.Conv1d(4, 4, 3, stride=2),
        torch.nn.Conv1d(4, 4, 2, dilation=2, padding="same"), torch.nn.MaxPool1d(2),
        torch.nn.MaxPool1d(3, stride=1, padding=1), torch.nn.AvgPool1d(3, padding=1),
    ],
    ids=str,
)  # fmt: skip
def test_what_runs_along_time_sees_no_padding(layer: torch.nn.Module, batch_first: bool) -> None:
    torch.manual_seed(1)
    stack = nn.Stack(layer.double(), gru(4, 5), batch_first=batch_first)
    x, lengths = normal(9, 3, 4, seed=1), [9, 6, 3]
    x = x.detach()
    for b, n in enumerate(lengths):
        x[n:, b] = float("nan")
    given = (x.transpose(0, 1) if batch_first else x).requires_grad_()
    y, state, *_ = stack(given, lengths=lengths)
    slopes = torch.autograd.grad(y.sum(), [given, *stack.parameters()])
    assert all(torch.isfinite(s).all() for s in slopes)
    for b, n in enumerate(lengths):
        row = x[:n, b : b + 1]
        alone, end, *_ = stack(row.transpose(0, 1) if batch_first else row)
        agree({"h": state[1]["h"][b]}, {"h": end[1]["h"][0]}, terms=200)
        mine = y[b] if batch_first else y[:, b]
        steps = alone.shape[1 if batch_first else 0]
        agree({"y": mine[:steps]}, {"y": alone[0] if batch_first else alone[:, 0]}, terms=200)
        assert not mine[steps:].any()


def test_connections_of_a_stack() -> None:
    x = normal(6, 3, 4, seed=1)
    a, b = gru(4, 4), gru(4, 4)
    one = a(x).output + x
    agree({"y": nn.Stack(a, b, connections="residual")(x).output},
          {"y": one + b(one).output}, terms=200)  # fmt: skip
    wide = gru(8, 3)
    agree({"y": nn.Stack(a, wide, connections="dense")(x).output},
          {"y": wide(torch.cat([x, a(x).output], -1)).output}, terms=200)  # fmt: skip


def test_a_stack_passes_resets_masks_states_and_gates() -> None:
    stack, x = nn.Stack(gru(4, 5), nn.LSTM(5, 3, dtype=F64)), normal(6, 3, 4, seed=1)
    reset = torch.zeros(6, 3, dtype=torch.bool)
    reset[4] = True
    y = stack(x, reset=reset).output
    agree({"y": y}, {"y": torch.cat([stack(x[:4]).output, stack(x[4:]).output])}, terms=100)
    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[1] = False
    kept = stack(x, mask=mask).output[mask[:, 0]]
    agree({"y": kept}, {"y": stack(x[mask[:, 0]]).output}, terms=100)
    found = stack(x, return_states="all", return_gates=True)
    assert set(found.gates[0]) == set("rzn")
    assert set(found.gates[1][0]) == set("ifgo")
    identical({"h": found.states[1][0]["h"]}, {"h": found.output})
    other = nn.Stack(*stack.layers, batch_first=True)
    turned = other(x.transpose(0, 1), mask=mask.t(), return_states="all")
    identical({"h": turned.states[1][0]["h"]}, {"h": turned.output})
    identical({"h": turned.states[0]["h"].transpose(0, 1)},
              {"h": stack(x, mask=mask, return_states="all").states[0]["h"]})  # fmt: skip


# ConvLSTM


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_kernel_of_one_on_one_pixel_is_the_lstm(dimensions: int) -> None:
    torch.manual_seed(1)
    layer = nn.ConvLSTM(4, 5, 1, dimensions=dimensions, dtype=F64)
    plain = nn.LSTM(4, 5, dtype=F64)
    with torch.no_grad():
        plain.weight_ih_l0.copy_(layer.weight_ih.flatten(1))
        plain.weight_hh_l0.copy_(layer.weight_hh.flatten(1))
        plain.bias_ih_l0.copy_(layer.bias)
        plain.bias_hh_l0.zero_()
    x = normal(6, 3, 4, seed=1)
    y, state, *_ = layer(x.reshape(6, 3, 4, *[1] * dimensions), lengths=LENGTHS)
    want, (h, c) = plain(x, lengths=LENGTHS)
    agree(
        {"y": y.flatten(2), "h": state["h"].flatten(1), "c": state["c"].flatten(1)},
        {"y": want, "h": h[0], "c": c[0]}, terms=200,
    )  # fmt: skip


def test_an_image_that_moves_moves_the_output() -> None:
    layer = nn.ConvLSTM(1, 2, 3, dtype=F64)
    x = torch.zeros(3, 1, 1, 20, 20, dtype=F64)
    x[:, :, :, 8:11, 8:11] = normal(3, 1, 1, 3, 3, seed=1).detach()
    moved = x.roll((1, 2), (3, 4))
    y = layer(x).output.roll((1, 2), (3, 4))
    agree({"y": y[..., 4:-4, 4:-4]}, {"y": layer(moved).output[..., 4:-4, 4:-4]}, terms=50)


@pytest.mark.parametrize("batch_first", [False, True])
def test_padding_resets_and_streams_of_images(batch_first: bool) -> None:
    layer = nn.ConvLSTM(2, 3, 3, dtype=F64, batch_first=batch_first)

    def run(x: Tensor, *a: Any, **how: Any) -> Any:
        found = layer(x.transpose(0, 1) if batch_first else x, *a, **how)
        y = found.output.transpose(0, 1) if batch_first else found.output
        return found._replace(output=y)

    x = normal(6, 3, 2, 4, 5, seed=1).detach()
    x[3:, 2] = float("nan")
    found = run(x.requires_grad_(), lengths=LENGTHS)
    slope = torch.autograd.grad(found.output.sum(), x)[0]
    assert torch.isfinite(slope).all()
    assert not slope[3:, 2].any()
    alone = run(x[:3, 2:])
    agree({"y": found.output[:3, 2], "h": found.state["h"][2]},
          {"y": alone.output[:, 0], "h": alone.state["h"][0]}, terms=100)  # fmt: skip
    x = normal(6, 3, 2, 4, 5, seed=2)
    first, whole = run(x[:2]), run(x)
    agree({"y": run(x[2:], first.state).output}, {"y": whole.output[2:]}, terms=100)
    reset = torch.zeros(6, 3, dtype=torch.bool)
    reset[2] = True
    again = run(x, reset=reset.t() if batch_first else reset).output
    agree({"y": again}, {"y": torch.cat([first.output, run(x[2:]).output])}, terms=100)


def test_the_way_back_is_drawn_afresh() -> None:
    layer = nn.Bidirectional(nn.LSTM(4, 5))
    assert not torch.equal(layer.forward_layer.weight_hh_l0, layer.backward_layer.weight_hh_l0)
    assert bidirectional.Bidirectional is nn.Bidirectional


def test_gradients_of_everything_through_a_stack() -> None:
    stack = nn.Stack(torch.nn.Linear(2, 3, dtype=F64), nn.Bidirectional(gru(3, 2), merge="sum"))
    x = normal(3, 2, 2, seed=1)
    weights = dict(stack.named_parameters())

    def run(x: Tensor, *w: Tensor) -> Tensor:
        given = dict(zip(weights, w, strict=True))
        y: Tensor = torch.func.functional_call(stack, given, (x,), {"lengths": [3, 1]})[0]
        return y

    assert torch.autograd.gradcheck(run, (x, *weights.values()))
