"""Variants of the LSTM that change how the memory is written, read or kept."""

from __future__ import annotations

from torch import Tensor, exp, maximum, sigmoid, tanh
from torch.nn import functional as F

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Weights


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


class NestedLSTM(Cell):
    """LSTM whose memory is an LSTM: what the outer gates let through is the inner one's input.

        i = σ(W_i x + U_i h + b_i)
        f = σ(W_f x + U_f h + b_f)
        g = tanh(W_g x + U_g h + b_g)
        o = σ(W_o x + U_o h + b_o)
        y, s = i ⊙ g, f ⊙ c
        j = σ(W_j y + U_j s + b_j)
        k = σ(W_k y + U_k s + b_k)
        l = tanh(W_l y + U_l s + b_l)
        q = σ(W_q y + U_q s + b_q)
        m = k ⊙ m + j ⊙ l
        c = q ⊙ tanh(m)
        h = o ⊙ tanh(c)

    Moniz & Krueger, "Nested LSTMs", 2017, with one level within; j, k, l, q and m are the paper's
    inner gates and memory, which it writes with a tilde.
    """

    gates = ("i", "f", "g", "o", "j", "k", "l", "q")
    weights = affine("i", "f", "g", "o") | affine("j", "k", "l", "q", inputs="H")
    states = {"h": "H", "c": "H", "m": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor, m: Tensor) -> dict[str, Tensor]:
        i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
        g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
        o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
        y, s = i * g, f * c
        j = sigmoid(p.W_j @ y + p.U_j @ s + p.b_j)
        k = sigmoid(p.W_k @ y + p.U_k @ s + p.b_k)
        l = tanh(p.W_l @ y + p.U_l @ s + p.b_l)  # noqa: E741 - the gate after k
        q = sigmoid(p.W_q @ y + p.U_q @ s + p.b_q)
        m = k * m + j * l
        c = q * tanh(m)
        h = o * tanh(c)
        inner = {"j": j, "k": k, "l": l, "q": q}
        return {"h": h, "c": c, "m": m, "i": i, "f": f, "g": g, "o": o} | inner


class ResidualLSTM(Cell):
    """LSTM with a path from its input to its output, behind the same gate.

        i = σ(W_i x + U_i h + p_i ⊙ c + b_i)
        f = σ(W_f x + U_f h + p_f ⊙ c + b_f)
        g = tanh(W_g x + U_g h + b_g)
        c = f ⊙ c + i ⊙ g
        o = σ(W_o x + U_o h + p_o ⊙ c + b_o)
        h = o ⊙ (V tanh(c) + W_r x)

    Kim, El-Khamy & Lee, "Residual LSTM: design of a deep recurrent architecture for distant speech
    recognition", 2017, equations 16 to 21. In the paper W_r is the identity where the sizes allow;
    it is trained here.
    """

    gates = ("i", "f", "g", "o")
    weights = affine(*gates) | {
        "p_i": "H", "p_f": "H", "p_o": "H", "V": "H H", "W_r": "H I",
    }  # fmt: skip
    states = {"h": "H", "c": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        i = sigmoid(p.W_i @ x + p.U_i @ h + p.p_i * c + p.b_i)
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.p_f * c + p.b_f)
        g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
        c = f * c + i * g
        o = sigmoid(p.W_o @ x + p.U_o @ h + p.p_o * c + p.b_o)
        h = o * (p.V @ tanh(c) + p.W_r @ x)
        return {"h": h, "c": c, "i": i, "f": f, "g": g, "o": o}
