"""The options of the forecaster, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recurnn.errors import ConfigError, one_of
from recurnn.models.forecast_network import LAYERS
from recurnn.training import Plan

SKIPS = ("linear", None)
SCALES = ("standard", "minmax", "none")


@dataclass(frozen=True)
class ForecastOptions:
    """What a `Forecaster` is told; its docstring says what each option means.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """

    horizon: int | None = None
    context: int | None = None
    gap: int = 0
    cell: str = "lstm"
    hidden_size: int | tuple[int, ...] = 64
    num_layers: int = 1
    dropout: float = 0.0
    skip: str | None = "linear"
    relative: bool = True
    patch: int | None = None
    scale: str | tuple[float, float] = "standard"
    loss: str = "mse"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    batch_size: int | None = None
    epochs: int = 50
    patience: int | None = 8
    clip: float | None = 1.0
    validation: int | float = 0.1
    test: int | float = 0.2
    calendar: bool = True
    frequency: str | None = None
    season: int | None = None
    gaps: str = "interpolate"
    seed: int = 0

    def __post_init__(self) -> None:
        _whole(self, "horizon", 1, none=True)
        _whole(self, "context", 1, none=True)
        _whole(self, "gap", 0)
        _whole(self, "num_layers", 1)
        _whole(self, "batch_size", 1, none=True)
        _whole(self, "patch", 1, none=True)
        if self.cell not in LAYERS:
            raise one_of("cell", self.cell, LAYERS)
        if self.skip not in SKIPS:
            raise one_of("skip", self.skip, ("linear", "None"))
        if not isinstance(self.dropout, (int, float)) or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"dropout is {self.dropout!r}; expected a share of at least 0 and below 1."
            )
        if self.context is not None and self.patch is not None and self.patch > self.context:
            raise ConfigError(
                f"patch is {self.patch}, longer than the window.\n"
                f"  The context has {self.context} steps; a patch can have that many at most."
            )
        self._check_hidden()
        self._check_scale()
        self.plan()

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Units of each layer."""
        if isinstance(self.hidden_size, int):
            return (self.hidden_size,) * self.num_layers
        return self.hidden_size

    @property
    def window(self) -> tuple[int, int]:
        """Context and horizon, once the data have settled them."""
        assert self.context is not None
        assert self.horizon is not None
        return self.context, self.horizon

    @property
    def explicit_scale(self) -> bool:
        """Whether the scale was given as numbers, so that errors are reported in its units."""
        return not isinstance(self.scale, str)

    def plan(self) -> Plan:
        """How to train."""
        return Plan(
            loss=self.loss,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            batch_size=self.batch_size,
            epochs=self.epochs,
            patience=self.patience,
            clip=self.clip,
            seed=self.seed,
        )

    def to_dict(self) -> dict[str, Any]:
        """The options by name."""
        return asdict(self)

    def _check_hidden(self) -> None:
        sizes: object = self.hidden_size
        if isinstance(sizes, Sequence) and not isinstance(sizes, str):
            object.__setattr__(self, "hidden_size", tuple(sizes))
            if self.num_layers not in (1, len(sizes)):
                raise ConfigError(
                    f"hidden_size and num_layers do not fit.\n  hidden_size is {tuple(sizes)}, "
                    f"that is {len(sizes)} layers; num_layers is {self.num_layers}.\n"
                    "  Leave num_layers out."
                )
        each = sizes if isinstance(sizes, Sequence) and not isinstance(sizes, str) else (sizes,)
        if not each or any(not _is_whole(h, 1) for h in each):
            raise ConfigError(
                f"hidden_size is {sizes!r}; expected a whole number of at least 1, or one for "
                "each layer."
            )

    def _check_scale(self) -> None:
        scale = self.scale
        if isinstance(scale, str):
            if scale not in SCALES:
                raise one_of("scale", scale, SCALES)
            return
        numbers = isinstance(scale, Sequence) and len(scale) == 2
        if not numbers or any(not isinstance(n, (int, float)) for n in scale) or not scale[1] > 0:
            raise ConfigError(
                f"scale is {scale!r}; expected a name ({', '.join(SCALES)}) or two numbers, "
                "shift and scale, the second above 0: (x − shift) / scale."
            )
        object.__setattr__(self, "scale", (float(scale[0]), float(scale[1])))


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _whole(options: ForecastOptions, name: str, least: int, *, none: bool = False) -> None:
    value = getattr(options, name)
    if (none and value is None) or _is_whole(value, least):
        return
    raise ConfigError(f"{name} is {value!r}; expected a whole number of at least {least}.")
