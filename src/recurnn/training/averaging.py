"""Weights averaged over updates: what is validated and kept, while training goes on without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from recurnn.errors import ConfigError


@dataclass(frozen=True)
class Averaging:
    """When the mean of the weights over the updates begins (Polyak and Juditsky 1992).

    From then on the mean is what is validated and kept; training itself goes on with the weights
    as they are. With stochastic gradient descent at a constant learning rate and no `after`, this
    is NT-ASGD (Merity, Keskar and Socher 2018).

    Attributes:
        after: epochs before it begins; None: it begins when what is monitored is worse than the
            best of all but the last `interval` epochs before.
        interval: those epochs.

    Raises:
        ConfigError: an option has a value that it cannot have.

    Example:
        >>> Averaging(interval=2).begins(4, [9.0, 7.0, 6.0, 5.0, 8.0])
        True
        >>> Averaging(interval=2).begins(4, [9.0, 7.0, 6.0, 5.0, 6.5])
        False
    """

    after: int | None = None
    interval: int = 5

    def __post_init__(self) -> None:
        for what, least in (("after", 0), ("interval", 1)):
            value = getattr(self, what)
            if value is None and what == "after":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(
                    f"averaging: {what} is {value!r}; expected a whole number of at least {least}."
                )

    def begins(self, epoch: int, losses: Sequence[float]) -> bool:
        """Whether it begins now.

        Args:
            epoch: number of the epoch that is over.
            losses: what is monitored after each epoch so far, the untrained network first; lower
                is better.
        """
        if self.after is not None:
            return epoch >= self.after
        *before, now = losses
        return len(before) > self.interval and now > min(before[: -self.interval])


class Average:
    """The mean of some weights over the updates since it began.

    Args:
        weights: the weights; what they are now is not counted.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.weights = list(weights)
        self.mean = [w.detach().clone() for w in weights]
        self.count = 0

    @torch.no_grad()
    def add(self) -> None:
        """Count the weights as they are."""
        self.count += 1
        torch._foreach_lerp_(self.mean, self.weights, 1 / self.count)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The mean in the place of the weights, as long as the block lasts."""
        held = [w.detach().clone() for w in self.weights]
        self._put(self.mean)
        try:
            yield
        finally:
            self._put(held)

    def keep(self) -> None:
        """Leave the mean in the place of the weights."""
        self._put(self.mean)

    @torch.no_grad()
    def _put(self, values: Sequence[Tensor]) -> None:
        if self.count:
            torch._foreach_copy_(self.weights, list(values))
