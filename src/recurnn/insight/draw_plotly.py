"""Figures drawn by plotly. The colours of paper, words and grid are left to the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from recurnn.insight.figure import COLOURS, Bars, Figure, Heatmap, Lines, Panels

_MOST_WORDS = 60  # along an axis
GREY = "rgba(128,128,128,0.75)"
SIGNED = [
    [0.0, "#b2552c"],
    [0.25, "#e0a184"],
    [0.5, "#f4f4f2"],
    [0.75, "#86b4d8"],
    [1.0, "#23679b"],
]


def draw(figure: Figure) -> go.Figure:
    """The figure of plotly."""
    if isinstance(figure, Panels):
        made = _panels(figure)
    else:
        made = go.Figure()
        _put(made, figure, {})
    made.update_layout(
        title=None,
        margin={"l": 56, "r": 16, "t": 28, "b": 44},
        font={"family": "system-ui, sans-serif", "size": 13},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hoverlabel={"namelength": -1},
        height=_height(figure),
        colorway=list(COLOURS),
        barmode="overlay",
        bargap=0.04,
    )
    made.update_xaxes(zeroline=False, gridcolor="rgba(128,128,128,0.25)", automargin=True)
    made.update_yaxes(zeroline=False, gridcolor="rgba(128,128,128,0.25)", automargin=True)
    return made


def _height(figure: Figure) -> int:
    if isinstance(figure, Panels):
        return 150 + 170 * len(figure.panels)
    if isinstance(figure, Heatmap):
        rows = figure.values.shape[0]
        each = 20 if figure.text is not None else 4
        return int(np.clip(110 + each * rows, 240, 640))
    if isinstance(figure, Bars) and figure.level:
        return 110 + 24 * len(figure.places)
    return 340


def _put(made: go.Figure, figure: Figure, where: dict[str, Any]) -> None:
    """Add one figure's traces and axes."""
    if isinstance(figure, Lines):
        _lines(made, figure, where)
    elif isinstance(figure, Heatmap):
        _heatmap(made, figure, where)
    elif isinstance(figure, Bars):
        _bars(made, figure, where)


def _lines(made: go.Figure, figure: Lines, where: dict[str, Any]) -> None:
    x_words = "%{x}" if not figure.points else "%{x:.3~g}"
    for k, (name, (x, y)) in enumerate(figure.drawn().items()):
        made.add_trace(
            go.Scatter(
                x=_small(x),
                y=_small(y),
                name=name,
                mode="markers" if figure.points else "lines+markers" if len(x) < 25 else "lines",
                marker={"size": 7, "opacity": 0.7, "color": COLOURS[k % len(COLOURS)]},
                line={"width": 2, "color": COLOURS[k % len(COLOURS)]},
                showlegend=len(figure.lines) > 1,
                hovertemplate=f"{figure.x}: {x_words}<br>{figure.y}: %{{y:.4~g}}"
                f"<extra>{name}</extra>",
            ),
            **where,
        )
    _marks(made, figure, where)
    across = [*(x for x, _ in figure.drawn().values()), np.array([m for m, _ in figure.marks])]
    up = [*(y for _, y in figure.drawn().values()), np.array([b for b, _ in figure.bands])]
    made.update_xaxes(
        title_text=figure.x, range=figure.limits, **_scale(across, figure.log_x), **where
    )
    made.update_yaxes(title_text=figure.y, range=figure.limits, **_scale(up, figure.log_y), **where)


def _marks(made: go.Figure, figure: Lines, where: dict[str, Any]) -> None:
    """Upright and level lines with a word each, which do not widen the axes."""
    line = {"dash": "dot", "width": 1.5, "color": GREY}
    for at, word in figure.marks:
        made.add_vline(x=at, line=line, **where)
        made.add_annotation(
            x=_place(at, figure.log_x), y=1, xref="x", yref="y domain", text=word, xanchor="right",
            yanchor="top", showarrow=False, font={"size": 11}, textangle=-90, **where,
        )  # fmt: skip
    for at, word in figure.bands:
        made.add_hline(y=at, line=line, **where)
        made.add_annotation(
            x=0.88, y=_place(at, figure.log_y), xref="x domain", yref="y", text=word,
            xanchor="right", yanchor="bottom", showarrow=False, font={"size": 11}, **where,
        )  # fmt: skip


def _place(value: float, log: bool) -> float:
    """Where a word stands: plotly counts words on a logarithmic axis in powers of ten."""
    return math.log10(value) if log else value


def _scale(values: list[NDArray[Any]], log: bool) -> dict[str, Any]:
    """A linear axis, or a logarithmic one with no more words than there is room for."""
    if not log:
        return {"exponentformat": "none"}
    found = np.concatenate([np.asarray(v, dtype=np.float64) for v in values])
    found = found[np.isfinite(found) & (found > 0)]
    decades = float(np.log10(found.max() / found.min())) if len(found) else 0.0
    if decades > 1.2:
        return {"type": "log", "exponentformat": "power", "dtick": math.ceil(decades / 6)}
    # Within a decade as plain numbers, at 1, 2 and 5: plotly's own are bare and crowded digits.
    return {"type": "log", "tickformat": "~g"} | ({"dtick": "D2"} if decades > 0.5 else {})


