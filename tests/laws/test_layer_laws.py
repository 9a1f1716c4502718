"""Laws of every layer: padding is invisible, rows are by themselves, a stream is a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from problems import normal
from recurnn import cells, nn
from tolerance import agree, identical

F64 = torch.float64
LENGTHS = [5, 0, 7, 2]

LAYERS: dict[str, Callable[[], torch.nn.Module]] = {
    "rnn": lambda: nn.RNN(3, 4, 2, bidirectional=True, dtype=F64),
    "gru": lambda: nn.GRU(3, 4, 2, connections="dense", dtype=F64),
    "lstm": lambda: nn.LSTM(3, 4, 3, connections="residual", dtype=F64),
    "projected": lambda: nn.LSTM(3, 4, proj_size=2, bidirectional=True, dtype=F64),
    "merged": lambda: nn.LSTM(3, 4, 2, bidirectional=True, merge="mul", share="both", dtype=F64),
    "learned": lambda: nn.GRU(3, 4, initial="learned", dtype=F64),
    "normed": lambda: nn.LSTM(3, 4, layer_norm=True, dtype=F64),
    "zoned": lambda: nn.LSTM(3, 4, zoneout=0.3, dtype=F64),
    "reversed": lambda: nn.GRU(3, 4, reverse=True, dtype=F64),
    "cell": lambda: nn.Recurrent(cells.MGU(3, 4, dtype=F64), zoneout=0.2, initial="learned"),
    "both": lambda: nn.Bidirectional(nn.Recurrent(cells.PeepholeLSTM(3, 4, dtype=F64))),
    "stack": lambda: nn.Stack(
        torch.nn.Linear(3, 4, dtype=F64), nn.GRU(4, 3, dtype=F64), torch.nn.Linear(3, 2, dtype=F64)
    ),
}
FORWARD = ["gru", "lstm", "learned", "normed", "zoned", "cell", "stack"]


def made(name: str) -> torch.nn.Module:
    torch.manual_seed(5)
    return LAYERS[name]().eval()


def output(layer: torch.nn.Module, x: Tensor, **how: Any) -> Tensor:
    y: Tensor = layer(x, **how)[0]
    return y


def states(value: Any) -> list[Tensor]:
    """Every tensor inside states of whatever form."""
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value or ()
    return [s for part in parts for s in states(part)]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 7.0])
def test_padding_reaches_no_output_state_or_gradient(name: str, value: float) -> None:
    layer, x = made(name), normal(7, 4, 3, seed=1).detach()
    results = []
    for filler in (0.0, value):
        given = x.clone()
        for b, n in enumerate(LENGTHS):
            given[n:, b] = filler
        given.requires_grad_()
        y, last, *_ = layer(given, lengths=LENGTHS)
        total = y.square().sum() + sum(s.square().sum() for s in states(last))
        slopes = torch.autograd.grad(total, [given, *layer.parameters()], materialize_grads=True)
        results.append({"y": y.detach()} | {str(n): s for n, s in enumerate(slopes)})
        results[-1] |= {f"s{n}": s.detach() for n, s in enumerate(states(last))}
    identical(results[1], results[0])
    for b, n in enumerate(LENGTHS):
        assert not results[1]["0"][n:, b].any()


@pytest.mark.parametrize("name", LAYERS)
def test_a_row_knows_nothing_of_the_others(name: str) -> None:
    layer, x = made(name), normal(7, 4, 3, seed=1).detach()
    y = output(layer, x, lengths=LENGTHS)
    order = [2, 0, 3, 1]
    turned = output(layer, x[:, order], lengths=[LENGTHS[b] for b in order])
    identical({"y": turned.detach()}, {"y": y[:, order].detach()})
    for b, n in enumerate(LENGTHS):
        agree({"y": y[:n, b]}, {"y": output(layer, x[:n, b : b + 1])[:, 0]}, terms=100)
    broken = x.clone()
    broken[:, 2] = float("nan")
    others = [0, 1, 3]
    again = output(layer, broken, lengths=LENGTHS)
    identical({"y": again[:, others].detach()}, {"y": y[:, others].detach()})


@pytest.mark.parametrize("name", FORWARD)
def test_a_stream_is_the_whole(name: str) -> None:
    layer, x = made(name), normal(7, 4, 3, seed=1).detach()
    whole, last, *_ = layer(x)
    state, parts = None, []
    for t in range(len(x)):
        y, state, *_ = layer(x[t : t + 1], state)
        parts.append(y)
    agree({"y": torch.cat(parts)}, {"y": whole}, terms=200)
    for got, want in zip(states(state), states(last), strict=True):
        agree({"s": got}, {"s": want}, terms=200)


@pytest.mark.parametrize("name", LAYERS)
def test_an_empty_batch_and_no_steps(name: str) -> None:
    layer = made(name)
    width = output(layer, torch.zeros(2, 1, 3, dtype=F64)).shape[-1]
    assert output(layer, torch.zeros(3, 0, 3, dtype=F64)).shape == (3, 0, width)
    assert output(layer, torch.zeros(0, 2, 3, dtype=F64)).shape == (0, 2, width)


@pytest.mark.parametrize("name", ["zoned", "cell"])
def test_padding_is_invisible_to_drawn_masks_too(name: str) -> None:
    layer, x = made(name).train(), normal(7, 4, 3, seed=1).detach()
    results = []
    for filler in (0.0, float("nan")):
        given = x.clone()
        for b, n in enumerate(LENGTHS):
            given[n:, b] = filler
        torch.manual_seed(3)
        results.append(output(layer, given, lengths=LENGTHS).detach())
    identical({"y": results[1]}, {"y": results[0]})


def test_two_directions_of_images_are_joined_by_channel():
    layer = nn.Bidirectional(nn.ConvLSTM(3, 4, 3))
    x = torch.randn(5, 2, 3, 6, 7)
    joined = layer(x).output
    layer.merge = None
    forward, backward = layer(x).output
    assert joined.shape == (5, 2, 8, 6, 7)
    assert torch.equal(joined[:, :, :4], forward)
    assert torch.equal(joined[:, :, 4:], backward)
