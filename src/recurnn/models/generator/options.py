"""The options of a model from one thing to a sequence, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recurnn.data.pairs_tokens import UNITS
from recurnn.errors import ConfigError, one_of
from recurnn.models.options import ModelOptions, whole
from recurnn.models.seq2seq.options import NAMES


@dataclass(frozen=True)
class GeneratorOptions(ModelOptions):
    """What a `SequenceGenerator` is told; its docstring says what each option means.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """

    target: str | None = None
    vocabulary: int | None = None
    min_count: int = 1
    components: int = 8
    embedding_size: int = 32
    temperature: float = 1.0
    max_length: int | None = None
    validation: float = 0.1
    patience: int | None = 5

    def __post_init__(self) -> None:
        if self.target not in UNITS:
            raise one_of("target", self.target, [str(k) for k in UNITS])
        for name in ("min_count", "components", "embedding_size"):
            whole(self, name, 1)
        whole(self, "vocabulary", 3, none=True)
        whole(self, "max_length", 1, none=True)
        if not isinstance(self.validation, (int, float)) or not 0 <= self.validation < 1:
            raise ConfigError(
                f"validation is {self.validation!r}; expected a share of at least 0 and below 1."
            )
        check_temperature(self.temperature)
        super().__post_init__()

    @property
    def name(self) -> str:
        """What the network is called in progress and tables."""
        return NAMES.get(self.cell, self.cell)


def check_temperature(value: Any) -> None:
    """Refuse what is no temperature.

    Raises:
        ConfigError: it is no number of at least 0.
    """
    if not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ConfigError(
            f"temperature is {value!r}; expected a number of at least 0 (0: the likeliest each "
            "time)."
        )
