"""Progress of training: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from recurnn.training import Epoch, History, Watch

_QUIET_SECONDS = 10.0


class TrainingProgress(Watch):
    """Shows epochs, loss, validation loss, windows a second and the time left.

    In a terminal it is a bar; where the output is a file or a pipe, a plain line at the end of
    training, and one every ten seconds until then.

    Args:
        console: where to show it.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._name, self._epochs, self._batches = "", 0, 0
        self._validation: float | None = None
        self._windows, self._began, self._said = 0, 0.0, 0.0

    def start(self, name: str, *, epochs: int, batches: int) -> None:
        """A run begins."""
        self._name, self._epochs, self._batches = name, epochs, batches
        self._validation, self._windows = None, 0
        self._began = self._said = time.monotonic()
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
            self._task = self._bar.add_task(name, total=epochs * batches, state="")

    def batch(self, epoch: int, batch: int, loss: float, windows: int) -> None:
        """One batch is done."""
        self._windows += windows
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=(epoch - 1) * self._batches + batch,
                state=self._state(epoch, loss),
            )

    def epoch(self, epoch: Epoch, *, best: bool) -> None:
        """One epoch is over."""
        if best:
            self._validation = epoch.validation_loss
        if self._bar is None and time.monotonic() - self._said > _QUIET_SECONDS:
            self._said = time.monotonic()
            self.console.print(f"{self._name}: {self._state(epoch.number, epoch.loss)}")

    def end(self, history: History) -> None:
        """The run is over: the bar goes, one line stays."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        done = history.epochs[-1].number if history.epochs else 0
        why = (
            "interrupted"
            if history.interrupted
            else "no better since"
            if history.stopped_early
            else ""
        )
        kept = f"best after {history.best}" + (f", {why}" if why else "")
        self.console.print(
            f"Trained {self._name}: {done} of {self._epochs} epochs in {history.seconds:.1f} s "
            f"({kept})"
        )

    def _state(self, epoch: int, loss: float) -> str:
        speed = self._windows / max(time.monotonic() - self._began, 1e-9)
        best = "" if self._validation is None else f" val {self._validation:.4g}"
        return f"epoch {epoch}/{self._epochs} loss {loss:.4g}{best} {speed:,.0f} win/s"
