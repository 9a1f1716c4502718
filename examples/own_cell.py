"""A cell of one's own, compiled and trained: recall a number that was shown 30 steps ago."""

from __future__ import annotations

import torch
from torch import Tensor, nn, sigmoid, tanh

import recurnn
from recurnn.cells import Weights, affine


class TwoSpeeds(recurnn.cells.Cell):
    """A fast memory h, and a slow one s that a gate opens to it.

    a = σ(W_a x + U_a h + b_a)
    h = tanh(W x + U h + V s + b)
    s = (1 − a) ⊙ s + a ⊙ h
    """

    states = {"h": "H", "s": "H"}
    gates = ("a",)
    weights = affine("a") | affine() | {"V": "H H"}
    output = "s"  # what a layer above sees

    def step(self, p: Weights, x: Tensor, h: Tensor, s: Tensor) -> dict[str, Tensor]:
        a = sigmoid(p.W_a @ x + p.U_a @ h + p.b_a)
        h = tanh(p.W @ x + p.U @ h + p.V @ s + p.b)
        s = (1 - a) * s + a * h
        return {"h": h, "s": s, "a": a}


def batch(T: int, B: int) -> tuple[Tensor, Tensor]:
    """Noise [T, B, 2] whose second column marks step 0; the target [B, 1] is that step's number."""
    x = torch.randn(T, B, 2)
    x[:, :, 1] = 0
    x[0, :, 1] = 1
    return x, x[0, :, :1]


def main() -> None:
    torch.manual_seed(0)
    layer = recurnn.nn.Recurrent(TwoSpeeds(2, 16, init={"b_a": -3.0}))  # at first, a ≈ 0: keep s
    head = nn.Linear(16, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.01)
    print(layer.cell.equations())
    for step in range(201):
        x, target = batch(T=30, B=64)
        loss = nn.functional.mse_loss(head(layer(x).state["s"]), target)
        if step % 100 == 0:
            print(f"step {step}: mean squared error {loss.item():.4f}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
