"""Linear autoregression: each step ahead a linear function of the window, by least squares."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.baselines.features import flat
from recurnn.data import Windows

_ROWS = 8192


class LinearAutoregression:
    """Direct multi-step linear regression on the flat window, with an intercept.

    Fitted exactly by a QR decomposition that is updated a block of windows at a time, in float64:
    memory does not grow with the number of windows, and the squared condition number of the
    normal equations is avoided. Directions in which the windows do not vary get weight zero.

    Attributes:
        weight: [horizon · C, width of the flat window].
        bias: [horizon · C].
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.weight = torch.empty(0)
        self.bias = torch.empty(0)

    def fit(self, windows: Windows) -> LinearAutoregression:
        """Fit by least squares on all windows."""
        triangle: NDArray[np.float64] | None = None
        inputs = 0
        for index in torch.split(torch.arange(len(windows)), _ROWS):
            x, y = windows.batch(index)
            rows = torch.cat([torch.ones(len(x), 1), flat(x, self.columns), y.flatten(1)], dim=1)
            inputs = rows.shape[1] - y[0].numel()
            block = rows.double().numpy()
            stacked = block if triangle is None else np.concatenate([triangle, block])
            triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
        assert triangle is not None  # windows are never empty
        # [R_x R_y; 0 ·]: min |X a − Y| and min |R_x a − R_y| have the same solution.
        solution, *_ = np.linalg.lstsq(triangle[:, :inputs], triangle[:, inputs:], rcond=1e-12)
        self.bias = torch.from_numpy(solution[0].copy())
        self.weight = torch.from_numpy(solution[1:].T.copy())
        return self

    def predict(self, windows: Windows, index: Tensor) -> Tensor:
        """Forecast the windows with these numbers [B]: [B, horizon, C]."""
        x = flat(windows.batch(index)[0], self.columns).double()
        y = x @ self.weight.T + self.bias
        return y.reshape(len(x), windows.horizon, self.columns)
