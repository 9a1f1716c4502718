"""The convolutional LSTM."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurnn.autocast import autocast_on
from recurnn.checks import check_lengths, check_reset
from recurnn.clipping import Clipping, clipping_of
from recurnn.errors import ConfigError, ShapeError
from recurnn.nn.clip import Clips
from recurnn.nn.masks import ALL, real_steps
from recurnn.nn.results import LayerResult
from recurnn.nn.scanned import Lengths
from recurnn.norms import GradientNorms, check_norms

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class ConvLSTM(Clips, nn.Module):
    """LSTM whose products are convolutions, for sequences of images.

        i = σ(W_i * x + U_i * h + b_i)
        f = σ(W_f * x + U_f * h + b_f)
        g = tanh(W_g * x + U_g * h + b_g)
        o = σ(W_o * x + U_o * h + b_o)
        c = f ⊙ c + i ⊙ g
        h = o ⊙ tanh(c)

    Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation
    nowcasting", 2015, without the peepholes. ``*`` is a convolution that keeps the size of the
    image. The plain loop runs it; the convolutions of x are taken for all steps at once.

    Args:
        input_size: channels of x.
        hidden_size: channels of h and c.
        kernel_size: an odd number, or one for each dimension of the image.
        dimensions: of the image: 1, 2 or 3.
        bias: whether the biases exist.
        batch_first: whether input and output are [B, T, ...] instead of [T, B, ...].
        clip_gradient: as of `Recurrent`.
        device: where the weights live.
        dtype: their type.

    Raises:
        ConfigError: a kernel size is even, or there are other than 1 to 3 dimensions.

    Example:
        >>> import torch, recurnn
        >>> layer = recurnn.nn.ConvLSTM(3, 8, kernel_size=5)
        >>> output, state, *_ = layer(torch.randn(7, 2, 3, 16, 20))
        >>> output.shape, state["c"].shape
        (torch.Size([7, 2, 8, 16, 20]), torch.Size([2, 8, 16, 20]))
    """

    is_recurrent = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        kernel_size: int | tuple[int, ...] = 3,
        *,
        dimensions: int = 2,
        bias: bool = True,
        batch_first: bool = False,
        clip_gradient: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if dimensions not in CONVOLUTIONS:
            raise ConfigError(f"ConvLSTM: dimensions is {dimensions!r}; expected 1, 2 or 3.")
        kernel = (kernel_size,) * dimensions if isinstance(kernel_size, int) else kernel_size
        if len(kernel) != dimensions or any(k < 1 or k % 2 == 0 for k in kernel):
            raise ConfigError(
                f"ConvLSTM: kernel_size is {kernel_size!r}.\n  Expected an odd number, or "
                f"{dimensions} of them, so that the image keeps its size."
            )
        self.input_size, self.hidden_size = input_size, hidden_size
        self.kernel_size, self.dimensions, self.batch_first = kernel, dimensions, batch_first
        self.clip_gradient = clip_gradient
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        rows = 4 * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size, *kernel, **where))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size, *kernel, **where))
        self.bias = nn.Parameter(torch.empty(rows, **where)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every weight from U(−1/√n, 1/√n), n being the numbers that meet in one unit."""
        bound = 1 / math.sqrt(self.hidden_size * math.prod(self.kernel_size))
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def forward(
        self,
        x: Tensor,
        state: Any = None,
        *,
        lengths: Lengths = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
        return_states: str = "last",
        return_gates: bool = False,
        gradient_norms: GradientNorms | None = None,
    ) -> LayerResult:
        """Run the layer.

        Args:
            x: input, [T, B, I, *image], or [B, T, I, *image] if batch_first.
            state: the initial h and c, each [B, H, *image]: a pair, or by name.
            lengths: real steps of each row, [B].
            mask: which steps are real, [T, B], or [B, T] if batch_first; instead of lengths.
            reset: where a new sequence begins, of the same shape.
            return_states: ``"all"`` for the states at every step.
            return_gates: whether to return the gates at every step.
            gradient_norms: as in `recurnn.scan`, over the whole image; [T, B] in any case.

        Returns:
            Output, final states by name, and what else was asked for.

        Raises:
            ShapeError: sizes that do not fit.
        """
        if x.dim() != 3 + self.dimensions or x.shape[2] != self.input_size:
            raise ShapeError(
                f"ConvLSTM: the input does not fit the layer.\n  x is {list(x.shape)}; expected "
                f"{'[B, T' if self.batch_first else '[T, B'}, I, *image] with I = "
                f"{self.input_size} and an image of {self.dimensions} dimensions."
            )
        like = self.weight_ih
        if (x.dtype, x.device) != (like.dtype, like.device) and not autocast_on(x.device.type):
            raise ShapeError(
                "ConvLSTM: the input and the weights differ in type or device.\n"
                f"  x is {x.dtype} on {x.device}; the weights are {like.dtype} on "
                f"{like.device}.\n  Move one of them with .to(...)."
            )
        if self.batch_first:
            x = x.transpose(0, 1)
            mask, reset = (None if m is None else m.transpose(0, 1) for m in (mask, reset))
        T, B = x.shape[:2]
        reset = check_reset("ConvLSTM", x, reset)
        steps = ALL
        if lengths is not None or mask is not None:
            steps = real_steps("ConvLSTM", T, B, lengths, mask)
            x, reset = steps.front(x), None if reset is None else steps.front(reset)
        ends = check_lengths("ConvLSTM", x, steps.lengths)
        check_norms("ConvLSTM", gradient_norms)
        if gradient_norms is not None:
            gradient_norms.begin("hc", T)
            if steps.inverse is not None:
                gradient_norms.move(steps.inverse)
        seen, last = self._loop(x, self._start(x, state), ends, reset, gradient_norms)

        def shown(values: list[Tensor]) -> Tensor:
            whole = torch.stack(values) if values else x.new_zeros(0, *last["h"].shape)
            whole = steps.back(whole)
            return whole.transpose(0, 1) if self.batch_first else whole

        states = {k: shown(seen[k]) for k in ("h", "c")} if return_states == "all" else None
        gates = {k: shown(seen[k]) for k in "ifgo"} if return_gates else None
        return LayerResult(shown(seen["h"]), last, states, gates)

    def _start(self, x: Tensor, state: Any) -> dict[str, Tensor]:
        shape = (x.shape[1], self.hidden_size, *x.shape[3:])
        if state is None:
            return {"h": x.new_zeros(shape), "c": x.new_zeros(shape)}
        named = dict(state) if hasattr(state, "keys") else dict(zip("hc", state, strict=False))
        for k in "hc":
            got = list(named[k].shape) if k in named else "missing"
            if got != list(shape):
                raise ShapeError(
                    "ConvLSTM: the initial state does not fit the input.\n"
                    f"  {k} is {got}; expected [B, H, *image] = {list(shape)}."
                )
        return named

    def _loop(
        self, x: Tensor, state: dict[str, Tensor], ends: Tensor | None, reset: Tensor | None,
        norms: GradientNorms | None = None,
    ) -> tuple[dict[str, list[Tensor]], dict[str, Tensor]]:  # fmt: skip
        """Every value at every step, and the last states; x is [T, B, I, *image]."""
        T, B = x.shape[:2]
        wide = (B, *[1] * (1 + self.dimensions))
        real = None
        if ends is not None:
            real = torch.arange(T, device=x.device).unsqueeze(1) < ends
            x = torch.where(real.reshape(T, *wide), x, 0)
        convolve: Any = CONVOLUTIONS[self.dimensions]
        padding = [k // 2 for k in self.kernel_size]
        z = convolve(x.flatten(0, 1), self.weight_ih, self.bias, padding=padding)
        z = z.unflatten(0, (T, B)) if T and B else z.new_zeros(T, B, *z.shape[1:])
        clipping: Clipping | None = None
        if self._clip is not None:
            units = 2 * math.prod(state["h"].shape[1:])
            clipping = clipping_of(self._clip, units, x, ends, reset, reverse=False)
        seen: dict[str, list[Tensor]] = {k: [] for k in "hcifgo"}
        for t in range(T):
            if reset is not None:
                new = reset[t] if real is None else reset[t] & real[t]
                state = {k: torch.where(new.reshape(wide), 0, s) for k, s in state.items()}
            old = state if clipping is None else clipping.entering(state, t)
            gates = (z[t] + convolve(old["h"], self.weight_hh, padding=padding)).chunk(4, 1)
            i, f, o = (gates[k].sigmoid() for k in (0, 1, 3))
            g = gates[2].tanh()
            c = f * old["c"] + i * g
            h = o * c.tanh()
            values = {"h": h, "c": c, "i": i, "f": f, "g": g, "o": o}
            if norms is not None:
                values = norms.watch(values, old, x, t)
            if real is None:
                state = {"h": h, "c": c}
            else:
                here = real[t].reshape(wide)
                state = {k: torch.where(here, values[k], s) for k, s in state.items()}
                values = {k: torch.where(here, v, 0) for k, v in values.items()}
            for k, v in values.items():
                seen[k].append(v)
        return seen, state

    def extra_repr(self) -> str:
        """The sizes, for ``print(layer)``."""
        return (
            f"{self.input_size}, {self.hidden_size}, kernel_size={self.kernel_size}, "
            f"batch_first={self.batch_first}"
        )
