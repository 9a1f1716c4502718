"""The window MLP: a plain network without recurrence on the same window."""

from __future__ import annotations

from torch import Tensor, nn

from recurnn.baselines.features import flat, relative, width


class WindowMLP(nn.Module):
    """Two hidden layers of rectified units on the flat window.

    Args:
        context: steps in a window.
        features: F, columns of a window.
        columns: C, how many of them, from the first on, are forecast.
        horizon: steps to forecast.
        hidden_size: units of each hidden layer.
        relative: whether windows and forecasts are taken relative to the window's last values.

    Example:
        >>> import torch
        >>> WindowMLP(context=24, features=3, columns=1, horizon=12)(torch.zeros(5, 24, 3)).shape
        torch.Size([5, 12, 1])
    """

    def __init__(
        self,
        *,
        context: int,
        features: int,
        columns: int,
        horizon: int,
        hidden_size: int = 128,
        relative: bool = False,
    ) -> None:
        super().__init__()
        self.columns, self.horizon, self.relative = columns, horizon, relative
        self.layers = nn.Sequential(
            nn.Linear(width(context, features, columns), hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, horizon * columns),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Forecast windows x [B, context, F]: [B, horizon, C]."""
        last: Tensor | float = 0.0
        if self.relative:
            x, last = relative(x, self.columns)
        y: Tensor = self.layers(flat(x, self.columns))
        return y.reshape(len(x), self.horizon, self.columns) + last
