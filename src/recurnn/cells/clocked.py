"""Cells whose units move at times of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, floor, sigmoid, tanh, where

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Weights
from recurnn.errors import ConfigError


class Clockwork(Cell):
    """Clockwork RNN: groups of units, each with a clock of its own, slow ones beside fast ones.

        s = tanh(W x + U h + b)
        h = s where n = 0, else h
        n = P − 1 where n = 0, else n − 1

    Koutník, Greff, Gomez & Schmidhuber, "A clockwork RNN", 2014. n is the number of steps until a
    unit's clock ticks again, and P its period, the same for all units of a group. A group sees
    itself and those that are slower: what U holds elsewhere counts for nothing. In the paper a
    group of period P ticks at steps 0, P, 2P, …; so it does here, counted from the first step
    with an initial state of zeros, or from a reset. All of U h is computed at every step, so that
    slow groups cost no less than fast ones.

    Args:
        input_size: I.
        hidden_size: H.
        periods: of each group, from fast to slow; the paper has powers of two. The units are dealt
            out to the groups evenly.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    gates = ("s",)
    weights = affine() | {"P": "H"}
    constants = ("P",)
    states = {"h": "H", "n": "H"}

    def __init__(
        self, input_size: int, hidden_size: int, *, periods: Sequence[int] = (1, 2, 4, 8),
        **options: Any,
    ) -> None:  # fmt: skip
        self.periods = tuple(periods)
        whole = all(isinstance(p, int) and not isinstance(p, bool) and p > 0 for p in self.periods)
        if not self.periods or not whole or list(self.periods) != sorted(set(self.periods)):
            raise ConfigError(
                f"Clockwork: the periods are {self.periods}.\n"
                "  Expected whole numbers of at least 1, each larger than the one before."
            )
        self.start = {"P": self._deal}
        super().__init__(input_size, hidden_size, **options)

    def _deal(self, P: Tensor) -> Tensor:
        """The period of each unit."""
        groups, units = len(self.periods), len(P)
        dealt = [self.periods[k * groups // units] for k in range(units)]
        with torch.no_grad():
            return P.copy_(torch.tensor(dealt, dtype=P.dtype))

    def effective(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        tensors = super().effective(tensors)
        P = tensors["P"]
        return {**tensors, "U": torch.where(P.unsqueeze(-1) <= P, tensors["U"], 0)}

    def step(self, p: Weights, x: Tensor, h: Tensor, n: Tensor) -> dict[str, Tensor]:
        s = tanh(p.W @ x + p.U @ h + p.b)
        h = where(n > 0, h, s)
        n = where(n > 0, n - 1, p.P - 1)
        return {"h": h, "n": n, "s": s}


def _periods(tau: Tensor) -> Tensor:
    """Periods from e to e³, evenly by their logarithms."""
    with torch.no_grad():
        return torch.nn.init.uniform_(tau, 1.0, 3.0).exp_()


def _phases(s: Tensor) -> Tensor:
    return torch.nn.init.uniform_(s, 0.0, 1.0)


class PhasedLSTM(Cell):
    """LSTM whose units are open for a short part of a period of their own.

        u = φ + s − ⌊φ + s⌋
        k = 2u / r where u < r / 2, 2 − 2u / r where u < r, else α u
        i = σ(W_i x + U_i h + p_i ⊙ c + b_i)
        f = σ(W_f x + U_f h + p_f ⊙ c + b_f)
        g = tanh(W_g x + U_g h + b_g)
        m = f ⊙ c + i ⊙ g
        o = σ(W_o x + U_o h + p_o ⊙ m + b_o)
        c = k ⊙ m + (1 − k) ⊙ c
        h = k ⊙ (o ⊙ tanh(m)) + (1 − k) ⊙ h
        φ = φ + 1/τ − ⌊φ + 1/τ⌋

    Neil, Pfeiffer & Liu, "Phased LSTM: accelerating recurrent network training for long or
    event-based sequences", 2016, equations 5 to 10. φ (phi in the code) is the part of the period
    that has passed, τ (tau) the period in steps, and s the shift in periods, where the paper has
    it in steps. Steps are one unit of time apart: in the paper each has a time of its own. τ starts
    from exp(U(1, 3)), as in the paper, s from U(0, 1). The leak α is on in evaluation too.

    Args:
        input_size: I.
        hidden_size: H.
        ratio: r, the part of a period in which a unit is open.
        leak: α, how far it is open otherwise.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    gates = ("u", "k", "i", "f", "g", "m", "o")
    weights = affine("i", "f", "g", "o") | {
        "p_i": "H", "p_f": "H", "p_o": "H", "tau": "H", "s": "H",
    }  # fmt: skip
    states = {"h": "H", "c": "H", "phi": "H"}
    start = {"tau": _periods, "s": _phases}

    def __init__(
        self, input_size: int, hidden_size: int, *, ratio: float = 0.05, leak: float = 0.001,
        **options: Any,
    ) -> None:  # fmt: skip
        self.ratio, self.leak = ratio, leak
        super().__init__(input_size, hidden_size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor, c: Tensor, phi: Tensor) -> dict[str, Tensor]:
        r = self.ratio
        u = phi + p.s - floor(phi + p.s)
        k = where(u < r / 2, u * (2 / r), where(u < r, 2 - u * (2 / r), self.leak * u))
        i = sigmoid(p.W_i @ x + p.U_i @ h + p.p_i * c + p.b_i)
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.p_f * c + p.b_f)
        g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
        m = f * c + i * g
        o = sigmoid(p.W_o @ x + p.U_o @ h + p.p_o * m + p.b_o)
        c = k * m + (1 - k) * c
        h = k * (o * tanh(m)) + (1 - k) * h
        phi = phi + 1 / p.tau - floor(phi + 1 / p.tau)
        gates = {"u": u, "k": k, "i": i, "f": f, "g": g, "m": m, "o": o}
        return {"h": h, "c": c, "phi": phi} | gates
