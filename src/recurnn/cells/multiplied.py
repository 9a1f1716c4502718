"""Cells in which the input multiplies the state."""

from __future__ import annotations

from torch import Tensor, sigmoid, tanh
from torch.nn.functional import relu6, softplus

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Weights


class MultiplicativeRNN(Cell):
    """A simple network whose recurrent matrix depends on the input.

        m = (W_m x) ⊙ (U_m h)
        h = tanh(W x + U m + b)

    Sutskever, Martens & Hinton, "Generating text with recurrent neural networks", 2011. m is the
    paper's f, with as many factors as there are units.
    """

    gates = ("m",)
    weights = {"W_m": "H I", "U_m": "H H"} | affine()

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        m = (p.W_m @ x) * (p.U_m @ h)
        h = tanh(p.W @ x + p.U @ m + p.b)
        return {"h": h, "m": m}


class MIRNN(Cell):
    """Multiplicative integration: W x and U h meet in a product too.

        h = tanh(α ⊙ W x ⊙ U h + β ⊙ U h + γ ⊙ W x + b)

    Wu, Zhang, Zhang, Bengio & Salakhutdinov, "On multiplicative integration with recurrent neural
    networks", 2016, equation 4; β and γ are the paper's β1 and β2. All three start at one: the
    paper tries values from 0.5 to 2. In the code they are alpha, beta and gamma.
    """

    weights = affine() | {"alpha": "H", "beta": "H", "gamma": "H"}
    start = {"alpha": 1.0, "beta": 1.0, "gamma": 1.0}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        w, u = p.W @ x, p.U @ h
        h = tanh(p.alpha * w * u + p.beta * u + p.gamma * w + p.b)
        return {"h": h}


class DeltaRNN(Cell):
    """Differential state: how much of a multiplicatively made candidate is taken, x decides.

        n = tanh(α ⊙ U h ⊙ W x + β ⊙ U h + γ ⊙ W x + b_n)
        r = σ(W x + b_r)
        h = tanh((1 − r) ⊙ n + r ⊙ h)

    Ororbia, Mikolov & Reitter, "Learning simpler language models with the differential state
    framework", 2017; n is the paper's z, β and γ its β1 and β2. In the code they are alpha, beta
    and gamma, which start at one.
    """

    gates = ("n", "r")
    weights = {
        "W": "H I", "U": "H H", "alpha": "H", "beta": "H", "gamma": "H", "b_n": "H", "b_r": "H",
    }  # fmt: skip
    start = {"alpha": 1.0, "beta": 1.0, "gamma": 1.0}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        w, u = p.W @ x, p.U @ h
        n = tanh(p.alpha * u * w + p.beta * u + p.gamma * w + p.b_n)
        r = sigmoid(w + p.b_r)
        h = tanh((1 - r) * n + r * h)
        return {"h": h, "n": n, "r": r}


class SGU(Cell):
    """Simple gated unit: the input gates the state before the product, not after it.

        g = tanh(U_g ((W_g x + b_g) ⊙ h) + b_u)
        n = softplus(g ⊙ h)
        z = hardsigmoid(W_z x + U_z h + b_z)
        h = (1 − z) ⊙ h + z ⊙ n

    Gao & Glowacka, "Deep gate recurrent neural network", 2016; g and n are the paper's z_g and
    z_out. The hard sigmoid is torch's, which reaches 0 and 1 at ∓3.
    """

    gates = ("g", "n", "z")
    weights = affine("g", "z") | {"b_u": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        g = tanh(p.U_g @ ((p.W_g @ x + p.b_g) * h) + p.b_u)
        n = softplus(g * h)
        z = relu6(p.W_z @ x + p.U_z @ h + p.b_z + 3) / 6  # hardsigmoid in full precision
        h = (1 - z) * h + z * n
        return {"h": h, "g": g, "n": n, "z": z}
