"""What a model does on the first row of its data: words coloured, gates under the curve, units."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recurnn.errors import ConfigError
from recurnn.insight import figures as f
from recurnn.insight.figure import Figure
from recurnn.insight.gates import unit_values
from recurnn.insight.inspection import Inspection
from recurnn.insight.record import Layer, Record
from recurnn.insight.tracking import text_features, time_features, tracking

Array = NDArray[np.float64]
Chosen = tuple[Layer, str, int | None]
_SKIP = 5  # steps at which a state is still what it started as
_WIDTH = 32  # characters of a line, which a phone has room for
_UNIT = re.compile(r"(?:(?P<layer>.+):)?(?P<name>\w+)(?:\[(?P<unit>\d+)\])?")


def chosen_unit(record: Record, text: str) -> Chosen:
    """What ``LAYER:NAME[UNIT]`` means: a layer, its state or gate, and one unit of it, or all.

    Args:
        record: with states and gates.
        text: ``h[3]``, ``f``, ``layers.1:h[3]``; without a layer, of the last one.

    Raises:
        ConfigError: there is no such layer, state, gate or unit.
    """
    parts = _UNIT.fullmatch(text)
    if parts is None:
        raise ConfigError(
            f"unit is {text!r}.\n  Expected a state or gate and perhaps a unit of it: h[3], f, "
            f"{list(record.layers)[-1]}:h[3]."
        )
    layer = record[parts["layer"]] if parts["layer"] else list(record)[-1]
    unit = None if parts["unit"] is None else int(parts["unit"])
    unit_values(layer, parts["name"], unit)  # refuses what is not there
    return layer, parts["name"], unit


def readings(found: Inspection, units: Sequence[str] = ()) -> Iterator[Figure]:
    """Figures of the first row: by chosen units, or by those that say most.

    Args:
        found: what was measured.
        units: as in `chosen_unit`.

    Raises:
        ConfigError: there is no such unit.
    """
    tables = [(layer, followed(found, layer)) for layer in _last_layers(found)]
    chosen = [chosen_unit(found.record, text) for text in units]
    for _, table in tables:
        if table is not None:
            yield f.tracking_figure(table)
    for one in chosen or [_telling(found, *pair) for pair in tables]:
        yield from _by_unit(found, *one)
    words, row = _words(found), found.first_row
    if words is not None and row is not None:
        at = found.subject.at
        note = "" if at is None else f"To what is said of step {int(at[0])}, “{words[int(at[0])]}”."
        figure = f.text_figure(words, row[: len(words)], name="contribution", width=_WIDTH)
        yield replace(figure, note=note)


def _last_layers(found: Inspection) -> list[Layer]:
    """The last layer of each part of the model that reads something of its own."""
    layers = list(found.record)
    parts = [[x for x in layers if x.name.startswith(name)] for name in found.subject.reads]
    return [part[-1] for part in parts if part] or layers[-1:]


def followed(found: Inspection, layer: Layer) -> pd.DataFrame | None:
    """Which units of a layer follow something along the first row; None if nothing is known of it.

    Args:
        found: what was measured.
        layer: one of its layers.
    """
    words, steps = _words_of(found, layer), found.steps_of(layer.name)
    real = _length(layer) if words is None else len(words)
    labels = found.subject.labels if _words(found) is None else words
    if not labels or len(labels) % real:
        return None
    each = len(labels) // real  # a layer may read several steps at once
    if words is not None and all(len(word) == 1 for word in words):
        features = text_features("".join(words))
    elif isinstance(labels[0], pd.Timestamp):
        features = time_features(labels[::each])
    else:
        return None
    rows = layer.values[layer.cell.output].shape[1]
    given = {}
    for name, values in features.items():
        part = values if len(values) == real else values[::each]
        if len(part) > _SKIP and np.ptp(part[_SKIP:], axis=0).max() > 0:
            given[name] = np.full((rows, steps, *part.shape[1:]), np.nan)
            given[name][0, :real] = part
    return tracking(layer, given, skip=_SKIP) if given else None


def _telling(found: Inspection, layer: Layer, table: pd.DataFrame | None) -> Chosen:
    """The unit that follows something best, else the one that changes most; of series, the gate."""
    if _words(found) is None:
        keep = found.gates[layer.name].keep
        return layer, layer.cell.output if keep is None else keep.gate, None
    if table is not None:
        best = table.iloc[0]
        if abs(best["correlation"]) > best["chance"]:
            return layer, str(best["of"]), int(best["unit"])
    spread = layer.values[layer.cell.output][: _length(layer), 0].std(0, correction=0)
    return layer, layer.cell.output, int(spread.argmax())


def _by_unit(found: Inspection, layer: Layer, name: str, unit: int | None) -> Iterator[Figure]:
    words, steps = _words_of(found, layer), found.steps_of(layer.name)
    title = f"{name} of {layer.name}" if unit is None else f"{name}[{unit}] of {layer.name}"
    if words is not None:
        values = unit_values(layer, name, unit)[: len(words), 0].detach().cpu().double().numpy()
        each = values if unit is not None else values.mean(1)
        short = title.removesuffix(f" of {layer.name}")  # beside the colours there is no room
        figure = f.text_figure(words, each, name=short, width=_WIDTH)
        yield replace(figure, title=f"Text by {title}")
    elif found.subject.x.is_floating_point() and steps <= found.subject.steps:
        row = found.subject.by_row(found.subject.x)[0]
        series = row.reshape(len(row), -1)[:, 0].detach().cpu().double().numpy()
        labels: Sequence[Any] | None = found.subject.labels
        times = labels if labels is not None and len(labels) == steps else None
        real = int(found.subject.real[0])
        yield f.series_figure(series[:real], layer, name, unit=unit, times=times)


def _words(found: Inspection) -> list[str] | None:
    """The tokens of the first row, if it is made of such; a mark among characters as a line end."""
    labels = found.subject.labels
    if not labels or not all(isinstance(label, str) for label in labels):
        return None
    marks = [len(label) != 1 for label in labels]
    characters = sum(marks) < len(marks) / 10
    return [
        "\n" if mark and characters else label for mark, label in zip(marks, labels, strict=True)
    ]


def _words_of(found: Inspection, layer: Layer) -> list[str] | None:
    """Those of the tokens that a layer reads, one a step; None where it reads something else."""
    words = _words(found)
    if words is None:
        return None
    parts = [part for name, part in found.subject.reads.items() if layer.name.startswith(name)]
    first, last = parts[0] if parts else (0, len(words))
    words = words[first:last]
    # Of a layer that was called step by step it is not known where a row has ended.
    enough = len(words) <= found.steps_of(layer.name) and bool(parts)
    return words if enough or len(words) == _length(layer) else None


def _length(layer: Layer) -> int:
    """The real steps of the first row."""
    lengths = layer.lengths
    return sum(call.steps for call in layer.calls) if lengths is None else int(lengths[0])
