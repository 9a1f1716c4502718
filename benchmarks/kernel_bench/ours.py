"""What is timed with torch alone: our layers, torch's, and how either is trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import recurnn
from kernel_bench.shapes import LAYERS, Shape
from kernel_bench.timing import Run


def layers(cell: str, shape: Shape) -> tuple[nn.RNNBase, nn.RNNBase]:
    """Our layer and torch's, with the same weights."""
    _, _, I, H = shape  # noqa: E741 - the letters of the design
    torch.manual_seed(0)
    theirs = getattr(nn, LAYERS[cell])(I, H)
    ours = getattr(recurnn.nn, LAYERS[cell])(I, H)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def data(shape: Shape) -> tuple[Tensor, Tensor]:
    """Random x [T, B, I] and dL/dy [T, B, H]."""
    T, B, I, H = shape  # noqa: E741 - the letters of the design
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(T, B, I, generator=generator)
    return x, torch.randn(T, B, H, generator=generator)


def gradients(layer: nn.Module, x: Tensor, dy: Tensor) -> list[Tensor]:
    """Forward and backward: the output, dx and the gradient of every weight."""
    x = x.detach().requires_grad_()
    y = layer(x)[0]
    return [y, *torch.autograd.grad(y, [x, *layer.parameters()], dy)]


def results(layer: nn.Module, x: Tensor, dy: Tensor) -> dict[str, Tensor]:
    """Everything that a layer is compared by, under names."""
    names = ["y", "dx", *(f"d{name}" for name, _ in layer.named_parameters())]
    found = dict(zip(names, gradients(layer, x, dy), strict=True))
    with torch.no_grad():
        return found | {"y without gradients": layer(x)[0]}


def stepper(layer: nn.Module, x: Tensor) -> Run | None:
    """Our call for one step on x [1, B, I], where recurnn has it; the state is carried on."""
    make: Any = getattr(recurnn, "stepper", None)
    if make is None:
        return None
    step, x = make(layer, batch_size=x.shape[1]), x[0]
    return lambda: step(x)


def torch_step(cell: str, layer: nn.RNNBase, x: Tensor) -> Run:
    """The call that torch has for one step, `nn.LSTMCell` and the like; the state made before."""
    step = getattr(nn, f"{LAYERS[cell]}Cell")(layer.input_size, layer.hidden_size)
    step.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    h = torch.zeros(x.shape[1], layer.hidden_size)
    state, x = (h, h.clone()) if cell == "lstm" else h, x[0]
    return lambda: step(x, state)
