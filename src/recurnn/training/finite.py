"""Where NaN or infinity came from: the first layer, step and quantity that went bad."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from recurnn.nn.results import batch_first_of, is_recurrent
from recurnn.training.carry import tensors
from recurnn.training.feeds import Batch

GIVEN = ("the input", "the target", "the weight")
"""How `first_bad` begins where the fault lies in what training was given."""
SUMMED = "the gradient, summed over the batch, though that of each weight is finite"
"""What is left where `first_bad` finds nothing."""


class NonFiniteWarning(UserWarning):
    """An update was left out, because the loss or the gradient was not finite."""


@dataclass(frozen=True)
class Computed:
    """What a batch was computed from, to compute it again.

    Attributes:
        batch: the batch.
        state: of a stream, what was carried to it.
        random: state of the random generator.
    """

    batch: Batch
    state: Any
    random: Tensor


def first_of(
    module: nn.Module, computed: Sequence[Computed], run: Callable[[Batch, Any], Tensor]
) -> tuple[int, str] | None:
    """The first of the batches of an update that has something not finite, and what that is.

    Args:
        module: the network.
        computed: the batches, in the order in which they were computed.
        run: computes the loss of a batch and the state that was carried to it.

    Returns:
        The number of the batch among them, from 0, and what `first_bad` says of it; None where
        each by itself is finite.
    """
    for number, one in enumerate(computed):
        again = partial(run, one.batch, one.state)
        found = first_bad(module, one.batch, again, one.random)
        if found is not None:
            return number, found
    return None


def first_bad(
    module: nn.Module, batch: Batch, run: Callable[[], Tensor], random: Tensor | None = None
) -> str | None:
    """Run a batch again and say what is not finite, the earliest first; None if nothing is.

    Looks at the inputs, the target, the weights, what each layer says in the order in which they
    are run, the loss, and the gradient of each weight, the last layer's first: the gradient flows
    from there.

    Args:
        module: the network.
        batch: the batch.
        run: computes the loss again.
        random: state of the random generator with which it was computed.
    """
    for number, tensor in enumerate(tensors(batch.inputs)):
        if bad(tensor):
            return f"the input{f' {number}' if number else ''}{_given_at(tensor, batch)}"
    for tensor in tensors(batch.target):
        if bad(tensor):
            return f"the target{_given_at(tensor, batch) if batch.streamed else ''}"
    for name, weight in module.named_parameters():
        if bad(weight):
            return f"the weight {name}, before this batch"
    found: list[str] = []
    place = _Place(batch)
    hooks = [module.register_forward_pre_hook(place.called)]
    hooks += [
        layer.register_forward_hook(_noting(name or type(module).__name__, place, found))
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


class _Place:
    """Where in a stream the network is: a window is run in pieces where a document begins."""

    def __init__(self, batch: Batch) -> None:
        self.batch, self.begin, self.end = batch, 0, 0

    def called(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """The network is called with the next piece."""
        if self.batch.streamed and inputs:
            self.begin, self.end = self.end, self.end + len(inputs[0])

    def of(self, step: int, steps: int) -> str:
        """A step of the piece, in words."""
        if not self.batch.streamed:
            return f", first at step {step} of {steps}"
        return f", first at step {self.batch.begin + self.begin + step} of the lanes"


def _noting(name: str, place: _Place, found: list[str]) -> Callable[..., None]:
    def note(layer: nn.Module, inputs: Any, output: Any) -> None:
        for tensor in tensors(output):
            if bad(tensor):
                where = ""
                if tensor.dim() == 3 and (is_recurrent(layer) or isinstance(layer, nn.RNNBase)):
                    by_step = tensor.transpose(0, 1) if batch_first_of(layer) else tensor
                    where = place.of(_first_step(by_step), len(by_step))
                found.append(f"the output of {name} ({type(layer).__name__}){where}")
                return

    return note


def _given_at(tensor: Tensor, batch: Batch) -> str:
    """At which step of x [B, T, ...], or [k, B, ...] of a stream, the first bad number stands."""
    if batch.streamed:
        step = _first_step(tensor)
        lane = batch.lane + _first_step(tensor[step][:, None])
        return f", first at step {batch.begin + step} of lane {lane}"
    if tensor.dim() < 3:
        return ""
    by_step = tensor.transpose(0, 1)
    return f", first at step {_first_step(by_step)} of {len(by_step)}"


def _first_step(values: Tensor) -> int:
    """The first step of [T, ...] with a number that is not finite."""
    bad_steps = ~torch.isfinite(values.detach()).flatten(1).all(1)
    return int(torch.nonzero(bad_steps)[0])


def _first_bad_gradient(module: nn.Module, loss: Tensor) -> str | None:
    weights = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, [p for _, p in weights], allow_unused=True)
    for (name, _), gradient in reversed(list(zip(weights, found, strict=True))):
        if gradient is not None and bad(gradient):
            return f"the gradient of {name}, though the loss is finite"
    return None
