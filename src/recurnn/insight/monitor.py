"""Looking on while a network trains, without touching the training: `Monitor`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from recurnn.errors import ConfigError, RecurnnError
from recurnn.insight.advice import number, percent
from recurnn.insight.course import Course
from recurnn.insight.gates import saturation
from recurnn.insight.gradient import Flow, measured
from recurnn.insight.record import Layer, Record
from recurnn.insight.roles import roles_of
from recurnn.insight.verdicts import EXPLODED, VANISHED
from recurnn.subject import Subject
from recurnn.training import Epoch, Run, Update, Watch
from recurnn.training.processes import device_of


class GradientWarning(UserWarning):
    """A gradient vanishes or explodes on its way through time."""


class Monitor(Watch):
    """Notes loss, gradient, step, clipping, gradient flow and saturation every so many updates.

    Given to `recurnn.training.fit` as a `watch`. It runs the model beside the training, on a few
    rows that are always the same, in evaluation mode and with random numbers of its own: the
    training has the same bits with it and without it. It warns once (`GradientWarning`) where a
    gradient explodes, or vanishes before the lag of the task, if that is known.

    Args:
        subject: the model and the rows to look at; by default rows of the first batch, if the
            network is called with one tensor and the loss is one of those by name.
        every: updates from one note to the next.
        rows: how many of the subject's rows.
        lag: how many steps back the task reaches, where the subject does not say.
        warn: whether to warn.

    Attributes:
        course: what was noted.

    Example:
        >>> import torch, recurnn
        >>> from recurnn.training import Plan, fit
        >>> class Adding:
        ...     "Pairs of sequence and target."
        ...     def __len__(self): return 64
        ...     def batch(self, index):
        ...         x = torch.rand(len(index), 20, 1)
        ...         return x, x.mean(dim=1)
        >>> class Network(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.rnn = recurnn.nn.GRU(1, 8, batch_first=True)
        ...         self.head = torch.nn.Linear(8, 1)
        ...     def forward(self, x): return self.head(self.rnn(x)[0][:, -1])
        >>> monitor = recurnn.insight.Monitor(every=2)
        >>> history = fit(Network(), Adding(), None, Plan(batch_size=16, epochs=2), watch=monitor)
        >>> list(monitor.course.frame)
        ['step', 'loss', 'gradient', 'update', 'clipped', 'left rnn', 'saturated rnn']
    """

    def __init__(
        self,
        subject: Subject | None = None,
        *,
        every: int = 100,
        rows: int = 8,
        lag: int | None = None,
        warn: bool = True,
    ) -> None:
        if every < 1 or rows < 1:
            raise ConfigError(
                f"Monitor: every is {every}, rows {rows}; expected whole numbers of at least 1."
            )
        self.every, self.rows, self.lag, self.warn = every, rows, lag, warn
        self.course = Course()
        self._given = subject
        self._subject: Subject | None = None
        self._before: list[Tensor] = []
        self._norm = math.nan
        self._hits: list[float] = []
        self._gates: dict[str, list[str]] = {}
        self._warned: set[tuple[str, str]] = set()

    def start(self, run: Run) -> None:
        """A run begins: choose the rows to look at."""
        subject = self._given or _subject_of(run)
        if subject is not None:
            subject = subject.first_rows(self.rows).on(device_of(run.module))
            if self.lag is not None:
                subject = replace(subject, lag=self.lag)
        self._subject, self._gates = subject, {}
        self.course = Course(clip=run.plan.clipping().norm)

    def gradients(self, run: Run) -> None:
        """The gradient is complete: of the updates that are noted, keep what was before."""
        if (run.history.updates - 1) % self.every:
            return
        found = [p.grad for p in run.weights if p.grad is not None]
        self._norm = float(nn.utils.get_total_norm(found))
        self._before = [p.detach().clone() for p in run.weights]

    def update(self, run: Run, update: Update) -> None:
        """The weights were changed."""
        if "norm" in update.clipped:
            self._hits.append(update.clipped["norm"])
        if not self._before:
            return
        row: dict[str, float] = {
            "step": update.number, "loss": update.loss, "gradient": self._norm,
            "update": _ratio(run.weights, self._before),
        }  # fmt: skip
        if self._hits:
            row["clipped"] = sum(self._hits) / len(self._hits)
        self._before, self._hits = [], []
        self.course.rows.append(row | self._look(run.module))

    def epoch(self, run: Run, epoch: Epoch, *, best: bool) -> None:
        """An epoch is over: note the validation loss at its update."""
        if epoch.validation_loss is not None:
            note = {"step": run.history.updates, "validation": epoch.validation_loss}
            self.course.rows.append(note)

    def _look(self, module: nn.Module) -> dict[str, float]:
        """Run the model on the rows, and note how much gradient is left, and what is saturated."""
        if self._subject is None:
            return {}
        subject = replace(self._subject, module=module)
        record = Record(module, gates=True)
        found: dict[str, float] = {}
        try:
            flows = measured(subject, record)
        except RecurnnError:  # a network that is not called so, or has no recurrent layer
            self._subject = None
            return {}
        for layer in record:
            flow = flows[layer.name]
            steps = sum(call.steps for call in layer.calls)
            lag = max(1, round(subject.reach * min(1.0, steps / subject.steps)))
            found[f"left {layer.name}"] = left = flow.decay.left_after(lag)
            if gates := self._gates_of(layer):
                found[f"saturated {layer.name}"] = saturation(layer, gates)
            if self.warn and flow.arrives:
                self._judge(layer.name, flow, lag, left, known=subject.lag is not None)
        return found

    def _gates_of(self, layer: Layer) -> list[str]:
        """What of a layer's values opens and shuts, found once: it costs as much as a look."""
        if layer.name not in self._gates:
            gates = layer.cell.gates
            kinds = roles_of(layer.cell).kinds if gates else {}
            self._gates[layer.name] = [k for k in gates if kinds[k] == "gate"]
        return self._gates[layer.name]

    def _judge(self, layer: str, flow: Flow, lag: int, left: float, *, known: bool) -> None:
        text = ""
        if left > EXPLODED:
            kind, text = "explodes", f"{number(left)} times as large {lag} steps back"
        elif known and left < VANISHED:
            kind, text = "vanishes", f"{percent(left)} is left after the task's {lag} steps"
        if text and (layer, kind) not in self._warned:
            self._warned.add((layer, kind))
            warnings.warn(
                f"{layer}: the gradient {kind}: {text}. recurnn.insight.inspect says more.",
                GradientWarning,
                stacklevel=2,
            )


def _ratio(weights: list[nn.Parameter], before: list[Tensor]) -> float:
    """The median over the weights of ‖change‖ / ‖weight‖."""
    with torch.no_grad():
        change = torch._foreach_norm(torch._foreach_sub([p.detach() for p in weights], before))
        size = torch._foreach_norm(before)
        ratios = torch.stack(list(change)) / torch.stack(list(size)).clamp(min=1e-12)
    return float(ratios[torch.stack(list(size)) > 1e-12].median()) if len(ratios) else 0.0


def _subject_of(run: Run) -> Subject | None:
    """The first batch of a run, where the network is called with one tensor."""
    loss = run.plan.loss
    names: Mapping[str, str] = {"mse": "mse", "mae": "mae", "cross_entropy": "cross_entropy"}
    if not isinstance(loss, str) or loss not in names:
        return None
    try:
        first = next(iter(run.feed.order(1)))
        batch = run.feed.batch(first, 0, 1)
        return Subject(
            run.module, batch.inputs, batch.target, names[loss], batch_first=not batch.streamed
        )
    except (RecurnnError, AttributeError, StopIteration):
        return None
