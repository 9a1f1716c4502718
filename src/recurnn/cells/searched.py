"""Cells that a search found rather than a person."""

from __future__ import annotations

from torch import Tensor, relu, sigmoid, tanh

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Weights


class MUT1(Cell):
    """The first of three mutations of the GRU: an update gate without the state.

        z = σ(W_z x + b_z)
        r = σ(W_r x + U_r h + b_r)
        n = tanh(U_n (r ⊙ h) + tanh(W_n x) + b_n)
        h = (1 − z) ⊙ h + z ⊙ n

    Jozefowicz, Zaremba & Sutskever, "An empirical exploration of recurrent network
    architectures", 2015. z opens to the new value. The paper has tanh(x), which asks for I = H;
    W_n x here serves all sizes.
    """

    gates = ("z", "r", "n")
    weights = {"W_z": "H I", "b_z": "H"} | affine("r", "n")

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        z = sigmoid(p.W_z @ x + p.b_z)
        r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
        n = tanh(p.U_n @ (r * h) + tanh(p.W_n @ x) + p.b_n)
        h = (1 - z) * h + z * n
        return {"h": h, "z": z, "r": r, "n": n}


class MUT2(Cell):
    """The second mutation: the reset gate adds the input as it is.

        z = σ(W_z x + U_z h + b_z)
        r = σ(W_r x + U_r h + b_r)
        n = tanh(U_n (r ⊙ h) + W_n x + b_n)
        h = (1 − z) ⊙ h + z ⊙ n

    Jozefowicz, Zaremba & Sutskever, "An empirical exploration of recurrent network
    architectures", 2015. z opens to the new value. The paper's r adds x itself, which asks for
    I = H: with W_r x, which serves all sizes, what is left is `ResetBeforeGRU` with z the other
    way round. W_r starts as the identity, as far as it goes.
    """

    gates = ("z", "r", "n")
    weights = affine(*gates)
    start = {"W_r": "identity"}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
        r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
        n = tanh(p.U_n @ (r * h) + p.W_n @ x + p.b_n)
        h = (1 - z) * h + z * n
        return {"h": h, "z": z, "r": r, "n": n}


class MUT3(Cell):
    """The third mutation: the update gate sees the squashed state.

        z = σ(W_z x + U_z tanh(h) + b_z)
        r = σ(W_r x + U_r h + b_r)
        n = tanh(U_n (r ⊙ h) + W_n x + b_n)
        h = (1 − z) ⊙ h + z ⊙ n

    Jozefowicz, Zaremba & Sutskever, "An empirical exploration of recurrent network
    architectures", 2015. z opens to the new value.
    """

    gates = ("z", "r", "n")
    weights = affine(*gates)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        z = sigmoid(p.W_z @ x + p.U_z @ tanh(h) + p.b_z)
        r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
        n = tanh(p.U_n @ (r * h) + p.W_n @ x + p.b_n)
        h = (1 - z) * h + z * n
        return {"h": h, "z": z, "r": r, "n": n}


class NASCell(Cell):
    """The cell of neural architecture search: eight products, mixed in a tree.

        a = σ(W_a x + U_a h + b_a)
        e = relu(W_e x + U_e h + b_e)
        f = σ(W_f x + U_f h + b_f)
        g = relu((W_g x) ⊙ (U_g h + b_g))
        i = tanh(W_i x + U_i h + b_i)
        j = σ(W_j x + U_j h + b_j)
        k = tanh(W_k x + U_k h + b_k)
        l = σ(W_l x + U_l h + b_l)
        c = tanh(tanh(a ⊙ e) + c) ⊙ tanh(f + g)
        h = tanh(c ⊙ tanh(tanh(i ⊙ j) + σ(k + l)))

    Zoph & Le, "Neural architecture search with reinforcement learning", 2017, the cell found for
    language (the paper's appendix draws it). Operations and their order are those of its
    published code, which has no biases by default and with them adds them to the products with h.
    """

    gates = ("a", "e", "f", "g", "i", "j", "k", "l")
    weights = affine(*gates)
    states = {"h": "H", "c": "H"}

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        a = sigmoid(p.W_a @ x + p.U_a @ h + p.b_a)
        e = relu(p.W_e @ x + p.U_e @ h + p.b_e)
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
        g = relu((p.W_g @ x) * (p.U_g @ h + p.b_g))
        i = tanh(p.W_i @ x + p.U_i @ h + p.b_i)
        j = sigmoid(p.W_j @ x + p.U_j @ h + p.b_j)
        k = tanh(p.W_k @ x + p.U_k @ h + p.b_k)
        l = sigmoid(p.W_l @ x + p.U_l @ h + p.b_l)  # noqa: E741 - a letter a product
        c = tanh(tanh(a * e) + c) * tanh(f + g)
        h = tanh(c * tanh(tanh(i * j) + sigmoid(k + l)))
        return {
            "h": h, "c": c, "a": a, "e": e, "f": f, "g": g, "i": i, "j": j, "k": k, "l": l,
        }  # fmt: skip
