"""Bistable cells: each unit can hold one of two values for good, without an input."""

from __future__ import annotations

from torch import Tensor, sigmoid, tanh

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Weights


class BRC(Cell):
    """Bistable recurrent cell: memory in the unit itself, gates that see their own unit only.

        a = 1 + tanh(W_a x + u_a ⊙ h + b_a)
        c = σ(W_c x + u_c ⊙ h + b_c)
        h = c ⊙ h + (1 − c) ⊙ tanh(W x + a ⊙ h + b)

    Vecoven, Ernst & Drion, "A bio-inspired bistable recurrent cell allows for long-lasting
    memory", 2021. Where a > 1 a unit has two stable values. The paper leaves
    the biases out.
    """

    gates = ("a", "c")
    weights = {
        "W_a": "H I", "u_a": "H", "b_a": "H", "W_c": "H I", "u_c": "H", "b_c": "H",
        "W": "H I", "b": "H",
    }  # fmt: skip

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        a = 1 + tanh(p.W_a @ x + p.u_a * h + p.b_a)
        c = sigmoid(p.W_c @ x + p.u_c * h + p.b_c)
        h = c * h + (1 - c) * tanh(p.W @ x + a * h + p.b)
        return {"h": h, "a": a, "c": c}


class NBRC(Cell):
    """Neuromodulated bistable cell: as `BRC`, and the gates see every unit.

        a = 1 + tanh(W_a x + U_a h + b_a)
        c = σ(W_c x + U_c h + b_c)
        h = c ⊙ h + (1 − c) ⊙ tanh(W x + a ⊙ h + b)

    Vecoven, Ernst & Drion, "A bio-inspired bistable recurrent cell allows for long-lasting
    memory", 2021, nBRC. The new value still sees each unit's own h only.
    """

    gates = ("a", "c")
    weights = affine("a", "c") | {"W": "H I", "b": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        a = 1 + tanh(p.W_a @ x + p.U_a @ h + p.b_a)
        c = sigmoid(p.W_c @ x + p.U_c @ h + p.b_c)
        h = c * h + (1 - c) * tanh(p.W @ x + a * h + p.b)
        return {"h": h, "a": a, "c": c}
