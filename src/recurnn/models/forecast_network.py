"""The network of the forecaster: stacked recurrent layers beside a linear skip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recurnn.baselines import LinearAutoregression, flat, relative, width
from recurnn.models.options import layers_of
from recurnn.nn import Dropout


class ForecastNetwork(nn.Module):
    """Windows to forecasts: ``linear(window) + head(last output of the recurrent layers)``.

    The linear skip is the linear part of LSTNet (Lai et al. 2018). `start_at` sets it to the
    least-squares solution, where it stays, and the head to zero, so that training begins at
    linear autoregression and the recurrent layers learn what it leaves.

    Args:
        context: steps in a window.
        features: F, columns of a window.
        columns: C, how many of them, from the first on, are forecast.
        horizon: steps to forecast.
        cell: ``"lstm"``, ``"gru"``, or any other of `recurnn.cells.CELLS`.
        hidden_sizes: units of each layer, the lowest first.
        dropout: share of the outputs of each layer that training zeroes.
        skip: whether there is the linear skip.
        relative: whether the recurrent layers see the window relative to its last values (and,
            without a skip, forecast the change from them).
        patch: steps of the window that the recurrent layers read at once (SegRNN; Lin et al.
            2023); where it does not divide the context, the oldest steps are left out of the
            recurrent layers.

    Example:
        >>> network = ForecastNetwork(context=24, features=3, columns=1, horizon=12,
        ...                           hidden_sizes=(50, 200))
        >>> network(torch.zeros(5, 24, 3)).shape
        torch.Size([5, 12, 1])
    """

    def __init__(
        self,
        *,
        context: int,
        features: int,
        columns: int,
        horizon: int,
        cell: str = "lstm",
        hidden_sizes: Sequence[int] = (64,),
        dropout: float = 0.0,
        skip: bool = True,
        relative: bool = True,
        patch: int = 1,
    ) -> None:
        super().__init__()
        self.columns, self.horizon = columns, horizon
        self.relative, self.patch = relative, patch
        self.layers, size = layers_of(cell, features * patch, hidden_sizes)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(size, horizon * columns)
        self.skip: nn.Linear | None = None
        if skip:
            self.skip = nn.Linear(width(context, features, columns), horizon * columns)

    def start_at(self, linear: LinearAutoregression) -> None:
        """Begin at a linear autoregression: the skip is its weights, the head is zero."""
        assert self.skip is not None
        with torch.no_grad():
            self.skip.weight.copy_(linear.weight)
            self.skip.bias.copy_(linear.bias)
            self.head.weight.zero_()
            self.head.bias.zero_()
        # Least squares is already the best linear map; the recurrent layers learn what it leaves.
        self.skip.requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Forecast windows x [B, context, F]: [B, horizon, C]."""
        near: Tensor = x
        last: Tensor | float = 0.0
        if self.relative:
            near, last = relative(x, self.columns)
        steps = x.shape[1] // self.patch
        z = near[:, -steps * self.patch :].reshape(len(x), steps, -1)
        for k, layer in enumerate(self.layers, start=1):
            z = layer(z)[0]
            z = self.dropout(z[:, -1] if k == len(self.layers) else z)
        y: Tensor = self.head(z)
        if self.skip is not None:
            y, last = y + self.skip(flat(x, self.columns)), 0.0
        return y.reshape(len(x), self.horizon, self.columns) + last
