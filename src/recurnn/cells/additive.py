"""Gated units whose memory is a weighted sum of the past inputs: no matrix acts on it."""

from __future__ import annotations

from torch import Tensor, sigmoid, tanh

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Weights


class RAN(Cell):
    """Recurrent additive network: an LSTM whose new value is linear in the input alone.

        n = W_n x
        i = σ(W_i x + U_i h + b_i)
        f = σ(W_f x + U_f h + b_f)
        c = i ⊙ n + f ⊙ c
        h = tanh(c)

    Lee, Levy & Zettlemoyer, "Recurrent additive networks", 2017. h = tanh(c) as in the paper's
    formula; the paper also tries h = c.
    """

    gates = ("n", "i", "f")
    weights = {"W_n": "H I"} | affine("i", "f")
    states = {"h": "H", "c": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        n = p.W_n @ x
        i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
        c = i * n + f * c
        h = tanh(c)
        return {"h": h, "c": c, "n": n, "i": i, "f": f}


class CFN(Cell):
    """Chaos-free network: without input its state falls to zero, whatever the weights.

        θ = σ(W_θ x + U_θ h + b_θ)
        η = σ(W_η x + U_η h + b_η)
        n = W_n x
        h = θ ⊙ tanh(h) + η ⊙ tanh(n)

    Laurent & von Brecht, "A recurrent neural network without chaos", 2017. θ keeps the old,
    η lets in the new. In the code the letters are theta and eta.
    """

    gates = ("theta", "eta", "n")
    weights = affine("theta", "eta") | {"W_n": "H I"}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        theta = sigmoid(p.W_theta @ x + p.U_theta @ h + p.b_theta)
        eta = sigmoid(p.W_eta @ x + p.U_eta @ h + p.b_eta)
        n = p.W_n @ x
        h = theta * tanh(h) + eta * tanh(n)
        return {"h": h, "theta": theta, "eta": eta, "n": n}
