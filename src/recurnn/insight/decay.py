"""How fast a curve over lags falls or grows: `Decay`, which a few odd lags do not move."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_MOST_POINTS = 400


@dataclass(frozen=True)
class Decay:
    """A curve that begins at one at lag 0, and the rate at which its end changes.

    Attributes:
        curve: what is left after each lag, [K]; zero where nothing arrives.
        rate: the factor by which its later half changes at each step; NaN where there are not two
            lags to tell from.
        floor: what is smaller cannot be told from nothing in the type of the numbers.
    """

    curve: Array
    rate: float
    floor: float = 0.0

    @property
    def gone(self) -> bool:
        """Whether nothing is left after a single step, so that there is no rate."""
        return len(self.curve) > 1 and self.curve[0] > 0 and not (self.curve[1:] > self.floor).any()

    @property
    def half_life(self) -> float:
        """Steps in which it halves; infinite if it does not fall, zero if nothing is left of it."""
        if self.gone:
            return 0.0
        return math.log(0.5) / math.log(self.rate) if 0 < self.rate < 1 else math.inf

    @property
    def doubling(self) -> float:
        """Steps in which it doubles; infinite if it does not grow."""
        return math.log(2) / math.log(self.rate) if self.rate > 1 else math.inf

    def left_after(self, lag: int) -> float:
        """What is left at a lag: read off where the curve reaches it, else from the rate."""
        last = self._last
        if lag <= last or math.isnan(self.rate) or self.curve[last] <= 0:
            return float(self.curve[min(lag, len(self.curve) - 1)])
        exponent = math.log(self.curve[last]) + (lag - last) * math.log(self.rate)
        return math.exp(max(min(exponent, 700.0), -700.0))

    @property
    def _last(self) -> int:
        """The last lag that tells: past it the curve has ended, or sunk below the floor."""
        above = np.flatnonzero((self.curve > self.floor) & np.isfinite(self.curve))
        last = int(above[-1]) if len(above) else 0
        sunk = self.curve[last] < 1e4 * self.floor or not np.isfinite(self.curve).all()
        return last if sunk else len(self.curve) - 1

    def steps_until(self, share: float) -> float:
        """The lag from which on no more than this share is left; infinite if there is none."""
        above = np.flatnonzero(self.curve > share)
        first = int(above[-1]) + 1 if len(above) else 0
        if first < len(self.curve):
            return float(first)
        if not 0 < self.rate < 1:
            return math.inf
        last = len(self.curve) - 1
        return last + max(0.0, math.log(share / self.curve[last]) / math.log(self.rate))


def fit_decay(curve: Array, floor: float = 0.0) -> Decay:
    """Fit the rate of a curve over lags: Theil and Sen's slope of the logarithm.

    The slope is the median over all pairs of lags in the later half of what lies above the floor:
    the first steps after the loss say how the loss is attached, not how the network forgets.

    Args:
        curve: non-negative, from lag 0 on.
        floor: values no larger than this are rounding.

    Example:
        >>> import numpy as np
        >>> decay = fit_decay(3 * 0.9 ** np.arange(50))
        >>> round(decay.rate, 6), round(decay.half_life, 2), decay.steps_until(0.01)
        (0.9, 6.58, 44.0)
    """
    curve = np.nan_to_num(np.asarray(curve, dtype=np.float64), nan=0.0, posinf=math.inf)
    scale = curve[0] if len(curve) and curve[0] > 0 else 1.0
    lags = np.flatnonzero((curve > floor) & np.isfinite(curve))
    if len(lags) >= 8:
        lags = lags[len(lags) // 2 :]
    lags = lags[:: max(1, len(lags) // _MOST_POINTS)]
    rate = math.nan
    if len(lags) >= 2:
        y = np.log(curve[lags])
        i, j = np.triu_indices(len(lags), k=1)
        rate = float(np.exp(np.median((y[j] - y[i]) / (lags[j] - lags[i]))))
    return Decay(curve / scale, rate, floor / scale)
