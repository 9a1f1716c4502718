"""Ten planted faults and three healthy models, and what the verdicts say of each.

The task is to say at the end of a sequence what its first number was. Every model is trained for
some updates with the monitor looking on, and then inspected.

    python benchmarks/verdicts.py [--write-docs]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recurnn import Subject, cells
from recurnn.insight import Inspection, Monitor, inspect
from recurnn.insight.comparison import LastStep
from recurnn.training import Clip, Plan, fit

PAGE = Path(__file__).parent.parent / "docs" / "seeing-inside.md"
MARK = ("<!-- bench:verdicts -->\n", "<!-- /bench:verdicts -->")
ROWS, UPDATES, BATCH = 32, 40, 32


class First:
    """Sequences of noise, and the first number of each."""

    def __init__(self, steps: int, rows: int, *, scale: float = 1.0, shift: float = 0.0) -> None:
        random = torch.Generator().manual_seed(5)
        noise = torch.randn(rows, steps, 2, generator=random)
        self.x, self.y = scale * noise + shift, noise[:, 0, :1]

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]


@dataclass(frozen=True)
class Case:
    """One model and its training.

    Attributes:
        fault: what was planted; empty for a healthy model.
        expected: the verdict that names it.
        make: the cell.
        steps: T; the task's lag is T − 1.
        plan: options of the training.
        data: options of the data.
        truncation: steps after which the gradient is cut.
        zero: whether all weights of the network start at zero.
    """

    fault: str
    expected: str
    make: Callable[[], cells.Cell]
    steps: int = 12
    plan: dict[str, Any] | None = None
    data: dict[str, float] | None = None
    truncation: int | None = None
    zero: bool = False

    @property
    def title(self) -> str:
        return self.fault or f"none: {type(self.make()).__name__}"


def lstm(**init: float) -> cells.Cell:
    return cells.LSTM(2, 16, init={"b_f": 3.0} | init)


def elman(scale: float = 1.0, **options: Any) -> cells.Cell:
    cell = cells.Elman(2, 16, init={"U": "orthogonal", "b": "zeros"}, **options)
    with torch.no_grad():
        cell.U.mul_(scale)
    return cell


def half_dead() -> cells.Cell:
    cell = elman(nonlinearity="relu")
    with torch.no_grad():
        cell.b[:8] = -50.0
    return cell


FAULTS = [
    Case("gates saturated: the output gate's bias is −9", "saturated", lambda: lstm(b_o=-9.0)),
    Case("dead units: half the biases of a ReLU network are −50", "dead units", half_dead),
    Case("learning rate 3", "learning rate too high", lstm, plan={"learning_rate": 3.0}),
    Case("learning rate 1e-8", "learning rate too low", lstm, plan={"learning_rate": 1e-8}),
    Case("truncation after 4 steps, lag 11", "truncated", lstm, truncation=4),
    Case("input not scaled: mean 5000, deviation 1000", "unscaled input", lstm,
         data={"scale": 1000.0, "shift": 5000.0}),
    Case("all weights start at zero", "same units", lstm, zero=True),
    Case("clipping at .001", "always clipped", lstm, plan={"clip": 1e-3}),
    Case("recurrent weights four times too large", "explodes", lambda: elman(4.0), steps=40),
    Case("a plain Elman cell, lag 99", "vanishes", lambda: cells.Elman(2, 16), steps=100),
]  # fmt: skip
HEALTHY = [
    Case("", "", lstm),
    Case("", "", lambda: cells.GRU(2, 16, init={"b_z": 2.5})),
    Case("", "", elman),
]


def run(case: Case) -> Inspection:
    """Train and inspect one model."""
    torch.manual_seed(3)
    network: nn.Module = LastStep(case.make(), engine="reference")
    if case.zero:
        for weight in network.parameters():
            nn.init.zeros_(weight)
    data = First(case.steps, UPDATES * BATCH, **(case.data or {}))
    options = {"learning_rate": 1e-3, "batch_size": BATCH, "epochs": 1, "patience": None,
               "clip": Clip(norm=5.0)} | (case.plan or {})  # fmt: skip
    subject = Subject(network, data.x[:ROWS], data.y[:ROWS], name=case.title, lag=case.steps - 1)
    monitor = Monitor(subject, every=2, warn=False)
    fit(network, data, None, Plan(**options), watch=monitor)
    subject = replace(subject, truncation=case.truncation)
    return inspect(subject, course=monitor.course, experiments=False)


def table() -> tuple[str, int, int]:
    """The table, how many faults are named, and how many verdicts the healthy models get."""
    lines = ["| planted | named | verdicts |", "|---|---|---|"]
    named = false = 0
    for case in [*FAULTS, *HEALTHY]:
        verdicts = run(case).verdicts
        names = list(dict.fromkeys(v.name for v in verdicts))
        hit = case.expected in names
        named += bool(case.fault) and hit
        false += 0 if case.fault else len(names)
        word = ("yes" if hit else "**no**") if case.fault else ""
        lines.append(f"| {case.title} | {word} | {', '.join(names) or 'none'} |")
    lines += ["", f"{named} of {len(FAULTS)} faults are named; the {len(HEALTHY)} healthy models "
              f"get {false or 'no'} verdict{'s' * (false != 1)}."]  # fmt: skip
    return "\n".join(lines), named, false


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write-docs", action="store_true", help=f"renew the table in {PAGE.name}")
    given = parser.parse_args()
    text, _, _ = table()
    print(text)
    if given.write_docs:
        page = PAGE.read_text(encoding="utf-8")
        head, rest = page.split(MARK[0])
        tail = rest.split(MARK[1])[1]
        PAGE.write_text(f"{head}{MARK[0]}{text}\n{MARK[1]}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
