"""The picture of a forecast."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")

from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recurnn.training import History

_ACTUAL, _PREDICTED, _AHEAD = "#3b4252", "#d95f02", "#1b7f9c"
_MOST_PANELS = 4
_MOST_CELLS = 20  # classes of a confusion matrix whose counts are written


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


def confusion_plot(file: Path, counts: pd.DataFrame, *, title: str) -> None:
    """Draw how often each class was taken for each.

    Args:
        file: the PNG to write.
        counts: as `SequenceClassifier.confusion` returns it.
        title: of the figure.
    """
    names, N = [str(k) for k in counts.columns], len(counts)
    shares = counts.to_numpy() / counts.to_numpy().sum(1, keepdims=True).clip(min=1)
    side = 2.5 + 0.42 * min(N, 30)
    figure = Figure(figsize=(side + 1, side), dpi=120, layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ax.set_xticks(range(N), names, rotation=90 if max(map(len, names)) > 2 else 0)
    ax.set_yticks(range(N), names)
    ax.set_xlabel("taken for")
    ax.set_ylabel("true class")
    if N <= _MOST_CELLS:
        for (i, j), count in np.ndenumerate(counts.to_numpy()):
            if count:
                ax.text(
                    j, i, str(count), ha="center", va="center", fontsize=8,
                    color="white" if shares[i, j] > 0.5 else _ACTUAL,
                )  # fmt: skip
    figure.colorbar(image, ax=ax, shrink=0.8, label="share of the true class")
    figure.suptitle(title, fontsize=11)
    figure.savefig(file)


def curve_plot(file: Path, history: History, *, title: str) -> None:
    """Draw the losses of every epoch, and which one was kept.

    Args:
        file: the PNG to write.
        history: of the training.
        title: of the figure.
    """
    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    ax = figure.subplots()
    epochs = history.epochs
    fitted = [(e.number, e.loss) for e in epochs if math.isfinite(e.loss)]
    held = [(e.number, e.validation_loss) for e in epochs if e.validation_loss is not None]
    for points, color, name in ((fitted, _ACTUAL, "training"), (held, _PREDICTED, "validation")):
        if points:  # a line of one point cannot be seen
            ax.plot(*zip(*points, strict=True), color=color, label=name,
                    marker="o" if len(points) == 1 else None, ms=4)  # fmt: skip
    if held:
        ax.axvline(history.best, color="0.6", lw=0.8, ls=":", label=f"kept: {history.best}")
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss")
    ax.grid(color="0.92", lw=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
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
