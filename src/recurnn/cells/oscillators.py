"""Networks of oscillators: each unit has a position and a velocity."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn, sigmoid, tanh

from recurnn.cells._cell import Cell
from recurnn.cells._weights import Weights


class CoRNN(Cell):
    """Coupled oscillatory network: damped oscillators that drive one another.

        z = z + Δ (tanh(W x + U h + V z + b) − γ h − ε z)
        h = h + Δ z

    Rusch & Mishra, "Coupled oscillatory recurrent neural network (coRNN): an accurate and
    (gradient) stable architecture for learning long time dependencies", 2021; h is the paper's
    y. The damping −ε z takes the old velocity (n̄ = n − 1 in the paper), the position the new one,
    as in the authors' code. The paper chooses Δ, γ and ε for each task; the defaults here are
    those of its sequential digits.

    Args:
        input_size: I.
        hidden_size: H.
        dt: Δ, the step of time.
        gamma: γ, the frequency.
        epsilon: ε, the damping.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    weights = {"W": "H I", "U": "H H", "V": "H H", "b": "H"}
    states = {"h": "H", "z": "H"}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dt: float = 0.042,
        gamma: float = 2.7,
        epsilon: float = 4.7,
        **options: Any,
    ) -> None:
        self.dt, self.gamma, self.epsilon = dt, gamma, epsilon
        super().__init__(input_size, hidden_size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor, z: Tensor) -> dict[str, Tensor]:
        n = tanh(p.W @ x + p.U @ h + p.V @ z + p.b)
        z = z + self.dt * (n - self.gamma * h - self.epsilon * z)
        h = h + self.dt * z
        return {"h": h, "z": z}


class UnICORNN(Cell):
    """Undamped independent oscillators, each with a learned frequency and step of time.

        z = z − Δ σ(c) ⊙ (tanh(w ⊙ h + W x + b) + α h)
        h = h + Δ σ(c) ⊙ z

    Rusch & Mishra, "UnICORNN: a recurrent model for learning very long time dependencies", 2021;
    h is the paper's y. Units meet in the next layer, so use two or more. w starts
    from U(0, 1) and c from U(−0.1, 0.1), as in the paper.

    Args:
        input_size: I.
        hidden_size: H.
        dt: Δ, the longest step of time.
        alpha: α, the pull to the middle.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    weights = {"W": "H I", "w": "H", "c": "H", "b": "H"}
    states = {"h": "H", "z": "H"}
    start = {
        "w": lambda w: nn.init.uniform_(w, 0.0, 1.0),
        "c": lambda c: nn.init.uniform_(c, -0.1, 0.1),
    }

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dt: float = 0.1,
        alpha: float = 1.0,
        **options: Any,
    ) -> None:
        self.dt, self.alpha = dt, alpha
        super().__init__(input_size, hidden_size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor, z: Tensor) -> dict[str, Tensor]:
        time = self.dt * sigmoid(p.c)
        z = z - time * (tanh(p.w * h + p.W @ x + p.b) + self.alpha * h)
        h = h + time * z
        return {"h": h, "z": z}
