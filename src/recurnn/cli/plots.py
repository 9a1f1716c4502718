"""The picture of a forecast."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")

from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_ACTUAL, _PREDICTED, _AHEAD = "#3b4252", "#d95f02", "#1b7f9c"
_MOST_PANELS = 4


def forecast_plot(
    file: Path, history: pd.DataFrame, backtest: pd.DataFrame, forecast: pd.DataFrame, *, title: str
) -> None:
    """Draw what was, what the network said of the test part, and the forecast ahead.

    One panel a column, or a series where there are several; four at most.

    Args:
        file: the PNG to write.
        history: what was before the test part: `unique_id`?, `time` or `step`, `column`, `actual`.
        backtest: as `Forecaster.backtest` returns it.
        forecast: as `Forecaster.predict` returns it.
        title: of the figure.
    """
    axis = "time" if "time" in backtest else "step"
    keys = ["unique_id", "column"] if "unique_id" in backtest else ["column"]
    panels = list(backtest.groupby(keys, sort=False))[:_MOST_PANELS]
    figure = Figure(figsize=(11, 1.2 + 3.3 * len(panels)), dpi=120, layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for ax, (found, part) in zip(axes, panels, strict=True):
        key = [str(k) for k in found] if isinstance(found, tuple) else [str(found)]
        column = key[-1]
        before, after = history, forecast
        if len(keys) == 2:
            before, after = before[before.unique_id == key[0]], after[after.unique_id == key[0]]
        before = before[before["column"] == column]
        _panel(ax, axis, before, part, after, column)
        ax.set_ylabel(" · ".join(key))
    axes[0].legend(loc="upper left", frameon=False, ncols=3)
    axes[-1].set_xlabel("time" if axis == "time" else "step (row of the data)")
    figure.suptitle(title, fontsize=11)
    figure.savefig(file)


def _panel(
    ax: Axes, axis: str, before: pd.DataFrame, test: pd.DataFrame, ahead: pd.DataFrame, column: str
) -> None:
    # A long test part is a smear: show its end, with room for the forecast to be seen.
    shown = max(4 * len(ahead), 150)
    test = test.iloc[-shown:]
    before = (
        before.iloc[-max(0, shown - len(test)) - len(ahead) :] if len(test) < shown else before[:0]
    )
    ax.plot(before[axis], before["actual"], color=_ACTUAL, lw=1)
    ax.plot(test[axis], test["actual"], color=_ACTUAL, lw=1, label="actual")
    ax.plot(test[axis], test["predicted"], color=_PREDICTED, lw=1.2, label="predicted (test part)")
    ax.plot(
        ahead[axis],
        ahead[column],
        color=_AHEAD,
        lw=1.6,
        label="forecast",
        marker="o" if len(ahead) == 1 else None,
        ms=4,
    )
    ax.axvline(test[axis].iloc[-1], color="0.7", lw=0.8, ls=":")
    ax.grid(color="0.92", lw=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(x=0.01)
    if axis == "time":
        locator = dates.AutoDateLocator()  # type: ignore[no-untyped-call]
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
