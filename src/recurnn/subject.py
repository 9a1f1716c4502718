"""What is looked into: a model, some data for it, and its loss on them, row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from recurnn.errors import ConfigError, ShapeError, counted, one_of

Loss = Callable[[Tensor, Tensor], Tensor]


def _cross_entropy(prediction: Tensor, y: Tensor) -> Tensor:
    flat = F.cross_entropy(prediction.flatten(0, -2), y.flatten(), reduction="none")
    return flat.reshape(y.shape)


LOSSES: dict[str, Loss] = {
    "mse": lambda p, y: F.mse_loss(p, y, reduction="none"),
    "mae": lambda p, y: F.l1_loss(p, y, reduction="none"),
    "cross_entropy": _cross_entropy,
}


class Inspectable(Protocol):
    """What a model offers so that it can be looked into: itself with data, as a `Subject`."""

    def subject(self, source: Any, *, rows: int) -> Subject:
        """The model on some rows of these data."""


@dataclass(frozen=True)
class Attended:
    """Where a decoder looked.

    Attributes:
        source: the source's tokens, the end included.
        target: the target's tokens, the end included.
        weights: [target, source]; each row adds up to 1.
    """

    source: list[str]
    target: list[str]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """A model, some rows of data, and its loss on them.

    Attributes:
        module: the model; its recurrent layers are those of `recurnn.nn`, or call `recurnn.scan`.
        x: what it is called with: [B, T, ...], floating point or the numbers of tokens; [T, B,
            ...] if not batch_first.
        y: what the loss compares the prediction with; B rows first, unless x is time-major and
            y has one entry a step.
        loss: ``"mse"``, ``"mae"`` or ``"cross_entropy"``, or a function of prediction and y. It
            gives one number a row, [B], or one a row and step, [B, T] ([T, B] if not batch_first);
            of a named one, further dimensions are averaged.
        lengths: real steps of each row, [B], given to the module as ``lengths``; None for all.
        batch_first: whether x is [B, T, ...].
        name: of the model, for titles.
        at: the step of each row whose prediction is looked at, [B], where the model has one a
            step; the last real one by default. A model that also reads from the end has something
            to remember on both sides of a step in the middle only.
        lag: how many steps back the task reaches, where that is known; the verdicts are about
            it. Where it is not, what was measured is told and not judged.
        truncation: steps after which training cuts the gradient, if it does.
        shortens: whether the model takes windows of fewer steps than those in x.
        labels: what the steps of the first row are called: characters, words, time stamps.
        reads: which labels are read by layers that read only some: from and to, by how the names
            of those layers begin.
        others: what takes the place of tokens that are altered, shaped as x; by default those of
            the row before.
        attended: where a decoder looked in some rows.
        beaten_by: the simple baseline that did better on held-out data, if one is known.
        configuration: what the report prints about the model.

    Raises:
        ShapeError: x and y do not fit together, or x has fewer than two steps.
        ConfigError: an unknown loss, a lag below one or longer than x, or a step that a row does
            not have.

    Example:
        >>> import torch, recurnn
        >>> model = recurnn.nn.Stack(recurnn.nn.GRU(3, 8), torch.nn.Linear(8, 1))
        >>> x, y = torch.randn(20, 4, 3), torch.randn(20, 4, 1)
        >>> recurnn.Subject(model, x, y, batch_first=False).losses().shape
        torch.Size([4, 20])
    """

    module: nn.Module
    x: Tensor
    y: Tensor
    loss: Loss | str = "mse"
    lengths: Tensor | None = None
    batch_first: bool = True
    at: Tensor | None = None
    name: str = "model"
    lag: int | None = None
    truncation: int | None = None
    shortens: bool = True
    labels: Sequence[Any] | None = None
    reads: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    others: Tensor | None = None
    attended: Sequence[Attended] = ()
    beaten_by: str = ""
    configuration: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.loss, str) and self.loss not in LOSSES:
            raise one_of("Subject: loss", self.loss, LOSSES)
        letters = "[B, T, ...]" if self.batch_first else "[T, B, ...]"
        if self.x.dim() < 2:
            raise ShapeError(
                f"Subject: x must have rows and steps.\n  x is {list(self.x.shape)}; expected "
                f"{letters}."
            )
        if self.steps < 2:
            raise ShapeError(
                f"Subject: a sequence of {counted(self.steps, 'step')} has no past.\n"
                f"  x is {list(self.x.shape)}, that is {letters}; expected T of at least 2."
            )
        if self.rows not in self.y.shape[:2]:
            raise ShapeError(
                f"Subject: x and y differ in their rows.\n  x is {list(self.x.shape)}, that is "
                f"{letters} with B = {self.rows}; y is {list(self.y.shape)}."
            )
        if self.lag is not None and self.lag < 1:
            raise ConfigError(f"Subject: lag is {self.lag}; expected steps back, at least 1.")
        if self.lag is not None and self.lag >= self.steps:
            raise ConfigError(
                f"Subject: lag is {self.lag}, but the rows have {self.steps} steps.\n  From the "
                f"last of them it is {self.steps - 1} back to the first. Give that or less, or "
                "longer rows (of text: --steps)."
            )
        if self.at is not None:
            self._check_at(self.at)

    def _check_at(self, at: Tensor) -> None:
        if at.shape != (self.rows,):
            raise ShapeError(
                f"Subject: at is {list(at.shape)}.\n  Expected one step a row, [B] = "
                f"[{self.rows}], because x has so many rows."
            )
        wrong = (at < 0) | (at >= self.real)
        if wrong.any():
            row = int(wrong.nonzero()[0])
            raise ConfigError(
                f"Subject: row {row} has no step {int(at[row])}.\n  It has the steps 0 to "
                f"{int(self.real[row]) - 1}."
            )

    @property
    def steps(self) -> int:
        """T."""
        return int(self.x.shape[1 if self.batch_first else 0])

    @property
    def rows(self) -> int:
        """B."""
        return int(self.x.shape[0 if self.batch_first else 1])

    @property
    def real(self) -> Tensor:
        """How many steps of each row are real, [B]."""
        full = torch.full((self.rows,), self.steps)
        return full if self.lengths is None else self.lengths.cpu()

    @property
    def ends(self) -> Tensor:
        """The step of each row that is looked at, [B]: `at`, or the last real one."""
        return (self.real - 1).clamp(min=0) if self.at is None else self.at.cpu()

    @property
    def ahead(self) -> int:
        """The most steps that a row has after the one that is looked at, if `at` says which."""
        return 0 if self.at is None else int((self.real - 1 - self.ends).max())

    @property
    def reach(self) -> int:
        """How many steps back the task goes: the lag, or as far as x does."""
        if self.lag is not None:
            return self.lag
        return self.steps - 1 if self.at is None else max(1, int(self.ends.max()), self.ahead)

    @property
    def exchanged(self) -> Tensor:
        """What takes the place of tokens that are altered, [B, T, ...]: `others` by default.

        Of a shorter row the tokens come again and again, so that none of them is padding.
        """
        if self.others is not None:
            return self.by_row(self.others)
        return wrapped(self.by_row(self.x), self.real.to(self.x.device))

    def by_row(self, x: Tensor) -> Tensor:
        """A tensor in x's layout as [B, T, ...], and back again."""
        return x if self.batch_first else x.transpose(0, 1)

    def real_of(self, x: Tensor) -> Tensor:
        """The real steps of rows x [B, T, ...], one after another."""
        there = torch.arange(x.shape[1]) < self.real.unsqueeze(1)
        found: Tensor = x[there.to(x.device)]
        return found

    def predict(self, x: Tensor | None = None) -> Tensor:
        """What the module says of x, the subject's by default: the first of what it returns."""
        options = {} if self.lengths is None else {"lengths": self.lengths}
        found = self.module(self.x if x is None else x, **options)
        while isinstance(found, tuple | list):
            found = found[0]
        if not isinstance(found, Tensor):
            raise ConfigError(
                f"Subject: the module returns a {type(found).__name__}.\n"
                "  Expected a tensor, or a tuple that begins with one: wrap the module."
            )
        return found

    def losses(self, x: Tensor | None = None) -> Tensor:
        """The loss of each row, [B], or of each row and step, [B, T].

        Raises:
            ShapeError: the loss is neither.
        """
        return self.losses_of(self.predict(x), self.steps if x is None else None)

    def losses_of(self, prediction: Tensor, steps: int | None = None) -> Tensor:
        """As `losses`, of a prediction that is there already."""
        B = self.rows
        named = isinstance(self.loss, str)
        loss = LOSSES[self.loss] if isinstance(self.loss, str) else self.loss
        if isinstance(self.loss, str):
            self._check_prediction(prediction, self.loss)
        found = loss(prediction, self.y)
        T = self.steps if steps is None else steps
        along = (B, T) if self.batch_first else (T, B)
        if tuple(found.shape[:2]) == along:
            found = found.flatten(2).mean(2) if named and found.dim() > 2 else found
            found = self.by_row(found) if found.dim() == 2 else found
        elif named and found.dim() > 1 and found.shape[0] == B:
            found = found.flatten(1).mean(1)
        if tuple(found.shape) not in ((B,), (B, T)):
            raise ShapeError(
                f"Subject: the loss is {list(found.shape)}.\n  Expected one number a row, [B] = "
                f"[{B}], or one a row and step, {list(along)}: a loss without a mean "
                "(reduction='none')."
            )
        return found

    def _check_prediction(self, prediction: Tensor, loss: str) -> None:
        """Refuse a target that torch would stretch until it fits, or that it has no words for."""
        classes = loss == "cross_entropy"
        shape = prediction.shape[:-1] if classes else prediction.shape
        if shape != self.y.shape:
            what = "a class for each of" if classes else "numbers as"
            raise ShapeError(
                f"Subject: y does not fit what the module says.\n  y is {list(self.y.shape)}; "
                f"expected {list(shape)}, {what} its predictions {list(prediction.shape)}, "
                f"because the loss is {loss}."
            )

    def loss_of_rows(self, losses: Tensor) -> Tensor:
        """The loss of each row [B]: the mean over its real steps, where there is one a step."""
        if losses.dim() == 1:
            return losses
        if self.lengths is None:
            return losses.mean(1)
        real = torch.arange(losses.shape[1], device=losses.device) < self.lengths.unsqueeze(1)
        return (losses * real).sum(1) / real.sum(1).clamp(min=1)

    def last_loss(self, losses: Tensor, step: int | None = None) -> Tensor:
        """The loss of each row at one step, the one that is looked at by default; [B]."""
        if losses.dim() == 1:
            return losses
        if step is not None:
            return losses[:, step]
        return losses.gather(1, self.ends.to(losses.device).unsqueeze(1)).squeeze(1)

    def first_rows(self, rows: int) -> Subject:
        """The same with fewer rows."""
        if rows >= self.rows:
            return self
        axis = 0 if self.batch_first else 1
        along = self.y.shape[:2] == self.x.shape[:2]
        return replace(
            self,
            x=self.x.narrow(axis, 0, rows),
            y=self.y.narrow(axis if along else 0, 0, rows),
            lengths=None if self.lengths is None else self.lengths[:rows],
            at=None if self.at is None else self.at[:rows],
            others=None if self.others is None else self.others.narrow(axis, 0, rows),
        )

    def on(self, device: torch.device) -> Subject:
        """The same with its data on a device."""
        moved = {k: getattr(self, k) for k in ("x", "y", "lengths", "others")}
        return replace(self, **{k: v.to(device) for k, v in moved.items() if v is not None})

    @property
    def cuts(self) -> bool:
        """Whether `last_steps` can cut x."""
        return self.shortens and self.lengths is None and self.at is None

    def last_steps(self, steps: int) -> Subject:
        """The same with the last steps of x only; of y too, if it has one entry a step.

        Raises:
            ConfigError: the model takes windows of one length only, the rows differ in theirs, the
                step that is looked at is not the last, or x has not so many steps.
        """
        if not self.cuts:
            why = (
                "It takes windows of one length." if not self.shortens
                else "Its rows differ in length." if self.lengths is not None
                else "What is looked at is not its last step."
            )  # fmt: skip
            raise ConfigError(f"{self.name}: its input cannot be shortened.\n  {why}")
        if not 2 <= steps <= self.steps:
            raise ConfigError(
                f"{self.name}: the last {steps} steps of its input are asked for.\n  Expected 2 to "
                f"{self.steps}, for so many it has."
            )
        axis = 1 if self.batch_first else 0
        along = self.y.shape[:2] == self.x.shape[:2]
        return replace(
            self,
            x=self.x.narrow(axis, self.steps - steps, steps),
            y=self.y.narrow(axis, self.steps - steps, steps) if along else self.y,
            lag=None if self.lag is None else max(1, min(self.lag, steps - 1)),
            others=None
            if self.others is None
            else self.others.narrow(axis, self.steps - steps, steps),
            labels=None if self.labels is None else list(self.labels)[-steps:],
        )


def wrapped(x: Tensor, real: Tensor, begin: Tensor | None = None) -> Tensor:
    """For each row of x [B, T, ...] the one before it, its real steps again and again.

    Args:
        x: rows of steps.
        real: how many steps of each row are real, [B].
        begin: the first of them, [B]; 0 by default.
    """
    begin = torch.zeros_like(real) if begin is None else begin
    steps = torch.arange(x.shape[1], device=x.device) - begin.unsqueeze(1)
    at = begin.roll(1).unsqueeze(1) + steps % real.clamp(min=1).roll(1).unsqueeze(1)
    found: Tensor = x.roll(1, 0)[torch.arange(len(x), device=x.device).unsqueeze(1), at]
    return found
