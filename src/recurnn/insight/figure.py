"""What a figure is: its data once, and three ways to see them: plotly, matplotlib, a table."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from recurnn.errors import ConfigError, DataError

if TYPE_CHECKING:
    import matplotlib.figure
    import plotly.graph_objects as go

Array = NDArray[np.float64]

COLOURS = ("#2f8fd0", "#e0662b", "#1ba37c", "#c46bb0", "#b98a00", "#6b7fd7", "#8a8f98")
"""Told apart by most people, on white and on black."""


@dataclass(frozen=True)
class Figure:
    """A figure: data and words, which plotly or matplotlib draw.

    In a notebook it shows itself. `plotly` and `matplotlib` return the figure of either library,
    to be changed at will; `frame` has the numbers; `save` writes PNG and CSV.

    Attributes:
        title: what is shown.
        x: what lies along, with its unit.
        y: what stands up, with its unit.
        note: a sentence that says how to read it.
    """

    title: str
    x: str
    y: str
    note: str = field(default="", kw_only=True)

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers, as a table."""
        raise NotImplementedError

    def plotly(self) -> go.Figure:
        """The figure of plotly, with hover and zoom.

        Raises:
            ConfigError: plotly is not installed.
        """
        try:
            from recurnn.insight import draw_plotly
        except ImportError as error:
            raise ConfigError(
                "plotly is not installed.\n  pip install 'recurnn[insight]' has it; matplotlib "
                "and tables do without."
            ) from error
        return draw_plotly.draw(self)

    def matplotlib(self) -> matplotlib.figure.Figure:
        """The figure of matplotlib."""
        from recurnn.insight import draw_matplotlib

        return draw_matplotlib.draw(self)

    def save(self, folder: str | Path, name: str) -> None:
        """Write ``name.png`` and ``name.csv`` into a folder that exists.

        Raises:
            DataError: they cannot be written.
        """
        folder = Path(folder)
        try:
            self.matplotlib().savefig(folder / f"{name}.png")
            self.frame.to_csv(folder / f"{name}.csv", index=False)
        except OSError as error:
            raise DataError(f"{folder / name} cannot be written: {error.strerror}.") from error

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.matplotlib().savefig(buffer, format="png")
        return buffer.getvalue()


def save_all(
    figures: Iterable[tuple[str, Figure]], folder: str | Path, *, overwrite: bool = False
) -> list[str]:
    """Write figures by name as PNG and CSV into a folder, made if it is not there; their names.

    Raises:
        DataError: as `check_folder`, or they cannot be written.
    """
    folder = Path(folder)
    check_folder(folder, overwrite=overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error.strerror}.") from error
    names = []
    for name, figure in figures:
        figure.save(folder, name)
        names.append(name)
    return names


def check_folder(folder: Path, *, overwrite: bool = False) -> None:
    """Refuse a place where figures must not be written, before anything is computed.

    Args:
        folder: where to.
        overwrite: whether figures that are there may be replaced.

    Raises:
        DataError: it, or what it would lie in, is a file; or figures are there already.
    """
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise DataError(
                f"{place} is a file; figures need a folder.\n  Nothing was written. Give a folder; "
                "it is made if it is not there."
            )
    there = sorted(p.name for p in folder.glob("*") if p.suffix in (".png", ".csv"))
    if there and not overwrite:
        raise DataError(
            f"{folder} already holds figures: {there[0]}{', …' if len(there) > 1 else '.'}\n"
            "  Nothing was written. Give another folder, or allow overwriting "
            "(--overwrite, overwrite=True)."
        )


