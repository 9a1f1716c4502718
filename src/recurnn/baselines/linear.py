"""Linear autoregression: each step ahead a linear function of the window, by least squares."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.baselines.features import flat
from recurnn.data import Windows

Array = NDArray[np.float64]

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Strengths of the penalty that are tried, in squared scaled units a window."""

NOISE = 0.01
"""Share of the validation loss by which a penalty must be better than none."""

_ROWS = 8192


class LinearAutoregression:
    """Direct multi-step linear regression on the flat window, with an intercept.

    Fitted by a QR decomposition that is updated a block of windows at a time, in float64: memory
    does not grow with the number of windows, and the squared condition number of the normal
    equations is avoided. Without a validation part it is plain least squares; directions in which
    the windows do not vary get weight zero. With one, a few strengths of ridge regression towards
    repeating the last value are tried besides, and the best on the validation part replaces least
    squares if it is more than 1 % better: a long window on a short series needs it.

    Args:
        columns: C.

    Attributes:
        weight: [horizon · C, width of the flat window].
        bias: [horizon · C].
        ridge: strength of the penalty that was kept, per window; 0 is least squares.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.weight = torch.empty(0)
        self.bias = torch.empty(0)
        self.ridge = 0.0

    def fit(self, windows: Windows, validation: Windows | None = None) -> LinearAutoregression:
        """Fit on all windows; the penalty is chosen on the validation windows, if given."""
        train, inputs = self._triangle(windows)
        prior = self._prior(windows.context, inputs, train.shape[1] - inputs)
        solution = _solve(train, inputs, prior, 0.0)
        if validation is not None:
            judge, _ = self._triangle(validation)
            found = {0.0: solution}
            for ridge in RIDGES:
                found[ridge] = _solve(train, inputs, prior, ridge * len(windows))
            losses = {ridge: _loss(judge, inputs, a) for ridge, a in found.items()}
            best = min(losses, key=lambda ridge: losses[ridge])
            if losses[best] < (1 - NOISE) * losses[0.0]:
                self.ridge = best
            solution = found[self.ridge]
        self.bias = torch.from_numpy(solution[0].copy())
        self.weight = torch.from_numpy(solution[1:].T.copy())
        return self

    def _triangle(self, windows: Windows) -> tuple[Array, int]:
        """R of the QR decomposition of [1 X Y] over all windows, and the width of [1 X]."""
        triangle = np.zeros((0, 0))
        inputs = 0
        for index in torch.split(torch.arange(len(windows)), _ROWS):
            x, y = windows.batch(index)
            rows = torch.cat([torch.ones(len(x), 1), flat(x, self.columns), y.flatten(1)], dim=1)
            inputs = rows.shape[1] - y[0].numel()
            block = rows.double().numpy()
            stacked = np.concatenate([triangle, block]) if len(triangle) else block
            triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
        return triangle, inputs

    def _prior(self, context: int, inputs: int, outputs: int) -> Array:
        """The weights of repeating the last value, [inputs, outputs]."""
        prior = np.zeros((inputs, outputs))
        C = self.columns
        for output in range(outputs):
            prior[1 + (context - 1) * C + output % C, output] = 1.0
        return prior

    def predict(self, windows: Windows, index: Tensor) -> Tensor:
        """Forecast the windows with these numbers [B]: [B, horizon, C]."""
        x = flat(windows.batch(index)[0], self.columns).double()
        y = x @ self.weight.T + self.bias
        return y.reshape(len(x), windows.horizon, self.columns)


def _solve(triangle: Array, inputs: int, prior: Array, penalty: float) -> Array:
    """Weights a that minimise |X a − Y|² + penalty · |a − prior|², the intercept left free.

    [R_x R_y; 0 ·]: |X a − Y|² and |R_x a − R_y|² differ by a constant.
    """
    rx, ry = triangle[:, :inputs], triangle[:, inputs:]
    if penalty == 0:
        return np.asarray(np.linalg.lstsq(rx, ry, rcond=1e-12)[0])
    lift = penalty * np.eye(inputs)
    lift[0, 0] = 0.0
    return prior + np.asarray(np.linalg.solve(rx.T @ rx + lift, rx.T @ (ry - rx @ prior)))


def _loss(triangle: Array, inputs: int, solution: Array) -> float:
    """|X a − Y|² over the windows that the triangle was made of."""
    return float(np.square(triangle[:, :inputs] @ solution - triangle[:, inputs:]).sum())
