"""Train a network on windows: shuffled batches, clipping, early stopping, the best weights kept.

Nothing is printed here; whoever wants to watch passes a `Watch`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurnn.errors import ConfigError, RecurnnError, one_of

LOSSES = {"mse": F.mse_loss, "mae": F.l1_loss}
OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}
SCHEDULES = ("constant", "cosine")
_EVALUATION_BATCH = 1024


class TrainingError(RecurnnError):
    """Training cannot go on."""


class Batches(Protocol):
    """What is trained on: numbered pairs of input and target, `recurnn.data.Windows` or alike."""

    def __len__(self) -> int:
        """How many pairs there are."""

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The pairs with these numbers [B]: x [B, ...] and y [B, ...]."""


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        loss: ``"mse"`` or ``"mae"``, on scaled values.
        optimizer: ``"adam"``, ``"adamw"``, ``"rmsprop"`` or ``"sgd"``.
        learning_rate: of the optimizer.
        batch_size: windows in a batch.
        epochs: passes over the training part, at most.
        clip: greatest global norm of the gradient; None for no clipping.
        patience: epochs without a better validation loss before training stops; None for never.
        schedule: ``"constant"``, or ``"cosine"``: the learning rate falls to 0 over `epochs`.
        seed: of the order of the windows and of dropout.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """

    loss: str = "mse"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 128
    epochs: int = 50
    clip: float | None = 1.0
    patience: int | None = 8
    schedule: str = "constant"
    seed: int = 0

    def __post_init__(self) -> None:
        for what, known in (
            ("loss", LOSSES),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
        ):
            if getattr(self, what) not in known:
                raise one_of(what, getattr(self, what), known)
        for what, least in (("batch_size", 1), ("epochs", 0), ("patience", 1), ("seed", 0)):
            value = getattr(self, what)
            if value is None and what == "patience":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(
                    f"{what} is {value!r}; expected a whole number of at least {least}."
                )
        for what in ("learning_rate", "clip"):
            value = getattr(self, what)
            if value is None and what == "clip":
                continue
            if not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise ConfigError(f"{what} is {value!r}; expected a number above 0.")


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; number 0 is the network before training.

    Attributes:
        number: of the epoch.
        loss: mean over the training windows while they were trained on; NaN for number 0.
        validation_loss: after the epoch; None without a validation part.
        seconds: spent on the epoch, validation included.
        windows_per_second: training windows a second.
    """

    number: int
    loss: float
    validation_loss: float | None
    seconds: float
    windows_per_second: float


@dataclass
class History:
    """What a training run came to.

    Attributes:
        epochs: one entry an epoch, the untrained network first.
        best: number of the epoch whose weights were kept.
        interrupted: whether Ctrl-C ended the run.
        stopped_early: whether patience ended it.
        seconds: of the whole run.
    """

    epochs: list[Epoch] = field(default_factory=list)
    best: int = 0
    interrupted: bool = False
    stopped_early: bool = False
    seconds: float = 0.0


class Watch:
    """Is told how training goes; this one does nothing. Subclass what you want to see."""

    def start(self, name: str, *, epochs: int, batches: int) -> None:
        """A run begins: at most `epochs` of `batches` each."""

    def batch(self, epoch: int, batch: int, loss: float, windows: int) -> None:
        """Batch number `batch` (from 1) of `epoch`, with so many windows, had this loss."""

    def epoch(self, epoch: Epoch, *, best: bool) -> None:
        """An epoch is over; `best` says whether its weights are the best so far."""

    def end(self, history: History) -> None:
        """The run is over."""


def fit(
    module: nn.Module,
    train: Batches,
    validation: Batches | None,
    plan: Plan,
    *,
    name: str = "network",
    watch: Watch | None = None,
) -> History:
    """Train a network and leave it with its best weights, in evaluation mode.

    The best weights are those with the lowest validation loss, the untrained network being a
    candidate; without a validation part, the last ones. Ctrl-C ends the training, not the
    program: the best weights so far are kept and ``history.interrupted`` is set. Random numbers
    come from ``plan.seed`` alone and the global generator is left as it was.

    Args:
        module: maps x of a batch to a forecast of the shape of y.
        train: the windows to train on.
        validation: the windows that decide when to stop and what to keep.
        plan: how to train.
        name: what to call the network in errors and progress.
        watch: is told of every batch and epoch.

    Returns:
        Losses and times of every epoch, and which one was kept.

    Raises:
        TrainingError: the loss is no longer a number.
    """
    watch = watch or Watch()
    run = _Run(module, train, validation, plan, name, watch)
    began = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        try:
            run.all()
        except KeyboardInterrupt:
            run.history.interrupted = True
    run.restore()
    run.history.seconds = time.perf_counter() - began
    watch.end(run.history)
    return run.history


