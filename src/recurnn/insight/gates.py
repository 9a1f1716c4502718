"""Gates and units over data: how they are distributed, which are stuck, what they remember."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.errors import ConfigError, one_of
from recurnn.insight.gradient import undisturbed
from recurnn.insight.record import Layer, Record
from recurnn.insight.roles import Keep, roles_of
from recurnn.subject import Subject

Array = NDArray[np.float64]
SHUT, OPEN = 0.05, 0.95
_STILL = 1e-4  # of a unit's typical size: what moves less does not move
_BINS = 50


@dataclass(frozen=True, repr=False)
class Values:
    """One state or gate of a layer over data.

    Attributes:
        name: of the state or gate.
        kind: ``"gate"``, ``"bounded"``, ``"relu"`` or ``"free"``; see `roles_of`.
        mean: of each unit, [H].
        shut: the share of steps at which each unit is below .05 (a gate) or −.95 (bounded).
        open: the share above .95.
        still: whether each unit never changes, at no step and in no row.
        dead: whether each unit is zero throughout, though it is a ReLU or made of one.
        histogram: counts and edges, over all units and steps.
        over_time: the mean over rows of each unit at each step, [T, H].
    """

    name: str
    kind: str
    mean: Array
    shut: Array
    open: Array
    still: NDArray[np.bool_]
    dead: NDArray[np.bool_]
    histogram: tuple[Array, Array]
    over_time: Array

    def __repr__(self) -> str:
        counts = f"{int(self.still.sum())} still, {int(self.dead.sum())} dead"
        return (
            f"<{self.kind} {self.name}: {len(self.mean)} units, {counts}; mean "
            f"{self.mean.mean():.3g}, {self.saturated:.0%} saturated>"
        )

    @property
    def saturated(self) -> float:
        """The share of all values below .05 (−.95) or above .95; zero where there is no bound."""
        return float((self.shut + self.open).mean())


@dataclass(frozen=True, repr=False)
class GateReport:
    """The gates and states of one layer over data.

    Attributes:
        layer: its name.
        values: states and gates by name.
        keep: the gate that keeps the state which remembers longest, and how; None without one.
        horizon: of each unit, the steps after which 1/e of that state is left if the gate stays
            at its geometric mean: −1 / ln f; [H].
    """

    layer: str
    values: dict[str, Values]
    keep: Keep | None = None
    horizon: Array = field(default_factory=lambda: np.zeros(0))

    def __repr__(self) -> str:
        keeps = f"{self.keep} keeps {self.keep.state}" if self.keep else "no gate keeps a state"
        return f"<GateReport of {self.layer}: {', '.join(self.values)}; {keeps}>"

    @property
    def gates(self) -> dict[str, Values]:
        """Those that open and shut."""
        return {k: v for k, v in self.values.items() if v.kind == "gate"}

    def __getitem__(self, name: str) -> Values:
        if name not in self.values:
            raise one_of(f"{self.layer}: state or gate", name, self.values)
        return self.values[name]


def gate_reports(subject: Subject) -> dict[str, GateReport]:
    """States and gates of every recurrent layer over the subject's data.

    Args:
        subject: the model and its data.

    Returns:
        A report a layer, by name.

    Example:
        >>> import torch, recurnn
        >>> model = recurnn.nn.Stack(recurnn.nn.LSTM(3, 8), torch.nn.Linear(8, 1))
        >>> x, y = torch.randn(40, 4, 3), torch.randn(40, 4, 1)
        >>> subject = recurnn.Subject(model, x, y, batch_first=False)
        >>> report = recurnn.insight.gate_reports(subject)["layers.0"]
        >>> list(report.gates), str(report.keep), report.horizon.shape
        (['i', 'f', 'o'], 'f', (8,))
    """
    return {layer.name: gate_report(layer) for layer in observe(subject)}


def observe(subject: Subject) -> Record:
    """A record of all states and gates over the subject's data."""
    record = Record(subject.module, states=True, gates=True, norms=False)
    with undisturbed(subject.module), torch.no_grad(), record:
        subject.predict()
    return record


