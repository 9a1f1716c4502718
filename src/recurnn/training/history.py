"""What a training run came to, and who is told of it while it goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurnn import files
from recurnn.errors import DataError, RecurnnError
from recurnn.training import rows

if TYPE_CHECKING:
    from recurnn.training.run import Run


class TrainingError(RecurnnError):
    """Training cannot go on."""


@dataclass(frozen=True, slots=True)
class Update:
    """One change of the weights.

    Attributes:
        number: of the update, from 1, over the whole run.
        epoch: of the epoch that it belongs to, from 1.
        batch: of the batch in the epoch after which it was made, from 1.
        loss: mean over the update's samples or steps.
        count: how many samples (of a stream: steps times lanes) that mean is over.
        norm: global norm of the gradient before clipping; None where nothing asked for it.
        clipped: what each kind of clipping did: the share of what it looks at that it changed.
        learning_rate: that the update was made with.
        skipped: whether the update was left out because something was not finite.
    """

    number: int
    epoch: int
    batch: int
    loss: float
    count: float
    norm: float | None
    clipped: Mapping[str, float]
    learning_rate: float
    skipped: bool = False


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; number 0 is the network before training.

    Attributes:
        number: of the epoch.
        loss: mean over the training samples while they were trained on; NaN for number 0.
        validation_loss: after the epoch; None without a validation part.
        seconds: spent on the epoch, validation included.
        per_second: training samples (of a stream: steps times lanes) a second.
        metrics: on the validation part, by name.
        clipped: mean over the updates of the share that each kind of clipping changed.
        skipped: updates left out because something was not finite.
        learning_rate: of the last update.
        updates: changes of the weights so far, over the whole run.
    """

    number: int
    loss: float
    validation_loss: float | None
    seconds: float
    per_second: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    clipped: Mapping[str, float] = field(default_factory=dict)
    skipped: int = 0
    learning_rate: float = 0.0
    updates: int = 0

    def row(self) -> dict[str, Any]:
        """The epoch as one flat row of a table, named as in a log."""
        return {
            "update": self.updates, "epoch": self.number, "loss": self.loss,
            "validation_loss": self.validation_loss,
            **{f"validation_{k}": v for k, v in self.metrics.items()},
            **{f"clipped_{k}": v for k, v in self.clipped.items()},
            "skipped": self.skipped, "learning_rate": self.learning_rate,
            "per_second": self.per_second, "seconds": self.seconds,
        }  # fmt: skip


@dataclass
class History:
    """What a training run came to.

    Attributes:
        epochs: one entry an epoch, the untrained network first.
        best: number of the epoch whose weights were kept.
        interrupted: whether Ctrl-C ended the run.
        stopped_early: whether patience ended it, or a watch.
        seconds: of the whole run, those before a resumption included.
        updates: changes of the weights.
        averaged_since: number of the epoch after which the mean of the weights began; None if it
            did not.
        resumed: number of the update that the run was taken up after; None if it began anew.
    """

    epochs: list[Epoch] = field(default_factory=list)
    best: int = 0
    interrupted: bool = False
    stopped_early: bool = False
    seconds: float = 0.0
    updates: int = 0
    averaged_since: int | None = None
    resumed: int | None = None

    def records(self) -> list[dict[str, Any]]:
        """A flat row for each epoch, with the columns of a log: for `pandas.DataFrame` or JSON."""
        return [epoch.row() for epoch in self.epochs]

    def save(self, path: str | Path) -> None:
        """Write the rows of `records`, the same as a log of the run's epochs.

        Args:
            path: the file: ``.csv``, or ``.jsonl`` for JSON lines; one that is there is replaced.

        Raises:
            ConfigError: the file is of neither kind.
            DataError: the disk refuses.
        """
        path = rows.checked(path)
        try:
            with files.replacing(path) as file:
                files.write_all(file, rows.text(path, self.records()).encode())
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror}.") from error


class Watch:
    """Is told how training goes; this one does nothing. Subclass what you want to see.

    Of several processes only the main one tells its watches, unless ``everywhere`` is true.
    """

    everywhere = False

    def start(self, run: Run) -> None:
        """A run begins, or is taken up: ``run.name``, ``run.plan``, ``run.batches``, ..."""

    def gradients(self, run: Run) -> None:
        """The gradient of an update is complete, summed over processes and not clipped yet."""

    def update(self, run: Run, update: Update) -> bool | None:
        """The weights were changed; return True to end the training here."""

    def epoch(self, run: Run, epoch: Epoch, *, best: bool) -> bool | None:
        """An epoch is over; `best` says whether its weights are the best so far.

        Return True to end the training here.
        """

    def end(self, run: Run) -> None:
        """The run is over: ``run.history`` is complete."""

    def broken(self, run: Run) -> None:
        """An error ended the run; let go of what is held. `end` does not follow."""
