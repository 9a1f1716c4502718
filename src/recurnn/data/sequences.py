"""Sequences of unequal length: padded batches, and an order in which little is padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.errors import ConfigError, DataError, ShapeError, counted

Values = Tensor | NDArray[Any] | Sequence[Any]


class Sequences:
    """Sequences of unequal length with their targets, gathered and padded a batch at a time.

    They are laid end to end once, so that a batch is one gather.

    Args:
        inputs: for each sequence [T_i, F], or [T_i] whole numbers, such as tokens.
        targets: for each sequence one target, as a tensor or array [N, ...] or a list of numbers;
            or, as a list of arrays, one for each step: [T_i] or [T_i, C].
        padding: what stands in the inputs past a sequence's end.
        target_padding: what stands in targets by step past a sequence's end; by default -100 for
            whole numbers, which torch's cross_entropy leaves out, and 0 for others.

    Attributes:
        lengths: [N], the steps of each sequence.
        per_step: whether each step has a target.

    Raises:
        DataError: there is no sequence, one has no steps, or one does not hold numbers.
        ShapeError: sequences differ in width or type, or targets do not fit the inputs.

    Example:
        >>> words = Sequences([torch.tensor([4, 5, 6]), torch.tensor([7])], torch.tensor([0, 1]))
        >>> (x, lengths), y = words.batch(torch.tensor([1, 0]))
        >>> x.tolist(), lengths.tolist(), y.tolist()
        ([[7, 0, 0], [4, 5, 6]], [1, 3], [1, 0])
    """

    def __init__(
        self,
        inputs: Sequence[Values],
        targets: Values,
        *,
        padding: float = 0,
        target_padding: float | None = None,
    ) -> None:
        if not len(inputs):
            raise DataError(
                "Sequences: there is no sequence.\n  inputs is empty; give one [T, F] or more."
            )
        parts = [_tensor(x, f"inputs[{i}]") for i, x in enumerate(inputs)]
        self.lengths = torch.tensor([len(x) for x in parts])
        if int(self.lengths.min()) == 0:
            raise DataError(
                f"Sequences: inputs[{int(self.lengths.argmin())}] has no steps.\n  Leave it out."
            )
        self._inputs = torch.cat(_same_kind(parts, "inputs"))
        self._begin = self.lengths.cumsum(0) - self.lengths
        self.per_step, self._targets = self._lay_targets(targets)
        self._padding = padding
        if target_padding is None:
            target_padding = 0 if self._targets.dtype.is_floating_point else -100
        self._target_padding = target_padding

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """The sequences with these numbers.

        Args:
            index: [B], numbers from 0 to ``len(self) - 1``.

        Returns:
            (x [B, T, ...], lengths [B]) and y [B, ...] or, by step, [B, T, ...], all fresh
            memory, where T is the length of the longest of these sequences.
        """
        if index.numel() and (int(index.min()) < 0 or int(index.max()) >= len(self)):
            raise IndexError(f"sequence numbers go from 0 to {len(self) - 1}")
        lengths = self.lengths[index]
        steps = torch.arange(int(lengths.max()) if index.numel() else 0)
        past = steps >= lengths[:, None]
        # Past the end a sequence's last step is read again, and then written over.
        rows = self._begin[index][:, None] + steps.minimum(lengths[:, None] - 1)
        x = _pad(self._inputs, rows, past, self._padding)
        if not self.per_step:
            return (x, lengths), self._targets[index]
        return (x, lengths), _pad(self._targets, rows, past, self._target_padding)

    def _lay_targets(self, targets: Values) -> tuple[bool, Tensor]:
        """Whether there is a target each step, and the targets as one tensor."""
        if len(targets) != len(self):
            raise ShapeError(
                "Sequences: inputs and targets must have the same number of sequences.\n"
                f"  targets has {len(targets)}; inputs has {len(self)}."
            )
        if isinstance(targets, Tensor | np.ndarray) or all(_is_number(y) for y in targets):
            return False, _tensor(targets, "targets")
        parts = [_tensor(y, f"targets[{i}]") for i, y in enumerate(targets)]
        for i, (y, T) in enumerate(zip(parts, self.lengths.tolist(), strict=True)):
            if len(y) != T:
                raise ShapeError(
                    f"Sequences: targets[{i}] does not fit its sequence.\n"
                    f"  It has {counted(len(y), 'step')}; expected {T}, the steps of inputs[{i}].\n"
                    "  One target a sequence is given as a tensor [N, ...]."
                )
        return True, torch.cat(_same_kind(parts, "targets"))


def bucketed(
    lengths: Tensor | NDArray[Any] | Sequence[int],
    batch_size: int,
    generator: torch.Generator,
    *,
    pool: int = 100,
) -> list[Tensor]:
    """A random order in which the sequences of a batch are of similar length.

    The sequences are shuffled and dealt into pools of ``pool`` batches; each pool is sorted by
    length and cut into batches; the batches of all pools are shuffled. Every sequence is in one
    batch. Sequences of equal length meet in random order; with ``pool=1`` the lengths have no
    influence on which sequences meet.

    Args:
        lengths: [N], the steps of each sequence.
        batch_size: B, the sequences of a batch; one batch may have fewer.
        generator: what the order is drawn from; its state alone decides it.
        pool: the batches of a pool: more waste less on padding, fewer mix lengths better.

    Returns:
        For each batch the numbers of its sequences, [B].

    Raises:
        ConfigError: batch_size or pool is below 1.
        ShapeError: lengths is not one row of whole numbers.
        DataError: there is no sequence.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> [len(b) for b in bucketed([5, 1, 5, 1], 2, generator)]
        [2, 2]
    """
    for name, size in (("batch_size", batch_size), ("pool", pool)):
        if size < 1:
            raise ConfigError(f"bucketed: {name} is {size}; it must be 1 or more.")
    if not len(lengths):
        raise DataError("bucketed: there is no sequence.\n  lengths is empty.")
    steps = torch.as_tensor(lengths).cpu()
    if steps.dim() != 1 or steps.dtype.is_floating_point or steps.dtype == torch.bool:
        raise ShapeError(
            "bucketed: lengths must be whole numbers, one a sequence.\n"
            f"  It is {list(steps.shape)} of {steps.dtype}; expected [N]."
        )
    order = torch.randperm(len(steps), generator=generator)
    pools = [p[steps[p].argsort(stable=True)] for p in torch.split(order, pool * batch_size)]
    batches = [batch for p in pools for batch in torch.split(p, batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def _pad(values: Tensor, rows: Tensor, past: Tensor, padding: float) -> Tensor:
    """``values[rows]``, [B, T, ...], with the padding where a row is past the end."""
    B, T = rows.shape
    read = values.index_select(0, rows.flatten()).reshape(B, T, *values.shape[1:])
    return read.masked_fill_(past.reshape(B, T, *[1] * (values.dim() - 1)), padding)


def _tensor(values: Values, name: str) -> Tensor:
    """Numbers as a tensor; whole numbers as int64."""
    try:
        found = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"Sequences: {name} does not hold numbers.\n  {error}") from error
    if found.dim() == 0:
        raise ShapeError(f"Sequences: {name} is a single number; expected [T] or [T, F].")
    return found if found.dtype.is_floating_point else found.to(torch.int64)


def _same_kind(parts: list[Tensor], name: str) -> list[Tensor]:
    """The parts, checked to agree in all but their length."""
    first = parts[0]
    for i, part in enumerate(parts):
        if part.shape[1:] != first.shape[1:] or part.dtype != first.dtype:
            raise ShapeError(
                f"Sequences: {name}[{i}] does not fit the others.\n"
                f"  It is {list(part.shape)} of {part.dtype}; expected "
                f"{['T', *first.shape[1:]]} of {first.dtype}, because {name}[0] is "
                f"{list(first.shape)}.".replace("'T'", "T")
            )
    return parts


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) or getattr(value, "ndim", None) == 0
