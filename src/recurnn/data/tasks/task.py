"""What a task is: sequences drawn without end, what is asked about them, what counts as solved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from recurnn.errors import ConfigError

Inputs = Tensor | tuple[Tensor, Tensor]
"""x [B, T, I], or, where lengths differ, x and lengths [B]; past a length x is zero."""

Score = tuple[Tensor, int]
"""A mean, and how many sequences or symbols it is over."""


class Task(ABC):
    """A problem of which the answer lies far back in the sequence.

    Sequences are drawn from the generator that is passed, so the same seed gives the same ones,
    and no two draws share any but by chance.

    Args:
        length: in steps; what of it is counted is said in `length_is`. None for the usual one.

    Attributes:
        name: on the command line.
        title: one line.
        source: the paper that the task is from.
        input_size: I.
        output_size: what the network has to say at a step: a number, or a score for each class.
        every_step: whether an answer is due at every step, and not after the last one only.
        loss: ``"mse"`` or ``"cross_entropy"``.
        usual: length where none is given; None where the task has no choice of it.
        shortest: least length.
        length_is: what the length counts.
        score_is: what `score` measures.
        lowest: whether less of it is better.
        chance: score of whoever has learned nothing of the sequence but knows the task.
        solved_when: what the score has to be.
        held_out: sequences that the score is meant to be taken on.
        published: results in the literature, by length; under None those of any length.

    Raises:
        ConfigError: the length is too short, or the task has no choice of it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    input_size: ClassVar[int]
    output_size: ClassVar[int]
    every_step: ClassVar[bool] = False
    loss: ClassVar[str] = "cross_entropy"
    usual: ClassVar[int | None] = None
    shortest: ClassVar[int] = 1
    length_is: ClassVar[str] = "steps of a sequence"
    score_is: ClassVar[str] = "right"
    lowest: ClassVar[bool] = False
    chance: ClassVar[float]
    solved_when: ClassVar[str]
    held_out: ClassVar[int] = 2560
    published: ClassVar[Mapping[int | None, str]] = {}

    def __init__(self, length: int | None = None) -> None:
        if length is not None and self.usual is None:
            raise ConfigError(
                f"{self.name}: length is {length!r}, but the task has no choice of it.\n"
                f"  {self.length_is[0].upper()}{self.length_is[1:]}. Leave the length out."
            )
        whole = isinstance(length, int) and not isinstance(length, bool)
        if length is not None and not (whole and length >= self.shortest):
            raise ConfigError(
                f"{self.name}: length is {length!r}; expected a whole number of at least "
                f"{self.shortest}.\n  It counts {self.length_is}."
            )
        self.length = length if length is not None else self.usual or 0

    def __str__(self) -> str:
        return self.name if self.usual is None else f"{self.name} T = {self.length}"

    @abstractmethod
    def draw(self, rng: Generator, count: int) -> tuple[Inputs, Tensor]:
        """New sequences and what should be said of them.

        Args:
            rng: what they are drawn from.
            count: B, how many.

        Returns:
            x [B, T, I], or x and lengths [B]; and the target: [B, 1] for ``"mse"``, classes [B]
            or, with an answer at every step, [B, T], where -100 stands past the end.
        """

    @abstractmethod
    def score(self, output: Tensor, target: Tensor) -> Score:
        """How good answers are: an error, or the share that is right.

        Args:
            output: what the network said, [B, output_size] or [B, T, output_size].
            target: as from `draw`.

        Returns:
            A mean, and over how many.
        """

    @abstractmethod
    def solved(self, score: float) -> bool:
        """Whether a score on held-out sequences solves the task."""


def one_hot(symbols: NDArray[np.integer[Any]], size: int, lengths: Any = None) -> Tensor:
    """Symbols [B, T] as rows of zeros with a one, [B, T, size]; zeros from a row's length on."""
    rows = np.eye(size, dtype=np.float32)[symbols]
    if lengths is not None:
        rows[past(symbols.shape[1], lengths)] = 0
    return torch.from_numpy(rows)


def past(steps: int, lengths: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Which of the steps are past the end of each sequence, [B, T]."""
    return np.asarray(np.arange(steps) >= lengths[:, None])


def right(output: Tensor, target: Tensor) -> Score:
    """Share of the sequences whose class has the highest score."""
    return (output.argmax(-1) == target).float().mean(), len(target)
