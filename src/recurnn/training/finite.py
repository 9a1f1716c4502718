"""Where NaN or infinity came from: the first layer, step and quantity that went bad."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from recurnn.nn.results import batch_first_of, is_recurrent
from recurnn.training.carry import tensors

GIVEN = ("the input", "the target", "the weight")
"""How `first_bad` begins where the fault lies in what training was given."""


class NonFiniteWarning(UserWarning):
    """An update was left out, because the loss or the gradient was not finite."""


def first_bad(
    module: nn.Module,
    inputs: Any,
    target: Any,
    run: Callable[[], Tensor],
    random: Tensor | None = None,
) -> str:
    """Run a batch again and say what is not finite, the earliest first.

    Looks at the inputs, the target, the weights, what each layer says in the order in which they
    are run, the loss, and the gradient of each weight, the last layer's first: the gradient flows
    from there.

    Args:
        module: the network.
        inputs: of the batch.
        target: of the batch.
        run: computes the loss again.
        random: state of the random generator with which it was computed.
    """
    for number, tensor in enumerate(tensors(inputs)):
        if bad(tensor):
            return f"the input{f' {number}' if number else ''}{_at_step(tensor, 'batch')}"
    if any(bad(tensor) for tensor in tensors(target)):
        return "the target"
    for name, weight in module.named_parameters():
        if bad(weight):
            return f"the weight {name}, before this batch"
    found: list[str] = []
    hooks = [
        layer.register_forward_hook(_noting(name or type(module).__name__, found))
        for name, layer in module.named_modules()
    ]
    before = torch.get_rng_state()
    try:
        if random is not None:
            torch.set_rng_state(random)
        with torch.enable_grad():
            loss = run()
        if found:
            return found[0]
        if bad(loss):
            return f"the loss, {float(loss.detach())}, though the output of every layer is finite"
        return _first_bad_gradient(module, loss)
    finally:
        torch.set_rng_state(before)
        for hook in hooks:
            hook.remove()


def bad(tensor: Tensor) -> bool:
    """Whether a tensor has NaN or infinity."""
    return tensor.is_floating_point() and not bool(torch.isfinite(tensor.detach()).all())


def warn(text: str) -> None:
    """Say that an update was left out."""
    warnings.warn(text, NonFiniteWarning, stacklevel=4)


def _noting(name: str, found: list[str]) -> Callable[..., None]:
    def note(layer: nn.Module, inputs: Any, output: Any) -> None:
        for tensor in tensors(output):
            if bad(tensor):
                along = "batch" if batch_first_of(layer) else "time"
                where = _at_step(tensor, along) if is_recurrent(layer) else ""
                found.append(f"the output of {name} ({type(layer).__name__}){where}")
                return

    return note


def _at_step(tensor: Tensor, first: str) -> str:
    """At which step of [T, B, ...] (or [B, T, ...]) the first bad number stands."""
    if tensor.dim() < 3:
        return ""
    by_step = tensor.transpose(0, 1) if first == "batch" else tensor
    steps = torch.nonzero(~torch.isfinite(by_step.detach()).flatten(1).all(1))
    return f", first at step {int(steps[0])} of {by_step.shape[0]}"


def _first_bad_gradient(module: nn.Module, loss: Tensor) -> str:
    weights = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, [p for _, p in weights], allow_unused=True)
    for (name, _), gradient in reversed(list(zip(weights, found, strict=True))):
        if gradient is not None and bad(gradient):
            return f"the gradient of {name}, though the loss is finite"
    return "the gradient, summed over the batch, though that of each weight is finite"
