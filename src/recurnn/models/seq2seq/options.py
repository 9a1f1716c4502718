"""The options of a model from sequence to sequence, checked."""

from __future__ import annotations

from dataclasses import dataclass

from recurnn.data.pairs_tokens import UNITS
from recurnn.errors import ConfigError, one_of
from recurnn.models.options import ModelOptions, whole
from recurnn.models.seq2seq.attention import ATTENTIONS

NAMES = {"lstm": "LSTM", "gru": "GRU", "elman": "Elman network"}


@dataclass(frozen=True)
class Seq2SeqOptions(ModelOptions):
    """What a `Seq2Seq` is told; its docstring says what each option means.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """

    source: str | None = None
    target: str | None = None
    vocabulary: int | None = None
    min_count: int = 1
    copy: bool = False
    bidirectional: bool = True
    attention: str | None = "general"
    embedding_size: int = 64
    scheduled_sampling: float = 0.0
    beam: int = 4
    length_penalty: float = 0.6
    max_length: int | None = None
    validation: float = 0.1
    patience: int | None = 5

    def __post_init__(self) -> None:
        for name, known in (("source", UNITS), ("target", UNITS), ("attention", ATTENTIONS)):
            if getattr(self, name) not in known:
                raise one_of(name, getattr(self, name), [str(k) for k in known])
        for name, least in (("min_count", 1), ("embedding_size", 1), ("beam", 1)):
            whole(self, name, least)
        whole(self, "vocabulary", 3, none=True)
        whole(self, "max_length", 1, none=True)
        for name in ("validation", "scheduled_sampling"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise ConfigError(
                    f"{name} is {value!r}; expected a share of at least 0 and below 1."
                )
        if not isinstance(self.length_penalty, (int, float)) or self.length_penalty < 0:
            raise ConfigError(
                f"length_penalty is {self.length_penalty!r}; expected a number of at least 0."
            )
        if self.copy and self.attention is None:
            raise ConfigError(
                "copy needs attention: it says which word of the source is copied.\n"
                "  Give attention='general', or leave out copy."
            )
        if self.copy and "bpe" in (self.source, self.target):
            raise ConfigError(
                "copy has nothing to do with bpe: byte pairs spell every word.\n  Leave out copy."
            )
        super().__post_init__()

    @property
    def name(self) -> str:
        """What the network is called in progress and tables."""
        how = {None: "", "bahdanau": " with Bahdanau's attention"}
        cell = NAMES.get(self.cell, self.cell)
        return cell + how.get(self.attention, f" with attention ({self.attention})")