def gate_report(layer: Layer) -> GateReport:
    """States and gates of one recorded layer.

    Args:
        layer: of a `Record` with states and gates.
    """
    roles = roles_of(layer.cell)
    real = real_steps(layer)
    found = {k: _values(k, v, real, roles.kinds[k]) for k, v in layer.values.items()}
    best: tuple[Keep | None, Array] = None, np.zeros(0)
    for keep in roles.keeps.values():
        factor = keep.factor(layer.values[keep.gate]).double().clamp(1e-12, 1 - 1e-12)
        logs = _rows(factor.log(), real).mean(axis=0)
        horizon = -1 / logs
        if best[0] is None or np.median(horizon) > np.median(best[1]):
            best = keep, horizon
    return GateReport(layer.name, found, *best)


def saturation(layer: Layer, gates: Sequence[str]) -> float:
    """The share of these gates' values, in a recorded layer, below .05 or above .95."""
    real = None if (steps := real_steps(layer)) is None else torch.from_numpy(steps)
    shares = []
    for gate in gates:
        values = layer.values[gate] if real is None else layer.values[gate][real]
        shares.append(((values < SHUT) | (values > OPEN)).double().mean())
    return float(torch.stack(shares).mean())


def unit_values(layer: Layer, name: str, unit: int | None = None) -> Tensor:
    """A state or gate of a recorded layer, or one unit of it: [T, B, H] or [T, B].

    Raises:
        ConfigError: there is no such state or gate, or no such unit.
    """
    values = layer.values
    if name not in values:
        raise one_of(f"{layer.name}: state or gate", name, values)
    found = values[name]
    if unit is None:
        return found
    if not 0 <= unit < found.shape[-1]:
        raise ConfigError(
            f"{layer.name}: {name} has no unit {unit}.\n  It has the units 0 to "
            f"{found.shape[-1] - 1}."
        )
    return found[..., unit]


def real_steps(layer: Layer) -> NDArray[np.bool_] | None:
    """Which steps of a recorded layer are real, [T, B]; None for all."""
    if layer.lengths is None:
        return None
    steps = torch.arange(layer.calls[0].steps).unsqueeze(1)
    found: NDArray[np.bool_] = (steps < layer.lengths.cpu()).numpy()
    return found


def _rows(values: Tensor, real: NDArray[np.bool_] | None) -> Array:
    """The values at all real steps, [N, H]."""
    array: Array = values.detach().cpu().double().numpy()
    return array.reshape(-1, array.shape[-1]) if real is None else array[real]


def _values(name: str, values: Tensor, real: NDArray[np.bool_] | None, kind: str) -> Values:
    rows = _rows(values, real)
    none = np.zeros(rows.shape[1])
    low = SHUT if kind == "gate" else -OPEN
    bounded = kind in ("gate", "bounded")
    size = np.maximum(np.abs(rows).mean(axis=0), 1e-6 if kind == "free" else 1e-3)
    counts, edges = np.histogram(rows, bins=_BINS, range=_range(rows, kind))
    every = values.detach().cpu().double().numpy()
    if real is not None:
        every = np.where(real[..., None], every, np.nan)
        every = np.nansum(every, axis=1) / np.maximum(real.sum(axis=1), 1)[:, None]
    else:
        every = every.mean(axis=1)
    return Values(
        name,
        kind,
        rows.mean(axis=0),
        (rows < low).mean(axis=0) if bounded else none,
        (rows > OPEN).mean(axis=0) if bounded else none,
        np.ptp(rows, axis=0) < _STILL * size,
        (rows == 0).all(axis=0) & (kind == "relu"),
        (counts.astype(np.float64), edges),
        every,
    )


def _range(rows: Array, kind: str) -> tuple[float, float]:
    if kind == "gate":
        return 0.0, 1.0
    if kind == "bounded":
        return -1.0, 1.0
    low, high = float(rows.min()), float(rows.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
