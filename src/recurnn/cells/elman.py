"""Simple recurrent networks: the hidden layer (Elman) or the output (Jordan) is fed back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Weights
from recurnn.cells.normalise import normalise
from recurnn.errors import one_of


def _identity(z: Tensor) -> Tensor:
    # A function with a name, since a cell that keeps a lambda cannot be pickled.
    return z


ACTIVATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": _identity,
}


class Elman(Cell):
    """Simple recurrent network: the hidden layer sees its own last value.

        h = φ(W x + U h + b)

    Elman, "Finding structure in time", Cognitive Science 14, 1990. Elman's φ is the logistic
    function (``"sigmoid"``); torch's and the default here is ``"tanh"``. torch's two biases are
    one, since only their sum acts.

    Args:
        input_size: I.
        hidden_size: H.
        nonlinearity: φ: ``"tanh"``, ``"relu"`` or ``"sigmoid"``.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    weights = affine()

    def __init__(
        self, input_size: int, hidden_size: int, *, nonlinearity: str = "tanh", **options: Any
    ) -> None:
        self.φ, self.nonlinearity = activation(nonlinearity), nonlinearity
        super().__init__(input_size, hidden_size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        h = self.φ(p.W @ x + p.U @ h + p.b)
        return {"h": h}


class LayerNormElman(Elman):
    """Simple recurrent network with layer normalisation of what enters φ.

        h = φ(γ ⊙ N(W x + U h) + b)

    Ba, Kiros & Hinton, "Layer normalization", 2016, equation 4. N subtracts the mean and divides
    by the standard deviation, over the H values of the sum of both products; ε = 1e-5 is added to
    the variance. In the code γ is gamma.

    Args:
        input_size: I.
        hidden_size: H.
        nonlinearity: φ: ``"tanh"``, ``"relu"`` or ``"sigmoid"``.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    weights = affine() | {"gamma": "H"}
    start = {"gamma": 1.0}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        (a,) = normalise(p.W @ x + p.U @ h)
        h = self.φ(p.gamma * a + p.b)
        return {"h": h}


class Jordan(Cell):
    """Simple recurrent network whose *output* is fed back.

        h = φ(W x + U y + b)
        y = ψ(V h + b_y)

    Jordan, "Serial order: a parallel distributed processing approach", 1986. The state is the
    output y of size O; h is a hidden layer without memory. Jordan's state units also keep a
    decaying trace of their own past, and his plan is a constant input: neither is here; ψ is the
    identity by default so that y can be the target itself.

    Args:
        input_size: I.
        hidden_size: H.
        output_size: O; H by default.
        nonlinearity: φ: ``"tanh"``, ``"relu"`` or ``"sigmoid"``.
        output_nonlinearity: ψ: one of those, or ``"identity"``.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    weights = affine(state="O") | {"V": "O H", "b_y": "O"}
    states = {"y": "O"}
    gates = ("h",)
    output = "y"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        output_size: int | None = None,
        nonlinearity: str = "tanh",
        output_nonlinearity: str = "identity",
        **options: Any,
    ) -> None:
        self.φ, self.nonlinearity = activation(nonlinearity), nonlinearity
        self.ψ, self.output_nonlinearity = activation(output_nonlinearity), output_nonlinearity
        size = hidden_size if output_size is None else output_size
        super().__init__(input_size, hidden_size, O=size, **options)

    def step(self, p: Weights, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        h = self.φ(p.W @ x + p.U @ y + p.b)
        y = self.ψ(p.V @ h + p.b_y)
        return {"y": y, "h": h}


def activation(name: str) -> Any:
    """The function of a name of `ACTIVATIONS`."""
    if name not in ACTIVATIONS:
        raise one_of("nonlinearity", name, ACTIVATIONS)
    return ACTIVATIONS[name]
