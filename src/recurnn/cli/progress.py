"""Progress of training: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from recurnn.data.tasks import Task
from recurnn.models.long_lag import SCORE
from recurnn.training import Epoch, Run, Update, Watch

_QUIET_SECONDS = 10.0
_BAR_SECONDS = 0.1


class TrainingProgress(Watch):
    """Shows epochs, loss, validation loss, how often clipping bites, speed and the time left.

    In a terminal it is a bar; where the output is a file or a pipe, a plain line at the end of
    training, and one every ten seconds until then.

    Args:
        console: where to show it.
        unit: what is counted a second: ``"windows"``, ``"tokens"``.
    """

    def __init__(self, console: Console, unit: str = "windows") -> None:
        self.console, self.unit = console, unit
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._validation: float | None = None
        self._seen, self._clipped, self._updates = 0.0, 0.0, 0
        self._began = self._shown = self._said = 0.0

    def start(self, run: Run) -> None:
        """A run begins."""
        self._validation, self._seen, self._clipped, self._updates = None, 0.0, 0.0, 0
        self._began = self._said = self._shown = time.monotonic()
        if run.history.resumed is not None:
            self.console.print(
                f"Going on with {run.name} after update {run.history.resumed} "
                f"(epoch {run.epochs_done} is done)"
            )
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=14),
                TextColumn("{task.fields[state]}"),
                TimeRemainingColumn(compact=True),
                console=self.console,
                transient=True,
            )
            self._bar.start()
            total = run.plan.epochs * run.batches
            done = run.epochs_done * run.batches if run.history.epochs else 0
            self._task = self._bar.add_task(run.name, total=total, completed=done, state="")

    def update(self, run: Run, update: Update) -> None:
        """The weights were changed."""
        self._seen += update.count
        self._updates += 1
        self._clipped += max(update.clipped.values(), default=0.0)
        now = time.monotonic()
        if self._bar is not None and now - self._shown > _BAR_SECONDS:
            self._shown = now
            done = (update.epoch - 1) * run.batches + update.batch
            self._bar.update(
                self._task, completed=done, state=self._state(run, update.epoch, update.loss)
            )
        elif self._bar is None and now - self._said > _QUIET_SECONDS:
            self._said = now
            self.console.print(f"{run.name}: {self._state(run, update.epoch, update.loss)}")

    def epoch(self, run: Run, epoch: Epoch, *, best: bool) -> None:
        """One epoch is over."""
        if best:
            self._validation = epoch.validation_loss

    def end(self, run: Run) -> None:
        """The run is over: the bar goes, one line stays."""
        self.broken(run)
        history = run.history
        why = (
            "interrupted"
            if history.interrupted
            else "no better since"
            if history.stopped_early
            else ""
        )
        best = f"best after {history.best}" if history.best else "none better than the start"
        kept = best + (f", {why}" if why else "")
        self.console.print(
            f"Trained {run.name}: {run.epochs_done} of {run.plan.epochs} epochs in "
            f"{history.seconds:.1f} s ({kept})"
        )

    def broken(self, run: Run) -> None:
        """An error ended the run: the bar goes."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _state(self, run: Run, epoch: int, loss: float) -> str:
        speed = self._seen / max(time.monotonic() - self._began, 1e-9)
        best = "" if self._validation is None else f" val {self._validation:.4g}"
        clip = f" clip {self._clipped / self._updates:.0%}" if run.plan.clipping().kinds else ""
        return (
            f"epoch {epoch}/{run.plan.epochs} loss {loss:.4g}{best}{clip} "
            f"{speed:,.0f} {self.unit}/s"
        )


class Announced(TrainingProgress):
    """Says what was found in the data and what will be trained, before the first run.

    Args:
        console: where to show it.
        model: with a `summary`, once training begins.
        notes: what was guessed; a function where it is known only then.
        unit: what is counted a second.
    """

    def __init__(
        self,
        console: Console,
        model: Any,
        notes: Sequence[str] | Callable[[], Sequence[str]] = (),
        unit: str = "windows",
    ) -> None:
        super().__init__(console, unit)
        self._model, self._notes = model, notes

    def start(self, run: Run) -> None:
        """A run begins."""
        if self._model is not None:
            tell(self.console, self._notes() if callable(self._notes) else self._notes)
            self.console.print(self._model.summary(), markup=False)
            self.console.print("Ctrl-C ends training and keeps the best network so far.\n")
            self._model = None
        super().start(run)


def tell(console: Console, notes: Sequence[str]) -> None:
    """Everything that was guessed, a line each."""
    for note in notes:
        console.print(f"- {note}", markup=False, soft_wrap=True)


class TaskProgress(TrainingProgress):
    """Shows how many sequences of a task were seen, the score at the last check, and the speed.

    When the run is over the bar goes, and nothing stays.

    Args:
        console: where to show it.
        task: which says what its score is.
    """

    def __init__(self, console: Console, task: Task) -> None:
        super().__init__(console, unit="sequences")
        self.task = task
        self._score = ""

    def epoch(self, run: Run, epoch: Epoch, *, best: bool) -> None:
        """The held-out sequences were looked at."""
        self._score = f"{self.task.score_is} {epoch.metrics[SCORE]:.4g}"

    def end(self, run: Run) -> None:
        """The run is over."""
        self.broken(run)

    def _state(self, run: Run, epoch: int, loss: float) -> str:
        # Not `self._seen`: where every step has an answer, an update counts those.
        sequences = self._updates * int(run.plan.batch_size or 0)
        speed = sequences / max(time.monotonic() - self._began, 1e-9)
        return f"{sequences:,.0f} sequences {self._score} {speed:,.0f}/s"
