"""The options of the models that read a whole sequence, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recurnn.data.sequence_inputs import TOKENS
from recurnn.errors import ConfigError, one_of
from recurnn.models.options import ModelOptions, whole
from recurnn.models.sequence_network import POOLINGS

SCALES = ("standard", "none")


@dataclass(frozen=True)
class SequenceOptions(ModelOptions):
    """What a `SequenceClassifier` or a `SequenceRegressor` is told; their docstrings say what
    each option means.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """

    tokens: str | None = None
    bidirectional: bool = True
    pooling: str = "mean"
    embedding_size: int = 32
    scale: str = "standard"
    max_length: int | None = None
    validation: float = 0.1
    class_weight: str | Mapping[Any, float] | None = None

    def __post_init__(self) -> None:
        for name, known in (("tokens", TOKENS), ("pooling", POOLINGS), ("scale", SCALES)):
            if getattr(self, name) not in known:
                raise one_of(name, getattr(self, name), [str(k) for k in known])
        whole(self, "embedding_size", 1)
        whole(self, "max_length", 1, none=True)
        if not isinstance(self.validation, (int, float)) or not 0 <= self.validation < 1:
            raise ConfigError(
                f"validation is {self.validation!r}; expected a share of at least 0 and below 1."
            )
        self._check_weights()
        super().__post_init__()

    def _check_weights(self) -> None:
        weights = self.class_weight
        if weights is None or weights == "balanced":
            return
        if not isinstance(weights, Mapping):
            raise ConfigError(
                f"class_weight is {weights!r}; expected 'balanced', None, or a weight for each "
                "class: {'yes': 2.0, 'no': 1.0}."
            )
        for label, weight in weights.items():
            if not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
                raise ConfigError(
                    f"class_weight of {label!r} is {weight!r}; expected a number above 0."
                )