def mean_loss(module: nn.Module, windows: Batches, loss: str = "mse") -> float:
    """The loss of a network on all windows, without training it."""
    was_training = module.training
    module.eval()
    total = 0.0
    with torch.inference_mode():
        for index in torch.split(torch.arange(len(windows)), _EVALUATION_BATCH):
            x, y = windows.batch(index)
            total += float(LOSSES[loss](module(x), y)) * len(index)
    module.train(was_training)
    return total / len(windows)


class _Run:
    """The state of one call of `fit`."""

    def __init__(
        self,
        module: nn.Module,
        train: Batches,
        validation: Batches | None,
        plan: Plan,
        name: str,
        watch: Watch,
    ) -> None:
        self.module, self.train, self.validation = module, train, validation
        self.plan, self.name, self.watch = plan, name, watch
        self.history = History()
        self.weights = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = OPTIMIZERS[plan.optimizer](self.weights, lr=plan.learning_rate)  # type: ignore[call-arg]
        self.batches = math.ceil(len(train) / plan.batch_size)
        self.order = torch.Generator().manual_seed(plan.seed)
        self.lowest = math.inf
        self.kept: dict[str, Tensor] | None = None

    def all(self) -> None:
        plan = self.plan
        self.watch.start(self.name, epochs=plan.epochs, batches=self.batches)
        began = time.perf_counter()
        self._close(0, math.nan, began, 0)
        for number in range(1, plan.epochs + 1):
            began = time.perf_counter()
            loss, windows = self._epoch(number)
            self._close(number, loss, began, windows)
            if plan.patience is not None and number - self.history.best >= plan.patience:
                self.history.stopped_early = number < plan.epochs
                break

    def restore(self) -> None:
        if self.kept is not None and self.validation is not None:
            self.module.load_state_dict(self.kept)
        self.module.eval()

    def _epoch(self, number: int) -> tuple[float, int]:
        """One pass over the training windows: mean loss and how many windows there were."""
        self.module.train()
        total, seen = 0.0, 0
        for batch, index in enumerate(self._shuffled(), start=1):
            self._set_learning_rate((number - 1) * self.batches + batch - 1)
            x, y = self.train.batch(index)
            self.optimizer.zero_grad(set_to_none=True)
            loss = LOSSES[self.plan.loss](self.module(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            if self.plan.clip is not None:
                nn.utils.clip_grad_norm_(self.weights, self.plan.clip)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise self._not_finite(number, batch, value)
            self.optimizer.step()
            total, seen = total + value * len(index), seen + len(index)
            self.watch.batch(number, batch, value, len(index))
        return total / seen, seen

    def _shuffled(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.train), generator=self.order)
        return iter(torch.split(order, self.plan.batch_size))

    def _set_learning_rate(self, step: int) -> None:
        if self.plan.schedule == "constant":
            return
        part = step / (self.plan.epochs * self.batches)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * 0.5 * (1 + math.cos(math.pi * part))

    def _close(self, number: int, loss: float, began: float, windows: int) -> None:
        """Validate, keep the weights if they are the best, and tell the watch."""
        trained = time.perf_counter() - began
        value = None
        if self.validation is not None:
            value = mean_loss(self.module, self.validation, self.plan.loss)
        best = value is None or value < self.lowest
        if best:
            self.lowest = math.inf if value is None else value
            self.history.best = number
            if value is not None:
                self.kept = {k: v.clone() for k, v in self.module.state_dict().items()}
        seconds = time.perf_counter() - began
        speed = windows / trained if windows else 0.0
        epoch = Epoch(number, loss, value, seconds, speed)
        self.history.epochs.append(epoch)
        self.watch.epoch(epoch, best=best)

    def _not_finite(self, number: int, batch: int, value: float) -> TrainingError:
        rate = self.plan.learning_rate
        clip = "" if self.plan.clip is not None else ", or clip the gradient (clip=1.0)"
        return TrainingError(
            f"{self.name}: the loss is no longer a number.\n"
            f"  It became {value} in epoch {number}, batch {batch} of {self.batches}, with "
            f"{self.plan.optimizer} and learning rate {rate:g}.\n"
            f"  Try a smaller learning rate (learning_rate={rate / 10:g}){clip}; check that the "
            "data are scaled."
        )
