"""Which steps of a batch are real: lengths, or a boolean mask brought to lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recurnn.errors import ConfigError, ShapeError


class Steps(NamedTuple):
    """The real steps of each row.

    Attributes:
        lengths: how many there are, [B]; None if all steps are real.
        order: the real steps first, then the others, [T, B]; None if they stand like that already.
        inverse: where in `order` each step has gone, [T, B].
    """

    lengths: Tensor | Sequence[int] | None = None
    order: Tensor | None = None
    inverse: Tensor | None = None

    def front(self, values: Tensor) -> Tensor:
        """Values at every step, [T, B, ...], with the real steps of each row moved to its front."""
        return values if self.order is None else along_time(values, self.order)

    def back(self, values: Tensor) -> Tensor:
        """The opposite of `front`."""
        return values if self.inverse is None else along_time(values, self.inverse)

    def all_back(self, values: Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
        """`back` for values by name."""
        return None if values is None else {k: self.back(v) for k, v in values.items()}


ALL = Steps()


def along_time(values: Tensor, index: Tensor) -> Tensor:
    """Values at every step, [T, B, ...], taken from the steps that an index [T, B] names."""
    T, B = index.shape
    # Whole rows are copied; `gather` would take them, and add up their gradient, by the number.
    rows = index * B + torch.arange(B, device=index.device)
    return values.reshape(T * B, *values.shape[2:]).index_select(0, rows.flatten()).view_as(values)


def real_steps(
    name: str, T: int, B: int, lengths: Tensor | Sequence[int] | None, mask: Tensor | None
) -> Steps:
    """Lengths, or a mask, as `Steps`.

    Args:
        name: of the layer, for errors.
        T: steps of the input.
        B: rows of the input.
        lengths: real steps of each row, [B], or None.
        mask: which steps are real, [T, B], or None. They need not be the first ones.

    Raises:
        ConfigError: both are given.
        ShapeError: the mask is not boolean [T, B].
    """
    if mask is None:
        return ALL if lengths is None else Steps(lengths)
    if lengths is not None:
        raise ConfigError(f"{name}: lengths and mask are both given.\n  Each says which steps are "
                          "real: give one of them.")  # fmt: skip
    mask = torch.as_tensor(mask)
    if mask.dtype != torch.bool or tuple(mask.shape) != (T, B):
        raise ShapeError(
            f"{name}: mask does not fit the input.\n  mask is {list(mask.shape)} of {mask.dtype}; "
            f"expected booleans, one for each step of each row: T = {T} and B = {B}. True is a "
            f"real step.{_hint(mask, T, B)}"
        )
    count = mask.sum(0)
    # torch.compile cannot look at the numbers, and always reorders.
    if not torch.compiler.is_compiling() and not bool((mask[1:] & ~mask[:-1]).any()):
        return Steps(count)
    order = torch.argsort(~mask, dim=0, stable=True)
    return Steps(count, order, torch.argsort(order, dim=0))


def _hint(mask: Tensor, T: int, B: int) -> str:
    """What may have been meant by a mask that does not fit."""
    if tuple(mask.shape) == (B, T):
        return "\n  Its dimensions are the other way round: mask and input have one layout."
    return "\n  Give mask.bool()." if tuple(mask.shape) == (T, B) else ""
