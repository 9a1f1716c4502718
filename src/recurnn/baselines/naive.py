"""Forecasts that take no training: the last value, and the last season."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurnn.data import Windows


class Persistence:
    """Every step ahead is the window's last value."""

    def __init__(self, columns: int) -> None:
        self.columns = columns

    def predict(self, windows: Windows, index: Tensor) -> Tensor:
        """Forecast the windows with these numbers [B]: [B, horizon, C]."""
        x, _ = windows.batch(index)
        return x[:, -1:, : self.columns].expand(-1, windows.horizon, -1)


class SeasonalNaive:
    """Every step ahead is the value one season before it, or the fewest whole seasons before it.

    It takes the last season before the window's end from the series itself, so that a window
    shorter than a season does not put it at a disadvantage. Where the series has no such step
    (in its first season), the last value is repeated.

    Args:
        series: what is forecast, each [T, C], as the windows have it.
        season: steps in a season.
    """

    def __init__(self, series: Sequence[Tensor], season: int) -> None:
        self.season = season
        self._starts = torch.tensor([0, *(len(s) for s in series)]).cumsum(0)
        self._rows = torch.cat(list(series))

    def predict(self, windows: Windows, index: Tensor) -> Tensor:
        """Forecast the windows with these numbers [B]: [B, horizon, C]."""
        series, end = windows.where(index)
        ahead = 1 + windows.gap + torch.arange(windows.horizon)
        back = -(-ahead // self.season) * self.season  # the fewest whole seasons
        step = end[:, None] + (ahead - back)[None]
        step = torch.where(step >= 0, step, end[:, None])
        return self._rows[self._starts[series][:, None] + step]
