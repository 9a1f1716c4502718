"""The figures: each a function that returns a `Figure`, whatever measured what it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from recurnn.errors import ConfigError, ShapeError, counted
from recurnn.insight.course import Course
from recurnn.insight.figure import Bars, Figure, Heatmap, Lines, Panels
from recurnn.insight.gates import GateReport, unit_values
from recurnn.insight.gradient import Flow
from recurnn.insight.record import Layer

Array = NDArray[np.float64]


def gradient_figure(
    flows: Mapping[str, Flow], *, lag: float | None = None, states: bool = False
) -> Lines:
    """What is left of the gradient at every step back from the loss, a line a layer.

    Args:
        flows: of `gradient_flow`; or of several models, by their names.
        lag: the task's, to be marked.
        states: whether each state of each layer has a line of its own.
    """
    lines: dict[str, tuple[ArrayLike, ArrayLike]] = {}
    for name, flow in flows.items():
        if states and len(flow.norms) > 1:
            for state in flow.norms:
                share = flow.share(state)
                lines[f"{name} {state}"] = np.arange(len(share)), share
        else:
            curve = flow.decay.curve
            shown = np.where(curve > flow.decay.floor, curve, np.nan)
            lines[name] = np.arange(len(curve)), shown
    return Lines(
        "Gradient through time", "steps back from the loss", "share of the gradient left", lines,
        log_y=True, bands=[(0.01, "1 %")], marks=[] if lag is None else [(lag, "the task's lag")],
        note="‖dL/dstate‖ at each step back, as a share of what it is at the loss; the median over "
        "the rows. Level is good. A straight fall is a gradient that vanishes exponentially.",
    )  # fmt: skip


def sweep_figure(table: pd.DataFrame) -> Lines:
    """What arrives at the far end, against how many steps the model is given.

    Args:
        table: of `sweep`.
    """
    lines = {
        str(layer): (part["lag"].to_numpy(), part["left"].to_numpy())
        for layer, part in table.groupby("layer", sort=False)
    }
    return Lines(
        "Gradient against lag", "lag", "share of the gradient left", lines, log_x=True, log_y=True,
        note="Each point is a sequence of its own length.",
    )  # fmt: skip


def singular_figure(tables: Mapping[str, pd.DataFrame]) -> Lines:
    """The largest singular value of the product of Jacobians against the lag, a line a layer.

    Args:
        tables: of `singular_values`, by layer.
    """
    lines = {k: (t["lag"].to_numpy(), t["s1"].to_numpy()) for k, t in tables.items()}
    return Lines(
        "Product of Jacobians", "steps", "largest singular value", lines, log_y=True,
        bands=[(1.0, "neither grows nor shrinks")],
        note="The most by which any gradient can grow over so many steps: below 1 every gradient "
        "shrinks, whatever its direction.",
    )  # fmt: skip


def gate_histogram(report: GateReport) -> Bars:
    """How the values of each gate of a layer are distributed.

    Args:
        report: of `gate_reports`.

    Raises:
        ConfigError: the layer has no gates.
    """
    gates = report.gates
    if not gates:
        raise ConfigError(f"{report.layer} has no gates between 0 and 1.")
    bars = {k: v.histogram[0] / max(v.histogram[0].sum(), 1.0) for k, v in gates.items()}
    edges = next(iter(gates.values())).histogram[1]
    return Bars(
        f"Gates of {report.layer}", "value of the gate", "share", bars, places=list(edges),
        note="Over all units, steps and rows. What piles up at 0 or 1 passes no gradient to what "
        "moves the gate.",
    )  # fmt: skip


def saturation_figure(report: GateReport) -> Lines:
    """For each unit of each gate, how often it is shut and how often open.

    Args:
        report: of `gate_reports`.
    """
    lines = {k: (v.shut, v.open) for k, v in report.gates.items()}
    return Lines(
        f"Saturation of {report.layer}", "share of steps below .05", "share of steps above .95",
        lines, points=True, limits=(-0.03, 1.03),
        note="A point a unit. On the axis upwards: gates that are often open (a memory, if it is "
        "the forget gate); along the bottom: often shut.",
    )  # fmt: skip


def horizon_figure(report: GateReport, *, lag: float | None = None) -> Lines:
    """How long the units of a layer remember, by the gate that keeps their state, sorted.

    Args:
        report: of `gate_reports`.
        lag: the task's, to be marked.

    Raises:
        ConfigError: no gate of the layer keeps a state.
    """
    if report.keep is None:
        raise ConfigError(f"No gate of {report.layer} keeps a state, so it implies no horizon.")
    horizon = np.sort(report.horizon)[::-1]
    return Lines(
        f"Memory of {report.layer}", "units, the longest memory first", "steps until 1/e is left",
        {f"−1 / ln({report.keep})": (np.arange(len(horizon)), horizon)}, log_y=True,
        bands=[] if lag is None else [(lag, "the task's lag")],
        note=f"What {report.keep} alone keeps of state {report.keep.state}, at its geometric mean.",
    )  # fmt: skip


def unit_map(
    layer: Layer, name: str, *, row: int = 0, labels: Sequence[Any] | None = None
) -> Heatmap:
    """A state or gate of every unit at every step of one row.

    Args:
        layer: of a `Record` with states or gates.
        name: of the state or gate.
        row: of the batch.
        labels: what the steps are called.

    Raises:
        ConfigError: there is no such state, gate or row.
    """
    values = unit_values(layer, name)
    if not 0 <= row < values.shape[1]:
        raise ConfigError(
            f"{layer.name}: no row {row}.\n  It has the rows 0 to {values.shape[1] - 1}."
        )
    steps = values.shape[0] if layer.lengths is None else int(layer.lengths[row])
    z = values[:steps, row].detach().float().cpu().numpy().T
    gate = bool(z.size and z.min() >= 0 and z.max() <= 1)
    return Heatmap(
        f"{name} of {layer.name}", "step", "unit", z,
        columns=None if labels is None or len(labels) != steps else [str(v) for v in labels],
        low=0.0 if gate else None, high=1.0 if gate else None, signed=not gate, value=name,
        note=f"One row of the data. Level stripes are units that do not change, upright ones "
        f"steps at which all do. {'Dark is shut, light open.' if gate else ''}",
    )  # fmt: skip


def _before(table: pd.DataFrame) -> str:
    """What lags are called: below zero they are steps after what is looked at."""
    return "steps before (below zero: after)" if table["lag"].min() < 0 else "steps before the end"


def occlusion_figure(table: pd.DataFrame, *, lag: float | None = None) -> Lines:
    """How much hiding the input at each lag changes the prediction.

    Args:
        table: of `occlusion`.
        lag: the task's, to be marked.
    """
    return Lines(
        "Reach of memory: the input hidden", _before(table), "change of the prediction",
        {"change": (table["lag"].to_numpy(), table["change"].to_numpy())},
        marks=[] if lag is None else [(lag, "the task's lag")],
        note="In standard deviations of the prediction over the rows. Where it is level at zero, "
        "the model does not see that far.",
    )  # fmt: skip


def contribution_figure(table: pd.DataFrame) -> Lines:
    """What the input at each lag contributes to the prediction, by integrated gradients.

    Args:
        table: of `integrated_gradients`.
    """
    lags = table["lag"].to_numpy()
    return Lines(
        "Reach of memory: contributions", _before(table), "contribution",
        {"absolute": (lags, table["contribution"].to_numpy()),
         "signed": (lags, table["signed"].to_numpy())},
        note="Integrated gradients from the mean input to the input, the mean over the rows.",
    )  # fmt: skip


def context_figure(table: pd.DataFrame) -> Lines:
    """The loss against the length of the context that the model is given.

    Args:
        table: of `loss_by_context`.
    """
    return Lines(
        "Reach of memory: the context cut off", "steps of context", "loss",
        {"loss": (table["context"].to_numpy(), table["loss"].to_numpy())}, log_x=True,
        note="Where it stops falling, more past does not help the model.",
    )  # fmt: skip


def course_figure(course: Course) -> Figure:
    """Losses along the training, and gradients below them where they are known.

    Args:
        course: of a monitor, or of a history.
    """
    table = course.frame

    def line(column: str) -> tuple[Array, Array] | None:
        if column not in table or not table[column].notna().any():
            return None
        part = table.dropna(subset=[column])
        return part["step"].to_numpy(dtype=np.float64), part[column].to_numpy(dtype=np.float64)

    named = {"training": line("loss"), "validation": line("validation")}
    known: dict[str, tuple[ArrayLike, ArrayLike]] = {k: v for k, v in named.items() if v}
    losses = Lines("Loss", course.unit, "loss", known, log_y=True)
    panels: list[Figure] = [losses]
    if gradient := line("gradient"):
        bands = [] if course.clip is None else [(course.clip, "clip")]
        panels.append(Lines("Norm of the gradient", course.unit, "‖gradient‖",
                            {"gradient": gradient}, log_y=True, bands=bands))  # fmt: skip
    if update := line("update"):
        panels.append(Lines("Step", course.unit, "‖Δw‖ / ‖w‖", {"update": update}, log_y=True,
                            bands=[(1e-3, "usual")]))  # fmt: skip
    if len(panels) == 1:
        return Lines("Loss", course.unit, "loss", known, log_y=True)
    return Panels("Loss, gradient and step", course.unit, "", panels)


def tracking_figure(table: pd.DataFrame, *, best: int = 12) -> Bars:
    """The units that follow a feature most closely.

    Args:
        table: of `tracking`.
        best: how many.
    """
    top = table.head(best)
    places = [f"{r.of}[{r.unit}] · {r.feature}" for r in top.itertuples()]
    return Bars(
        "Units that follow something", "unit and feature", "correlation",
        {"correlation": top["correlation"].to_numpy()}, places=places, level=True,
        note=f"Chance alone would reach {float(top['chance'].max()):.2f} in one case of twenty, "
        "were the steps independent.",
    )  # fmt: skip


def text_figure(
    tokens: str | Sequence[str], values: ArrayLike, *, name: str = "value", width: int = 48
) -> Heatmap:
    """A text whose characters or words are coloured by a unit, a gate or a contribution.

    Args:
        tokens: the characters or words.
        values: a number for each.
        name: what the numbers are.
        width: characters in a line.

    Raises:
        ShapeError: not one number a token.
    """
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    if len(numbers) != len(tokens):
        raise ShapeError(
            f"text_figure: {len(numbers)} values for {counted(len(tokens), 'token')}.\n"
            "  Give one a token."
        )
    longest = max((len(t) for t in tokens), default=1)
    columns = max(1, width // (longest if longest == 1 else min(longest + 1, 8)))
    rows = math.ceil(len(tokens) / columns)
    z = np.full((rows, columns), np.nan)
    z.reshape(-1)[: len(numbers)] = numbers
    shown = ["⏎" if t == "\n" else t for t in tokens] + [""] * (rows * columns - len(tokens))
    text = [shown[r * columns : (r + 1) * columns] for r in range(rows)]
    gate = bool(len(numbers)) and bool(numbers.min() >= 0) and bool(numbers.max() <= 1)
    return Heatmap(
        f"Text by {name}", "column", "line", z, text=text, signed=not gate,
        low=0.0 if gate else None, high=1.0 if gate else None, value=name,
    )  # fmt: skip


def series_figure(
    series: ArrayLike, layer: Layer, name: str, *, row: int = 0, unit: int | None = None,
    times: Sequence[Any] | None = None,
) -> Panels:  # fmt: skip
    """A series, and under the curve a state or gate of every unit, or of one.

    Args:
        series: the values of one row, [T].
        layer: of a `Record` with states or gates.
        name: of the state or gate.
        row: of the batch.
        unit: the one; all by default.
        times: what the steps are called.

    Raises:
        ConfigError: there is no such state, gate, unit or row.
        ShapeError: the series is shorter than what the layer has read.
    """
    y = np.asarray(series, dtype=np.float64).reshape(-1)
    every = unit_map(layer, name, row=row, labels=times)
    below: Figure = every
    steps = np.asarray(every.names(1))
    if len(y) < len(steps):
        raise ShapeError(
            f"series_figure: the series has {len(y)} values, {layer.name} "
            f"{counted(len(steps), 'step')}.\n"
            "  Give one a step."
        )
    if len(steps) != len(y):  # a layer that reads several steps at once
        y = y[len(y) % len(steps) :].reshape(len(steps), -1).mean(axis=1)
    above, title = Lines("Series", "step", "value", {"series": (steps, y)}), name
    note, shares = every.note, (1, 2)
    if unit is not None:
        title, note, shares = f"{name}[{unit}]", "", (1, 1)
        values = unit_values(layer, name, unit)[: len(steps), row].detach().cpu().double().numpy()
        below = Lines(title, "step", title, {title: (steps, values)})
    return Panels(
        f"{title} of {layer.name} under the series", "step", "", [above, below], heights=shares,
        note=note,
    )  # fmt: skip


def attention_figure(
    weights: ArrayLike, source: Sequence[str], target: Sequence[str]
) -> Heatmap:  # fmt: skip
    """Where a model looks in the source while it writes each word of the target.

    Args:
        weights: [target, source].
        source: its words.
        target: its words.

    Raises:
        ShapeError: the sizes differ.
    """
    z = np.asarray(weights, dtype=np.float64)
    if z.shape != (len(target), len(source)):
        raise ShapeError(
            f"attention_figure: the weights are {list(z.shape)}.\n  Expected [target, source] = "
            f"{[len(target), len(source)]}, for there are so many words."
        )
    return Heatmap(
        "Attention", "source", "target", z, columns=list(source), rows=list(target), low=0.0,
        value="weight", note="Each row adds up to 1.",
    )  # fmt: skip


def sigmoid_figure(times: Sequence[int] = (1, 2, 4, 8), name: str = "sigmoid") -> Panels:
    """A squashing function applied again and again, and its slope: it flattens out.

    Args:
        times: how often it is applied.
        name: ``"sigmoid"`` or ``"tanh"``.
    """
    x = torch.linspace(-6, 6, 241, dtype=torch.float64, requires_grad=True)
    values: dict[str, tuple[ArrayLike, ArrayLike]] = {}
    slopes: dict[str, tuple[ArrayLike, ArrayLike]] = {}
    at = x.detach().numpy()
    for n in times:
        y = x
        for _ in range(n):
            y = getattr(torch, name)(y)
        (slope,) = torch.autograd.grad(y.sum(), x)
        label = counted(n, "time")
        values[label] = at, y.detach().numpy()
        slopes[label] = at, slope.numpy()
    return Panels(
        f"The {name}, repeated", "x", "",
        [Lines("Value", "x", "value", values), Lines("Slope", "x", "slope", slopes, log_y=True)],
        note="Each application multiplies the slope by at most "
        + ("1/4" if name == "sigmoid" else "1")
        + ": after a few, the value says nothing of x, and no gradient comes back.",
    )  # fmt: skip