def _heatmap(made: go.Figure, figure: Heatmap, where: dict[str, Any]) -> None:
    low, high = figure.limits
    columns, rows = figure.names(1), figure.names(0)
    words = figure.text is not None
    named = _are_words(columns) or _are_words(rows)
    at = ("%{customdata[0]}", "%{customdata[1]}") if named else ("%{y}", "%{x}")
    made.add_trace(
        go.Heatmap(
            z=figure.values,
            x=None if figure.columns is None or _are_words(columns) else columns,
            y=None if figure.rows is None or _are_words(rows) else rows,
            customdata=[[(row, column) for column in columns] for row in rows] if named else None,
            text=figure.text,
            texttemplate="%{text}" if words else None,
            textfont={"family": "ui-monospace, monospace"},
            zmin=low,
            zmax=high,
            colorscale=SIGNED if figure.signed else "Viridis",
            colorbar={"thickness": 10, "title": {"text": figure.value, "side": "top"},
                      "outlinewidth": 0},
            hovertemplate=f"{figure.y}: {at[0]}<br>{figure.x}: {at[1]}"
            + ("<br>“%{text}”" if words else "")
            + f"<br>{figure.value}: %{{z:.4~g}}<extra></extra>",
        ),
        **where,
    )  # fmt: skip
    made.update_xaxes(
        title_text=figure.x, showgrid=False, visible=not words, **_ticks(columns), **where
    )
    made.update_yaxes(
        title_text=figure.y, showgrid=False, autorange="reversed", visible=not words,
        **_ticks(rows), **where,
    )  # fmt: skip


def _are_words(names: Sequence[Any]) -> bool:
    """Whether places are called by words, which may come twice; plotly would then make them one."""
    return any(isinstance(name, str) for name in names)


def _ticks(names: Sequence[Any]) -> dict[str, Any]:
    """An axis whose places have words for names: they are numbered, and the words written there."""
    if not _are_words(names):
        return {}
    every = range(0, len(names), -(-len(names) // _MOST_WORDS))
    return {
        "tickmode": "array", "tickvals": list(every), "ticktext": [str(names[k]) for k in every],
    }  # fmt: skip


def _bars(made: go.Figure, figure: Bars, where: dict[str, Any]) -> None:
    at = figure.middles()
    for k, (name, heights) in enumerate(figure.bars.items()):
        values = np.asarray(heights, dtype=np.float64)
        x, y = (values, at) if figure.level else (at, values)
        made.add_trace(
            go.Bar(
                x=x,
                y=y,
                name=name,
                orientation="h" if figure.level else "v",
                marker={"color": COLOURS[k % len(COLOURS)], "line": {"width": 0}},
                opacity=1.0 if len(figure.bars) == 1 else 0.6,
                showlegend=len(figure.bars) > 1,
                hovertemplate="%{y}: %{x:.3~g}" if figure.level else "%{x:.3~g}: %{y:.4~g}",
            ),
            **where,
        )
    across, up = (figure.y, figure.x) if figure.level else (figure.x, figure.y)
    made.update_xaxes(title_text=across, **where)
    made.update_yaxes(title_text=up, autorange="reversed" if figure.level else None, **where)


def _panels(figure: Panels) -> go.Figure:
    made = make_subplots(
        rows=len(figure.panels), cols=1, shared_xaxes=True, vertical_spacing=0.06,
        row_heights=figure.shares,
    )  # fmt: skip
    for row, panel in enumerate(figure.panels, start=1):
        _put(made, panel, {"row": row, "col": 1})
        if row < len(figure.panels):
            made.update_xaxes(title_text="", row=row, col=1)
    named: set[str] = set()
    for trace in made.data:  # a name that panels share is said once, and switches all of them
        if trace.showlegend:
            trace.update(legendgroup=trace.name, showlegend=trace.name not in named)
            named.add(trace.name)
    tops = np.cumsum([0.0, *figure.shares])
    for k, panel in enumerate(figure.panels):  # each bar of colours beside its own panel
        traces = [t for t in made.data if isinstance(t, go.Heatmap)]
        heatmaps = [p for p in figure.panels if isinstance(p, Heatmap)]
        if isinstance(panel, Heatmap):
            bar = traces[heatmaps.index(panel)].colorbar
            bar.update(y=1 - (tops[k] + tops[k + 1]) / 2, len=figure.shares[k] * 0.95)
    return made


def _small(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers of half the size, which no eye tells apart."""
    return values.astype(np.float32) if values.dtype == np.float64 and _fits(values) else values


def _fits(values: NDArray[Any]) -> bool:
    found = np.abs(values[np.isfinite(values) & (values != 0)])
    return not len(found) or bool(found.max() < 1e37 and found.min() > 1e-37)
