"""A cell of one's own, compiled and trained: recall a number that was shown 30 steps ago."""

from __future__ import annotations

import torch
from torch import Tensor, nn, sigmoid, tanh

import recurnn
from recurnn.cells import Weights, affine


class MGU(recurnn.cells.Cell):
    """Minimal gated unit: one gate both forgets and resets.

        f = σ(W_f x + U_f h + b_f)
        n = tanh(W_n x + U_n (f ⊙ h) + b_n)
        h = (1 − f) ⊙ h + f ⊙ n

    Zhou, Wu, Zhang & Zhou, "Minimal gated unit for recurrent neural networks", 2016.
    """

    gates = ("f", "n")
    weights = affine(*gates)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
        n = tanh(p.W_n @ x + p.U_n @ (f * h) + p.b_n)
        h = (1 - f) * h + f * n
        return {"h": h, "f": f, "n": n}


def batch(T: int, B: int) -> tuple[Tensor, Tensor]:
    """Noise [T, B, 2] whose second column marks step 0; the target [B, 1] is that step's number."""
    x = torch.randn(T, B, 2)
    x[:, :, 1] = 0
    x[0, :, 1] = 1
    return x, x[0, :, :1]


def main() -> None:
    torch.manual_seed(0)
    layer = recurnn.nn.Recurrent(MGU(2, 16, init={"b_f": -3.0}))  # to begin with, f ≈ 0: keep h
    head = nn.Linear(16, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.01)
    print(layer.cell.equations())
    for step in range(201):
        x, target = batch(T=30, B=64)
        loss = nn.functional.mse_loss(head(layer(x).state["h"]), target)
        if step % 100 == 0:
            print(f"step {step}: mean squared error {loss.item():.4f}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
