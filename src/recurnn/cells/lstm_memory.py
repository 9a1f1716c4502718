"""Variants of the LSTM that change how the memory is written, read or kept."""

from __future__ import annotations

from torch import Tensor, exp, maximum, sigmoid, tanh
from torch.nn import functional as F

from recurnn.cells._cell import Cell, Weights, affine


class LSTM1997(Cell):
    """The LSTM of the first paper: no forget gate, so the memory only ever adds.

        i = σ(W_i x + U_i h + b_i)
        g = tanh(W_g x + U_g h + b_g)
        o = σ(W_o x + U_o h + b_o)
        c = c + i ⊙ g
        h = o ⊙ tanh(c)

    Hochreiter & Schmidhuber, "Long short-term memory", 1997. The paper's squashing functions are
    logistic, from −2 to 2 and from −1 to 1; both are tanh here. Its blocks of several cells that
    share their gates, and its truncated gradient, are not here.
    """

    gates = ("i", "g", "o")
    weights = affine(*gates)
    states = {"h": "H", "c": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
        g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
        o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
        c = c + i * g
        h = o * tanh(c)
        return {"h": h, "c": c, "i": i, "g": g, "o": o}


class MultiplicativeLSTM(Cell):
    """LSTM with a recurrent matrix of its own for every input (mLSTM of 2016).

        m = (W_m x) ⊙ (U_m h)
        i = σ(W_i x + U_i m + b_i)
        f = σ(W_f x + U_f m + b_f)
        g = tanh(W_g x + U_g m + b_g)
        o = σ(W_o x + U_o m + b_o)
        c = f ⊙ c + i ⊙ g
        h = o ⊙ tanh(c)

    Krause, Lu, Murray & Renals, "Multiplicative LSTM for sequence modelling", 2016. The paper
    writes no biases; the gates have theirs here, m has none.
    """

    gates = ("m", "i", "f", "g", "o")
    weights = {"W_m": "H I", "U_m": "H H"} | affine("i", "f", "g", "o")
    states = {"h": "H", "c": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        m = (p.W_m @ x) * (p.U_m @ h)
        i = sigmoid(p.W_i @ x + p.U_i @ m + p.b_i)
        f = sigmoid(p.W_f @ x + p.U_f @ m + p.b_f)
        g = tanh(p.W_g @ x + p.U_g @ m + p.b_g)
        o = sigmoid(p.W_o @ x + p.U_o @ m + p.b_o)
        c = f * c + i * g
        h = o * tanh(c)
        return {"h": h, "c": c, "m": m, "i": i, "f": f, "g": g, "o": o}


class WorkingMemoryLSTM(Cell):
    """LSTM whose gates see the whole memory, squashed.

        i = σ(W_i x + U_i h + tanh(V_i c) + b_i)
        f = σ(W_f x + U_f h + tanh(V_f c) + b_f)
        g = tanh(W_g x + U_g h + b_g)
        c = f ⊙ c + i ⊙ g
        o = σ(W_o x + U_o h + tanh(V_o c) + b_o)
        h = o ⊙ tanh(c)

    Landi, Baraldi, Cornia & Cucchiara, "Working memory connections for LSTM", 2021. The input and
    forget gates see the old c, the output gate the new one. The bias within the paper's tanh is
    left out.
    """

    gates = ("i", "f", "g", "o")
    weights = affine(*gates) | {"V_i": "H H", "V_f": "H H", "V_o": "H H"}
    states = {"h": "H", "c": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        i = sigmoid(p.W_i @ x + p.U_i @ h + tanh(p.V_i @ c) + p.b_i)
        f = sigmoid(p.W_f @ x + p.U_f @ h + tanh(p.V_f @ c) + p.b_f)
        g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
        c = f * c + i * g
        o = sigmoid(p.W_o @ x + p.U_o @ h + tanh(p.V_o @ c) + p.b_o)
        h = o * tanh(c)
        return {"h": h, "c": c, "i": i, "f": f, "g": g, "o": o}


class SLSTM(Cell):
    """LSTM with an exponential input gate, a normaliser and a stabiliser (xLSTM's sLSTM).

        a = W_i x + U_i h + b_i
        l = log σ(W_f x + U_f h + b_f) + m
        z = tanh(W_z x + U_z h + b_z)
        o = σ(W_o x + U_o h + b_o)
        m = max(l, a)
        i = exp(a − m)
        f = exp(l − m)
        c = f ⊙ c + i ⊙ z
        n = f ⊙ n + i
        h = o ⊙ c / n

    Beck, Pöppel, Spanring, Auer, Prudnikova, Kopp, Klambauer, Brandstetter & Hochreiter, "xLSTM:
    extended long short-term memory", 2024, equations 8 to 17. The paper lets f be σ or exp; it is
    σ here, as in the published code. i and f are the stabilised gates. The memory mixes within
    one head, so U is full. States start at zero, m too: where the stabiliser starts cancels in
    c / n. n is positive after the first step; an initial n that is given should be, too.
    """

    gates = ("a", "l", "z", "o", "i", "f")
    weights = affine("i", "f", "z", "o")
    states = {"h": "H", "c": "H", "n": "H", "m": "H"}

    def step(
        self, p: Weights, x: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor
    ) -> dict[str, Tensor]:
        a = p.W_i @ x + p.U_i @ h + p.b_i
        l = F.logsigmoid(p.W_f @ x + p.U_f @ h + p.b_f) + m  # noqa: E741 - a logarithm
        z = tanh(p.W_z @ x + p.U_z @ h + p.b_z)
        o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
        m = maximum(l, a)
        i = exp(a - m)
        f = exp(l - m)
        c = f * c + i * z
        n = f * n + i
        h = o * c / n
        return {
            "h": h, "c": c, "n": n, "m": m, "a": a, "l": l, "z": z, "o": o, "i": i, "f": f,
        }  # fmt: skip
