"""The LSTM, the GRU and the Elman cell with activations of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurnn.cells import elman
from recurnn.cells._weights import Weights
from recurnn.cells.elman import Elman
from recurnn.cells.gru import GRU
from recurnn.cells.lstm import LSTM
from recurnn.errors import ConfigError, one_of

Activation = str | Callable[[Tensor], Tensor]
"""A name of `ACTIVATIONS`, or a function of torch or made of such functions."""

ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    **elman.ACTIVATIONS,
    "hard_sigmoid": F.hardsigmoid,
    "hard_tanh": F.hardtanh,
    "softsign": F.softsign,
    "softplus": F.softplus,
    "elu": F.elu,
    "selu": torch.selu,
    "silu": F.silu,
    "gelu": F.gelu,
    "leaky_relu": F.leaky_relu,
}


def activation(name: Activation) -> Callable[..., Tensor]:
    """The function of a name; a function as it is.

    Raises:
        ConfigError: there is no such name; or it is a module.
    """
    if isinstance(name, torch.nn.Module | type):
        kind = name if isinstance(name, type) else type(name)
        raise ConfigError(
            f"activation is the module {kind.__name__}.\n  Expected a name, such as 'relu', or a "
            "function, such as torch.relu."
        )
    if callable(name):
        return name
    if name not in ACTIVATIONS:
        raise one_of("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


class ActivatedLSTM(LSTM):
    """Long short-term memory with activations of one's own: σ at the gates, φ elsewhere.

        i = σ(W_i x + U_i h + b_i)
        f = σ(W_f x + U_f h + b_f)
        g = φ(W_g x + U_g h + b_g)
        o = σ(W_o x + U_o h + b_o)
        c = f ⊙ c + i ⊙ g
        h = o ⊙ φ(c)

    The `LSTM` otherwise. Keras has φ as ``activation`` and σ as ``recurrent_activation``.

    Args:
        input_size: I.
        hidden_size: H.
        activation: φ, a name or a function.
        gate_activation: σ, a name (``"hard_sigmoid"``) or a function.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, activation: Activation = "tanh",
        gate_activation: Activation = "sigmoid", **options: Any,
    ) -> None:  # fmt: skip
        self.φ, self.σ = _pair(activation, gate_activation)
        super().__init__(input_size, hidden_size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        i = self.σ(p.W_i @ x + p.U_i @ h + p.b_i)
        f = self.σ(p.W_f @ x + p.U_f @ h + p.b_f)
        g = self.φ(p.W_g @ x + p.U_g @ h + p.b_g)
        o = self.σ(p.W_o @ x + p.U_o @ h + p.b_o)
        c = f * c + i * g
        h = o * self.φ(c)
        return {"h": h, "c": c, "i": i, "f": f, "g": g, "o": o}


class ActivatedGRU(GRU):
    """Gated recurrent unit with activations of one's own: σ at the gates, φ elsewhere.

        r = σ(W_r x + U_r h + b_r)
        z = σ(W_z x + U_z h + b_z)
        n = φ(W_n x + b_n + r ⊙ (U_n h + b_u))
        h = (1 − z) ⊙ n + z ⊙ h

    The `GRU` otherwise.

    Args:
        input_size: I.
        hidden_size: H.
        activation: φ, a name or a function.
        gate_activation: σ, a name (``"hard_sigmoid"``) or a function.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, activation: Activation = "tanh",
        gate_activation: Activation = "sigmoid", **options: Any,
    ) -> None:  # fmt: skip
        self.φ, self.σ = _pair(activation, gate_activation)
        super().__init__(input_size, hidden_size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        r = self.σ(p.W_r @ x + p.U_r @ h + p.b_r)
        z = self.σ(p.W_z @ x + p.U_z @ h + p.b_z)
        n = self.φ(p.W_n @ x + p.b_n + r * (p.U_n @ h + p.b_u))
        h = (1 - z) * n + z * h
        return {"h": h, "r": r, "z": z, "n": n}


class ActivatedElman(Elman):
    """Simple recurrent network with an activation of one's own.

        h = φ(W x + U h + b)

    The `Elman` cell otherwise.

    Args:
        input_size: I.
        hidden_size: H.
        activation: φ, a name or a function.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, activation: Activation = "tanh", **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.φ, self.nonlinearity = _pair(activation, "sigmoid")[0], str(activation)


def _pair(phi: Activation, sigma: Activation) -> tuple[Callable[..., Tensor], ...]:
    return activation(phi), activation(sigma)
