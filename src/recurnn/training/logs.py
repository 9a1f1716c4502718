"""Logs of a training run: CSV or JSON lines, and TensorBoard where it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from recurnn.errors import CheckpointWarning, ConfigError
from recurnn.training import rows
from recurnn.training.history import Epoch, Update, Watch
from recurnn.training.run import Run


class LogFile(Watch):
    """Writes a row at every epoch's end, and one for every so many updates.

    The row of an epoch has `validation_loss` and the metrics, that of an update the norm of the
    gradient; both have `update` (the number of updates so far), `epoch`, `loss`,
    `learning_rate` and, for each kind of clipping, the share that it changed. A run that is taken
    up goes on in the same file, from which the rows past the checkpoint are taken out first.

    Args:
        path: the file: ``.csv``, or ``.jsonl`` for JSON lines.
        every: updates between two rows; None for epochs only.

    Raises:
        ConfigError: the file is of neither kind.
    """

    KINDS = rows.KINDS

    def __init__(self, path: str | Path, *, every: int | None = None) -> None:
        self.path, self.every = rows.checked(path), every
        self._file: IO[str] | None = None
        self._columns: list[str] = []

    def start(self, run: Run) -> None:
        """A run begins, or is taken up."""
        self._columns = _columns(run)
        try:
            before = self._before(run.history.updates) if run.history.resumed is not None else []
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8", newline="")
            self._file.write(rows.head(self.path, self._columns))
        except OSError as error:
            self._give_up(error)
            return
        for row in before:
            self._write(row)

    def update(self, run: Run, update: Update) -> None:
        """The weights were changed."""
        if self.every is not None and update.number % self.every == 0:
            self._write(
                {
                    "update": update.number,
                    "epoch": update.epoch,
                    "batch": update.batch,
                    "loss": update.loss,
                    "norm": update.norm,
                    "learning_rate": update.learning_rate,
                }
                | {f"clipped_{k}": v for k, v in update.clipped.items()}
            )

    def epoch(self, run: Run, epoch: Epoch, *, best: bool) -> None:
        """An epoch is over."""
        self._write(epoch.row())

    def end(self, run: Run) -> None:
        """The run is over."""
        if self._file is not None:
            self._file.close()
            self._file = None

    broken = end

    def _write(self, row: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(rows.line(self.path, self._columns, row))
            self._file.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """A log is not worth a training run."""
        self._file = None
        warnings.warn(
            f"{self.path} cannot be written: {error.strerror}.\n  Training goes on without a log.",
            CheckpointWarning,
            stacklevel=3,
        )

    def _before(self, update: int) -> list[dict[str, Any]]:
        """The rows of the file up to an update."""
        if not self.path.is_file():
            return []
        return [
            row for row in rows.read(self.path)
            if str(row.get("update", "")).isdigit() and int(row["update"]) <= update
        ]  # fmt: skip


class TensorBoard(Watch):
    """Writes losses, metrics, clipping and learning rate for TensorBoard.

    Args:
        folder: of its files.
        every: updates between two points.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path, *, every: int = 10) -> None:
        try:
            from torch.utils import tensorboard
        except ImportError as error:
            raise ConfigError(
                "TensorBoard is not installed.\n  Install it: pip install 'recurnn[tensorboard]'."
            ) from error
        self.folder, self.every = folder, every
        self._kind = tensorboard.SummaryWriter

    def start(self, run: Run) -> None:
        """A run begins, or is taken up."""
        self._writer = self._kind(str(self.folder), purge_step=run.history.updates)

    def update(self, run: Run, update: Update) -> None:
        """The weights were changed."""
        if update.number % self.every:
            return
        self._point("training/loss", update.loss, update.number)
        self._point("training/learning_rate", update.learning_rate, update.number)
        if update.norm is not None:
            self._point("gradient/norm", update.norm, update.number)
        for kind, share in update.clipped.items():
            self._point(f"gradient/clipped_{kind}", share, update.number)

    def epoch(self, run: Run, epoch: Epoch, *, best: bool) -> None:
        """An epoch is over."""
        found = dict(epoch.metrics)
        if epoch.validation_loss is not None:
            found["loss"] = epoch.validation_loss
        for name, value in found.items():
            self._point(f"validation/{name}", value, run.history.updates)
        self._point("training/per_second", epoch.per_second, run.history.updates)

    def end(self, run: Run) -> None:
        """The run is over."""
        self._writer.close()

    broken = end

    def _point(self, name: str, value: float, update: int) -> None:
        self._writer.add_scalar(name, value, update)


def _columns(run: Run) -> list[str]:
    clipped = [f"clipped_{kind}" for kind in run.plan.clipping().kinds]
    metrics = [f"validation_{name}" for name in run.metrics]
    return [
        "update", "epoch", "batch", "loss", "validation_loss", *metrics, "norm", *clipped,
        "skipped", "learning_rate", "per_second", "seconds",
    ]  # fmt: skip
