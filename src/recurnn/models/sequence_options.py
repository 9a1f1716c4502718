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
from recurnn.training import Plan

SCALES = ("standard", "none")
THRESHOLDS = ("f1", "balanced")


@dataclass(frozen=True)
class ReaderOptions(ModelOptions):
    """What every model that reads whole sequences is told.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """

    tokens: str | None = None
    dropout: float | None = None  # type: ignore[assignment]
    bidirectional: bool = True
    embedding_size: int = 32
    scale: str = "standard"
    max_length: int | None = None
    validation: float | None = None
    schedule: str | None = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name, known in (("tokens", TOKENS), ("scale", SCALES)):
            if getattr(self, name) not in known:
                raise one_of(name, getattr(self, name), [str(k) for k in known])
        whole(self, "embedding_size", 1)
        whole(self, "max_length", 1, none=True)
        share = self.validation
        if share is not None and (not isinstance(share, (int, float)) or not 0 <= share < 1):
            raise ConfigError(
                f"validation is {share!r}; expected a share of at least 0 and below 1."
            )
        super().__post_init__()

    def plan(self, **more: Any) -> Plan:
        """How to train, where an open schedule is constant unless `more` says otherwise."""
        return super().plan(**({"schedule": self.schedule or "constant"} | more))

    def _check_dropout(self) -> None:
        if self.dropout is not None:  # else it is chosen by the number of sequences
            super()._check_dropout()


@dataclass(frozen=True)
class TaggerOptions(ReaderOptions):
    """What a `SequenceTagger` is told; its docstring says what each option means.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """

    dropout: float = 0.0
    crf: bool = False
    letter_size: int = 0
    word_dropout: float = 0.0
    patience: int | None = None

    def __post_init__(self) -> None:
        whole(self, "letter_size", 0)
        if not isinstance(self.word_dropout, (int, float)) or not 0 <= self.word_dropout < math.inf:
            raise ConfigError(
                f"word_dropout is {self.word_dropout!r}; expected a number of at least 0."
            )
        super().__post_init__()

    def _check_dropout(self) -> None:
        ModelOptions._check_dropout(self)


@dataclass(frozen=True)
class SequenceOptions(ReaderOptions):
    """What a `SequenceClassifier` or a `SequenceRegressor` is told; their docstrings say what
    each option means.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """

    pooling: str | None = None
    token_dropout: float = 0.0
    class_weight: str | Mapping[Any, float] | None = None
    threshold: str | float | None = None

    def __post_init__(self) -> None:
        if self.pooling not in (None, *POOLINGS):
            raise one_of("pooling", self.pooling, ["None", *POOLINGS])
        share = self.token_dropout
        if not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise ConfigError(
                f"token_dropout is {share!r}; expected a share of at least 0 and below 1."
            )
        edge = self.threshold
        if isinstance(edge, str) and edge not in THRESHOLDS:
            raise one_of("threshold", edge, THRESHOLDS)
        if edge is not None and not isinstance(edge, str) and not 0 <= edge <= 1:
            raise ConfigError(f"threshold is {edge!r}; expected a probability, or 'f1'.")
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
