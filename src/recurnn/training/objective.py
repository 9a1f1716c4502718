"""What is minimised: from a batch to a loss, and what else is measured."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurnn.errors import KindError, ShapeError, one_of
from recurnn.training import carry
from recurnn.training.feeds import Batch

Loss = Callable[[Any, Any], Tensor | tuple[Tensor, int | Tensor]]
"""Output and target to the mean loss, or to the mean and the number that it is over."""

IGNORED = -100
"""The class of a step that does not count (padding), as in torch's cross entropy."""


def cross_entropy(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy of classes in the last dimension, and over how many targets.

    Args:
        output: scores [..., V].
        target: classes [...]; those that are `IGNORED` do not count.
    """
    flat, classes = output.reshape(-1, output.shape[-1]), target.reshape(-1)
    count = (classes != IGNORED).sum()
    total = F.cross_entropy(flat, classes, reduction="sum", ignore_index=IGNORED)
    return total / count.clamp(min=1), count


def accuracy(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Share of the classes that are guessed right, and over how many targets."""
    real = target != IGNORED
    right = (output.argmax(-1) == target) & real
    return right.sum() / real.sum().clamp(min=1), real.sum()


def alike(loss: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """A loss of each number and its target, which must have one shape: none is repeated."""

    def checked(output: Tensor, target: Tensor) -> Tensor:
        if output.shape != target.shape:
            raise ShapeError(
                "The output and the target differ in shape.\n"
                f"  The network says {list(output.shape)}; the target is {list(target.shape)}."
            )
        return loss(output, target)

    return checked


LOSSES: dict[str, Loss] = {
    "mse": alike(F.mse_loss),
    "mae": alike(F.l1_loss),
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": alike(F.binary_cross_entropy_with_logits),
}


@dataclass(frozen=True)
class Metric:
    """Something measured on the validation part.

    Attributes:
        function: output and target to a mean, or to a mean and the number that it is over.
        highest: whether more is better.
    """

    function: Loss
    highest: bool = False


METRICS: dict[str, Metric] = {
    "accuracy": Metric(accuracy, highest=True),
    "mse": Metric(LOSSES["mse"]),
    "mae": Metric(LOSSES["mae"]),
}


def metrics_of(wanted: Mapping[str, Metric] | tuple[str, ...] | list[str]) -> dict[str, Metric]:
    """The metrics by name.

    Raises:
        ConfigError: there is none of a name.
    """
    if isinstance(wanted, Mapping):
        return dict(wanted)
    for name in wanted:
        if name not in METRICS:
            raise one_of("metric", name, METRICS)
    return {name: METRICS[name] for name in wanted}


@dataclass
class Outcome:
    """What a batch came to.

    Attributes:
        loss: mean over `count`, from which the gradient flows.
        count: how many samples, or targets, it is over.
        output: what the network said, for the metrics.
        target: what it should have said.
        state: states to carry on, of a stream.
    """

    loss: Tensor
    count: float
    output: Any = None
    target: Any = None
    state: Any = None


class Objective(Protocol):
    """From a batch to what is minimised; write one where a loss of output and target is not enough.

    A stream's objective gets the states that it returned for the batch before, detached.
    """

    def __call__(self, module: nn.Module, batch: Batch, state: Any) -> Outcome:
        """Run the network on a batch."""


class Supervised:
    """A loss of what the network says of x and of what it should say.

    Of a batch of samples the network is called with x (a tuple: with each of its members; a
    dict: by name). Of a chunk of a stream it is called with x [k, B, ...] and the carried state,
    and returns the output [k, B, ...] and the state; a parameter ``reset`` of its `forward` gets
    the mask of steps [k, B] at which a document begins. A network without one is called
    piecewise, and its states, tensors [..., B, H], are set to zero in between.

    Args:
        loss: of output and target.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self._parameters: dict[type[nn.Module], Mapping[str, Any]] = {}

    def __call__(self, module: nn.Module, batch: Batch, state: Any) -> Outcome:
        """Run the network on a batch."""
        if not batch.streamed:
            output = call(module, batch.inputs)
            return self._outcome(output, batch.target, batch.count)
        x, target, reset, k = batch.inputs, batch.target, batch.reset, batch.ahead
        # What is carried is the state where the next window begins, k steps on from here.
        if k == 0:
            kept = state
            output, _ = self._run(module, x, state, reset)
        elif k == len(x):
            output, state = self._run(module, x, state, reset)
            kept = carry.detached(state)
        else:
            first, state = self._run(module, x[:k], state, reset[:k])
            kept = carry.detached(state)
            rest, _ = self._run(module, x[k:], state, reset[k:])
            output = torch.cat([first, rest])
        told = self._outcome(output[batch.scored :], target[batch.scored :], batch.count)
        told.state = kept
        return told

    def _outcome(self, output: Any, target: Any, count: float) -> Outcome:
        value, own = split_mean(self.loss(output, target))
        return Outcome(value, count if own is None else own, output, target)

    def _run(self, module: nn.Module, x: Any, state: Any, reset: Tensor) -> tuple[Tensor, Any]:
        takes_reset = "reset" in self._parameters_of(module)
        if not bool(reset.any()):
            return _output_and_state(module, module(x, state))
        if takes_reset:
            return _output_and_state(module, module(x, state, reset=reset))
        pieces = []
        starts = torch.nonzero(reset.any(1)).flatten().tolist()
        for begin, end in zip([0, *starts], [*starts, len(x)], strict=True):
            if begin in starts and state is not None:
                state = carry.restarted(state, reset[begin])
            if begin < end:
                output, state = _output_and_state(module, module(x[begin:end], state))
                pieces.append(output)
        return torch.cat(pieces), state

    def _parameters_of(self, module: nn.Module) -> Mapping[str, Any]:
        """What the network's `forward` takes, which must be a state among others."""
        kind = type(module)
        if kind not in self._parameters:
            signature = inspect.signature(module.forward)
            try:
                signature.bind(None, None)
            except TypeError:
                raise KindError(
                    f"{kind.__name__} cannot be run along a stream: its forward{signature} takes "
                    "no state.\n  It is called with a chunk x [k, B, ...] and the state that it "
                    "returned for the chunk before, None at first.\n"
                    "  Write forward(self, x, state=None), and return output, state."
                ) from None
            self._parameters[kind] = signature.parameters
        return self._parameters[kind]


def _output_and_state(module: nn.Module, result: Any) -> tuple[Tensor, Any]:
    """What a network returned for a chunk of a stream."""
    if not isinstance(result, (tuple, list)) or len(result) < 2:
        raise KindError(
            f"{type(module).__name__} returned no state for a chunk of a stream.\n"
            f"  It returned a {type(result).__name__}; expected output [k, B, ...] and the state "
            "to carry to the next chunk.\n"
            "  Write return output, state; a network without a state returns None for it."
        )
    return result[0], result[1]


def call(module: nn.Module, inputs: Any) -> Any:
    """The network on its inputs: one tensor, several in order, or by name."""
    if isinstance(inputs, dict):
        return module(**inputs)
    if isinstance(inputs, (tuple, list)):
        return module(*inputs)
    return module(inputs)


def split_mean(value: Any) -> tuple[Tensor, float | None]:
    """A mean, and the number that it is over if that was said."""
    if isinstance(value, tuple):
        return value[0], float(value[1])
    return value, None
