"""Gated units with fewer gates or fewer products than a GRU."""

from __future__ import annotations

from typing import Any

from torch import Tensor, relu, sigmoid, tanh

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Weights


class MGU(Cell):
    """Minimal gated unit: one gate both forgets and resets.

        f = σ(W_f x + U_f h + b_f)
        n = tanh(W_n x + U_n (f ⊙ h) + b_n)
        h = (1 − f) ⊙ h + f ⊙ n

    Zhou, Wu, Zhang & Zhou, "Minimal gated unit for recurrent neural networks", 2016. f opens to
    the new value, as in the paper; in a GRU z keeps the old one.
    """

    gates = ("f", "n")
    weights = affine(*gates)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
        n = tanh(p.W_n @ x + p.U_n @ (f * h) + p.b_n)
        h = (1 - f) * h + f * n
        return {"h": h, "f": f, "n": n}


class JANET(Cell):
    """LSTM with a forget gate and nothing else ("just another network").

        s = W_f x + U_f h + b_f
        n = tanh(W_n x + U_n h + b_n)
        h = σ(s) ⊙ h + (1 − σ(s − β)) ⊙ n

    van der Westhuizen & Lasenby, "The unreasonable effectiveness of the forget gate", 2018. h and
    c of the LSTM are one. The number β lets in somewhat more than was forgotten; it is 1 in the
    paper's experiments, and 0 couples the two. The chrono start of b_f that the paper advises
    needs the longest expected lag T: ``init={"b_f": lambda b: b.uniform_(1, T - 1).log_()}``.

    Args:
        input_size: I.
        hidden_size: H.
        beta: β.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    gates = ("s", "n")
    weights = affine("f", "n")

    def __init__(
        self, input_size: int, hidden_size: int, *, beta: float = 1.0, **options: Any
    ) -> None:
        self.beta = beta
        super().__init__(input_size, hidden_size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        s = p.W_f @ x + p.U_f @ h + p.b_f
        n = tanh(p.W_n @ x + p.U_n @ h + p.b_n)
        h = sigmoid(s) * h + (1 - sigmoid(s - self.beta)) * n
        return {"h": h, "s": s, "n": n}


class LiGRU(Cell):
    """Light GRU for speech: no reset gate, and relu in place of tanh.

        z = σ(W_z x + U_z h + b_z)
        n = relu(W_n x + U_n h + b_n)
        h = z ⊙ h + (1 − z) ⊙ n

    Ravanelli, Brakel, Omologo & Bengio, "Light gated recurrent units for speech recognition",
    2018. The paper normalises W_z x and W_n x over batch and time, which tames the relu; a step
    sees one moment and cannot. The shift of that normalisation remains as b. Normalise the input
    before the layer, or hold U orthogonal (``torch.nn.utils.parametrizations.orthogonal``).
    """

    gates = ("z", "n")
    weights = affine(*gates)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
        n = relu(p.W_n @ x + p.U_n @ h + p.b_n)
        h = z * h + (1 - z) * n
        return {"h": h, "z": z, "n": n}


class UGRNN(Cell):
    """Update gate network: the smallest gated unit, one gate between old and new.

        g = σ(W_g x + U_g h + b_g)
        n = tanh(W_n x + U_n h + b_n)
        h = g ⊙ h + (1 − g) ⊙ n

    Collins, Sohl-Dickstein & Sussillo, "Capacity and trainability in recurrent neural networks",
    2017. The paper adds a constant to b_g, usually 1: ``init={"b_g": 1.0}``.
    """

    gates = ("g", "n")
    weights = affine(*gates)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        g = sigmoid(p.W_g @ x + p.U_g @ h + p.b_g)
        n = tanh(p.W_n @ x + p.U_n @ h + p.b_n)
        h = g * h + (1 - g) * n
        return {"h": h, "g": g, "n": n}


class MinimalRNN(Cell):
    """The input goes to a latent space first; one gate mixes it with the state.

        z = tanh(W x + b)
        u = σ(U_h h + U_z z + b_u)
        h = u ⊙ h + (1 − u) ⊙ z

    Chen, "MinimalRNN: toward more interpretable and trainable recurrent neural networks", 2017.
    The map to the latent space may be any network; it is one layer here, as in the experiments.
    """

    gates = ("z", "u")
    weights = {"W": "H I", "b": "H", "U_h": "H H", "U_z": "H H", "b_u": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        z = tanh(p.W @ x + p.b)
        u = sigmoid(p.U_h @ h + p.U_z @ z + p.b_u)
        h = u * h + (1 - u) * z
        return {"h": h, "z": z, "u": u}


class LightRU(Cell):
    """Light recurrent unit: the state acts on the gate only, never on the new value.

        n = tanh(W_n x + b_n)
        f = σ(W_f x + U_f h + b_f)
        h = (1 − f) ⊙ h + f ⊙ n

    Ye, Zhang, Liu, Wu & Li, "Light recurrent unit: towards an interpretable recurrent neural
    network for modeling long-range dependency", 2024. f opens to the new value.
    """

    gates = ("n", "f")
    weights = {"W_n": "H I", "b_n": "H"} | affine("f")

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        n = tanh(p.W_n @ x + p.b_n)
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
        h = (1 - f) * h + f * n
        return {"h": h, "n": n, "f": f}


class ATR(Cell):
    """Addition-subtraction twin-gated unit: both gates come from the same two products.

        p = W x
        q = U h + b
        i = σ(p + q)
        f = σ(p − q)
        h = i ⊙ p + f ⊙ h

    Zhang, Xiong, Su, Lin & Zhang, "Simplifying neural machine translation with
    addition-subtraction twin-gated recurrent networks", 2018. The paper has no bias; b is one on
    q, so that the two gates can be biased apart.
    """

    gates = ("p", "q", "i", "f")
    weights = affine()

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        new = p.W @ x
        q = p.U @ h + p.b
        i = sigmoid(new + q)
        f = sigmoid(new - q)
        h = i * new + f * h
        return {"h": h, "p": new, "q": q, "i": i, "f": f}


class STAR(Cell):
    """Stackable recurrent cell: made so that gradients keep their size through many layers.

        z = tanh(W_z x + b_z)
        k = σ(W_k x + U_k h + b_k)
        h = tanh((1 − k) ⊙ h + k ⊙ z)

    Turkoglu, D'Aronco, Wegner & Schindler, "Gating revisited: deep multi-layer RNNs that can be
    trained", 2019.
    """

    gates = ("z", "k")
    weights = {"W_z": "H I", "b_z": "H"} | affine("k")

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        z = tanh(p.W_z @ x + p.b_z)
        k = sigmoid(p.W_k @ x + p.U_k @ h + p.b_k)
        h = tanh((1 - k) * h + k * z)
        return {"h": h, "z": z, "k": k}


class SGRN(Cell):
    """Simple gated recurrent network: one gate, and a new value without a product of its own.

        f = σ(W x + U h + b_f)
        h = tanh((1 − f) ⊙ (W x + b_h) + f ⊙ h)

    Zu & Wei, "A simple gated recurrent network for detection of power quality disturbances",
    2021. Input and gate share W. The paper's gate adds b_h to its own bias, which comes to the
    same.
    """

    gates = ("f",)
    weights = {"W": "H I", "U": "H H", "b_f": "H", "b_h": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        f = sigmoid(p.W @ x + p.U @ h + p.b_f)
        h = tanh((1 - f) * (p.W @ x + p.b_h) + f * h)
        return {"h": h, "f": f}
