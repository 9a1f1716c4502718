"""A cell that recurnn does not have, as a user would write it."""

from __future__ import annotations

from torch import Tensor, sigmoid, tanh

from recurnn.cells import Cell, Weights, affine


class TwoTimes(Cell):
    """A gated unit with a second state that moves slowly; as many products as a GRU."""

    weights = affine("r", "z", "n") | {"a": "H"}
    states = {"h": "H", "s": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor, s: Tensor) -> dict[str, Tensor]:
        r = sigmoid(p.W_r @ x + p.U_r @ h + p.a * s + p.b_r)
        z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
        n = tanh(p.W_n @ x + r * (p.U_n @ h) + p.b_n)
        s = s + 0.1 * (n - s)
        return {"h": z * h + (1 - z) * (n + s), "s": s}
