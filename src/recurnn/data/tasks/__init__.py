"""The classical long-lag problems, as sequences without end."""

from __future__ import annotations

from recurnn.data.tasks.adding import Adding, Adding1997
from recurnn.data.tasks.copying import CopyMemory
from recurnn.data.tasks.order import TemporalOrder6a, TemporalOrder6b
from recurnn.data.tasks.parity import Parity
from recurnn.data.tasks.reber import EmbeddedReber
from recurnn.data.tasks.task import Inputs, Score, Task
from recurnn.data.tasks.two_sequence import NoisyTwoSequence
from recurnn.errors import one_of

TASKS: dict[str, type[Task]] = {
    kind.name: kind
    for kind in (
        Adding, Adding1997, TemporalOrder6a, TemporalOrder6b, EmbeddedReber, CopyMemory, Parity,
        NoisyTwoSequence,
    )
}  # fmt: skip
"""The tasks by the name that the command line uses."""


def task_of(name: str, length: int | None = None) -> Task:
    """A task by its name.

    Args:
        name: one of `TASKS`.
        length: in steps; None for the usual one.

    Raises:
        ConfigError: there is no such task, or it cannot have this length.

    Example:
        >>> task_of("adding", 600).length
        600
    """
    if name not in TASKS:
        raise one_of("task", name, TASKS)
    return TASKS[name](length)


__all__ = [
    "Task", "TASKS", "task_of", "Inputs", "Score",
    "Adding", "Adding1997", "TemporalOrder6a", "TemporalOrder6b", "EmbeddedReber", "CopyMemory",
    "Parity", "NoisyTwoSequence",
]  # fmt: skip
