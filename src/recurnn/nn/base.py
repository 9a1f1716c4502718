"""What `RNN`, `GRU` and `LSTM` share with torch's: arguments, parameters, and how they are kept.

They are modules of their own, not subclasses of torch's, which torch.compile refuses.
"""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from recurnn.cells import Cell
from recurnn.errors import ConfigError, KindError
from recurnn.nn.weights import GATES, Direction, bind, describe, stacked


class TorchLayer(nn.Module):
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
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.bidirectional = bool(bidirectional)
        self.proj_size = proj_size
        _check(self, dropout)
        self.dropout = float(dropout)
        self._arrange()
        self._register({"device": device, "dtype": dtype})
        self.flatten_parameters()
        self.reset_parameters()

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

    def _arrange(self) -> None:
        """Make the plan: a `Direction` for each layer and direction, in the order of the states."""
        size = self.proj_size or self.hidden_size
        self._plan: tuple[tuple[Direction, ...], ...] = tuple(
            tuple(
                self._direction(self.input_size if k == 0 else size * self.directions, k, d)
                for d in range(self.directions)
            )
            for k in range(self.num_layers)
        )

    def _direction(self, size: int, k: int, d: int) -> Direction:
        cell = describe(self.mode, size, self.hidden_size, proj_size=self.proj_size, bias=self.bias)
        binding, own = bind(cell, GATES[self.mode])
        names = [*stacked(bias=self.bias, projected=self.proj_size > 0), *own]
        tail = f"_l{k}{'_reverse' if d else ''}"
        return Direction(cell, binding, tuple(name + tail for name in names), d == 1)

    def _register(self, where: dict[str, Any]) -> None:
        """Make the parameters, in torch's order."""
        rows = len(GATES[self.mode]) * self.hidden_size
        h = self.state_sizes[0]
        for cell, _, names, _ in (direction for layer in self._plan for direction in layer):
            shapes: list[tuple[int, ...]] = [(rows, cell.input_size), (rows, h)]
            shapes += [(rows,), (rows,)] if self.bias else []
            shapes += [(h, self.hidden_size)] if self.proj_size else []
            for name, shape in zip(names, shapes, strict=True):
                if name not in self._parameters:
                    weight = nn.Parameter(torch.empty(shape, **where))
                    self.register_parameter(name, weight)

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
        """Draw every weight from U(−1/√H, 1/√H), in torch's order."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults, as torch prints it."""
        usual = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0,
            "bidirectional": False,
        }  # fmt: skip
        other = [f"{k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k) != v]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *other])

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the plan, which is made anew."""
        return {k: v for k, v in self.__dict__.items() if k != "_plan"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._arrange()


def _check(layer: TorchLayer, dropout: Any) -> None:
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
