"""Layers of any kind one above the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurnn.checks import check_lengths
from recurnn.errors import ConfigError, ShapeError, one_of
from recurnn.nn.masks import ALL, real_steps
from recurnn.nn.options import CONNECTIONS
from recurnn.nn.results import LayerResult, at_every_step, check_ours, is_recurrent, run_layer
from recurnn.nn.scanned import Lengths
from recurnn.norms import check_distinct, move

# What runs along time and has channels before it, with what padding looks like to it.
ALONG_TIME: dict[type[nn.Module], float] = {
    nn.Conv1d: 0.0, nn.MaxPool1d: float("-inf"), nn.AvgPool1d: 0.0, nn.BatchNorm1d: 0.0,
}  # fmt: skip


class Stack(nn.Module):
    """Layers one above the other: recurrent, feed-forward and convolutional, in any order.

    Lengths and states reach the layers that understand them; what runs along time (`nn.Conv1d`,
    `nn.MaxPool1d`, `nn.AvgPool1d`, `nn.BatchNorm1d`) gets [B, channels, T], and where it makes
    fewer steps, the lengths follow; any other module gets x as it is. Padding is zeroed before
    what is not recurrent, and after the last layer. The recurrent layers' own `batch_first` does
    not matter.

    Args:
        *layers: the layers.
        batch_first: whether input and output are [B, T, ...] instead of [T, B, ...].
        connections: ``"residual"``: every layer whose input and output have one shape adds its
            input to its output; ``"dense"``: every layer sees the input and all outputs below.

    Raises:
        ConfigError: no layers, or an unknown `connections`.

    Example:
        >>> import torch
        >>> from recurnn import cells, nn
        >>> stack = nn.Stack(
        ...     torch.nn.Linear(3, 8),
        ...     torch.nn.Tanh(),
        ...     nn.Bidirectional(nn.Recurrent(cells.LSTM(8, 8)), merge="sum"),
        ...     nn.GRU(8, 5, bidirectional=True),
        ...     torch.nn.Linear(10, 4),
        ...     batch_first=True,
        ... )
        >>> output, state, *_ = stack(torch.randn(2, 7, 3), lengths=[7, 4])
        >>> output.shape, [s is not None for s in state]
        (torch.Size([2, 7, 4]), [False, False, True, True, False])
    """

    is_recurrent = True

    def __init__(
        self, *layers: nn.Module, batch_first: bool = False, connections: str | None = None
    ) -> None:
        super().__init__()
        if not layers:
            raise ConfigError("Stack: there are no layers.\n  Give it one or more.")
        for layer in layers:
            if not isinstance(layer, nn.Module):
                raise ConfigError(
                    f"Stack: a layer is a {type(layer).__name__}.\n"
                    "  Give the layers one by one: Stack(a, b), or Stack(*layers)."
                )
            check_ours("Stack", layer)
        if connections not in CONNECTIONS:
            raise one_of("Stack: connections", connections, [str(c) for c in CONNECTIONS])
        self.layers = nn.ModuleList(layers)
        self.batch_first = batch_first
        self.connections = connections

    def forward(
        self,
        x: Tensor,
        state: Sequence[Any] | None = None,
        *,
        lengths: Lengths = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
        gradient_norms: Sequence[Any] | None = None,
        **options: Any,
    ) -> LayerResult:
        """Run every layer.

        Args:
            x: input, [T, B, ...], or [B, T, ...] if batch_first.
            state: the initial states of each layer, None for those that have none.
            lengths: real steps of each row, [B].
            mask: which steps are real, [T, B], or [B, T] if batch_first; instead of lengths.
            reset: where a new sequence begins, of the same shape.
            gradient_norms: what the backward pass fills for each layer, as that layer takes it, or
                None; the norms are [T, B] in any case.
            **options: ``return_states`` and ``return_gates``.

        Returns:
            Output, and a list with the final states of each layer; likewise what else was asked.

        Raises:
            ShapeError: not one entry a layer in `state`.
            ConfigError: lengths before a layer through which they cannot be followed; not one entry
                a layer in `gradient_norms`, or one for a layer without a state.
        """
        if state is not None and len(state) != len(self.layers):
            raise ShapeError(
                f"Stack: state has {len(state)} entries; expected one for each of the "
                f"{len(self.layers)} layers, None for those without a state."
            )
        norms = self._norms_of(gradient_norms)
        if self.batch_first:
            x = x.transpose(0, 1)
            mask, reset = (None if m is None else m.transpose(0, 1) for m in (mask, reset))
        steps = ALL
        if lengths is not None or mask is not None:
            steps = real_steps("Stack", x.shape[0], x.shape[1], lengths, mask)
            x, reset = steps.front(x), None if reset is None else steps.front(reset)
        ends = check_lengths("Stack", x, steps.lengths)
        found: list[LayerResult] = []
        for k, layer in enumerate(self.layers):
            start = None if state is None else state[k]
            if is_recurrent(layer):
                result = run_layer(
                    layer, x, start, lengths=ends, reset=reset, gradient_norms=norms[k], **options
                )
            else:
                result, ends = _feed(layer, x, ends)
            if not isinstance(result.output, Tensor):
                raise ConfigError(
                    f"Stack: layer {k}, a {type(layer).__name__}, gives no single output but a "
                    f"{type(result.output).__name__}.\n  Give it another merge than None."
                )
            if result.output.shape[0] != x.shape[0] and (
                steps.order is not None or reset is not None
            ):
                raise ConfigError(
                    f"Stack: a mask or a reset, and a {type(layer).__name__} that makes "
                    f"{result.output.shape[0]} steps of {x.shape[0]}.\n"
                    "  Give lengths, or a layer that keeps the number of steps."
                )
            found.append(result)
            x = self._connected(x, result.output)
        if steps.inverse is not None:
            move(norms, steps.inverse)
        output = found[-1].output if self.connections == "dense" else x
        if ends is not None and not is_recurrent(self.layers[-1]):
            output = _cleared(output, ends, 0.0)

        def shown(values: Tensor) -> Tensor:
            values = steps.back(values)
            return values.transpose(0, 1) if self.batch_first else values

        asked = at_every_step([[r[n] for r in found] for n in (2, 3)], shown)
        return LayerResult(shown(output), [r.state for r in found], *asked)

    def _norms_of(self, given: Sequence[Any] | None) -> Sequence[Any]:
        """What is filled for each layer."""
        if given is None:
            return [None] * len(self.layers)
        if not isinstance(given, tuple | list) or len(given) != len(self.layers):
            got = f"has {len(given)} entries" if isinstance(given, tuple | list) else "is no list"
            raise ConfigError(
                f"Stack: gradient_norms {got}; expected one for each of the {len(self.layers)} "
                "layers, None for those without a state."
            )
        for k, (layer, norms) in enumerate(zip(self.layers, given, strict=True)):
            if norms is not None and not is_recurrent(layer):
                raise ConfigError(
                    f"Stack: gradient_norms for layer {k}, a {type(layer).__name__}, which has no "
                    "state.\n  Give None there."
                )
        check_distinct("Stack", given)
        return given

    def _connected(self, x: Tensor, y: Tensor) -> Tensor:
        if self.connections == "residual" and x.shape == y.shape:
            return x + y
        return torch.cat([x, y], dim=-1) if self.connections == "dense" else y

    def extra_repr(self) -> str:
        """What differs from the defaults."""
        given = [f"connections={self.connections!r}"] if self.connections else []
        return ", ".join([f"batch_first={self.batch_first}", *given])


def _feed(layer: nn.Module, x: Tensor, ends: Tensor | None) -> tuple[LayerResult, Tensor | None]:
    """Run a layer without states on x [T, B, ...]; its result, and the lengths after it."""
    kind = next((k for k in ALONG_TIME if isinstance(layer, k)), None)
    x = x if ends is None else _cleared(x, ends, ALONG_TIME[kind] if kind else 0.0)
    if kind is None:
        return LayerResult(layer(x), None), ends
    y = layer(x.permute(1, 2, 0)).permute(2, 0, 1)
    if ends is not None and kind is not nn.BatchNorm1d:
        ends = _lengths_after(layer, ends)
    return LayerResult(y, None), ends


def _lengths_after(layer: Any, ends: Tensor) -> Tensor:
    """How many real steps a convolution or a pooling along time makes of how many."""

    def one(value: Any) -> Any:
        return value[0] if isinstance(value, tuple) else value

    name = type(layer).__name__
    if getattr(layer, "ceil_mode", False) or getattr(layer, "padding_mode", "zeros") != "zeros":
        raise ConfigError(
            f"Stack: lengths cannot be followed through this {name}.\n"
            "  With ceil_mode or a padding other than zeros a row would see what is past its end."
        )
    size = one(getattr(layer, "dilation", 1)) * (one(layer.kernel_size) - 1) + 1
    padding = one(layer.padding)
    if padding == "same":
        return ends
    around = 0 if padding == "valid" else 2 * padding
    after = (ends + around - size).div(one(layer.stride), rounding_mode="floor") + 1
    return torch.where(ends > 0, after.clamp(min=0), 0)


def _cleared(x: Tensor, ends: Tensor, value: float) -> Tensor:
    """The input with what lies past each row's end replaced."""
    real = torch.arange(x.shape[0], device=x.device).unsqueeze(1) < ends
    return torch.where(real.reshape(*real.shape, *[1] * (x.dim() - 2)), x, value)
