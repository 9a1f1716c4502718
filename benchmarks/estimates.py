"""What the estimates of seeing inside come to where the right answer is known.

A linear network h = W x + U h has a gradient that changes at each step by the spectral radius of U,
once the other eigenvalues are gone. The leading Lyapunov exponent of the logistic map at 4 is ln 2,
that of the Hénon map at a = 1.4, b = .3 is .41922 (Sprott, "Chaos and time-series analysis", 2003).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from recurnn import Subject, nn
from recurnn.cells import Cell
from recurnn.insight import gradient_flow, lyapunov

RATE_AIM, EXPONENT_AIM = 0.01, 0.02
RADII, SEEDS = (0.6, 0.9, 1.0, 1.08), (1, 2, 3)
STEPS, UNITS = 250, 24


class Linear(Cell):
    """h = W x + U h, whose gradient decays as the powers of U."""

    weights = {"W": "H I", "U": "H H"}

    def step(self, p, x: Tensor, h: Tensor) -> dict[str, Tensor]:  # type: ignore[no-untyped-def]
        return {"h": p.W @ x + p.U @ h}


class Logistic(Cell):
    """The logistic map at 4, which ignores its input."""

    weights = {"W": "H I"}

    def step(self, p, x: Tensor, h: Tensor) -> dict[str, Tensor]:  # type: ignore[no-untyped-def]
        return {"h": 4 * h * (1 - h) + 0 * (p.W @ x)}


class Henon(Cell):
    """The Hénon map at a = 1.4, b = .3."""

    states = {"h": "H", "y": "H"}
    weights = {"W": "H I"}

    def step(self, p, x: Tensor, h: Tensor, y: Tensor) -> dict[str, Tensor]:  # type: ignore[no-untyped-def]
        return {"h": 1 - 1.4 * h * h + y + 0 * (p.W @ x), "y": 0.3 * h}


def linear(radius: float, seed: int, units: int = UNITS) -> nn.Recurrent:
    """A linear network whose recurrent matrix has this spectral radius."""
    cell = Linear(2, units)
    U = np.random.default_rng(seed).normal(size=(units, units))
    U *= radius / np.abs(np.linalg.eigvals(U)).max()
    cell.U.data = torch.from_numpy(U).float()
    return nn.Recurrent(cell, batch_first=True, engine="reference")


def rate(radius: float, seed: int) -> float:
    """The rate that is estimated for a linear network."""
    torch.manual_seed(seed)
    x, y = torch.randn(6, STEPS, 2), torch.randn(6, STEPS, UNITS)
    (flow,) = gradient_flow(Subject(linear(radius, seed), x, y)).values()
    return flow.decay.rate


def logistic() -> float:
    """The exponent that is estimated for the logistic map."""
    start = torch.linspace(0.1, 0.9, 30).unsqueeze(1)
    return float(lyapunov(Logistic(1, 1), state=start, exponents=1, steps=200)[0])


def henon() -> np.ndarray:
    """Both exponents that are estimated for the Hénon map."""
    start = torch.linspace(-0.1, 0.1, 40).unsqueeze(1)
    return lyapunov(Henon(1, 1), state=(start, start), exponents=2, steps=250)


def table() -> str:
    """What is estimated beside what is right, and the worst of each kind beside its aim."""
    lines = ["| | right | estimated | off by |", "|---|---|---|---|"]
    worst = {"rate": 0.0, "exponent": 0.0}

    def line(what: str, name: str, right: float, found: list[float]) -> None:
        off = max(abs(f / right - 1) for f in found)
        worst[what] = max(worst[what], off)
        told = f"{min(found):.4f}" if len(found) == 1 else f"{min(found):.4f} to {max(found):.4f}"
        lines.append(f"| {name} | {right:.4f} | {told} | {off:.3%} |")

    for radius in RADII:
        line("rate", f"rate a step, linear network of radius {radius:g}, {len(SEEDS)} of them",
             radius, [rate(radius, seed) for seed in SEEDS])  # fmt: skip
    line("exponent", "Lyapunov exponent, logistic map", math.log(2), [logistic()])
    line("exponent", "Lyapunov exponent, Hénon map", 0.41922, [float(henon()[0])])
    said = [
        f"{name} {'within' if worst[what] <= aim else '**off by**'} {worst[what]:.3%} (aim "
        f"{aim:.0%})"
        for what, name, aim in (
            ("rate", "Rates", RATE_AIM),
            ("exponent", "exponents", EXPONENT_AIM),
        )
    ]
    return "\n".join([*lines, "", f"{', '.join(said)}."])
