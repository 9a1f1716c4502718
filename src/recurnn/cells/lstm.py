"""Long short-term memory and its variants. Only what differs from the plain cell differs here."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid, tanh

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Weights
from recurnn.cells.normalise import normalise


class LSTM(Cell):
    """Long short-term memory with a forget gate, as in torch.

        i = σ(W_i x + U_i h + b_i)
        f = σ(W_f x + U_f h + b_f)
        g = tanh(W_g x + U_g h + b_g)
        o = σ(W_o x + U_o h + b_o)
        c = f ⊙ c + i ⊙ g
        h = o ⊙ tanh(c)

    Hochreiter & Schmidhuber, "Long short-term memory", 1997; the forget gate is from Gers,
    Schmidhuber & Cummins, "Learning to forget", 2000. torch's two biases are one, since only
    their sum acts.
    """

    gates = ("i", "f", "g", "o")
    weights = affine(*gates)
    states = {"h": "H", "c": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
        g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
        o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
        c = f * c + i * g
        h = o * tanh(c)
        return {"h": h, "c": c, "i": i, "f": f, "g": g, "o": o}


class PeepholeLSTM(Cell):
    """LSTM whose gates also see the cell state.

        i = σ(W_i x + U_i h + p_i ⊙ c + b_i)
        f = σ(W_f x + U_f h + p_f ⊙ c + b_f)
        g = tanh(W_g x + U_g h + b_g)
        c = f ⊙ c + i ⊙ g
        o = σ(W_o x + U_o h + p_o ⊙ c + b_o)
        h = o ⊙ tanh(c)

    Gers & Schmidhuber, "Recurrent nets that time and count", 2000; in this form Graves,
    "Generating sequences with recurrent neural networks", 2013, equations 7 to 11. The input and
    forget gates see the old c, the output gate the new one; each unit sees its own c only.
    """

    gates = ("i", "f", "g", "o")
    weights = affine(*gates) | {"p_i": "H", "p_f": "H", "p_o": "H"}
    states = {"h": "H", "c": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        i = sigmoid(p.W_i @ x + p.U_i @ h + p.p_i * c + p.b_i)
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.p_f * c + p.b_f)
        g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
        c = f * c + i * g
        o = sigmoid(p.W_o @ x + p.U_o @ h + p.p_o * c + p.b_o)
        h = o * tanh(c)
        return {"h": h, "c": c, "i": i, "f": f, "g": g, "o": o}


class CoupledLSTM(Cell):
    """LSTM that forgets exactly what it overwrites (coupled input and forget gate, CIFG).

        i = σ(W_i x + U_i h + b_i)
        g = tanh(W_g x + U_g h + b_g)
        o = σ(W_o x + U_o h + b_o)
        c = (1 − i) ⊙ c + i ⊙ g
        h = o ⊙ tanh(c)

    Greff, Srivastava, Koutník, Steunebrink & Schmidhuber, "LSTM: a search space odyssey", 2017,
    variant CIFG (f = 1 − i), here without peepholes.
    """

    gates = ("i", "g", "o")
    weights = affine(*gates)
    states = {"h": "H", "c": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
        g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
        o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
        c = (1 - i) * c + i * g
        h = o * tanh(c)
        return {"h": h, "c": c, "i": i, "g": g, "o": o}


class ProjectedLSTM(Cell):
    """LSTM with a recurrent projection: h has P units where c has H.

        i = σ(W_i x + U_i h + b_i)
        f = σ(W_f x + U_f h + b_f)
        g = tanh(W_g x + U_g h + b_g)
        o = σ(W_o x + U_o h + b_o)
        c = f ⊙ c + i ⊙ g
        h = W_p (o ⊙ tanh(c))

    Sak, Senior & Beaufays, "Long short-term memory recurrent neural network architectures for
    large scale acoustic modeling", 2014, without the peepholes and without the second,
    non-recurrent projection: as ``proj_size`` in torch. U multiplies h, so it is [H, P].

    Args:
        input_size: I.
        hidden_size: H.
        proj_size: P, the size of h and of the output.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    gates = ("i", "f", "g", "o")
    weights = affine(*gates, state="P") | {"W_p": "P H"}
    states = {"h": "P", "c": "H"}

    def __init__(
        self, input_size: int, hidden_size: int, *, proj_size: int, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, P=proj_size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
        g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
        o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
        c = f * c + i * g
        h = p.W_p @ (o * tanh(c))
        return {"h": h, "c": c, "i": i, "f": f, "g": g, "o": o}


class LayerNormLSTM(Cell):
    """LSTM with layer normalisation of both products and of the cell state.

        x_i, x_f, x_g, x_o = N(W_i x, W_f x, W_g x, W_o x)
        h_i, h_f, h_g, h_o = N(U_i h, U_f h, U_g h, U_o h)
        i = σ(α_i ⊙ x_i + β_i ⊙ h_i + b_i)
        f = σ(α_f ⊙ x_f + β_f ⊙ h_f + b_f)
        g = tanh(α_g ⊙ x_g + β_g ⊙ h_g + b_g)
        o = σ(α_o ⊙ x_o + β_o ⊙ h_o + b_o)
        c = f ⊙ c + i ⊙ g
        h = o ⊙ tanh(γ ⊙ N(c) + b_c)

    Ba, Kiros & Hinton, "Layer normalization", 2016, equations 20 to 22. N subtracts the mean and
    divides by the standard deviation, for the products over all 4H values together, as the paper
    has it, not a gate at a time; ε = 1e-5 is added to the variance. The paper's three biases in
    one sum are one here. c itself is carried on without normalisation.
    """

    gates = ("i", "f", "g", "o")
    weights = (
        affine(*gates)
        | {f"alpha_{k}": "H" for k in "ifgo"}
        | {f"beta_{k}": "H" for k in "ifgo"}
        | {"gamma": "H", "b_c": "H"}
    )
    states = {"h": "H", "c": "H"}
    start = {"alpha_*": 1.0, "beta_*": 1.0, "gamma": 1.0, "b_c": 0.0}

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        x_i, x_f, x_g, x_o = normalise(p.W_i @ x, p.W_f @ x, p.W_g @ x, p.W_o @ x)
        h_i, h_f, h_g, h_o = normalise(p.U_i @ h, p.U_f @ h, p.U_g @ h, p.U_o @ h)
        i = sigmoid(p.alpha_i * x_i + p.beta_i * h_i + p.b_i)
        f = sigmoid(p.alpha_f * x_f + p.beta_f * h_f + p.b_f)
        g = tanh(p.alpha_g * x_g + p.beta_g * h_g + p.b_g)
        o = sigmoid(p.alpha_o * x_o + p.beta_o * h_o + p.b_o)
        c = f * c + i * g
        h = o * tanh(p.gamma * normalise(c)[0] + p.b_c)
        return {"h": h, "c": c, "i": i, "f": f, "g": g, "o": o}
