"""How the long-lag tasks are trained: the settings of each, and how the cells start."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from recurnn.cells import CELLS, PRESETS, chrono
from recurnn.cells.init import Init
from recurnn.data.tasks import Task
from recurnn.errors import ConfigError, one_of

STARTS = ("chrono", "cell")


@dataclass(frozen=True)
class Settings:
    """How a cell is trained on a task.

    Attributes:
        hidden_size: H.
        batch_size: sequences in a batch.
        learning_rate: of Adam.
        clip: greatest global norm of the gradient.
        check: sequences from one look at the held-out ones to the next.
        sequences: to train on, at most.
        memory: T of the chrono start; None for the length of the task.
        start: ``"chrono"``: for the cells in `KEEPS` input weights as Glorot & Bengio 2010,
            recurrent ones orthogonal a gate at a time, and the biases of gates that keep the
            state as Tallec & Ollivier 2018; ``"cell"``: as the cell has it by default.

    Raises:
        ConfigError: a value that it cannot have.
    """

    hidden_size: int = 32
    batch_size: int = 10
    learning_rate: float = 0.01
    clip: float = 1.0
    check: int = 1000
    sequences: int = 20_000
    memory: int | None = None
    start: str = "chrono"

    def __post_init__(self) -> None:
        for name in ("hidden_size", "batch_size", "check", "sequences"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} is {value!r}; expected a whole number of at least 1.")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ConfigError(f"{name} is {value!r}; expected a number above 0.")
        if self.start not in STARTS:
            raise one_of("start", self.start, STARTS)


SETTINGS: dict[str, Settings] = {
    "adding": Settings(),
    "adding-1997": Settings(sequences=40_000),
    "temporal-order-6a": Settings(check=500),
    "temporal-order-6b": Settings(sequences=40_000),
    "embedded-reber": Settings(batch_size=4, check=250, sequences=10_000, memory=10),
    "copy-memory": Settings(128, batch_size=20, learning_rate=0.003, sequences=40_000, memory=50),
    "parity": Settings(sequences=40_000, memory=3),
    "noisy-two-sequence": Settings(check=100),
}
"""Of each task."""

SLOWLY = 0.1
"""What the learning rate is multiplied by for cells without such gates."""

KEEPS: dict[str, dict[str, int]] = {
    "lstm": {"b_f": 1, "b_i": -1},
    "peephole-lstm": {"b_f": 1, "b_i": -1},
    "coupled-lstm": {"b_i": -1},
    "projected-lstm": {"b_f": 1, "b_i": -1},
    "layernorm-lstm": {"b_f": 1, "b_i": -1},
    "multiplicative-lstm": {"b_f": 1, "b_i": -1},
    "working-memory-lstm": {"b_f": 1, "b_i": -1},
    "slstm": {"b_f": 1},
    "gru": {"b_z": 1},
    "reset-before-gru": {"b_z": 1},
    "layernorm-gru": {"b_z": -1},
    "mgu": {"b_f": -1},
    "janet": {"b_f": 1},
    "li-gru": {"b_z": 1},
    "ugrnn": {"b_g": 1},
    "minimal-rnn": {"b_u": 1},
    "light-ru": {"b_f": -1},
    "star": {"b_k": -1},
    "ran": {"b_f": 1, "b_i": -1},
    "cfn": {"b_theta": 1, "b_eta": -1},
    "sru": {"b_f": 1},
    "qrnn": {"b_f": 1},
    "t-rnn": {"b": 1},
    "min-gru": {"b_z": -1},
    "min-lstm": {"b_f": 1, "b_i": -1},
    "brc": {"b_c": 1},
    "nbrc": {"b_c": 1},
    "mut1": {"b_z": -1},
    "mut2": {"b_z": -1},
    "mut3": {"b_z": -1},
    "intersection-rnn": {"b_f": 1},
    "elman": {},
    "jordan": {},
}
"""The biases that decide how long a cell keeps its state, and whether they keep or overwrite."""


def settings_of(task: Task, cell: str) -> Settings:
    """The settings of a task for a cell.

    Raises:
        ConfigError: there is no such cell.
    """
    if cell not in CELLS:
        raise one_of("cell", cell, CELLS)
    settings = SETTINGS[task.name]
    if task.name == "adding" and task.length > 200:
        settings = replace(settings, sequences=100_000)
    if not KEEPS.get(cell):
        settings = replace(settings, learning_rate=settings.learning_rate * SLOWLY)
    return settings


def start_of(task: Task, cell: str, settings: Settings) -> Init:
    """How the weights of a cell start."""
    if settings.start == "cell" or cell not in KEEPS:
        return "uniform"
    steps = max(2, settings.memory or task.length)
    return PRESETS["glorot"] | {k: chrono(steps, sign=sign) for k, sign in KEEPS[cell].items()}
