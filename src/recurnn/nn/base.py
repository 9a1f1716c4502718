"""What `RNN`, `GRU` and `LSTM` share with torch's: arguments, parameters, and how they are kept.

They are modules of their own, not subclasses of torch's, which torch.compile refuses.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from recurnn.cells import Cell
from recurnn.nn import options
from recurnn.nn.arguments import check_arguments, check_together
from recurnn.nn.clip import Clips
from recurnn.nn.noise import described
from recurnn.nn.starts import start_by_gate, start_of
from recurnn.nn.weights import GATES, SHARED, Direction, bind, describe, stacked


class TorchLayer(Clips, nn.Module):
    """Arguments, parameters and their names as in `torch.nn.RNNBase`; no forward pass.

    Args:
        mode: ``"LSTM"``, ``"GRU"``, ``"RNN_TANH"`` or ``"RNN_RELU"``.
        input_size: I.
        hidden_size: H.
        num_layers: L.
        bias: whether the biases exist.
        batch_first: whether input and output are [B, T, ...] instead of [T, B, ...].
        dropout: probability between layers, in training.
        bidirectional: whether each layer also runs from the last step to the first.
        proj_size: P, the size of a projected h; 0 for none.
        device: where the weights live.
        dtype: their type.
        **beyond: what torch does not have: see `recurnn.nn.options.Beyond`.

    Raises:
        ConfigError: an argument is out of range (a ValueError).
        KindError: an argument is of the wrong kind (a TypeError).
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **beyond: Any,
    ) -> None:
        super().__init__()
        self.options = options.beyond(type(self).__name__, beyond)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.bidirectional = bool(bidirectional)
        self.proj_size = proj_size
        check_arguments(self, dropout)
        self.dropout = float(dropout)
        check_together(self)
        self._carried: tuple[Tensor, ...] | None = None
        self.clip_gradient = self.options.clip_gradient
        self._arrange()
        self._register({"device": device, "dtype": dtype})
        self.flatten_parameters()
        self.reset_parameters()

    def _clip_changed(self) -> None:
        self.options = replace(self.options, clip_gradient=self.clip_gradient)
        self._plain = not self.options.given

    @property
    def directions(self) -> int:
        """D: 1, or 2 if bidirectional."""
        return 2 if self.bidirectional else 1

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The size of each state, h first."""
        h = self.proj_size or self.hidden_size
        return (h, self.hidden_size) if self.mode == "LSTM" else (h,)

    @property
    def cells(self) -> list[Cell]:
        """The cell of each layer and direction, as a description without weights."""
        return [direction.cell for layer in self._plan for direction in layer]

    @property
    def beyond(self) -> dict[str, Any]:
        """The options that torch's layer does not have, as far as they were given."""
        return self.options.given

    def _input_sizes(self) -> list[int]:
        """The size of the input of each layer."""
        both = self.bidirectional and self.options.merge in ("concat", None)
        out = self.state_sizes[0] * (2 if both else 1)
        if self.options.connections == "dense":
            return [self.input_size + k * out for k in range(self.num_layers)]
        return [self.input_size, *[out] * (self.num_layers - 1)]

    def _arrange(self) -> None:
        """Make the plan: a `Direction` for each layer and direction, in the order of the states."""
        o, states = self.options, dict(zip("hc", self.state_sizes, strict=False))
        rates = options.zoneout_rates(type(self).__name__, o.zoneout, states)
        self._rates = tuple(rates.items())
        self._noisy = bool(rates or o.state_dropout)
        self._plain = not o.given
        self._plan: tuple[tuple[Direction, ...], ...] = tuple(
            tuple(self._direction(size, k, d) for d in range(self.directions))
            for k, size in enumerate(self._input_sizes())
        )

    def _direction(self, size: int, k: int, d: int) -> Direction:
        o = self.options
        given = {"activation": o.activation, "gate_activation": o.gate_activation}
        cell = describe(
            self.mode, size, self.hidden_size, proj_size=self.proj_size, bias=self.bias,
            layer_norm=o.layer_norm,
            activations=tuple((k, v) for k, v in given.items() if v is not None),
        )  # fmt: skip
        binding, own = bind(cell, GATES[self.mode])
        names = stacked(bias=self.bias, projected=self.proj_size > 0)
        shared = SHARED[o.share] if d else ()
        tail = f"_l{k}{'_reverse' if d else ''}"
        of_cell = {name: f"{name}{tail}" for name in own}
        return Direction(
            cell,
            binding,
            (*(f"{n}_l{k}" if n in shared else f"{n}{tail}" for n in names), *of_cell.values()),
            (d == 1) != o.reverse,
            of_cell,
            described(cell, self._rates, o.state_dropout) if self._noisy else None,
        )

    def _register(self, where: dict[str, Any]) -> None:
        """Make the parameters, in torch's order; then what torch does not have."""
        rows, h = len(GATES[self.mode]) * self.hidden_size, self.state_sizes[0]
        directions = [direction for layer in self._plan for direction in layer]
        for direction in directions:
            cell = direction.cell
            shapes: list[tuple[int, ...]] = [(rows, cell.input_size), (rows, h)]
            shapes += [(rows,), (rows,)] if self.bias else []
            shapes += [(h, self.hidden_size)] if self.proj_size else []
            for name, shape in zip(direction.names, shapes, strict=False):
                self._make(name, shape, where)
        for direction in directions:
            for name, full in direction.own.items():
                self._make(full, direction.cell.shapes()[name], where)
        if self.options.initial == "learned":
            for state, size in zip("hc", self.state_sizes, strict=False):
                self._make(f"initial_{state}", (len(directions), size), where)

    def _make(self, name: str, shape: tuple[int, ...], where: dict[str, Any]) -> None:
        if name not in self._parameters:  # shared by two directions
            self.register_parameter(name, nn.Parameter(torch.empty(shape, **where)))

    def _weights(self, direction: Direction) -> list[Tensor]:
        """The tensors of one direction, whoever made them: parameters, or what stands in for one.

        Pruning, weight normalisation and parametrizations put an attribute in a parameter's place.
        """
        if not torch.compiler.is_compiling():
            own = self._parameters
            try:  # module attributes are slow to look up
                return [own[name] for name in direction.names]  # type: ignore[misc]
            except KeyError:
                pass
        return [getattr(self, name) for name in direction.names]

    @property
    def _all_names(self) -> list[list[str]]:
        return [list(direction.names) for layer in self._plan for direction in layer]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_names for name in names]

    @property
    def _flat_weights(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer and direction, as in torch."""
        return [[getattr(self, name) for name in names] for names in self._all_names]

    def flatten_parameters(self) -> None:
        """On CUDA lay the parameters out in one piece of memory, as cuDNN likes them.

        Elsewhere, and where parameters are shared or are not parameters, it does nothing.
        """
        found = [self._parameters.get(name) for name in self._flat_weights_names]
        weights: list[Tensor] = [w for w in found if w is not None and w.is_cuda]
        acceptable: Any = torch.backends.cudnn.is_acceptable
        if len(weights) < len(found) or not all(
            w.dtype == weights[0].dtype and acceptable(w) for w in weights
        ):
            return
        if len({w.data_ptr() for w in weights}) < len(weights):
            return
        if not torch._use_cudnn_rnn_flatten_weight():
            return
        mode = {"RNN_RELU": 0, "RNN_TANH": 1, "LSTM": 2, "GRU": 3}[self.mode]
        count = (4 if self.bias else 2) + (1 if self.proj_size else 0)
        with torch.cuda.device(weights[0].device), torch.no_grad():
            torch._cudnn_rnn_flatten_weight(
                weights, count, self.input_size, mode, self.hidden_size, self.proj_size,
                self.num_layers, self.batch_first, self.bidirectional,
            )  # fmt: skip

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        found = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.flatten_parameters()
        return found

    def reset_parameters(self) -> None:
        """Draw every weight from U(−1/√H, 1/√H), in torch's order; then as the options say."""
        bound = 1 / math.sqrt(self.hidden_size)
        directions = [direction for layer in self._plan for direction in layer]
        own = {full: (d.cell, name) for d in directions for name, full in d.own.items()}
        for name, weight in self.named_parameters():
            if name in own:
                start_of(weight, *own[name])
            elif name in ("initial_h", "initial_c"):
                nn.init.zeros_(weight)
            else:
                nn.init.uniform_(weight, -bound, bound)
        if self.options.init is not None or self.options.forget_bias is not None:
            for direction in directions:
                start_by_gate(
                    direction, self._weights(direction), self.options.init,
                    self.options.forget_bias,
                )  # fmt: skip

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults, as torch prints it."""
        usual = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0,
            "bidirectional": False,
        }  # fmt: skip
        other = [f"{k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k) != v]
        other += [f"{k}={v!r}" for k, v in self.beyond.items()]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *other])

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the plan, which is made anew."""
        return {k: v for k, v in self.__dict__.items() if k != "_plan"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._arrange()
