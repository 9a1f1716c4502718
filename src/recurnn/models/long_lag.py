"""What a cell learns of a long-lag task, and after how many sequences."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recurnn.cells import CELLS
from recurnn.cells.init import Init
from recurnn.data.tasks import Inputs, Task
from recurnn.errors import ConfigError, one_of
from recurnn.models.long_lag_settings import Settings, settings_of, start_of
from recurnn.nn import Recurrent
from recurnn.training import Epoch, Metric, Plan, Run, TrainingError, Watch, evaluate, fit

SCORE = "score"
_BLOCK = 256


class TaskNetwork(nn.Module):
    """A recurrent layer and a linear map of its output: after the last step, or at every step.

    Args:
        task: which says what goes in and what comes out.
        cell: name of the cell.
        hidden_size: H.
        init: how the weights of the cell start.

    Example:
        >>> from recurnn.data.tasks import task_of
        >>> network = TaskNetwork(task_of("temporal-order-6a"), "gru", 16)
        >>> network(torch.zeros(3, 100, 8), torch.tensor([100, 90, 95])).shape
        torch.Size([3, 4])
    """

    def __init__(self, task: Task, cell: str, hidden_size: int, *, init: Init = "uniform") -> None:
        super().__init__()
        if cell not in CELLS:
            raise one_of("cell", cell, CELLS)
        options: dict[str, Any] = {"init": init}
        if cell == "projected-lstm":
            options["proj_size"] = max(hidden_size // 2, 1)
        made = CELLS[cell](task.input_size, hidden_size, **options)
        self.layer = Recurrent(made, batch_first=True)
        self.every_step = task.every_step
        self.head = nn.Linear(made.output_size, task.output_size)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Answers, [B, O], or [B, T, O] at every step.

        Args:
            x: [B, T, I].
            lengths: [B]; None where every step is real.
        """
        result = self.layer(x, lengths=lengths)
        seen = result.output if self.every_step else result.state[self.layer.cell.output]
        answer: Tensor = self.head(seen)
        return answer


class Endless:
    """Sequences of a task for `recurnn.training.fit`, every one a new one.

    Args:
        task: what to draw.
        seed: of what is drawn.
        epoch: sequences after which the loop ends an epoch; the next goes on with others.
    """

    def __init__(self, task: Task, seed: int, epoch: int) -> None:
        self.task, self.seed, self.epoch = task, seed, epoch
        self._block: tuple[Inputs, Tensor] | None = None
        self._size, self._at, self._blocks = 0, 0, 0

    def __len__(self) -> int:
        return self.epoch

    def batch(self, index: Tensor) -> tuple[Inputs, Tensor]:
        """As many new sequences as there are numbers, cut to the longest."""
        count = len(index)
        if self._block is None or self._at + count > self._size:
            # In blocks, for few long draws cost less than many short ones. Of several processes
            # each is asked for other numbers, and so draws sequences of its own.
            rng = np.random.default_rng([self.seed, self._blocks, int(index[0])])
            self._size, self._at = max(_BLOCK, count), 0
            self._block, self._blocks = self.task.draw(rng, self._size), self._blocks + 1
        rows = torch.arange(self._at, self._at + count)
        self._at += count
        return _some(self.task, *self._block, rows)


class HeldOut:
    """Sequences that are drawn once.

    Args:
        task: what to draw.
        seed: of what is drawn.
    """

    def __init__(self, task: Task, seed: int) -> None:
        self.task = task
        self.inputs, self.target = task.draw(np.random.default_rng(seed), task.held_out)

    def __len__(self) -> int:
        return len(self.target)

    def batch(self, index: Tensor) -> tuple[Inputs, Tensor]:
        """The sequences with these numbers, cut to the longest."""
        return _some(self.task, self.inputs, self.target, index)


def _some(task: Task, inputs: Inputs, target: Tensor, rows: Tensor) -> tuple[Inputs, Tensor]:
    target = target[rows]
    if isinstance(inputs, Tensor):
        return inputs[rows], target
    lengths = inputs[1][rows]
    T = int(lengths.max())
    return (inputs[0][rows, :T], lengths), target[:, :T] if task.every_step else target


