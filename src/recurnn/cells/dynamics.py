"""Cells that are a differential equation, taken a step of time at a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, relu, sigmoid, tanh
from torch.nn.init import uniform_

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Weights


class LeakyRNN(Cell):
    """Simple recurrent network of leaky integrators.

        n = tanh(W x + U h + b)
        h = (1 − α) h + α n

    Jaeger, Lukoševičius, Popovici & Siewert, "Optimization and applications of echo state
    networks with leaky-integrator neurons", 2007. α is the step of time over the time constant
    of a unit. Everything is trained here; in an echo state network W and U are drawn and stay.

    Args:
        input_size: I.
        hidden_size: H.
        alpha: α, above 0 and at most 1, which is the plain network.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    gates = ("n",)
    weights = affine()

    def __init__(
        self, input_size: int, hidden_size: int, *, alpha: float = 0.2, **options: Any
    ) -> None:
        self.alpha = alpha
        super().__init__(input_size, hidden_size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        n = tanh(p.W @ x + p.U @ h + p.b)
        h = (1 - self.alpha) * h + self.alpha * n
        return {"h": h, "n": n}


class PLRNN(Cell):
    """Piecewise linear network: linear in the state wherever no unit crosses zero.

        h = a ⊙ h + U relu(h) + W x + b

    Durstewitz, "A state space approach for piecewise-linear recurrent neural networks for
    identifying computational dynamics from neural measurements", 2017. The diagonal of U counts
    for nothing: a unit acts on itself through a, which starts from U(0.5, 1). The paper has this
    within a model with noise, and observations made from h.
    """

    weights = affine() | {"a": "H"}
    start = {"a": partial(uniform_, a=0.5, b=1.0)}

    def effective(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        tensors = super().effective(tensors)
        U = tensors["U"]
        return {**tensors, "U": U - torch.diag(U.diagonal())}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        h = p.a * h + p.U @ relu(h) + p.W @ x + p.b
        return {"h": h}


class AntisymmetricRNN(Cell):
    """A network whose state neither grows nor dies: the recurrent matrix is antisymmetric.

        n = tanh(W x + (U − Uᵀ) h − γ h + b)
        h = h + ε n

    Chang, Chen, Haber & Chi, "AntisymmetricRNN: a dynamical system view on recurrent neural
    networks", 2019. The paper tries ε and γ between 0.001 and 1 for each task; the
    defaults here are 0.1 and 0.01.

    Args:
        input_size: I.
        hidden_size: H.
        epsilon: ε, the step of time.
        gamma: γ, the diffusion, which keeps the discrete steps stable.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    gates: tuple[str, ...] = ("n",)
    weights = affine()

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        epsilon: float = 0.1,
        gamma: float = 0.01,
        **options: Any,
    ) -> None:
        self.epsilon, self.gamma = epsilon, gamma
        super().__init__(input_size, hidden_size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        n = tanh(p.W @ x + p.U @ h - p.U.T @ h - self.gamma * h + p.b)
        h = h + self.epsilon * n
        return {"h": h, "n": n}


class GatedAntisymmetricRNN(AntisymmetricRNN):
    """`AntisymmetricRNN` with a gate on what is added.

        z = σ(W_z x + (U − Uᵀ) h − γ h + b_z)
        n = tanh(W_n x + (U − Uᵀ) h − γ h + b_n)
        h = h + ε z ⊙ n

    Chang, Chen, Haber & Chi, "AntisymmetricRNN: a dynamical system view on recurrent neural
    networks", 2019. The gate and the new value share the recurrent matrix,
    which keeps the Jacobian's form.

    Args:
        input_size: I.
        hidden_size: H.
        epsilon: ε, the step of time.
        gamma: γ, the diffusion.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    gates = ("z", "n")
    weights = {"W_z": "H I", "b_z": "H", "W_n": "H I", "b_n": "H", "U": "H H"}

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        a = p.U @ h - p.U.T @ h - self.gamma * h
        z = sigmoid(p.W_z @ x + a + p.b_z)
        n = tanh(p.W_n @ x + a + p.b_n)
        h = h + self.epsilon * z * n
        return {"h": h, "z": z, "n": n}


class LipschitzRNN(Cell):
    """A linear and a bounded part, each matrix with a chosen share of antisymmetry.

        a = (1 − β) (A + Aᵀ) h + β (A − Aᵀ) h − γ h
        n = tanh((1 − β) (U + Uᵀ) h + β (U − Uᵀ) h − γ h + W x + b)
        h = h + ε (a + n)

    Erichson, Azencot, Queiruga, Hodgkinson & Mahoney, "Lipschitz recurrent neural networks",
    2021, with Euler's step. The paper has a β and a γ for each matrix; one of
    each serves both here, as in most of its experiments.

    Args:
        input_size: I.
        hidden_size: H.
        beta: β, from 0.5 (any matrix) to 1 (antisymmetric).
        gamma: γ, the damping.
        epsilon: ε, the step of time.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    gates = ("a", "n")
    weights = {"A": "H H"} | affine()

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        beta: float = 0.75,
        gamma: float = 0.001,
        epsilon: float = 0.03,
        **options: Any,
    ) -> None:
        self.beta, self.gamma, self.epsilon = beta, gamma, epsilon
        super().__init__(input_size, hidden_size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        # (1 − β)(A + Aᵀ) + β(A − Aᵀ) is A + (1 − 2β) Aᵀ.
        a = p.A @ h + (1 - 2 * self.beta) * (p.A.T @ h) - self.gamma * h
        u = p.U @ h + (1 - 2 * self.beta) * (p.U.T @ h) - self.gamma * h
        n = tanh(u + p.W @ x + p.b)
        h = h + self.epsilon * (a + n)
        return {"h": h, "a": a, "n": n}


class LEM(Cell):
    """Long expressive memory: two states, each unit of which has its own learned step of time.

        d = Δ σ(W_d x + U_d h + b_d)
        e = Δ σ(W_e x + U_e h + b_e)
        z = (1 − d) ⊙ z + d ⊙ tanh(W_z x + U_z h + b_z)
        h = (1 − e) ⊙ h + e ⊙ tanh(W_h x + U_h z + b_h)

    Rusch, Mishra, Erichson & Mahoney, "Long expressive memory for sequence modeling", 2022;
    h is the paper's y, d and e its Δt and Δt with a bar. h sees the new z.

    Args:
        input_size: I.
        hidden_size: H.
        dt: Δ, the longest step of time.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    gates = ("d", "e")
    weights = affine("d", "e", "z", "h")
    states = {"h": "H", "z": "H"}

    def __init__(
        self, input_size: int, hidden_size: int, *, dt: float = 1.0, **options: Any
    ) -> None:
        self.dt = dt
        super().__init__(input_size, hidden_size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor, z: Tensor) -> dict[str, Tensor]:
        d = self.dt * sigmoid(p.W_d @ x + p.U_d @ h + p.b_d)
        e = self.dt * sigmoid(p.W_e @ x + p.U_e @ h + p.b_e)
        z = (1 - d) * z + d * tanh(p.W_z @ x + p.U_z @ h + p.b_z)
        h = (1 - e) * h + e * tanh(p.W_h @ x + p.U_h @ z + p.b_h)
        return {"h": h, "z": z, "d": d, "e": e}


class CfC(Cell):
    """Closed-form continuous-time network: what a liquid network's equation comes to in a step.

        a = tanh(W x + U h + b)
        f = V_f a + b_f
        g = tanh(V_g a + b_g)
        k = tanh(V_k a + b_k)
        h = σ(−f) ⊙ g + (1 − σ(−f)) ⊙ k

    Hasani, Lechner, Amini, Liebenwein, Ray, Tschaikowski, Teschl & Rus, "Closed-form
    continuous-time neural networks", 2022; k is the paper's h. Steps are one unit of
    time apart: a time that varies belongs into x. The shared backbone a is one layer.

    Args:
        input_size: I.
        hidden_size: H.
        backbone_size: N, the units of the backbone; H by default.
        **options: `bias`, `init`, `device`, `dtype`, as for every `Cell`.
    """

    gates = ("a", "f", "g", "k")
    weights = affine(units="N") | {
        k: s for g in "fgk" for k, s in ((f"V_{g}", "H N"), (f"b_{g}", "H"))
    }

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        backbone_size: int | None = None,
        **options: Any,
    ) -> None:
        size = hidden_size if backbone_size is None else backbone_size
        super().__init__(input_size, hidden_size, N=size, **options)

    def step(self, p: Weights, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        a = tanh(p.W @ x + p.U @ h + p.b)
        f = p.V_f @ a + p.b_f
        g = tanh(p.V_g @ a + p.b_g)
        k = tanh(p.V_k @ a + p.b_k)
        h = sigmoid(-f) * g + (1 - sigmoid(-f)) * k
        return {"h": h, "a": a, "f": f, "g": g, "k": k}
