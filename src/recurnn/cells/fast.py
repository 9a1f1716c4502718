"""Networks for microcontrollers: a residual connection with two learned numbers."""

from __future__ import annotations

from torch import Tensor, sigmoid, tanh

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Weights


class FastRNN(Cell):
    """Simple recurrent network with a residual connection of two learned numbers.

        n = tanh(W x + U h + b)
        h = σ(α) n + σ(β) h

    Kusupati, Singh, Bhatia, Kumar, Jain & Varma, "FastGRNN: a fast, accurate, stable and tiny
    kilobyte sized gated recurrent neural network", 2018. α and β are one number each for all
    units, held between 0 and 1 by σ; they start at −3 and 3, as in the authors' code. The low
    rank and the sparsity that the paper gives W and U are not here.
    """

    gates = ("n",)
    weights = affine() | {"alpha": "1", "beta": "1"}
    start = {"alpha": -3.0, "beta": 3.0}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        n = tanh(p.W @ x + p.U @ h + p.b)
        h = sigmoid(p.alpha) * n + sigmoid(p.beta) * h
        return {"h": h, "n": n}


class FastGRNN(Cell):
    """Gated network whose gate and new value share their matrices.

        z = σ(W x + U h + b_z)
        n = tanh(W x + U h + b_n)
        h = (σ(ζ) (1 − z) + σ(ν)) ⊙ n + z ⊙ h

    Kusupati, Singh, Bhatia, Kumar, Jain & Varma, "FastGRNN: a fast, accurate, stable and tiny
    kilobyte sized gated recurrent neural network", 2018. ζ and ν, in the code zeta and nu, are
    one number each for all units, held between 0 and 1 by σ; they start at 1 and −4, as in the
    authors' code. Low rank, sparsity and whole-number weights are not here.
    """

    gates = ("z", "n")
    weights = {"W": "H I", "U": "H H", "b_z": "H", "b_n": "H", "zeta": "1", "nu": "1"}
    start = {"zeta": 1.0, "nu": -4.0}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        z = sigmoid(p.W @ x + p.U @ h + p.b_z)
        n = tanh(p.W @ x + p.U @ h + p.b_n)
        h = (sigmoid(p.zeta) * (1 - z) + sigmoid(p.nu)) * n + z * h
        return {"h": h, "z": z, "n": n}
