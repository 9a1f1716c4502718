"""`RNNCell`, `GRUCell` and `LSTMCell`: one step, with torch's arguments, results and names."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from recurnn.compiler import Bound
from recurnn.errors import CallError, ConfigError, KindError, ShapeError
from recurnn.nn.weights import GATES, bind, describe, stacked
from recurnn.recorder import recorder
from recurnn.scan import scan


class OneStep(nn.Module):
    """What the three share: parameters as torch has them, and one step by `scan`.

    Args:
        mode: as in `recurnn.nn.base.TorchLayer`.
        input_size: I.
        hidden_size: H.
        bias: whether the biases exist.
        device: where the weights live.
        dtype: their type.

    Raises:
        KindError: a size is not a whole number of at least 1.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for option, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise KindError(
                    f"{type(self).__name__}: {option} is {size!r}.\n"
                    "  Expected a whole number of at least 1."
                )
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = len(GATES[mode]) * hidden_size
        shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size)}
        for name, shape in shapes.items():
            weight = torch.empty(shape, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(weight))
        for name in ("bias_ih", "bias_hh"):
            vector = torch.empty(rows, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(vector) if bias else None)
        self._arrange()
        self.reset_parameters()

    def _arrange(self) -> None:
        cell = describe(self.mode, self.input_size, self.hidden_size, bias=bool(self.bias))
        names = stacked(bias=bool(self.bias), projected=False)
        self._plan = (cell, bind(cell, GATES[self.mode])[0], names)

    def reset_parameters(self) -> None:
        """Draw every weight from U(−1/√H, 1/√H), in torch's order."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def _step(self, x: Tensor, state: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
        """The states after one step of x [B, I] or [I]."""
        name = type(self).__name__
        if not isinstance(x, Tensor):
            raise ShapeError(
                f"{name}: the input is a {type(x).__name__}.\n  Expected a torch.Tensor [B, I] or "
                "[I]."
            )
        if x.dim() not in (1, 2):
            raise ShapeError(
                f"{name}: the input must have one or two dimensions.\n"
                f"  x is {list(x.shape)}. Expected input to be 1D or 2D, got {x.dim()}D instead."
            )
        single = x.dim() == 1
        if single:
            x = x.unsqueeze(0)
        cell, binding, names = self._plan
        weights = [getattr(self, key) for key in names]
        if state is not None:
            state = self._states(x, state, single=single)
        if x.shape[1] != self.input_size:
            raise CallError(
                f"{name}: the input does not fit the cell.\n  x is {list(x.shape)}; expected [B, "
                f"I]. input has inconsistent input_size: got {x.shape[1]} expected "
                f"{self.input_size}."
            )
        if x.is_cuda and recorder() is None:
            found = self._torchs(x, state)
        else:
            result = scan(cell, x.unsqueeze(0), state, parameters=Bound(binding, weights))
            found = tuple(result.state.values())
        return tuple(s.squeeze(0) for s in found) if single else found

    def _states(self, x: Tensor, state: Any, *, single: bool) -> tuple[Tensor, ...]:
        name, several = type(self).__name__, self.mode == "LSTM"
        wanted = 2 if several else 1
        if len(state) != wanted or not all(isinstance(s, Tensor) for s in state):
            raise CallError(
                f"{name}: hx is not what the cell has for states.\n  Expected "
                f"{'two tensors, (h, c)' if several else 'one tensor, h'}."
            )
        for n, s in enumerate(state):
            label = f"hx[{n}]" if several else "hidden"
            if s.dim() not in (1, 2):
                raise ShapeError(
                    f"{name}: the state must have one or two dimensions.\n"
                    f"  Expected {label} to be 1D or 2D, got {s.dim()}D instead."
                )
            shape = tuple(s.shape) if s.dim() == 2 else (1, *s.shape)
            if shape != (x.shape[0], self.hidden_size) or (s.dim() == 1) != single:
                raise CallError(
                    f"{name}: the state does not fit the input.\n  {label} is {list(s.shape)}; "
                    f"expected [{'' if single else 'B, '}H] = "
                    f"{[*([] if single else [x.shape[0]]), self.hidden_size]}."
                )
        return tuple(s.unsqueeze(0) if s.dim() == 1 else s for s in state)

    def _torchs(self, x: Tensor, state: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
        """Torch's own step, on CUDA."""
        if state is None:
            count = 2 if self.mode == "LSTM" else 1
            state = (x.new_zeros(x.shape[0], self.hidden_size),) * count
        run: Any = getattr(torch._VF, f"{self.mode.lower()}_cell")
        hx = state if len(state) > 1 else state[0]
        found = run(x, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return found if isinstance(found, tuple) else (found,)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults, as torch prints it."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        parts += [] if self.bias is True else [f"bias={self.bias}"]
        parts += ["nonlinearity=relu"] if self.mode == "RNN_RELU" else []
        return ", ".join(parts)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the plan, which is made anew."""
        return {k: v for k, v in self.__dict__.items() if k != "_plan"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._arrange()


class RNNCell(OneStep):
    """Drop-in for `torch.nn.RNNCell`: one step of the Elman cell.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether the biases exist.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        device: where the weights live.
        dtype: their type.

    Example:
        >>> import torch, recurnn
        >>> recurnn.nn.RNNCell(3, 8)(torch.randn(2, 3)).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ConfigError(
                f"RNNCell: nonlinearity is {nonlinearity!r}.\n"
                f"  Unknown nonlinearity: {nonlinearity}. Select from 'tanh' or 'relu'."
            )
        mode = "RNN_RELU" if nonlinearity == "relu" else "RNN_TANH"
        super().__init__(mode, input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """One step: x [B, I] or [I] and h [B, H] or [H] to the new h."""
        return self._step(input, None if hx is None else (hx,))[0]


class GRUCell(OneStep):
    """Drop-in for `torch.nn.GRUCell`: one step, the reset gate after the product.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether the biases exist.
        device: where the weights live.
        dtype: their type.

    Example:
        >>> import torch, recurnn
        >>> recurnn.nn.GRUCell(3, 8)(torch.randn(2, 3), torch.zeros(2, 8)).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__("GRU", input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """One step: x [B, I] or [I] and h [B, H] or [H] to the new h."""
        return self._step(input, None if hx is None else (hx,))[0]


class LSTMCell(OneStep):
    """Drop-in for `torch.nn.LSTMCell`: one step.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether the biases exist.
        device: where the weights live.
        dtype: their type.

    Example:
        >>> import torch, recurnn
        >>> h, c = recurnn.nn.LSTMCell(3, 8)(torch.randn(2, 3))
        >>> h.shape, c.shape
        (torch.Size([2, 8]), torch.Size([2, 8]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__("LSTM", input_size, hidden_size, bias, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """One step: x [B, I] or [I] and (h, c) to the new (h, c)."""
        h, c = self._step(input, hx)
        return h, c
