"""A simple network beside a slow memory of its inputs."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, sigmoid, tanh

from recurnn.cells._cell import Cell
from recurnn.cells._weights import Weights


class SCRN(Cell):
    """Structurally constrained network: a hidden layer, and context units that change slowly.

        s = (1 − α) (W_s x) + α s
        h = σ(P s + W x + U h + b)
        y = V_h h + V_s s + b_y

    Mikolov, Joulin, Chopra, Mathieu & Ranzato, "Learning longer memory in recurrent neural
    networks", 2015. α is one fixed number, 0.95 in the paper. y is the output
    before the paper's softmax; it does not come back, so its initial state acts on nothing. The
    paper has no biases.

    Args:
        input_size: I.
        hidden_size: H.
        context_size: K, the number of slow units; H by default.
        output_size: O, the size of y; H by default.
        alpha: α.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    weights = {
        "W_s": "K I", "P": "H K", "W": "H I", "U": "H H", "b": "H",
        "V_h": "O H", "V_s": "O K", "b_y": "O",
    }  # fmt: skip
    states = {"y": "O", "h": "H", "s": "K"}
    output = "y"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        context_size: int | None = None,
        output_size: int | None = None,
        alpha: float = 0.95,
        **options: Any,
    ) -> None:
        self.alpha = alpha
        K = hidden_size if context_size is None else context_size
        size = hidden_size if output_size is None else output_size
        super().__init__(input_size, hidden_size, K=K, O=size, **options)

    def step(self, p: Weights, x: Tensor, y: Tensor, h: Tensor, s: Tensor) -> dict[str, Tensor]:
        s = (1 - self.alpha) * (p.W_s @ x) + self.alpha * s
        h = sigmoid(p.P @ s + p.W @ x + p.U @ h + p.b)
        y = p.V_h @ h + p.V_s @ s + p.b_y
        return {"y": y, "h": h, "s": s}


class LMU(Cell):
    """Legendre memory unit: the last θ steps of a signal as a polynomial, beside a hidden layer.

        u = E_x x + E_h h + E_m m
        m = A m + B u
        h = tanh(W x + U h + V m)

    Voelker, Kajić & Eliasmith, "Legendre memory units: continuous-time representation in
    recurrent neural networks", 2019; u is one number, m has D of them. A and B
    start as the paper has them, over a window of θ steps and held constant within a
    step. The paper leaves A and B as they are: ``for w in (cell.A, cell.B):
    w.requires_grad_(False)``. There are no biases.

    Args:
        input_size: I.
        hidden_size: H.
        memory_size: D, the order of the polynomial.
        theta: θ, the window in steps.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    gates = ("u",)
    weights = {
        "E_x": "N I", "E_h": "N H", "E_m": "N D", "A": "D D", "B": "D N",
        "W": "H I", "U": "H H", "V": "H D",
    }  # fmt: skip
    states = {"h": "H", "m": "D"}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        memory_size: int = 16,
        theta: float = 100.0,
        **options: Any,
    ) -> None:
        self.start = {"A": partial(_decay, theta=theta), "B": partial(_drive, theta=theta)}
        super().__init__(input_size, hidden_size, D=memory_size, N=1, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor, m: Tensor) -> dict[str, Tensor]:
        u = p.E_x @ x + p.E_h @ h + p.E_m @ m
        m = p.A @ m + p.B @ u
        h = tanh(p.W @ x + p.U @ h + p.V @ m)
        return {"h": h, "m": m, "u": u}


def _decay(A: Tensor, theta: float) -> Tensor:
    with torch.no_grad():
        return A.copy_(_held(A.shape[0], theta)[:-1, :-1])


def _drive(B: Tensor, theta: float) -> Tensor:
    with torch.no_grad():
        return B.copy_(_held(B.shape[0], theta)[:-1, -1:])


def _held(D: int, theta: float) -> Tensor:
    """A and B side by side, of the equation over continuous time held constant within a step."""
    i = torch.arange(D, dtype=torch.float64).unsqueeze(1)
    j = i.T
    sign = (-1.0) ** (i - j + 1)
    A = (2 * i + 1) * torch.where(i < j, -torch.ones_like(sign), sign)
    B = (2 * i + 1) * (-1.0) ** i
    # exp of [[A, B], [0, 0]] has the answer in its first rows (Van Loan 1978).
    whole = torch.cat([torch.cat([A, B], dim=1), torch.zeros(1, D + 1, dtype=torch.float64)])
    held: Tensor = torch.linalg.matrix_exp(whole / theta)
    return held
