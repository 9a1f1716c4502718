"""Times in blocks: one engine several times in a row, then the next, several rounds.

The engines have pools of threads that spin for a while after a call. Were one call of each made
in turn, each would share the cores with the threads of the one before it. So a block begins with
calls that are not measured, until the threads of the engine before have had time to fall asleep.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Run = Callable[[], Any]
PAUSE = 0.05  # seconds of nothing
SETTLE = 0.01  # seconds of calls that are not measured, at least one call
BLOCK = 0.03  # seconds of calls that are measured, within FEWEST and MOST
FEWEST, MOST = 3, 500


@dataclass(frozen=True)
class Time:
    """Milliseconds a call, or a ratio: the median of the blocks' medians, and their quartiles."""

    median: float
    low: float
    high: float


def spread(medians: list[float]) -> Time:
    """Median and quartiles of the blocks' medians."""
    if len(medians) == 1:
        return Time(medians[0], medians[0], medians[0])
    low, middle, high = statistics.quantiles(medians, n=4, method="inclusive")
    return Time(middle, low, high)


def once(run: Run) -> float:
    """Milliseconds of one call."""
    began = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - began)


def block(run: Run) -> float:
    """The median milliseconds of some calls in a row, after some that are not measured."""
    time.sleep(PAUSE)
    began = time.perf_counter()
    last = once(run)
    while time.perf_counter() - began < SETTLE:
        last = once(run)
    calls = min(MOST, max(FEWEST, round(1e3 * BLOCK / max(last, 1e-3))))
    return statistics.median(once(run) for _ in range(calls))


def timed(runs: Mapping[str, Run], rounds: int) -> dict[str, Time]:
    """The time of each engine, their blocks in turn, so that a drift of the machine meets all."""
    return {name: spread(values) for name, values in blocks(runs, rounds).items()}


def blocks(runs: Mapping[str, Run], rounds: int) -> dict[str, list[float]]:
    """The medians of each engine's blocks, a round after the other."""
    for run in runs.values():
        run()
    medians: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            medians[name].append(block(run))
    return medians


def over(some: list[float], others: list[float]) -> Time:
    """How many times the others, round by round: what disturbs a round disturbs both."""
    return spread([a / b for a, b in zip(some, others, strict=True)])
