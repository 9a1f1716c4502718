"""Cells with a highway through depth: several layers within a step, or an output past the state."""

from __future__ import annotations

from typing import Any

from torch import Tensor, relu, sigmoid, tanh

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Weights


class RHN(Cell):
    """Recurrent highway network: L highway layers within one step.

        h_l = tanh(W_h x + U_h_l s + b_h_l)
        t_l = σ(W_t x + U_t_l s + b_t_l)
        s = t_l ⊙ h_l + (1 − t_l) ⊙ s

    for l = 1, …, L one after another; x is seen by the first layer only. Zilly, Srivastava,
    Koutník & Schmidhuber, "Recurrent highway networks", 2017, equations 6 to 9, with the carry
    gate coupled (c = 1 − t), as in the paper's experiments. The paper starts b_t below zero, so
    that a new network carries: ``init={"b_t_*": -2.0}``.

    Args:
        input_size: I.
        hidden_size: H.
        depth: L, the number of layers within a step.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    states = {"s": "H"}
    output = "s"

    def __init__(
        self, input_size: int, hidden_size: int, *, depth: int = 3, **options: Any
    ) -> None:
        self.layers = range(1, depth + 1)
        names = [f"{k}_{n}" for n in self.layers for k in "ht"]
        self.gates = tuple(names)
        self.weights = {"W_h": "H I", "W_t": "H I"}
        for name in names:
            self.weights |= {f"U_{name}": "H H", f"b_{name}": "H"}
        super().__init__(input_size, hidden_size, **options)

    def step(self, p: Weights, x: Tensor, s: Tensor) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        x_h, x_t = p.W_h @ x, p.W_t @ x
        for n in self.layers:
            h = tanh(x_h + getattr(p, f"U_h_{n}") @ s + getattr(p, f"b_h_{n}"))
            t = sigmoid(x_t + getattr(p, f"U_t_{n}") @ s + getattr(p, f"b_t_{n}"))
            s = t * h + (1 - t) * s
            values |= {f"h_{n}": h, f"t_{n}": t}
            x_h = x_t = 0.0
        return {"s": s} | values


class IntersectionRNN(Cell):
    """Two mixtures a step: old and new state, and input and new output.

        a = relu(W_a x + U_a h + b_a)
        n = tanh(W_n x + U_n h + b_n)
        g = σ(W_g x + U_g h + b_g)
        f = σ(W_f x + U_f h + b_f)
        y = g ⊙ (V x) + (1 − g) ⊙ a
        h = f ⊙ h + (1 − f) ⊙ n

    Collins, Sohl-Dickstein & Sussillo, "Capacity and trainability in recurrent neural networks",
    2017 (the +RNN). The output y does not come back, so its initial state acts on nothing. The
    paper's y mixes in x itself, which asks for I = H; V x here serves all sizes, and V starts as
    the identity, as far as it goes. The paper adds a constant to b_g and b_f, usually 1.
    """

    gates = ("a", "n", "g", "f")
    weights = affine(*gates) | {"V": "H I"}
    states = {"y": "H", "h": "H"}
    output = "y"
    start = {"V": "identity"}

    def step(self, p: Weights, x: Tensor, y: Tensor, h: Tensor) -> dict[str, Tensor]:
        a = relu(p.W_a @ x + p.U_a @ h + p.b_a)
        n = tanh(p.W_n @ x + p.U_n @ h + p.b_n)
        g = sigmoid(p.W_g @ x + p.U_g @ h + p.b_g)
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
        y = g * (p.V @ x) + (1 - g) * a
        h = f * h + (1 - f) * n
        return {"y": y, "h": h, "a": a, "n": n, "g": g, "f": f}
