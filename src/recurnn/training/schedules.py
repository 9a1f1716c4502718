"""How the learning rate goes: a factor on it, from where in the run an update stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recurnn.errors import ConfigError


@dataclass(frozen=True)
class Position:
    """Where in a run an update stands.

    Attributes:
        update: how many updates went before.
        updates: of the whole run, if every epoch is trained.
        epoch: number of the epoch, from 1.
        losses: what is monitored after each epoch so far, the untrained network first; lower is
            better.
    """

    update: int
    updates: int
    epoch: int
    losses: tuple[float, ...] = ()


Schedule = Callable[[Position], float]


def constant(at: Position) -> float:
    """Always the learning rate itself."""
    return 1.0


def cosine(at: Position) -> float:
    """From the learning rate to 0 along half a cosine (Loshchilov and Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * at.update / at.updates))


def linear(at: Position) -> float:
    """From the learning rate to 0 along a line."""
    return 1 - at.update / at.updates


@dataclass(frozen=True)
class Decay:
    """The learning rate itself for some epochs, then a factor of the last in every further one.

    Zaremba et al. 2014 divide by 1.2 after epoch 6: ``Decay(after=6, factor=1 / 1.2)``.

    Attributes:
        after: epochs with the full learning rate.
        factor: of each epoch's learning rate to that of the one before.
    """

    after: int
    factor: float

    def __post_init__(self) -> None:
        _share("Decay", factor=self.factor)

    def __call__(self, at: Position) -> float:
        """The factor at a position."""
        return float(self.factor ** max(0, at.epoch - self.after))


@dataclass(frozen=True)
class Plateau:
    """A smaller learning rate whenever the validation loss has not fallen for some epochs.

    Attributes:
        factor: by which the learning rate is multiplied each time.
        patience: epochs without a better one that are allowed.
    """

    factor: float = 0.5
    patience: int = 0

    def __post_init__(self) -> None:
        _share("Plateau", factor=self.factor)

    def __call__(self, at: Position) -> float:
        """The factor at a position."""
        lowest, since, cuts = math.inf, 0, 0
        for loss in at.losses:
            if loss < lowest:
                lowest, since = loss, 0
            else:
                since += 1
            if since > self.patience:
                cuts, since = cuts + 1, 0
        return float(self.factor**cuts)


@dataclass(frozen=True)
class Warmup:
    """A learning rate that rises along a line over the first updates, then another schedule.

    Attributes:
        updates: over which it rises.
        then: name of a schedule, or one.
    """

    updates: int
    then: str | Schedule = "constant"

    def __call__(self, at: Position) -> float:
        """The factor at a position."""
        then = SCHEDULES[self.then] if isinstance(self.then, str) else self.then
        return then(at) * min(1.0, (at.update + 1) / max(1, self.updates))


def checked_factor(factor: Any, at: Position) -> float:
    """What a schedule said, as a number.

    Raises:
        ConfigError: it is none that a learning rate can be multiplied by.
    """
    try:
        found = float(factor)
    except (TypeError, ValueError):
        found = math.nan
    if not 0 <= found < math.inf:
        raise ConfigError(
            f"schedule returned {factor!r} for update {at.update + 1} of {at.updates}, in epoch "
            f"{at.epoch}.\n  Expected a finite number of at least 0: the learning rate is "
            "multiplied by it."
        )
    return found


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine, "linear": linear}


def _share(what: str, **values: float) -> None:
    for name, value in values.items():
        if not 0 < value < 1:
            raise ConfigError(f"{what}: {name} is {value!r}; expected a number between 0 and 1.")
