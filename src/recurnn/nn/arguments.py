"""The arguments of the drop-in layers, checked with torch's kinds of error."""

from __future__ import annotations

import numbers
import warnings
from typing import TYPE_CHECKING, Any

from recurnn.errors import ConfigError, KindError

if TYPE_CHECKING:
    from recurnn.nn.base import TorchLayer


def check_arguments(layer: TorchLayer, dropout: Any) -> None:
    """Refuse the arguments that torch refuses, with its kinds of error."""
    name = type(layer).__name__
    number = isinstance(dropout, numbers.Real) and not isinstance(dropout, bool)
    if not number or not 0 <= dropout <= 1:
        raise ConfigError(
            f"{name}: dropout is {dropout!r}.\n  dropout should be a number in range [0, 1], "
            "representing the probability of an element being zeroed."
        )
    for option, kind in (
        ("bias", bool), ("batch_first", bool),
        ("input_size", int), ("hidden_size", int), ("num_layers", int), ("proj_size", int),
    ):  # fmt: skip
        value = getattr(layer, option)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise KindError(
                f"{name}: {option} is {value!r}.\n"
                f"  {option} should be of type {kind.__name__}, got: {type(value).__name__}."
            )
    for option in ("input_size", "hidden_size", "num_layers"):
        if getattr(layer, option) < 1:
            raise ConfigError(
                f"{name}: {option} is {getattr(layer, option)}.\n"
                f"  {option} must be greater than zero."
            )
    if layer.proj_size < 0:
        raise ConfigError(
            f"{name}: proj_size is {layer.proj_size}.\n"
            "  proj_size should be a positive integer, or zero to disable projections."
        )
    if layer.proj_size >= layer.hidden_size:
        raise ConfigError(
            f"{name}: proj_size is {layer.proj_size} and hidden_size is {layer.hidden_size}.\n"
            "  proj_size has to be smaller than hidden_size: h is projected to fewer units."
        )
    if dropout > 0 and layer.num_layers == 1:
        warnings.warn(
            f"{name}: dropout={dropout} acts between layers, and num_layers is 1.", stacklevel=4
        )


def check_together(layer: TorchLayer) -> None:
    """Refuse options that do not go together."""
    o, name = layer.options, type(layer).__name__
    own = o.activation is not None or o.gate_activation is not None
    for wrong, what, why in (
        (o.merge != "concat" and not layer.bidirectional, f"merge={o.merge!r}",
         "Only a bidirectional layer has two outputs to merge: bidirectional=True."),
        (o.share is not None and not layer.bidirectional, f"share={o.share!r}",
         "Only a bidirectional layer has weights to share: bidirectional=True."),
        (o.reverse and layer.bidirectional, "reverse=True",
         "A bidirectional layer runs in both directions already."),
        (o.connections == "residual" and o.merge is None and layer.num_layers > 1, "merge=None",
         "The last layer would add its input to a pair of outputs: connections='residual'."),
        (o.layer_norm and layer.proj_size > 0, "layer_norm=True",
         "The layer-normed LSTM has no projection: proj_size=0."),
        (o.layer_norm and own, "layer_norm=True",
         "The layer-normed cell has its own activations: leave activation and gate_activation."),
        (own and layer.proj_size > 0, "activation",
         "The projected LSTM has its own activations: proj_size=0."),
        (own and layer.mode == "RNN_RELU", "activation", "nonlinearity is given too: one of them."),
        (o.gate_activation is not None and layer.mode.startswith("RNN"), "gate_activation",
         "An Elman network has no gates."),
        (o.forget_bias is not None and layer.mode != "LSTM", "forget_bias",
         "Only the LSTM has a forget gate."),
        (o.forget_bias is not None and not layer.bias, "forget_bias",
         "The layer has no biases: bias=True."),
    ):  # fmt: skip
        if wrong:
            raise ConfigError(f"{name}: {what} does not fit.\n  {why}")