@dataclass(frozen=True)
class Lines(Figure):
    """Lines or points over one axis.

    Attributes:
        lines: name to x and y.
        log_x: whether x is on a logarithmic scale; what is not above zero is left out.
        log_y: likewise.
        points: whether to draw points in place of lines.
        marks: upright lines, at x with a word.
        bands: level lines, at y with a word.
        limits: of both axes; by default those of the lines.
    """

    lines: Mapping[str, tuple[ArrayLike, ArrayLike]] = field(default_factory=dict)
    log_x: bool = field(default=False, kw_only=True)
    log_y: bool = field(default=False, kw_only=True)
    points: bool = field(default=False, kw_only=True)
    marks: Sequence[tuple[float, str]] = field(default=(), kw_only=True)
    bands: Sequence[tuple[float, str]] = field(default=(), kw_only=True)
    limits: tuple[float, float] | None = field(default=None, kw_only=True)

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers: ``line``, and x and y under their names."""
        parts = [
            pd.DataFrame({"line": name, self.x: np.asarray(x), self.y: np.asarray(y)})
            for name, (x, y) in self.lines.items()
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def drawn(self) -> dict[str, tuple[NDArray[Any], Array]]:
        """The lines with gaps where a logarithm has none."""
        found = {}
        for name, (given_x, given_y) in self.lines.items():
            x, y = np.asarray(given_x), np.asarray(given_y, dtype=np.float64).copy()
            if self.log_y:
                y[~(y > 0)] = np.nan
            if self.log_x:
                y[~(x.astype(np.float64) > 0)] = np.nan
            found[name] = x, y
        return found


@dataclass(frozen=True)
class Heatmap(Figure):
    """A value for every place of a grid, as a colour.

    Attributes:
        z: the values, [rows, columns]; row 0 is at the top.
        columns: what the columns are called; their numbers by default.
        rows: likewise.
        text: what is written in each place, [rows][columns]; nothing by default.
        low: the value of the one end of the colours; by default the least.
        high: of the other.
        signed: whether the colours part at zero.
        value: what the values are.
    """

    z: ArrayLike = ()
    columns: Sequence[Any] | None = field(default=None, kw_only=True)
    rows: Sequence[Any] | None = field(default=None, kw_only=True)
    text: Sequence[Sequence[str]] | None = field(default=None, kw_only=True)
    low: float | None = field(default=None, kw_only=True)
    high: float | None = field(default=None, kw_only=True)
    signed: bool = field(default=False, kw_only=True)
    value: str = field(default="value", kw_only=True)

    @property
    def values(self) -> NDArray[np.float32]:
        """The values as an array."""
        return np.asarray(self.z, dtype=np.float32)

    @property
    def limits(self) -> tuple[float, float]:
        """The values at the two ends of the colours."""
        z = self.values
        found = z[np.isfinite(z)]
        low, high = (float(found.min()), float(found.max())) if len(found) else (0.0, 1.0)
        if self.signed:
            most = max(abs(low), abs(high)) or 1.0
            low, high = -most, most
        low = low if self.low is None else self.low
        high = high if self.high is None else self.high
        return low, high if high > low else low + 1.0

    def names(self, axis: int) -> list[Any]:
        """What the rows (0) or columns (1) are called."""
        given = (self.rows, self.columns)[axis]
        return list(range(self.values.shape[axis])) if given is None else list(given)

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers: a row a row, a column a column; the first is the rows' names."""
        table = pd.DataFrame(self.values, columns=[str(c) for c in self.names(1)])
        table.insert(0, f"{self.y} \\ {self.x}", [str(r) for r in self.names(0)])
        return table


@dataclass(frozen=True)
class Bars(Figure):
    """Bars over named places, or over the intervals between edges.

    Attributes:
        bars: name to heights.
        places: what the places are called; or, one more than the heights, the edges.
        level: whether the bars lie level, for places with long names.
    """

    bars: Mapping[str, ArrayLike] = field(default_factory=dict)
    places: Sequence[Any] = field(default=(), kw_only=True)
    level: bool = field(default=False, kw_only=True)

    def middles(self) -> list[Any]:
        """Where each bar stands."""
        heights = len(np.asarray(next(iter(self.bars.values()))))
        if len(self.places) == heights + 1:
            edges = np.asarray(self.places, dtype=np.float64)
            return list((edges[1:] + edges[:-1]) / 2)
        return list(self.places)

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers: ``bars``, the place under its name, the height under its."""
        parts = [
            pd.DataFrame({"bars": k, self.x: self.middles(), self.y: np.asarray(v)})
            for k, v in self.bars.items()
        ]
        return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class Panels(Figure):
    """Figures one above the other over one axis.

    Attributes:
        panels: the figures, the uppermost first.
        heights: their share of the height.
    """

    panels: Sequence[Figure] = ()
    heights: Sequence[float] = field(default=(), kw_only=True)

    @property
    def shares(self) -> list[float]:
        """The share of the height of each panel."""
        given = list(self.heights) or [1.0] * len(self.panels)
        return [h / sum(given) for h in given]

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers of all panels, one below the other, with the panel's title."""
        parts = [p.frame.assign(panel=p.title) for p in self.panels]
        return pd.concat(parts, ignore_index=True)
