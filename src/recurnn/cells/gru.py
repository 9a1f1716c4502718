"""Gated recurrent units: the reset gate after the product (torch) or before it (the paper)."""

from __future__ import annotations

from torch import Tensor, sigmoid, tanh

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Weights
from recurnn.cells.normalise import normalise


class GRU(Cell):
    """Gated recurrent unit with the reset gate after the recurrent product, as in torch.

        r = σ(W_r x + U_r h + b_r)
        z = σ(W_z x + U_z h + b_z)
        n = tanh(W_n x + b_n + r ⊙ (U_n h + b_u))
        h = (1 − z) ⊙ n + z ⊙ h

    The variant of Cho et al. 2014 that cuDNN and torch compute: one product with h a step
    instead of two in a row. z keeps the old state, as in Cho et al.; Chung et al. 2014 have z and
    1 − z the other way round. b_u is torch's ``bias_hh`` of n; of the other gates torch's two
    biases are one, since only their sum acts.
    """

    gates = ("r", "z", "n")
    weights = affine(*gates) | {"b_u": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
        z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
        n = tanh(p.W_n @ x + p.b_n + r * (p.U_n @ h + p.b_u))
        h = (1 - z) * n + z * h
        return {"h": h, "r": r, "z": z, "n": n}


class ResetBeforeGRU(Cell):
    """Gated recurrent unit with the reset gate before the recurrent product, as in the paper.

        r = σ(W_r x + U_r h + b_r)
        z = σ(W_z x + U_z h + b_z)
        n = tanh(W_n x + U_n (r ⊙ h) + b_n)
        h = (1 − z) ⊙ n + z ⊙ h

    Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014, equations 5 to
    8, with biases (the paper leaves them out). Keras calls it ``reset_after=False``.
    """

    gates = ("r", "z", "n")
    weights = affine(*gates)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
        z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
        n = tanh(p.W_n @ x + p.U_n @ (r * h) + p.b_n)
        h = (1 - z) * n + z * h
        return {"h": h, "r": r, "z": z, "n": n}


class LayerNormGRU(Cell):
    """Gated recurrent unit with layer normalisation of every product.

        x_r, x_z = N(W_r x, W_z x)
        h_r, h_z = N(U_r h, U_z h)
        r = σ(α_r ⊙ x_r + β_r ⊙ h_r + b_r)
        z = σ(α_z ⊙ x_z + β_z ⊙ h_z + b_z)
        n = tanh(α_n ⊙ N(W_n x) + b_n + r ⊙ (β_n ⊙ N(U_n h) + b_u))
        h = (1 − z) ⊙ h + z ⊙ n

    Ba, Kiros & Hinton, "Layer normalization", 2016, the GRU of the supplement. N subtracts the
    mean and divides by the standard deviation, over the 2H values of both gates together and over
    the H of n alone; ε = 1e-5 is added to the variance. The two biases within a gate are one. z
    opens to the new value, as in that paper, and not as in `GRU`. In the code α and β are alpha
    and beta.
    """

    gates = ("r", "z", "n")
    weights = (
        affine(*gates)
        | {"b_u": "H"}
        | {f"alpha_{k}": "H" for k in "rzn"}
        | {f"beta_{k}": "H" for k in "rzn"}
    )
    start = {"alpha_*": 1.0, "beta_*": 1.0}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        x_r, x_z = normalise(p.W_r @ x, p.W_z @ x)
        h_r, h_z = normalise(p.U_r @ h, p.U_z @ h)
        r = sigmoid(p.alpha_r * x_r + p.beta_r * h_r + p.b_r)
        z = sigmoid(p.alpha_z * x_z + p.beta_z * h_z + p.b_z)
        (x_n,), (h_n,) = normalise(p.W_n @ x), normalise(p.U_n @ h)
        n = tanh(p.alpha_n * x_n + p.b_n + r * (p.beta_n * h_n + p.b_u))
        h = (1 - z) * h + z * n
        return {"h": h, "r": r, "z": z, "n": n}
