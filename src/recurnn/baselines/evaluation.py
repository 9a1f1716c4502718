"""The one function that scores every model, and the errors it reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recurnn.data import Windows

_BATCH = 1024


class Predictor(Protocol):
    """Anything that forecasts windows."""

    def predict(self, windows: Windows, index: Tensor) -> Tensor:
        """Forecast the windows with these numbers [B]: [B, horizon, C], in scaled units."""


class NetworkPredictor:
    """A network as a `Predictor`."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def predict(self, windows: Windows, index: Tensor) -> Tensor:
        """Forecast the windows with these numbers [B]: [B, horizon, C], in scaled units."""
        was_training = self.module.training
        self.module.eval()
        with torch.inference_mode():
            y: Tensor = self.module(windows.batch(index)[0])
        self.module.train(was_training)
        return y


@dataclass(frozen=True)
class Units:
    """From scaled values to those that errors are reported in: ``value = scaled · scale + shift``.

    Attributes:
        shift: of each series and column, [S, C].
        scale: likewise.
        naive: mean absolute error of the seasonal naive forecast on the training part, in the
            units reported, [S, C]; MASE is relative to it.
    """

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    naive: NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Errors over all windows, steps ahead and columns.

    Attributes:
        mse: mean squared error.
        mae: mean absolute error.
        mase: mean absolute scaled error (Hyndman and Koehler 2006): relative to the seasonal
            naive forecast one season ahead on the training part of the same series.
        smape: symmetric mean absolute percentage error, 0 to 200, as in the M4 competition.
        windows: how many windows were scored.
    """

    mse: float
    mae: float
    mase: float
    smape: float
    windows: int


def evaluate(predictor: Predictor, windows: Windows, units: Units) -> Scores:
    """Score a model on all windows.

    Args:
        predictor: the model.
        windows: what to forecast.
        units: those to report in.
    """
    sums = np.zeros(4)
    count = 0
    for index in torch.split(torch.arange(len(windows)), _BATCH):
        series = windows.where(index)[0].numpy()
        shift, scale, naive = (u[series][:, None] for u in (units.shift, units.scale, units.naive))
        y = windows.batch(index)[1].double().numpy() * scale + shift
        forecast = predictor.predict(windows, index).double().numpy() * scale + shift
        error = np.abs(forecast - y)
        size = np.abs(forecast) + np.abs(y)
        sums += [
            np.square(error).sum(),
            error.sum(),
            (error / naive).sum(),
            (200 * error / np.where(size > 0, size, 1)).sum(),
        ]
        count += error.size
    mse, mae, mase, smape = (sums / count).tolist()
    return Scores(mse, mae, mase, smape, len(windows))


def naive_error(
    series: Sequence[NDArray[np.float64]], ends: Sequence[int], season: int
) -> NDArray[np.float64]:
    """Mean |y_t − y_{t−season}| of each series and column on its training part, [S, C].

    A season longer than the training part is replaced by 1, and an error of zero (a series that
    repeats itself) by infinity, which makes its MASE 0 rather than undefined.

    Args:
        series: each [T, C], in the units reported.
        ends: the step at which the training part of each ends.
        season: m, in steps.
    """
    errors = []
    for values, end in zip(series, ends, strict=True):
        m = season if season < end else 1
        part = values[:end]
        errors.append(np.abs(part[m:] - part[:-m]).mean(axis=0))
    naive = np.stack(errors)
    return np.where(naive > 0, naive, np.inf)
