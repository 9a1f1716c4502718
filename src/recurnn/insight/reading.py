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
    layer = list(found.record)[-1]
    table = followed(found, layer)
    chosen = [chosen_unit(found.record, text) for text in units] or [_telling(found, layer, table)]
    if table is not None:
        yield f.tracking_figure(table)
    for one in chosen:
        yield from _by_unit(found, *one)
    words = _words(found)
    if words is not None and found.first_row is not None:
        yield f.text_figure(words, found.first_row[: len(words)], name="contribution", width=_WIDTH)


def followed(found: Inspection, layer: Layer) -> pd.DataFrame | None:
    """Which units of a layer follow something along the first row; None if nothing is known of it.

    Args:
        found: what was measured.
        layer: one of its layers.
    """
    words = _words(found)
    labels = found.subject.labels if words is None else words
    steps = found.steps_of(layer.name)
    if not labels or len(labels) % steps:
        return None
    each = len(labels) // steps  # a layer may read several steps at once
    if words is not None and all(len(word) == 1 for word in words):
        features = text_features("".join(words))
    elif isinstance(labels[0], pd.Timestamp):
        features = time_features(labels[::each])
    else:
        return None
    rows = layer.values[layer.cell.output].shape[1]
    given = {}
    for name, values in features.items():
        part = values if len(values) == steps else values[::each]
        if np.ptp(part[_SKIP:], axis=0).max(initial=0) > 0:
            given[name] = np.full((rows, *part.shape), np.nan)
            given[name][0] = part
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
    spread = layer.values[layer.cell.output][:, 0].std(0)
    return layer, layer.cell.output, int(spread.argmax())


def _by_unit(found: Inspection, layer: Layer, name: str, unit: int | None) -> Iterator[Figure]:
    words, steps = _words(found), found.steps_of(layer.name)
    title = f"{name} of {layer.name}" if unit is None else f"{name}[{unit}] of {layer.name}"
    if words is not None:
        if len(words) == steps:
            values = unit_values(layer, name, unit)[:, 0].detach().double().numpy()
            each = values if unit is not None else values.mean(1)
            short = title.removesuffix(f" of {layer.name}")  # beside the colours there is no room
            figure = f.text_figure(words, each, name=short, width=_WIDTH)
            yield replace(figure, title=f"Text by {title}")
    elif found.subject.x.is_floating_point() and steps <= found.subject.steps:
        row = found.subject.by_row(found.subject.x)[0]
        series = row.reshape(len(row), -1)[:, 0].detach().double().numpy()
        labels: Sequence[Any] | None = found.subject.labels
        times = labels if labels is not None and len(labels) == steps else None
        yield f.series_figure(series[: _length(found)], layer, name, unit=unit, times=times)


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


def _length(found: Inspection) -> int:
    lengths = found.subject.lengths
    return found.subject.steps if lengths is None else int(lengths[0])
