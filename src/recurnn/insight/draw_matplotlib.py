"""Figures drawn by matplotlib, for PNGs and for papers."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from recurnn.insight.figure import COLOURS, Bars, Figure, Heatmap, Lines, Panels

_SIGNED = colors.LinearSegmentedColormap.from_list(
    "signed", ["#b2552c", "#e0a184", "#f4f4f2", "#86b4d8", "#23679b"]
)


def draw(figure: Figure) -> Drawing:
    """The figure of matplotlib."""
    if isinstance(figure, Panels):
        size = (9.0, 1.2 + 1.9 * len(figure.panels))
        made = Drawing(figsize=size, dpi=120, layout="constrained")
        axes = made.subplots(
            len(figure.panels), 1, sharex=True, height_ratios=figure.shares, squeeze=False
        )[:, 0]
        for ax, panel in zip(axes, figure.panels, strict=True):
            _put(made, ax, panel)
            ax.set_title(panel.title, fontsize=9, loc="left")
        for ax in axes[:-1]:
            ax.set_xlabel("")
        made.suptitle(figure.title, fontsize=11)
        return made
    made = Drawing(figsize=(9.0, _height(figure)), dpi=120, layout="constrained")
    ax = made.subplots()
    _put(made, ax, figure)
    ax.set_title(figure.title, fontsize=11, loc="left")
    return made


def _height(figure: Figure) -> float:
    if isinstance(figure, Heatmap):
        return float(np.clip(1.4 + 0.28 * figure.values.shape[0], 2.2, 7.0))
    if isinstance(figure, Bars) and figure.level:
        return 1.2 + 0.26 * len(figure.places)
    return 4.0


def _put(made: Drawing, ax: Axes, figure: Figure) -> None:
    if isinstance(figure, Lines):
        _lines(ax, figure)
    elif isinstance(figure, Heatmap):
        _heatmap(made, ax, figure)
    elif isinstance(figure, Bars):
        _bars(ax, figure)
    ax.spines[["top", "right"]].set_visible(False)


def _lines(ax: Axes, figure: Lines) -> None:
    finite = any(np.isfinite(y).any() for _, y in figure.drawn().values())
    ax.set(
        xscale="log" if figure.log_x and finite else "linear",
        yscale="log" if figure.log_y and finite else "linear",
    )
    for k, (name, (x, y)) in enumerate(figure.drawn().items()):
        style: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "label": name}
        if figure.points:
            ax.scatter(x, y, s=18, alpha=0.7, **style)
        else:
            ax.plot(x, y, lw=1.6, marker="o" if len(x) < 25 else None, ms=4, **style)
    for at, word in figure.marks:
        ax.axvline(at, color="0.5", lw=1, ls=":")
        ax.annotate(word, (at, 1), xycoords=("data", "axes fraction"), ha="right", va="top",
                    fontsize=8, color="0.4", rotation=90)  # fmt: skip
    for at, word in figure.bands:
        ax.axhline(at, color="0.5", lw=1, ls=":")
        ax.annotate(word, (0, at), xycoords=("axes fraction", "data"), va="bottom",
                    fontsize=8, color="0.4")  # fmt: skip
    ax.set(xlabel=figure.x, ylabel=figure.y)
    if figure.limits is not None:
        ax.set(xlim=figure.limits, ylim=figure.limits)
    ax.grid(color="0.92", lw=0.6)
    if len(figure.lines) > 1:
        _legend(ax)


def _heatmap(made: Drawing, ax: Axes, figure: Heatmap) -> None:
    low, high = figure.limits
    z = figure.values
    image = ax.imshow(
        z, aspect="auto", interpolation="nearest", vmin=low, vmax=high,
        cmap=_SIGNED if figure.signed else "viridis",
    )  # fmt: skip
    made.colorbar(image, ax=ax, label=figure.value, pad=0.01)
    ax.set(xlabel=figure.x, ylabel=figure.y)
    if figure.text is not None:
        middle = (low + high) / 2
        for i, row in enumerate(figure.text):
            for j, word in enumerate(row):
                far = abs(z[i, j] - middle) > 0.35 * (high - low)
                light = far if figure.signed else z[i, j] < middle
                ax.text(j, i, word, ha="center", va="center", family="monospace", fontsize=8,
                        color="white" if light else "black")  # fmt: skip
        ax.set_axis_off()
        return
    for axis, names in ((ax.xaxis, figure.columns), (ax.yaxis, figure.rows)):
        if names is not None:
            every = range(0, len(names), max(1, len(names) // 12))
            axis.set_ticks(list(every), labels=[str(names[k]) for k in every], fontsize=8)


def _bars(ax: Axes, figure: Bars) -> None:
    at = figure.middles()
    named = any(isinstance(place, str) for place in at)
    places = np.arange(len(at)) if named else np.asarray(at, dtype=np.float64)
    step = float(places[1] - places[0]) if len(places) > 1 else 1.0
    style: dict[str, Any] = {"alpha": 1.0 if len(figure.bars) == 1 else 0.6}
    for k, (name, heights) in enumerate(figure.bars.items()):
        draw_bars = ax.barh if figure.level else ax.bar
        style |= {"color": COLOURS[k % len(COLOURS)], "label": name}
        draw_bars(places, np.asarray(heights), 0.92 * step, **style)
    if figure.level:
        ax.set(xlabel=figure.y, ylabel=figure.x)
        ax.set_yticks(places, labels=[str(p) for p in at], fontsize=8)
        ax.invert_yaxis()
    else:
        ax.set(xlabel=figure.x, ylabel=figure.y)
        if named:
            ax.set_xticks(places, labels=[str(p) for p in at], fontsize=8)
    if len(figure.bars) > 1:
        _legend(ax)


def _legend(ax: Axes) -> None:
    """Beside the axes: within them the best place is searched for, slowly, and warned about."""
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
