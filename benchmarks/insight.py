"""How good the estimates of seeing inside are, and what it costs.

The estimates are those of cells whose answer is known; see `estimates`. The cost is that of
gradient norms in a training step, and of a monitor in a training. A step is forward, backward,
clipping and Adam, ten in a row; with norms, within one `insight.Record`. A training is
`recurnn.training.fit` with a monitor that takes a note every hundred updates, as it does by
default, and without; their weights must have the same bits. Both are on the adding problem, and
the two of a pair run in turn.

    python benchmarks/insight.py [--only estimates|cost] [--rounds 9] [--write-docs]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import estimates
from kernel_bench.machine import machine
from kernel_bench.timing import blocks, over
from recurnn import cells
from recurnn.insight import Monitor, Record
from recurnn.insight.comparison import Adding, LastStep
from recurnn.training import Plan, Watch, fit

PAGE = Path(__file__).parent.parent / "docs" / "seeing-inside.md"
PARTS = {"estimates": "estimates", "cost": "insight"}  # and its mark in the page
NORMS_AIM, MONITOR_AIM = 0.05, 0.03
UPDATES, STEPS = 200, 10
SECONDS = 20.0  # over which the steps of a network are compared, about


@dataclass(frozen=True)
class Case:
    """A network on the adding problem: its cell, H, T and the rows of a batch."""

    cell: type[cells.Cell]
    H: int
    T: int
    B: int

    def network(self) -> nn.Module:
        torch.manual_seed(1)
        return LastStep(self.cell(2, self.H))

    def __str__(self) -> str:
        return f"{self.cell.__name__}, T, B, H = {self.T}, {self.B}, {self.H}"


CASES = [
    Case(cells.Elman, 32, 50, 16),
    Case(cells.Elman, 128, 100, 32),
    Case(cells.GRU, 64, 100, 32),
    Case(cells.GRU, 256, 100, 32),
    Case(cells.LSTM, 64, 100, 32),
    Case(cells.LSTM, 256, 100, 32),
]


def norms(case: Case, rounds: int) -> tuple[float, float]:
    """Milliseconds of a training step, and how much more it takes with norms, as a share."""
    network = case.network()
    data = Adding(case.T, case.B)
    optimizer = torch.optim.Adam(network.parameters(), foreach=True)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.mse_loss(network(data.x), data.y).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    def plain() -> None:
        for _ in range(STEPS):
            step()

    def seen() -> None:
        with Record(network) as record:
            for _ in range(STEPS):
                record.clear()
                step()

    for run in (plain, seen):  # compiles
        run()
    began = time.perf_counter()
    plain()
    # A few per cent of a millisecond are lost in what else the machine does: the smaller a step,
    # the more often it is measured.
    often = int(SECONDS / (time.perf_counter() - began))
    found = blocks({"plain": plain, "seen": seen}, max(rounds, min(often, 27 * rounds)))
    more = over(found["seen"], found["plain"]).median - 1
    return statistics.median(found["plain"]) / STEPS, more


class Timed(Watch):
    """A monitor, and the seconds spent in it."""

    def __init__(self, inner: Monitor) -> None:
        self.inner, self.seconds = inner, 0.0

    def __getattribute__(self, name: str) -> object:
        if name not in ("start", "gradients", "update", "epoch"):
            return super().__getattribute__(name)

        def call(*given: object, **more: object) -> None:
            began = time.perf_counter()
            getattr(self.inner, name)(*given, **more)
            self.seconds += time.perf_counter() - began

        return call


def monitored(case: Case, rounds: int) -> tuple[float, float, float]:
    """Seconds of a training without a monitor and with one, and those spent in it."""
    data = Adding(case.T, UPDATES * case.B)
    plan = Plan(batch_size=case.B, epochs=1, patience=None, clip=1.0)
    times: dict[bool, list[float]] = {False: [], True: []}
    inside, bits = [], []
    fit(case.network(), Adding(case.T, case.B), None, plan, watch=Monitor(warn=False))  # compiles
    for _ in range(rounds):
        for on, taken in times.items():
            network, watch = case.network(), Timed(Monitor(warn=False))
            began = time.perf_counter()
            fit(network, data, None, plan, watch=watch if on else None)
            taken.append(time.perf_counter() - began)
            bits.append([w.detach().numpy().tobytes() for w in network.parameters()])
            inside += [watch.seconds] if on else []
    if any(b != bits[0] for b in bits):
        sys.exit(f"{case}: the monitor has changed the training.")
    plain, seen = (statistics.median(t) for t in times.values())
    return plain, seen, statistics.median(inside)


def table(rounds: int) -> str:
    """The table, and the worst of each column."""
    lines = [
        "| | step, ms | with norms | training, s | with a monitor | time in it |",
        "|---|---|---|---|---|---|",
    ]
    worst = [0.0, 0.0]
    for case in CASES:
        step, more = norms(case, rounds)
        plain, watched, inside = monitored(case, max(2, rounds // 3))
        worst = [max(worst[0], more), max(worst[1], inside / plain)]
        lines.append(
            f"| {case} | {step:.2f} | {more:+.1%} | {plain:.2f} | "
            f"{watched / plain - 1:+.1%} | {inside / plain:.1%} |"
        )
        print(lines[-1], file=sys.stderr)
    said = [
        f"{what} {'at most' if w <= aim else '**up to**'} {w:.1%} (aim {aim:.0%})"
        for what, w, aim in zip(
            ("Norms cost", "a monitor"), worst, (NORMS_AIM, MONITOR_AIM), strict=True
        )
    ]
    return "\n".join([*lines, "", f"{', '.join(said)}; the weights have the same bits."])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=PARTS, help="a part; both by default")
    parser.add_argument(
        "--rounds", type=int, default=9, help="of each measurement of cost, at least"
    )
    parser.add_argument(
        "--write-docs", action="store_true", help=f"renew the tables in {PAGE.name}"
    )
    given = parser.parse_args()
    for part in [given.only] if given.only else PARTS:
        text = estimates.table() if part == "estimates" else f"{machine()}\n\n{table(given.rounds)}"
        print(text, end="\n\n")
        if given.write_docs:
            write(PARTS[part], text)


def write(mark: str, text: str) -> None:
    """Renew a table in the page."""
    first, last = f"<!-- bench:{mark} -->\n", f"<!-- /bench:{mark} -->"
    head, rest = PAGE.read_text(encoding="utf-8").split(first)
    PAGE.write_text(f"{head}{first}{text}\n{last}{rest.split(last)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
