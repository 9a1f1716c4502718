"""A training run: its state, and how one update and one epoch go."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from recurnn.training import finite
from recurnn.training.averaging import Average
from recurnn.training.clipping import Clipper
from recurnn.training.evaluation import measure
from recurnn.training.feeds import Batch, Feed
from recurnn.training.history import Epoch, History, TrainingError, Update, Watch
from recurnn.training.objective import Metric, Objective, Outcome
from recurnn.training.plan import Plan
from recurnn.training.processes import Processes
from recurnn.training.schedules import Position, checked_factor


class Totals:
    """What an epoch adds up to so far."""

    def __init__(self) -> None:
        self.loss, self.count, self.updates, self.skipped = 0.0, 0.0, 0, 0
        self.clipped: dict[str, float] = {}
        self.seconds = 0.0

    def add(self, update: Update) -> None:
        """Count an update."""
        if update.skipped:
            self.skipped += 1
            return
        self.loss += update.loss * update.count
        self.count += update.count
        self.updates += 1
        for kind, share in update.clipped.items():
            self.clipped[kind] = self.clipped.get(kind, 0.0) + share


class Run:
    """The state of one call of `fit`: what a checkpoint holds, and what a watch may look at.

    Attributes:
        module: the network.
        name: what it is called in errors and progress.
        plan: how it is trained.
        optimizer: over its weights.
        processes: this process among those that train together.
        batches: in an epoch.
        epoch: number of the epoch that is being trained.
        batch: batches of it that are done.
        history: so far.
        state: of a stream, what is carried to the next chunk.
        kept: the best weights so far; None where they are the present ones or none were.
        average: the mean of the weights, once it has begun.
    """

    def __init__(
        self,
        module: nn.Module,
        feed: Feed,
        validation: Feed | None,
        plan: Plan,
        name: str,
        watches: Sequence[Watch],
        objective: Objective,
        metrics: Mapping[str, Metric],
        processes: Processes,
    ) -> None:
        self.module, self.feed, self.validation, self.plan = module, feed, validation, plan
        self.name, self.objective, self.metrics = name, objective, metrics
        self.processes = processes
        self.watches = [w for w in watches if processes.is_main or w.everywhere]
        self.optimizer = plan.optimizer_of(module, name)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.weights = [p for p in module.parameters() if p.requires_grad]
        self.clipper = Clipper(module, plan.clipping(), measure=plan.non_finite != "off")
        self.batches = feed.batches()
        self.updates_an_epoch = math.ceil(self.batches / plan.accumulate)
        self.history = History()
        self.epoch, self.batch, self.totals = 0, 0, Totals()
        self.state: Any = None
        self.kept: dict[str, Tensor] | None = None
        self.average: Average | None = None
        self.lowest = math.inf
        self.monitored: list[float] = []
        self._began = 0.0
        self._plain = plan.accumulate == 1 and processes.count == 1
        self._factor = plan.factor()
        self._buffers = [b for _, b in module.named_buffers()]

    @property
    def epochs_done(self) -> int:
        """Number of the last epoch that is over."""
        return self.history.epochs[-1].number

    @property
    def learning_rate(self) -> float:
        """Of the first group of weights, now."""
        return float(self.optimizer.param_groups[0]["lr"])

    def start_clock(self) -> None:
        """Count the seconds of the run from now on, those before a resumption included."""
        self._began = time.perf_counter() - self.history.seconds

    def tick(self) -> None:
        """Note how long the run has taken."""
        self.history.seconds = time.perf_counter() - self._began

    def update(self, items: Sequence[Any]) -> Update:
        """Train on the next batches, as many as are accumulated, and change the weights once."""
        self._set_learning_rate()
        self.optimizer.zero_grad(set_to_none=True)
        looking, before = self.plan.non_finite != "off", self.state
        computed: list[finite.Computed] = []
        buffers = [b.clone() for b in self._buffers] if self.plan.non_finite == "warn" else []
        total, count = 0.0, 0.0
        for item in items:
            batch = self.feed.batch(item, self.processes.rank, self.processes.count)
            batch = batch.to(self.processes.device)
            if looking:
                computed.append(finite.Computed(batch, self.state, torch.get_rng_state()))
            outcome = self._forward(batch, self.state)
            self._backward(outcome, batch)
            self.state = outcome.state
            weight = outcome.count if batch.count else 0.0
            total += float(outcome.loss.detach()) * weight
            count += weight
        total, count = self.processes.total([total, count])
        if not self._plain:
            self.processes.sum_gradients(self.weights, 1 / max(count, 1.0))
        self.batch += len(items)
        self.history.updates += 1
        for watch in self.watches:
            watch.gradients(self)
        norm, clipped = self.clipper()
        loss = total / max(count, 1.0)
        good = not looking or (norm is not None and math.isfinite(norm) and math.isfinite(loss))
        if good:
            self.optimizer.step()
            if self.average is not None:
                self.average.add()
        else:
            self._not_finite(loss, computed)
            self.state = before
            for buffer, value in zip(self._buffers, buffers, strict=True):
                buffer.copy_(value)
        made = Update(
            self.history.updates, self.epoch, self.batch, loss, count, norm, clipped,
            self.learning_rate, not good,
        )  # fmt: skip
        self.totals.add(made)
        return made

    def close_epoch(self) -> tuple[Epoch, bool]:
        """Validate, and keep the weights if they are the best so far."""
        began, totals = time.perf_counter(), self.totals
        with self.averaged():
            found, best = self._validate()
        self._begin_average()
        seconds = totals.seconds + time.perf_counter() - began
        updates = max(1, totals.updates)
        epoch = Epoch(
            self.epoch,
            totals.loss / totals.count if totals.count else math.nan,
            found.pop("loss", None),
            seconds,
            totals.count / totals.seconds if totals.seconds else 0.0,
            found,
            {kind: share / updates for kind, share in totals.clipped.items()},
            totals.skipped,
            self.learning_rate,
            self.history.updates,
        )
        self.history.epochs.append(epoch)
        self.batch, self.totals, self.state = 0, Totals(), None
        return epoch, best

    def averaged(self) -> AbstractContextManager[None]:
        """A block in which the network has the weights that are validated and kept."""
        return nullcontext() if self.average is None else self.average.in_place()

    def restore_best(self) -> None:
        """Leave the network with its best weights, in evaluation mode."""
        if self.kept is not None:
            self.module.load_state_dict(self.kept)
        elif self.average is not None:
            self.average.keep()
        self.module.eval()

    def out_of_patience(self) -> bool:
        """Whether there was no better epoch for too long."""
        patience = self.plan.patience
        return patience is not None and self.epoch - self.history.best >= patience

    def _validate(self) -> tuple[dict[str, float], bool]:
        """Loss and metrics of the validation part, and whether they are the best so far."""
        found: dict[str, float] = {}
        if self.validation is not None:
            found = measure(
                self.module, self.validation, self.objective, self.metrics, self.processes
            )
            if not math.isfinite(found["loss"]):
                self._not_validated(found["loss"])
        best = self._is_best(found)
        if best:
            self.history.best = self.epoch
            self.kept = None
            if self.validation is not None:
                self.kept = {k: v.clone() for k, v in self.module.state_dict().items()}
        return found, best

    def _begin_average(self) -> None:
        how = self.plan.averaging
        if how is None or self.average is not None:
            return
        if how.begins(self.epoch, self.monitored):
            self.average = Average(self.weights)
            self.history.averaged_since = self.epoch

    def _is_best(self, found: Mapping[str, float]) -> bool:
        if self.validation is None:
            return True
        name = self.plan.monitor
        highest = name != "loss" and self.metrics[name].highest
        value = -found[name] if highest else found[name]
        self.monitored.append(value)
        if not value < self.lowest:
            return False
        self.lowest = value
        return True

    def _forward(self, batch: Batch, state: Any) -> Outcome:
        with self.processes.autocast():
            return self.objective(self.module, batch, state)

    def _backward(self, outcome: Outcome, batch: Batch) -> None:
        loss = outcome.loss
        if not self._plain:  # the mean is over all batches and processes: sums now, one division
            loss = loss * (outcome.count if batch.count else 0.0)
        loss.backward()  # type: ignore[no-untyped-call]

    def _set_learning_rate(self) -> None:
        if self.plan.schedule == "constant":
            return
        at = Position(
            self.history.updates,
            self.plan.epochs * self.updates_an_epoch,
            self.epoch,
            tuple(self.monitored),
        )
        factor = checked_factor(self._factor(at), at)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def _not_finite(self, loss: float, computed: Sequence[finite.Computed]) -> None:
        """Say what went bad first; raise, if that was asked for."""
        plan, before = self.plan, self.batch - len(computed)
        mine = finite.first_of(self.module, computed, lambda b, s: self._forward(b, s).loss)
        # Of several processes each looked at its own part of every batch.
        found = [one for one in self.processes.gathered(mine) if one is not None]
        number, what = min(found, key=lambda one: one[0]) if found else (None, finite.SUMMED)
        batches = f"batch {self.batch}"
        if len(computed) > 1:
            batches = f"batches {before + 1} to {self.batch}"
            what += "" if number is None else f", in batch {before + number + 1}"
        rate = plan.learning_rate
        clip = "" if plan.clipping().kinds else ", or clip the gradient (clip=1.0)"
        steps, first, last = "", computed[0].batch, computed[-1].batch
        if first.streamed:
            end = last.begin + len(last.reset) - 1
            steps = f" (steps {first.begin} to {end} of the lanes)"
        kind = "the loss is no longer a number" if not math.isfinite(loss) else (
            "the gradient is no longer finite"
        )  # fmt: skip
        text = (
            f"{self.name}: {kind}.\n"
            f"  The loss was {loss:.6g} in epoch {self.epoch}, {batches} of "
            f"{self.batches}{steps}, with {_named(plan)} and learning rate {rate:g}.\n"
            f"  The first that is not finite: {what}.\n"
        )
        if plan.non_finite == "raise":
            if what.startswith(finite.GIVEN):
                raise TrainingError(f"{text}  Look at the data and at the weights to begin with.")
            raise TrainingError(
                f"{text}  Try a smaller learning rate (learning_rate={rate / 10:g}){clip}; check "
                "that the data are scaled."
            )
        if self.processes.is_main:
            finite.warn(f"{text}  This update is left out, and training goes on.")

    def _not_validated(self, loss: float) -> None:
        """Say that an epoch cannot be judged; raise, if that was asked for."""
        text = (
            f"{self.name}: the validation loss is {loss} after epoch {self.epoch}, though the "
            "training was finite.\n  Look for NaN and infinity in the validation part."
        )
        if self.plan.non_finite == "raise":
            raise TrainingError(text)
        finite.warn(f"{text} An epoch without a loss is never the best.")


def _named(plan: Plan) -> str:
    return plan.optimizer if isinstance(plan.optimizer, str) else "an optimizer of your own"