@dataclass(frozen=True)
class Learned:
    """What one network came to.

    Attributes:
        task: with its length, in words.
        cell: name of the cell.
        seed: of the weights and the sequences.
        solved: whether the held-out sequences said so.
        sequences: that it was trained on; up to the check that said so.
        score: the best on the held-out sequences; NaN if it came to nothing finite.
        fresh: score of that network on as many other sequences, looked at once.
        curve: the score on the held-out sequences at every check, the untrained network first.
        weights: how many the network has.
        seconds: spent on training and checks.
        interrupted: whether Ctrl-C ended it.
        diverged: what went wrong where loss or gradient was no longer finite.
    """

    task: str
    cell: str
    seed: int
    solved: bool
    sequences: int
    score: float
    fresh: float
    curve: tuple[float, ...]
    weights: int
    seconds: float
    interrupted: bool = False
    diverged: str | None = None


class _Until(Watch):
    """Notes the score at every check and ends the training when it solves the task."""

    def __init__(self, task: Task, between: int) -> None:
        self.task, self.between = task, between
        self.curve: list[float] = []

    @property
    def sequences(self) -> int:
        return (len(self.curve) - 1) * self.between

    def epoch(self, run: Run, epoch: Epoch, *, best: bool) -> bool:
        self.curve.append(epoch.metrics[SCORE])
        return self.task.solved(self.curve[-1])


def learn_task(
    task: Task,
    cell: str,
    *,
    seed: int = 0,
    settings: Settings | None = None,
    watch: Sequence[Watch] = (),
) -> Learned:
    """Train a cell on a task until it is solved, on sequences of which none is seen twice.

    At every check the score is taken on the same held-out sequences; the first score that solves
    the task ends the training. The network then meets as many others, once.

    Args:
        task: the task.
        cell: name of one of `recurnn.cells.CELLS`.
        seed: of the weights and of all sequences.
        settings: how to train; those of the task and the cell by default.
        watch: is told of every update and check.

    Returns:
        Whether it was solved, and after how many sequences.

    Raises:
        ConfigError: there is no such cell, or the seed is not a whole number from 0 on.

    Example:
        >>> from recurnn.data.tasks import task_of
        >>> few = Settings(hidden_size=8, check=100, sequences=200)
        >>> learned = learn_task(task_of("adding", 10), "lstm", settings=few)
        >>> learned.solved, learned.sequences, len(learned.curve)
        (False, 200, 3)
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(f"seed is {seed!r}; expected a whole number of at least 0.")
    settings = settings or settings_of(task, cell)
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(4)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds[0])
        network = TaskNetwork(task, cell, settings.hidden_size, init=start_of(task, cell, settings))
    checks = max(1, math.ceil(settings.sequences / settings.check))
    between = max(1, settings.sequences // checks)
    plan = Plan(
        loss=task.loss,
        learning_rate=settings.learning_rate,
        batch_size=min(settings.batch_size, between),
        epochs=checks,
        clip=settings.clip,
        patience=None,
        monitor=SCORE,
        seed=seed,
    )
    until, metrics = _Until(task, between), {SCORE: Metric(task.score, highest=not task.lowest)}
    began, interrupted, diverged = time.perf_counter(), False, None
    try:
        interrupted = fit(
            network,
            Endless(task, seeds[1], between),
            HeldOut(task, seeds[2]),
            plan,
            name=f"{task}, {cell}, seed {seed}",
            watch=[until, *watch],
            metrics=metrics,
        ).interrupted
    except TrainingError as error:
        diverged = str(error)
    seconds = time.perf_counter() - began
    best = min(until.curve) if task.lowest else max(until.curve)
    fresh = math.nan
    if diverged is None:
        others = HeldOut(task, seeds[3])
        fresh = evaluate(network, others, loss=task.loss, metrics=metrics)[SCORE]
    return Learned(
        task=str(task),
        cell=cell,
        seed=seed,
        solved=diverged is None and task.solved(best),
        sequences=until.sequences,
        score=best if diverged is None else math.nan,
        fresh=fresh,
        curve=tuple(until.curve),
        weights=sum(p.numel() for p in network.parameters()),
        seconds=seconds,
        interrupted=interrupted,
        diverged=diverged,
    )
