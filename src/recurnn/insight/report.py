"""The report of one model: every figure and verdict on a page, or as files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recurnn.insight import figures as f
from recurnn.insight.advice import number, percent
from recurnn.insight.figure import Figure, Heatmap, save_all
from recurnn.insight.inspection import Inspection
from recurnn.insight.page import Page
from recurnn.insight.reading import readings
from recurnn.insight.record import Layer

_MOST_PLACES = 1_200_000  # of heat maps on a page
_MOST_STEPS = 2000


def report(inspection: Inspection, units: Sequence[str] = ()) -> Page:
    """The page of one model.

    Args:
        inspection: what was found.
        units: what the first row is coloured by, as `chosen_unit` takes it; by default the unit
            or gate that says most.

    Returns:
        The page; `Page.write` makes a file of it, `Page.html` the text.
    """
    s = inspection.subject
    page = Page(
        f"Inside {s.name}",
        f"{s.rows} rows of {s.steps} steps; {_layers(inspection)}.",
    )
    page.section("Verdict")
    page.verdicts(inspection.verdicts)
    page.items(inspection.facts)
    page.table(*_numbers(inspection))
    if inspection.course is not None and inspection.course.rows:
        page.section("Training")
        page.figures(f.course_figure(inspection.course))
    page.section(
        "Gradient through time",
        "How much of the gradient of the last step's loss arrives at each step before it.",
    )
    for group in _gradient(inspection):
        page.figures(*group)
    page.section("Gates and states")
    for layer in inspection.record:
        page.heading(layer.name)
        for group in _gates(inspection, layer):
            page.figures(*group)
    if reach := [figure for figure in _reach(inspection) if figure is not None]:
        page.section("Reach of memory")
        page.figures(*reach)
    if read := list(readings(inspection, units)):
        page.section("Reading", "The first row of the data, as the network reads it.")
        for figure in read:
            page.figures(figure)
    if attention := _attention(inspection):
        page.section("Attention", "Where the decoder looks while it says the targets of the data.")
        for figure in attention:
            page.figures(figure)
    if s.configuration:
        page.section("Configuration")
        page.settings(s.configuration)
    return page


def save_figures(
    inspection: Inspection,
    folder: str | Path,
    units: Sequence[str] = (),
    *,
    overwrite: bool = False,
) -> list[str]:
    """Write every figure as PNG and CSV; returns their names.

    Args:
        inspection: what was found.
        folder: where to; made if it is not there.
        units: as in `report`.
        overwrite: whether figures that are there may be replaced.

    Raises:
        DataError: it cannot be written, or holds figures already.
    """
    return save_all(named_figures(inspection, units), folder, overwrite=overwrite)


def named_figures(
    inspection: Inspection, units: Sequence[str] = ()
) -> Iterator[tuple[str, Figure]]:
    """Every figure of the report, with a name for a file."""
    if inspection.course is not None and inspection.course.rows:
        yield "training", f.course_figure(inspection.course)
    for figure in (one for group in _gradient(inspection) for one in group):
        yield _name(figure.title), figure
    for layer in inspection.record:
        for figure in (one for group in _gates(inspection, layer) for one in group):
            yield _name(figure.title), figure
    for found in _reach(inspection):
        if found is not None:
            yield _name(found.title), found
    for figure in [*readings(inspection, units), *_attention(inspection)]:
        yield _name(figure.title), figure


def _name(title: str) -> str:
    kept = "".join(c if c.isalnum() or c in "._" else "-" for c in title.lower())
    return "-".join(part for part in kept.split("-") if part)


def _gradient(found: Inspection) -> Iterator[list[Figure]]:
    lag = found.subject.lag
    some = next(iter(found.flows))
    mark = None if lag is None else found.lag_of(some)
    several = any(len(flow.norms) > 1 for flow in found.flows.values())
    figures: list[Figure] = [
        f.gradient_figure(found.flows, lag=mark, states=several and len(found.flows) == 1)
    ]
    if found.singular:
        figures.append(f.singular_figure(found.singular))
    yield figures


def _gates(found: Inspection, layer: Layer) -> Iterator[list[Figure]]:
    report = found.gates[layer.name]
    if report.gates:
        yield [f.gate_histogram(report), f.saturation_figure(report)]
    if report.keep is not None:
        lag = found.lag_of(layer.name) if found.subject.lag is not None else None
        yield [f.horizon_figure(report, lag=lag)]
    for name in _shown(found, layer):
        yield [_last_steps(layer, name)]


def _shown(found: Inspection, layer: Layer) -> list[str]:
    """The states and gates whose maps there is room for, the telling ones first."""
    keep = found.gates[layer.name].keep
    first = [keep.gate] if keep is not None else []
    names = list(dict.fromkeys([*first, layer.cell.output, *layer.values]))
    room = _MOST_PLACES / len(found.flows)
    kept: list[str] = []
    for name in names:
        T, _, H = layer.values[name].shape
        room -= min(T, _MOST_STEPS) * H
        if room < 0 and len(kept) >= 1:
            break
        kept.append(name)
    return kept


def _last_steps(layer: Layer, name: str) -> Figure:
    figure = f.unit_map(layer, name)
    z = np.asarray(figure.z)
    if z.shape[1] <= _MOST_STEPS:
        return figure
    first = z.shape[1] - _MOST_STEPS
    return Heatmap(
        figure.title, figure.x, figure.y, z[:, first:], columns=range(first, z.shape[1]),
        low=figure.low, high=figure.high, signed=figure.signed, value=figure.value,
        note=f"{figure.note} The last {_MOST_STEPS} steps.",
    )  # fmt: skip


def _reach(found: Inspection) -> list[Figure | None]:
    lag = found.subject.lag
    return [
        None if found.occlusion is None else f.occlusion_figure(found.occlusion, lag=lag),
        None if found.contributions is None else f.contribution_figure(found.contributions),
        None if found.contexts is None else f.context_figure(found.contexts),
    ]


def _attention(found: Inspection) -> list[Figure]:
    return [
        replace(f.attention_figure(one.weights, one.source, one.target),
                title=f"Attention in row {number}")
        for number, one in enumerate(found.subject.attended, start=1)
    ]  # fmt: skip


def _layers(found: Inspection) -> str:
    parts = []
    for layer in found.record:
        sizes = ", ".join(f"{k}={v}" for k, v in layer.cell.sizes.items())
        parts.append(f"{layer.name}: {type(layer.cell).__name__}, {sizes}")
    return "; ".join(parts)


def _numbers(found: Inspection) -> tuple[list[str], list[list[Any]]]:
    """The measurements behind the verdicts, a row a layer."""
    at = ["left at its far end", "steps"]
    at = ["left at the lag", "lag"] if found.subject.lag is not None else at
    head = ["layer", "gradient a step, in the end", "halves in", "1 % left after", *at,
            "gates remember", "Lyapunov exponent"]  # fmt: skip
    rows = []
    for name, flow in found.flows.items():
        decay, report = flow.decay, found.gates[name]
        exponent = found.exponents.get(name)
        horizon = (
            "–" if report.keep is None else f"{number(float(np.median(report.horizon)))} steps"
        )
        rate = "–" if math.isnan(decay.rate) else f"× {decay.rate:.3f}"
        rows.append([
            name, rate, number(decay.half_life), number(decay.steps_until(0.01)),
            percent(decay.left_after(found.lag_of(name))), found.lag_of(name), horizon,
            "–" if exponent is None else number(float(exponent[0])),
        ])  # fmt: skip
    return head, rows
