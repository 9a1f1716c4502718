"""Figures drawn by plotly. The colours of paper, words and grid are left to the page."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from recurnn.insight.figure import COLOURS, Bars, Figure, Heatmap, Lines, Panels

GREY = "rgba(128,128,128,0.75)"
SIGNED = [[0.0, "#b2552c"], [0.25, "#e0a184"], [0.5, "#f4f4f2"], [0.75, "#86b4d8"], [1.0, "#23679b"]]


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
        barmode="group",
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
    for at, word in figure.marks:
        made.add_vline(x=at, line={"dash": "dot", "width": 1.5, "color": GREY}, **where,
                       annotation={"text": word, "yanchor": "bottom", "font": {"size": 11}},
                       annotation_position="top left" if figure.log_x else "top")  # fmt: skip
    for at, word in figure.bands:
        made.add_hline(y=at, line={"dash": "dot", "width": 1.5, "color": GREY}, **where,
                       annotation={"text": word, "font": {"size": 11}},
                       annotation_position="bottom left")  # fmt: skip
    made.update_xaxes(title_text=figure.x, type="log" if figure.log_x else None, **where)
    made.update_yaxes(
        title_text=figure.y, type="log" if figure.log_y else None,
        exponentformat="power" if figure.log_y else "none", **where,
    )  # fmt: skip


def _heatmap(made: go.Figure, figure: Heatmap, where: dict[str, Any]) -> None:
    low, high = figure.limits
    columns, rows = figure.names(1), figure.names(0)
    words = figure.text is not None
    made.add_trace(
        go.Heatmap(
            z=figure.values,
            x=None if figure.columns is None else columns,
            y=None if figure.rows is None else rows,
            text=figure.text,
            texttemplate="%{text}" if words else None,
            textfont={"family": "ui-monospace, monospace"},
            zmin=low,
            zmax=high,
            colorscale=SIGNED if figure.signed else "Viridis",
            colorbar={"thickness": 10, "title": {"text": figure.value, "side": "right"},
                      "outlinewidth": 0},
            hovertemplate=f"{figure.y}: %{{y}}<br>{figure.x}: %{{x}}"
            + ("<br>“%{text}”" if words else "")
            + f"<br>{figure.value}: %{{z:.4~g}}<extra></extra>",
        ),
        **where,
    )  # fmt: skip
    made.update_xaxes(title_text=figure.x, showgrid=False, visible=not words, **where)
    made.update_yaxes(
        title_text=figure.y, showgrid=False, autorange="reversed", visible=not words, **where
    )


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
