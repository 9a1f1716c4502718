"""Everything that is measured of one model: `inspect`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from recurnn.errors import ConfigError
from recurnn.insight import reach
from recurnn.insight.course import Course
from recurnn.insight.dynamics import cell_and_weights, lyapunov, singular_values
from recurnn.insight.facts import facts
from recurnn.insight.gates import GateReport, gate_report, real_steps
from recurnn.insight.gradient import Flow, measured
from recurnn.insight.record import Layer, Record
from recurnn.insight.verdicts import Verdict, verdicts
from recurnn.subject import Subject

Array = NDArray[np.float64]
_MOST_STATES = 512  # of which products of Jacobians are computed
_EXPONENT_STEPS, _EXPONENT_ROWS = 100, 8


@dataclass(repr=False)
class Inspection:
    """What was measured of one model on some data.

    Attributes:
        subject: the model and the data.
        record: its recurrent layers, with states and gates.
        flows: the gradient through time of each layer.
        gates: gates and states of each layer.
        distinct: how many units of each layer differ from one another.
        zero_weights: the share of each layer's weights that are exactly zero.
        exponents: the two leading Lyapunov exponents of each layer, driven by its own input.
        singular: singular values of the product of Jacobians of each layer.
        occlusion: of `reach.occlusion`; None if it was not asked for.
        contributions: of `reach.integrated_gradients`, likewise.
        first_row: the contribution of each step of the first row, likewise.
        contexts: of `reach.loss_by_context`, likewise.
        course: of the training, if it is known.
    """

    subject: Subject
    record: Record
    flows: dict[str, Flow]
    gates: dict[str, GateReport]
    distinct: dict[str, int]
    zero_weights: dict[str, float]
    exponents: dict[str, Array] = field(default_factory=dict)
    singular: dict[str, pd.DataFrame] = field(default_factory=dict)
    occlusion: pd.DataFrame | None = None
    contributions: pd.DataFrame | None = None
    first_row: Array | None = None
    contexts: pd.DataFrame | None = None
    course: Course | None = None

    def __repr__(self) -> str:
        """The summary: what a notebook shows of it."""
        return self.summary()

    @functools.cached_property
    def verdicts(self) -> list[Verdict]:
        """What is wrong; empty if nothing was found."""
        return verdicts(self)

    def steps_of(self, layer: str) -> int:
        """How many steps a layer makes."""
        return sum(call.steps for call in self.record[layer].calls)

    def lag_of(self, layer: str) -> int:
        """How far back the task goes in steps of a layer, which may read several of x at once."""
        share = self.steps_of(layer) / self.subject.steps
        return max(1, round(self.subject.reach * min(share, 1.0)))

    def lag_in_words(self, layer: str) -> str:
        """The same, as verdicts say it."""
        s = self.subject
        head = (
            f"the task's lag is {s.lag}" if s.lag is not None else f"the input has {s.steps} steps"
        )
        mine = self.steps_of(layer)
        return head if mine >= s.steps else f"{head}, {mine} of this layer"

    @functools.cached_property
    def facts(self) -> list[str]:
        """What was measured, told and not judged."""
        return facts(self)

    def summary(self) -> str:
        """The verdicts as text; what was measured, where there are none or no lag is known."""
        lines = [str(v) for v in self.verdicts] or ["Nothing wrong was found."]
        if not self.verdicts or self.subject.lag is None:
            lines += [f"  {fact}" for fact in self.facts]
        return "\n".join(lines)


def inspect(
    subject: Subject,
    *,
    course: Course | None = None,
    experiments: bool = True,
    watch: Callable[[str], None] | None = None,
) -> Inspection:
    """Measure everything there is to measure of a model, and leave it as it was.

    Args:
        subject: the model and some rows of data; a few dozen rows are enough.
        course: how its training went, if that is known.
        experiments: whether to find the reach of memory by experiment too, which runs the model
            some hundred times, and Lyapunov exponents.
        watch: is told what is being measured.

    Returns:
        What was found; `Inspection.verdicts` says what is wrong.

    Raises:
        ConfigError: the model has no recurrent layer of recurnn.

    Example:
        >>> import torch, recurnn
        >>> model = recurnn.nn.Stack(recurnn.nn.RNN(2, 16), torch.nn.Linear(16, 1))
        >>> x, y = torch.randn(100, 8, 2), torch.randn(100, 8, 1)
        >>> subject = recurnn.Subject(model, x, y, batch_first=False, lag=99)
        >>> found = recurnn.insight.inspect(subject, experiments=False)
        >>> [v.name for v in found.verdicts]
        ['vanishes']
    """
    tell = watch or (lambda _: None)
    tell("gradient through time and gates")
    record = Record(subject.module, states=True, gates=True)
    found = Inspection(
        subject,
        record,
        measured(subject, record),
        {layer.name: gate_report(layer) for layer in record},
        {layer.name: _distinct(layer) for layer in record},
        {layer.name: _zeros(layer) for layer in record},
        course=course,
    )
    if experiments:
        tell("dynamics of the layers")
        for layer in record:
            _dynamics(layer, found)
        tell("the input hidden, a step at a time")
        found.occlusion = reach.occlusion(subject) if _can_alter(subject) else None
        tell("the loss against the context")
        found.contexts = reach.loss_by_context(subject) if _can_alter(subject) else None
        tell("what each step contributes")
        try:
            total, gap = reach.attributions(subject)
            found.contributions = reach.by_lag(subject, total, gap)
            found.first_row = total[0].cpu().double().numpy()
        except ConfigError:  # tokens without an embedding
            pass
    return found


def _can_alter(subject: Subject) -> bool:
    return subject.x.is_floating_point() or subject.rows > 1


def _dynamics(layer: Layer, found: Inspection) -> None:
    cell = layer.cell
    if cell.inputs:
        return
    n = sum(cell.sizes[letter] for letter in cell.states.values())
    x = torch.cat([call.x[:, :_EXPONENT_ROWS].detach() for call in layer.calls])
    if layer.lengths is not None:
        x = x[: max(1, int(layer.lengths[0]))]
    x = x.flip(0) if layer.reverse else x
    found.exponents[layer.name] = lyapunov(
        layer, x, exponents=min(2, n), steps=_EXPONENT_STEPS, transient=min(50, len(x))
    )
    if n <= _MOST_STATES and len(x) > 1:
        found.singular[layer.name] = singular_values(layer, x)


def _distinct(layer: Layer) -> int:
    """How many units of the output differ from one another."""
    h = layer.values[layer.cell.output].cpu().double().numpy()
    real = real_steps(layer)
    rows = h.reshape(-1, h.shape[-1]) if real is None else h[real]
    rows = rows[:: max(1, len(rows) // 500)]
    scale = float(np.abs(rows).max()) or 1.0
    return int(np.unique(np.round(rows / scale, 6), axis=1).shape[1])


def _zeros(layer: Layer) -> float:
    """The share of the weights in matrices that are exactly zero."""
    matrices = [w for w in cell_and_weights(layer)[1].values() if w.dim() == 2]
    count = sum(w.numel() for w in matrices)
    return sum(int((w == 0).sum()) for w in matrices) / count if count else 0.0
