"""Cells without a matrix between old and new state: each unit sees its own past only.

All their products are with the input and run ahead of the loop, so a step costs next to nothing.
Those whose gates do not see the state at all are linear in it, and could run along time in
parallel; what stands here is the step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, exp, sigmoid, sqrt, tanh
from torch.nn import functional as F

from recurnn.cells._cell import Cell
from recurnn.cells._weights import Weights
from recurnn.cells.elman import activation


def _up_to_one(weight: Tensor) -> Tensor:
    return torch.nn.init.uniform_(weight, 0.0, 1.0)


class IndRNN(Cell):
    """Independently recurrent network: a simple network whose units see only themselves.

        h = φ(W x + u ⊙ h + b)

    Li, Li, Cook, Zhu & Gao, "Independently recurrent neural network (IndRNN): building a longer
    and deeper RNN", 2018. Units meet in the next layer, so use two or more. u starts from
    U(0, 1); the paper holds |u| at or below 2^(1/T) for sequences of T steps, which is the
    caller's to do after each update.

    Args:
        input_size: I.
        hidden_size: H.
        nonlinearity: φ: ``"relu"``, ``"tanh"``, ``"sigmoid"`` or ``"identity"``.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    weights = {"W": "H I", "u": "H", "b": "H"}
    start = {"u": _up_to_one}

    def __init__(
        self, input_size: int, hidden_size: int, *, nonlinearity: str = "relu", **options: Any
    ) -> None:
        self.φ, self.nonlinearity = activation(nonlinearity), nonlinearity
        super().__init__(input_size, hidden_size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        h = self.φ(p.W @ x + p.u * h + p.b)
        return {"h": h}


class SRU(Cell):
    """Simple recurrent unit: gates with a peephole and a highway past the memory.

        n = W x
        f = σ(W_f x + v_f ⊙ c + b_f)
        r = σ(W_r x + v_r ⊙ c + b_r)
        c = f ⊙ c + (1 − f) ⊙ n
        h = r ⊙ c + (1 − r) ⊙ (V x)

    Lei, Zhang, Wang, Dai & Artzi, "Simple recurrent units for highly parallelizable recurrence",
    2018, equations 1 to 4. Both gates see the old c. The paper's highway adds x itself, which
    asks for I = H, and V x where the sizes differ; it is V x here, for all sizes. The paper
    multiplies it by a constant α to keep the variance, which V can learn.
    """

    gates = ("n", "f", "r")
    weights = {
        "W": "H I", "W_f": "H I", "v_f": "H", "b_f": "H", "W_r": "H I", "v_r": "H", "b_r": "H",
        "V": "H I",
    }  # fmt: skip
    states = {"h": "H", "c": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        n = p.W @ x
        f = sigmoid(p.W_f @ x + p.v_f * c + p.b_f)
        r = sigmoid(p.W_r @ x + p.v_r * c + p.b_r)
        c = f * c + (1 - f) * n
        h = r * c + (1 - r) * (p.V @ x)
        return {"h": h, "c": c, "n": n, "f": f, "r": r}


class QRNN(Cell):
    """Quasi-recurrent network: gates from the input alone, forget and output pooling.

        z = tanh(W_z x + b_z)
        f = σ(W_f x + b_f)
        o = σ(W_o x + b_o)
        c = f ⊙ c + (1 − f) ⊙ z
        h = o ⊙ c

    Bradbury, Merity, Xiong & Socher, "Quasi-recurrent neural networks", 2017, fo-pooling,
    equation 4. The paper's products are convolutions along time; this is a window of one. For a
    window of k, join each input with the k − 1 before it.
    """

    gates = ("z", "f", "o")
    weights = {k: s for g in "zfo" for k, s in ((f"W_{g}", "H I"), (f"b_{g}", "H"))}
    states = {"h": "H", "c": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        z = tanh(p.W_z @ x + p.b_z)
        f = sigmoid(p.W_f @ x + p.b_f)
        o = sigmoid(p.W_o @ x + p.b_o)
        c = f * c + (1 - f) * z
        h = o * c
        return {"h": h, "c": c, "z": z, "f": f, "o": o}


class StronglyTypedRNN(Cell):
    """Strongly typed network (T-RNN): old and new are only ever averaged.

        n = W x
        f = σ(V x + b)
        h = f ⊙ h + (1 − f) ⊙ n

    Balduzzi & Ghifary, "Strongly-typed recurrent neural networks", 2016.
    """

    gates = ("n", "f")
    weights = {"W": "H I", "V": "H I", "b": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        n = p.W @ x
        f = sigmoid(p.V @ x + p.b)
        h = f * h + (1 - f) * n
        return {"h": h, "n": n, "f": f}


class MinGRU(Cell):
    """GRU without a reset gate, whose update gate sees the input only.

        z = σ(W_z x + b_z)
        n = W_n x + b_n
        h = (1 − z) ⊙ h + z ⊙ n

    Feng, Tung, Ahmed, Bengio & Hajimirsadeghi, "Were RNNs all we needed?", 2024, section 3.1. z
    opens to the new value. n is linear; the form for logarithms, which makes n positive, is not
    here.
    """

    gates = ("z", "n")
    weights = {"W_z": "H I", "b_z": "H", "W_n": "H I", "b_n": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        z = sigmoid(p.W_z @ x + p.b_z)
        n = p.W_n @ x + p.b_n
        h = (1 - z) * h + z * n
        return {"h": h, "z": z, "n": n}


class MinLSTM(Cell):
    """LSTM whose gates see the input only and add up to one; there is no output gate.

        f = σ(W_f x + b_f)
        i = σ(W_i x + b_i)
        n = W_n x + b_n
        h = f / (f + i) ⊙ h + i / (f + i) ⊙ n

    Feng, Tung, Ahmed, Bengio & Hajimirsadeghi, "Were RNNs all we needed?", 2024, section 3.2. h
    and c are one. n is linear, as in `MinGRU`.
    """

    gates = ("f", "i", "n")
    weights = {k: s for g in "fin" for k, s in ((f"W_{g}", "H I"), (f"b_{g}", "H"))}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        f = sigmoid(p.W_f @ x + p.b_f)
        i = sigmoid(p.W_i @ x + p.b_i)
        n = p.W_n @ x + p.b_n
        h = f / (f + i) * h + i / (f + i) * n
        return {"h": h, "f": f, "i": i, "n": n}


def _slow(weight: Tensor) -> Tensor:
    """Λ for which σ(Λ)⁸, the decay of a step with an open gate, is from U(0.9, 0.999)."""
    with torch.no_grad():
        decay = torch.nn.init.uniform_(weight, 0.9, 0.999).pow(1 / 8)
        return weight.copy_(decay.logit())


class RGLRU(Cell):
    """Real-gated linear recurrent unit, the recurrence of Griffin.

        r = σ(W_r x + b_r)
        i = σ(W_i x + b_i)
        a = exp(8 r ⊙ log σ(Λ))
        h = a ⊙ h + √(1 − a²) ⊙ i ⊙ (W x)

    De et al., "Griffin: mixing gated linear recurrences with local attention for efficient
    language models", 2024, equations 1 to 4. The paper's x comes out of a linear layer; W is that
    layer. Its gates are block-diagonal in the published code and full in the paper and here. In
    the code Λ is Lambda; it starts so that σ(Λ)⁸ is spread evenly from 0.9 to 0.999.
    """

    gates = ("r", "i", "a")
    weights = {
        "W_r": "H I", "b_r": "H", "W_i": "H I", "b_i": "H", "W": "H I", "Lambda": "H",
    }  # fmt: skip
    start = {"Lambda": _slow}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        r = sigmoid(p.W_r @ x + p.b_r)
        i = sigmoid(p.W_i @ x + p.b_i)
        a = exp(8 * r * F.logsigmoid(p.Lambda))
        h = a * h + sqrt(1 - a * a) * i * (p.W @ x)
        return {"h": h, "r": r, "i": i, "a": a}
