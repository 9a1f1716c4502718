"""What is expected of the cells on the long-lag tasks, to be held against what they reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recurnn.data.tasks import Task, task_of
from recurnn.models.long_lag import Learned


@dataclass(frozen=True)
class Aim:
    """One line of the benchmark.

    Attributes:
        task: name of the task.
        length: of its sequences; None for the usual one.
        cell: name of the cell.
        seeds: how many networks.
        most: sequences within which every one of them solves the task; None for no limit.
        mean: the same for their mean.
        unsolved: instead, that none comes below this error.

    Without any of them it is run for its figures alone.
    """

    task: str
    length: int | None
    cell: str
    seeds: int
    most: int | None = None
    mean: int | None = None
    unsolved: float | None = None

    def __str__(self) -> str:
        if self.unsolved is not None:
            return f"stays > {self.unsolved:g}"
        if self.most is not None:
            return f"< {self.most:,}"
        return "–" if self.mean is None else f"mean < {self.mean:,}"

    def of(self) -> Task:
        """The task."""
        return task_of(self.task, self.length)

    def met(self, runs: Sequence[Learned]) -> bool | None:
        """Whether the networks reached it; None where nothing is aimed at."""
        if self.unsolved is not None:
            return all(run.score > self.unsolved for run in runs)
        if self.most is None and self.mean is None:
            return None
        if not all(run.solved for run in runs):
            return False
        if self.mean is not None and mean_sequences(runs) >= self.mean:
            return False
        return self.most is None or all(run.sequences < self.most for run in runs)


def mean_sequences(runs: Sequence[Learned]) -> float:
    """Sequences until solved, the mean over those that solved the task."""
    solved = [run.sequences for run in runs if run.solved]
    return sum(solved) / len(solved)


AIMS: tuple[Aim, ...] = (
    Aim("adding", 100, "lstm", 3, most=20_000),
    Aim("adding", 100, "gru", 3, most=20_000),
    Aim("adding", 600, "lstm", 3, most=100_000),
    Aim("adding", 600, "gru", 3, most=100_000),
    Aim("adding", 600, "elman", 1, unsolved=0.15),
    Aim("embedded-reber", None, "lstm", 10, mean=5_000),
    Aim("embedded-reber", None, "gru", 10, mean=5_000),
    Aim("temporal-order-6a", None, "lstm", 3, most=10_000),
    Aim("temporal-order-6a", None, "gru", 3, most=10_000),
    Aim("temporal-order-6b", None, "lstm", 1),
    Aim("temporal-order-6b", None, "gru", 1),
    Aim("adding-1997", None, "lstm", 1),
    Aim("adding-1997", None, "gru", 1),
    Aim("noisy-two-sequence", None, "lstm", 3),
    Aim("noisy-two-sequence", None, "gru", 3),
    Aim("parity", None, "lstm", 1),
    Aim("parity", None, "gru", 1),
    Aim("copy-memory", None, "lstm", 1),
    Aim("copy-memory", None, "gru", 1),
)
"""The benchmark of ``recurnn tasks all``."""
