"""One way to call every layer: what it takes, and what it gives, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from recurnn.errors import ConfigError
from recurnn.nn.base import TorchLayer
from recurnn.nn.recurrent import Recurrent


class LayerResult(NamedTuple):
    """What `Bidirectional`, `Stack` and `ConvLSTM` return.

    Attributes:
        output: at every step.
        state: final states: of the cell by name, of the two directions as a pair, of the layers of
            a stack as a list with None for those that have none.
        states: the states at every step in the same form, if ``return_states="all"``.
        gates: the gates at every step in the same form, if ``return_gates=True``.
    """

    output: Any
    state: Any
    states: Any = None
    gates: Any = None


def at_every_step(values: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """States or gates at every step, of whatever form, with each tensor changed."""
    if isinstance(values, Tensor):
        return change(values)
    if isinstance(values, dict):
        return {k: at_every_step(v, change) for k, v in values.items()}
    return values if values is None else type(values)(at_every_step(v, change) for v in values)


def is_recurrent(layer: nn.Module) -> bool:
    """Whether a layer takes states, lengths and the rest."""
    return isinstance(layer, TorchLayer | Recurrent) or getattr(layer, "is_recurrent", False)


def check_ours(name: str, layer: nn.Module) -> None:
    """Refuse torch's own recurrent layers, which take no lengths and give a tuple.

    Args:
        name: of what the layer is given to, for errors.
        layer: any layer.
    """
    if isinstance(layer, nn.RNNBase):
        kind = type(layer).__name__
        raise ConfigError(
            f"{name}: a layer is torch.nn.{kind}.\n  Give recurnn.nn.{kind}, or what "
            "recurnn.nn.convert(layer) returns."
        )


def batch_first_of(layer: nn.Module) -> bool:
    """Whether a layer takes and gives [B, T, ...]."""
    return bool(getattr(layer, "batch_first", False))


def run_layer(layer: nn.Module, x: Tensor, state: Any, **options: Any) -> LayerResult:
    """Run a recurrent layer of either layout on x [T, B, ...].

    Args:
        layer: the layer.
        x: input, time-major.
        state: initial states as the layer has them, or None.
        **options: ``lengths``; ``reset`` [T, B]; ``return_states``; ``return_gates``;
            ``gradient_norms`` as the layer takes them.

    Returns:
        Its results, time-major.
    """
    turned = batch_first_of(layer)
    options = {k: v for k, v in options.items() if v is not None}
    if turned:
        x = x.transpose(0, 1)
        if "reset" in options:
            options["reset"] = options["reset"].transpose(0, 1)
    found = layer(x, state, **options)
    if isinstance(layer, TorchLayer):
        output, last, *seen = found
        states = [r.states for r in seen[0]] if seen else None
        gates = [r.gates for r in seen[0]] if seen else None
        found = LayerResult(output, last, states, gates)
    output, state, *others = found
    if turned:
        output, *others = (at_every_step(v, _turned) for v in (output, *others))
    return LayerResult(output, state, *others)


def _turned(values: Tensor) -> Tensor:
    return values.transpose(0, 1)
