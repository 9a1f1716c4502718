"""Make the figures of docs/seeing-inside.md, from nothing but seeds; some minutes on two cores.

python docs/figures.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from recurnn import Subject, cells
from recurnn.insight import Flow, Lines, Monitor, figures, gradient_flow, inspect, occlusion
from recurnn.insight.comparison import Adding, LastStep
from recurnn.insight.figure import Figure
from recurnn.training import Plan, fit

FOLDER = Path(__file__).parent / "figures"
STEPS, UNITS, ROWS = 100, 32, 32


def subject(cell: cells.Cell, steps: int = STEPS) -> Subject:
    """An untrained network on the adding problem."""
    data = Adding(steps, ROWS, seed=7)
    return Subject(LastStep(cell), data.x, data.y, lag=steps - 1)


def flow(cell: cells.Cell) -> Flow:
    """The gradient through time of an untrained network."""
    return gradient_flow(subject(cell))["layer"]


def elman(radius: float) -> cells.Cell:
    """An Elman cell whose recurrent matrix has this spectral radius."""
    torch.manual_seed(1)
    cell = cells.Elman(2, UNITS)
    with torch.no_grad():
        cell.U.mul_(radius / torch.linalg.eigvals(cell.U).abs().max())
    return cell


def radii() -> Lines:
    """The gradient of a simple network against the spectral radius of its recurrent matrix."""
    found = {f"radius {r:g}": flow(elman(r)) for r in (0.6, 0.9, 1.2, 2.5)}
    return replace(figures.gradient_figure(found), title="Simple networks (Elman)")


def gates() -> Lines:
    """The gradient of an LSTM against the bias of its forget gate."""
    found = {}
    for bias in (0.0, 2.0, 4.0, 6.0):
        torch.manual_seed(1)
        found[f"forget bias {bias:g}"] = flow(cells.LSTM(2, UNITS, init={"b_f": bias}))
    return replace(figures.gradient_figure(found), title="LSTMs")


def trained() -> list[tuple[str, Figure]]:
    """An LSTM before and after it has learned to add over fifty steps, and its gates then."""
    torch.manual_seed(1)
    found = subject(cells.LSTM(2, 16, init={"b_f": 2.0}), 50)
    before = gradient_flow(found)["layer"]
    fit(found.module, Adding(50, 100_000, seed=1), None,
        Plan(batch_size=50, epochs=1, learning_rate=5e-3, patience=None))  # fmt: skip
    seen = inspect(found, experiments=False)
    print("after training:", found.losses().mean().item(), "\n" + seen.summary())
    flows = {"before training": before, "after training": seen.flows["layer"]}
    many = Adding(50, 2000, seed=8)
    hidden = occlusion(replace(found, x=many.x, y=many.y))
    gradient = replace(figures.gradient_figure(flows), title="An LSTM that learns to add")
    layer = seen.record["layer"]
    return [
        ("trained-gradient", gradient),
        ("trained-forget-gate", figures.unit_map(layer, "f")),
        ("trained-input-gate", figures.unit_map(layer, "i")),
        ("trained-reach", figures.occlusion_figure(hidden)),
    ]


def clipping() -> list[tuple[str, Figure]]:
    """What clipping does to the training of a network whose gradient explodes."""
    losses, norms, flows = {}, {}, {}
    for words, clip in (("no clipping", None), ("clip 1", 1.0)):
        found = subject(elman(2.5), 50)
        monitor = Monitor(found, every=10, warn=False)
        plan = Plan(batch_size=50, epochs=1, learning_rate=1e-2, clip=clip, optimizer="sgd",
                    patience=None, non_finite="warn")  # fmt: skip
        fit(found.module, Adding(50, 40_000, seed=1), None, plan, watch=monitor)
        table = monitor.course.frame
        losses[words] = table["step"], table["loss"]
        norms[words] = table["step"], table["gradient"]
        flows[words] = gradient_flow(found)["layer"]
    return [
        ("clipping-loss", Lines("Loss", "update", "loss", losses, log_y=True)),
        ("clipping-norm", Lines("Before clipping", "update", "‖gradient‖", norms, log_y=True,
                                bands=[(1.0, "clip")])),
        ("clipping-gradient", replace(figures.gradient_figure(flows),
                                      title="After training, explosive start")),
    ]  # fmt: skip


def main() -> None:
    """Write every figure."""
    made = [
        ("sigmoid", figures.sigmoid_figure()),
        ("radii", radii()),
        ("forget-bias", gates()),
        *clipping(),
        *trained(),
    ]
    FOLDER.mkdir(exist_ok=True)
    for name, figure in made:
        drawn = figure.matplotlib()
        drawn.set_size_inches(7.5, drawn.get_size_inches()[1] * 0.85)
        drawn.savefig(FOLDER / f"{name}.png", dpi=90)
        print(name)


if __name__ == "__main__":
    main()
