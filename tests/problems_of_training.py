"""What training is tried on: pairs that a line fits, and a layer that can."""

import torch
from torch import Tensor, nn


class Pairs:
    """x [N, K] and y [N, 1] as `Batches`."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]


def line(seed: int, n: int = 64, *, noise: float = 0.0) -> Pairs:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=g)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.25
    return Pairs(x, y + noise * torch.randn(n, 1, generator=g))


def linear() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(3, 1)
