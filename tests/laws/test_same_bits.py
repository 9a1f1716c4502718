"""What has the same bits however a sequence is run, and what is the same within rounding.

A row of a batch is computed by itself, and a step from the state before it alone. So outputs,
states and the gradients of inputs and initial states are the same numbers, bit for bit, for a
sequence alone, in a batch, in a batch of another size or order, padded, masked, in parts, and step
by step. Gradients of weights are sums over rows and steps, and come out within rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
from problems import normal
from recurnn import cells, nn
from tolerance import agree, identical

F32, F64 = torch.float32, torch.float64
T, B, I = 9, 13, 5  # noqa: E741 - the letters of the design
LAYERS: dict[str, Callable[..., torch.nn.Module]] = {
    "lstm": lambda H, **where: nn.LSTM(I, H, 2, **where),
    "gru": lambda H, **where: nn.GRU(I, H, **where),
    "elman": lambda H, **where: nn.RNN(I, H, **where),
    "projected": lambda H, **where: nn.LSTM(I, H, proj_size=H // 2, **where),
    "layer norm": lambda H, **where: nn.GRU(I, H, layer_norm=True, **where),
    "zoneout": lambda H, **where: nn.LSTM(I, H, zoneout=0.1, **where),
    "two directions": lambda H, **where: nn.LSTM(I, H, bidirectional=True, **where),
    "a cell": lambda H, **where: nn.Recurrent(cells.ResetBeforeGRU(I, H, **where)),
}
FORWARD = [name for name in LAYERS if name != "two directions"]
layers = pytest.mark.parametrize("name", LAYERS)
sizes = pytest.mark.parametrize(("H", "dtype"), [(33, F32), (64, F32), (34, F64)])


def made(name: str, H: int, dtype: torch.dtype) -> tuple[Any, Tensor, Tensor]:
    """The layer in evaluation, x [T, B, I] and dL/dy."""
    torch.manual_seed(5)
    layer = LAYERS[name](H, dtype=dtype).eval()
    x = normal(T, B, I, seed=1, dtype=dtype).detach()
    with torch.no_grad():
        shape = layer(x)[0].shape
    return layer, x, normal(*shape, seed=2, dtype=dtype).detach()


def graded(run: Callable[[Tensor], Tensor], layer: Any, x: Tensor, dy: Tensor) -> dict[str, Tensor]:
    """Output, dx, and the gradients of the weights."""
    x = x.clone().requires_grad_()
    y = run(x)
    slopes = torch.autograd.grad(y, [x, *layer.parameters()], dy)
    names = ["dx", *(k for k, _ in layer.named_parameters())]
    return {"y": y.detach()} | dict(zip(names, slopes, strict=True))


def output(layer: Any, **how: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: layer(x, **how)[0]


def of_rows(values: dict[str, Tensor], rows: Any) -> dict[str, Tensor]:
    return {k: values[k][:, rows] for k in ("y", "dx")}


@layers
@sizes
def test_a_batch_of_another_size_or_order(name: str, H: int, dtype: torch.dtype) -> None:
    layer, x, dy = made(name, H, dtype)
    whole = graded(output(layer), layer, x, dy)
    for rows in ([2], [12], [0, 1, 2, 3, 4, 5], [11, 3, 7, 0]):
        part = graded(output(layer), layer, x[:, rows], dy[:, rows])
        identical(of_rows(part, slice(None)), of_rows(whole, rows))
    order = [4, 12, 7, 0, 2, 11, 1, 3, 10, 5, 9, 6, 8]
    turned = graded(output(layer), layer, x[:, order], dy[:, order])
    weights = [k for k, _ in layer.named_parameters()]
    agree({k: turned[k] for k in weights}, {k: whole[k] for k in weights}, terms=T * B * 10)


@layers
@sizes
def test_a_padded_row_is_the_row_alone(name: str, H: int, dtype: torch.dtype) -> None:
    layer, x, dy = made(name, H, dtype)
    lengths = [9, 1, 4, 0, 7, 9, 2, 3, 8, 5, 6, 1, 9]
    whole = graded(output(layer, lengths=lengths), layer, x, dy)
    for b in (1, 2, 4):
        n = lengths[b]
        alone = graded(output(layer), layer, x[:n, b : b + 1], dy[:n, b : b + 1])
        mine = {k: whole[k][:n, b : b + 1] for k in ("y", "dx")}
        identical(mine, {k: alone[k] for k in mine})


@layers
@sizes
def test_a_masked_row_is_its_real_steps_alone(name: str, H: int, dtype: torch.dtype) -> None:
    layer, x, dy = made(name, H, dtype)
    mask = torch.arange(T * B).reshape(T, B) % 3 != 1
    whole = graded(output(layer, mask=mask), layer, x, dy)
    for b in (0, 5):
        real = mask[:, b]
        alone = graded(output(layer), layer, x[real, b : b + 1], dy[real, b : b + 1])
        mine = {k: whole[k][real, b : b + 1] for k in ("y", "dx")}
        identical(mine, {k: alone[k] for k in mine})


@pytest.mark.parametrize("name", FORWARD)
@sizes
@pytest.mark.parametrize("steps", [[4, 5], [1, 7, 1], [1] * T], ids=str)
def test_parts_are_the_whole(name: str, H: int, dtype: torch.dtype, steps: list[int]) -> None:
    layer, x, dy = made(name, H, dtype)

    def in_parts(x: Tensor) -> Tensor:
        state, outputs = None, []
        for part in x.split(steps):
            y, state, *_ = layer(part, state)
            outputs.append(y)
        return torch.cat(outputs)

    got = graded(in_parts, layer, x, dy)
    want = graded(output(layer), layer, x, dy)
    identical(of_rows(got, slice(None)), of_rows(want, slice(None)))
    agree(got, want, terms=T * B * 10)


@pytest.mark.parametrize("name", [name for name in FORWARD if name != "zoneout"])
@sizes
def test_a_stepper_is_the_layer(name: str, H: int, dtype: torch.dtype) -> None:
    layer, x, _ = made(name, H, dtype)
    step = recurnn.stepper(layer, batch_size=B)
    identical({"y": torch.stack([step(row) for row in x])}, {"y": layer(x)[0].detach()})


@layers
@sizes
def test_what_else_is_asked_for_changes_nothing(name: str, H: int, dtype: torch.dtype) -> None:
    layer, x, _ = made(name, H, dtype)
    want = {"y": layer(x)[0].detach()}
    with torch.no_grad():
        identical({"y": layer(x)[0]}, want)
        identical({"y": layer(x, return_states="all", return_gates=True)[0]}, want)
        identical({"y": layer(x, lengths=[T] * B)[0]}, want)
        identical({"y": layer(x, reset=torch.zeros(T, B, dtype=torch.bool))[0]}, want)


def test_bfloat16_is_the_same_within_a_call_and_rounded_between_calls() -> None:
    """Inside a call a state is float32; where one call hands it to the next it has 8 bits."""
    layer, x, dy = made("lstm", 64, torch.bfloat16)
    whole = graded(output(layer), layer, x, dy)
    part = graded(output(layer), layer, x[:, 2:6], dy[:, 2:6])
    identical(of_rows(part, slice(None)), of_rows(whole, slice(2, 6)))
    _, state = layer(x[:4])
    agree({"y": layer(x[4:], state)[0]}, {"y": whole["y"][4:]}, terms=T)
