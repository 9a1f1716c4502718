"""How a training went: what a monitor has noted, or any log of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recurnn.insight.advice import number

Array = NDArray[np.float64]
_FELL, _NOTES = 0.97, 8


@dataclass
class Course:
    """Losses and gradients along a training, a row a note.

    Attributes:
        rows: each with ``step``, and of ``loss``, ``validation`` (the loss on the validation
            part), ``gradient`` (the norm of all gradients before clipping), ``update`` (the
            median over the weights of ‖change‖ / ‖weight‖ in that step), ``clipped`` (the share
            of the steps since the last row at which clipping acted) what is known; a monitor adds
            ``left LAYER`` and ``saturated LAYER``.
        clip: the greatest norm that clipping leaves; None without clipping.
        unit: what a step is: ``"step"`` or ``"epoch"``.

    Example:
        >>> course = Course([{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}])
        >>> course.column("loss").tolist()
        [0.5, 0.25]
    """

    rows: list[Mapping[str, float]] = field(default_factory=list)
    clip: float | None = None
    unit: str = "step"

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a table."""
        return pd.DataFrame(self.rows)

    def column(self, name: str) -> Array:
        """One column, without the rows that lack it."""
        found = [float(row[name]) for row in self.rows if row.get(name) is not None]
        return np.array(found, dtype=np.float64)

    @property
    def clipped(self) -> float | None:
        """The share of the steps at which clipping acted; None where it is not known."""
        if len(noted := self.column("clipped")):
            return float(noted.mean())
        gradient = self.column("gradient")
        if self.clip is None or not len(gradient):
            return None
        return float((gradient > self.clip).mean())

    @property
    def diverged(self) -> bool:
        """Whether a loss was no longer a number."""
        return any(not math.isfinite(v) for v in self.column("loss"))

    @property
    def stuck(self) -> str:
        """That the loss has not fallen, in words with the numbers; empty if it has, or is unknown.

        It is the validation loss, where it was noted, else that of eight notes or more.
        """
        validation, loss = (v[np.isfinite(v)] for v in map(self.column, ("validation", "loss")))
        if len(validation) > 1:
            first, best = float(validation[0]), float(validation[1:].min())
            fell, what = best < _FELL * first, "validation loss was {} at first and at best {}"
        elif len(loss) >= _NOTES:
            first, best = float(np.median(loss[:3])), float(np.median(loss[-len(loss) // 4 :]))
            fell, what = best < _FELL * first, "loss went from {} to {}"
        else:
            return ""
        return "" if fell else "the " + what.format(number(first), number(best))

    @staticmethod
    def of_epochs(epochs: Iterable[Mapping[str, float | None]]) -> Course:
        """The course of a training by epochs, from its history.

        Args:
            epochs: each with ``epoch``, ``loss`` and ``validation_loss``, as `History.records`
                and logs have them; other columns are left alone. The loss of epoch 0, before
                training, is not a number and left out.
        """
        rows: list[Mapping[str, float]] = []
        for epoch in epochs:
            named = {"step": epoch["epoch"], "loss": epoch["loss"],
                     "validation": epoch.get("validation_loss")}  # fmt: skip
            known = {k: float(v) for k, v in named.items() if v is not None}
            if not epoch["epoch"] or math.isnan(known.get("validation", 0.0)):
                known = {k: v for k, v in known.items() if not math.isnan(v)}
            rows.append(known)
        return Course(rows, unit="epoch")
