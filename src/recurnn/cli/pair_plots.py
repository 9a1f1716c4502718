"""Pictures of models of pairs: where the decoder looked, and what was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

matplotlib.use("Agg")

from matplotlib.figure import Figure

from recurnn.data.text.words import MARK
from recurnn.subject import Attended

_TRAINING, _VALIDATION = _BOTH = "#3b4252", "#d95f02"


def attention_map(file: Path, attended: Sequence[Attended]) -> None:
    """Draw where the decoder looked at each token that it said; a panel a pair.

    Args:
        file: the PNG to write.
        attended: what was asked for, one or more.
    """
    sizes = [(len(a.source), len(a.target)) for a in attended]
    width = sum(1.2 + 0.32 * s for s, _ in sizes)
    height = 1.6 + 0.3 * max(t for _, t in sizes)
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(attended), squeeze=False)[0]
    for ax, one in zip(panels, attended, strict=True):
        weights: NDArray[np.float32] = one.weights
        ax.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        ax.set_xticks(range(len(one.source)), [_shown(t) for t in one.source], rotation=90)
        ax.set_yticks(range(len(one.target)), [_shown(t) for t in one.target])
        ax.tick_params(length=0, labelsize=9)
    figure.savefig(file)


def trajectories(
    file: Path,
    names: Sequence[str],
    real: Sequence[NDArray[np.float32]],
    drawn: Sequence[NDArray[np.float32]],
) -> None:
    """Draw trajectories of the data above those that the network drew: the first two channels.

    Args:
        file: the PNG to write.
        names: of the conditions.
        real: a sequence of the data for each, [T, C].
        drawn: one that was drawn.
    """
    figure = Figure(figsize=(1 + 1.3 * len(names), 3.4), dpi=120, layout="constrained")
    axes = figure.subplots(2, len(names), squeeze=False)
    for k, name in enumerate(names):
        for ax, points, color in zip(axes[:, k], (real[k], drawn[k]), _BOTH, strict=True):
            second = points[:, 1] if points.shape[1] > 1 else points[:, 0]
            first = points[:, 0] if points.shape[1] > 1 else np.arange(len(points))
            ax.plot(first, second, color=color, lw=1.4, marker="o", ms=2.5)
            ax.set_xticks([])
            ax.set_yticks([])
            ax.margins(0.15)
        axes[0, k].set_title(name, fontsize=9)
    axes[0, 0].set_ylabel("data")
    axes[1, 0].set_ylabel("drawn")
    figure.savefig(file)


def _shown(token: str) -> str:
    # A dollar sign would begin mathematics; the mark of words that are joined is in few fonts.
    return "␣" if token == " " else token.replace(MARK, "·").replace("$", r"\$")
