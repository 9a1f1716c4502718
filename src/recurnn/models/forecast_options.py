"""The options of the forecaster, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recurnn.errors import ConfigError, one_of
from recurnn.models.options import ModelOptions, whole
from recurnn.training import Plan

SKIPS = ("linear", None)
SCALES = ("standard", "minmax", "none")


@dataclass(frozen=True)
class ForecastOptions(ModelOptions):
    """What a `Forecaster` is told; its docstring says what each option means.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """

    horizon: int | None = None
    context: int | None = None
    gap: int = 0
    skip: str | None = "linear"
    relative: bool = True
    patch: int | None = None
    scale: str | tuple[float, float] = "standard"
    loss: str = "mse"
    validation: int | float = 0.1
    test: int | float = 0.2
    calendar: bool = True
    frequency: str | None = None
    season: int | None = None
    gaps: str = "interpolate"

    def __post_init__(self) -> None:
        whole(self, "horizon", 1, none=True)
        whole(self, "context", 1, none=True)
        whole(self, "gap", 0)
        whole(self, "patch", 1, none=True)
        if self.skip not in SKIPS:
            raise one_of("skip", self.skip, ("linear", "None"))
        if self.context is not None and self.patch is not None and self.patch > self.context:
            raise ConfigError(
                f"patch is {self.patch}, longer than the window.\n"
                f"  The context has {self.context} steps; a patch can have that many at most."
            )
        self._check_scale()
        super().__post_init__()

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

    def plan(self, **more: Any) -> Plan:
        """How to train."""
        return super().plan(loss=self.loss, **more)

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
