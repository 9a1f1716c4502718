"""What torch's layers check at every call, with its kinds of error and the sense of its words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recurnn.autocast import autocast_on
from recurnn.errors import CallError, ConfigError, ShapeError
from recurnn.norms import GradientNorms

if TYPE_CHECKING:
    from recurnn.nn.base import TorchLayer


def check_kind(name: str, x: Any) -> None:
    """Refuse an input that is not a tensor of two or three dimensions."""
    if not isinstance(x, Tensor):
        raise ShapeError(
            f"{name}: the input is a {type(x).__name__}.\n"
            "  Expected a torch.Tensor or a PackedSequence."
        )
    if x.dim() not in (2, 3):
        raise ShapeError(
            f"{name}: the input must have two or three dimensions.\n"
            f"  x is {list(x.shape)}. Expected input to be 2D or 3D, got {x.dim()}D instead."
        )


def states_of(
    layer: TorchLayer, hx: Any, *, batched: bool
) -> tuple[Tensor, ...] | None:  # fmt: skip
    """The initial states as a tuple of tensors [L·D, B, its size], h first."""
    if hx is None:
        return None
    name, several = type(layer).__name__, len(layer.state_sizes) > 1
    state = tuple(hx) if several and isinstance(hx, tuple | list) else (hx,)
    if len(state) != len(layer.state_sizes) or not all(isinstance(s, Tensor) for s in state):
        raise CallError(
            f"{name}: hx is not what the layer has for states.\n"
            f"  Expected {'two tensors, (h_0, c_0)' if several else 'one tensor, h_0'}; got "
            f"{_kind(hx)}."
        )
    want = 3 if batched else 2
    if any(s.dim() != want for s in state):
        got = ", ".join(f"{s.dim()}-D" for s in state)
        raise CallError(
            f"{name}: the initial state does not have the dimensions that the input asks for.\n"
            f"  For {'batched' if batched else 'unbatched'} {want}-D input, "
            f"{'hx and cx' if several else 'hx'} should also be {want}-D but got "
            f"{f'({got}) tensors' if several else f'{got} tensor'}."
        )
    return state if batched else tuple(s.unsqueeze(1) for s in state)


def norms_of(
    layer: TorchLayer, given: GradientNorms | Sequence[GradientNorms] | None
) -> list[GradientNorms] | None:
    """What the backward pass of each layer and direction fills, in the order of the states."""
    if given is None:
        return None
    # what is neither, `scan` refuses
    norms = list(given) if isinstance(given, Sequence) else [given]
    count = layer.num_layers * layer.directions
    if len(norms) != count:
        entries = "1 entry" if len(norms) == 1 else f"{len(norms)} entries"
        raise ConfigError(
            f"{type(layer).__name__}: gradient_norms has {entries}; expected {count}, one for each "
            "layer and direction in the order of h.\n"
            f"  [recurnn.GradientNorms() for _ in range({count})] makes them."
        )
    return norms


def _kind(hx: Any) -> str:
    if isinstance(hx, tuple | list):
        return f"a {type(hx).__name__} of {len(hx)}"
    return f"a {type(hx).__name__}"


def check_sizes(
    layer: TorchLayer, x: Tensor, shape: tuple[int, ...], B: int,
    state: tuple[Tensor, ...] | None, weight: Tensor,
) -> tuple[Tensor, tuple[Tensor, ...] | None]:  # fmt: skip
    """Refuse sizes, types and devices that do not fit; under autocast x in the weights' type.

    Args:
        layer: the layer.
        x: the input, in whatever layout; its last dimension is I.
        shape: of the input as the user gave it, for errors.
        B: rows of the batch.
        state: the initial states, [L·D, B, its size].
        weight: one of the weights; it stands for all.
    """
    name = type(layer).__name__
    if torch._C._is_any_autocast_enabled() and autocast_on(x.device.type):
        x = x.to(weight.dtype)
        state = None if state is None else tuple(s.to(weight.dtype) for s in state)
    if x.dtype != weight.dtype:
        raise ShapeError(
            f"{name}: the input and the weights differ in type.\n"
            f"  RNN input dtype ({x.dtype}) does not match weight dtype ({weight.dtype}). "
            f"Convert input: input.to({weight.dtype}), or convert model: model.to({x.dtype})."
        )
    if x.device != weight.device:
        raise CallError(
            f"{name}: Input and parameter tensors are not at the same device.\n"
            f"  x is on {x.device}, the weights on {weight.device}: move one with .to(...)."
        )
    if x.shape[-1] != layer.input_size:
        raise CallError(
            f"{name}: the input does not fit the layer.\n  x is {list(shape)}. input.size(-1) "
            f"must be equal to input_size. Expected {layer.input_size}, got {x.shape[-1]}."
        )
    if state is not None:
        _check_states(layer, shape, B, state, x)
    return x, state


def _check_states(
    layer: TorchLayer, shape: tuple[int, ...], B: int, state: tuple[Tensor, ...], x: Tensor
) -> None:
    name, count = type(layer).__name__, layer.num_layers * layer.directions
    for n, (s, size) in enumerate(zip(state, layer.state_sizes, strict=True)):
        which, label = ("h_0", "c_0")[n], f"hidden[{n}]" if len(state) > 1 else "hidden"
        if tuple(s.shape) != (count, B, size):
            differs = [
                f"{letter} differs: {got} in {which}, {want} {where}."
                for letter, got, want, where in (
                    ("L·D", s.shape[0], count, "in the layer"),
                    ("B", s.shape[1], B, "in x"),
                    ("PH"[not layer.proj_size or n > 0], s.shape[2], size, "in the layer"),
                )
                if got != want
            ]
            raise CallError(
                f"{name}: the initial state does not fit.\n"
                f"  Expected {label} size {(count, B, size)}, got {list(s.shape)}: {which} is "
                f"[L·D, B, {size}], and x is {list(shape)}.\n  {' '.join(differs)}"
            )
        if s.dtype != x.dtype or s.device != x.device:
            raise CallError(
                f"{name}: the initial state and the input differ in type or device.\n"
                f"  Input and hidden tensors are not the same: x is {x.dtype} on {x.device}, "
                f"{which} is {s.dtype} on {s.device}."
            )
