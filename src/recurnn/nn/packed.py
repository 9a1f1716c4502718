"""A PackedSequence as a padded batch with lengths, and back."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from recurnn.errors import ShapeError


class Unpacked(NamedTuple):
    """The rows of a PackedSequence in its own order, longest first.

    Attributes:
        x: [T, B, I], zero past a row's length.
        lengths: [B], not rising.
    """

    x: Tensor
    lengths: Tensor


def unpack(name: str, sequence: PackedSequence) -> Unpacked:
    """Pad a PackedSequence, its rows in its own order.

    Args:
        name: of the layer, for errors.
        sequence: the sequence.

    Raises:
        ShapeError: its fields do not fit together.
    """
    data, sizes = sequence.data, sequence.batch_sizes
    _check(name, sequence)
    x, lengths = torch._VF._pad_packed_sequence(
        data, sizes, batch_first=False, padding_value=0.0, total_length=len(sizes)
    )
    return Unpacked(x, lengths)


def pack(y: Tensor, lengths: Tensor, like: PackedSequence) -> PackedSequence:
    """The opposite of `unpack`: y [T, B, ...] as a PackedSequence with the fields of another."""
    data, _ = torch._VF._pack_padded_sequence(y, lengths, batch_first=False)
    return PackedSequence(data, like.batch_sizes, like.sorted_indices, like.unsorted_indices)


def permuted(state: tuple[Tensor, ...] | None, order: Tensor | None) -> tuple[Tensor, ...] | None:
    """States [L·D, B, its size] with their rows in another order."""
    if state is None or order is None:
        return state
    return tuple(s.index_select(1, order) for s in state)


def _check(name: str, sequence: PackedSequence) -> None:
    """Refuse what torch would abort on, or drop rows of."""
    data, sizes, order, inverse = sequence
    head = f"{name}: the fields of the PackedSequence do not fit together.\n"
    if data.dim() != 2:
        raise ShapeError(
            f"{head}  data is {list(data.shape)}; expected [N, I], the real steps of all rows."
        )
    if sizes.dim() != 1 or sizes.dtype != torch.int64 or len(sizes) == 0:
        raise ShapeError(
            f"{head}  batch_sizes is {list(sizes.shape)} of {sizes.dtype}; expected whole numbers "
            "[T], how many rows reach each step."
        )
    counts = sizes.tolist()
    if counts[-1] < 1 or any(a < b for a, b in pairwise(counts)):
        raise ShapeError(
            f"{head}  batch_sizes is {_short(counts)}; expected numbers of at least 1 that never "
            "rise: the rows stand longest first."
        )
    if sum(counts) != len(data):
        raise ShapeError(
            f"{head}  batch_sizes adds up to {sum(counts)}; expected {len(data)}, because data is "
            f"{list(data.shape)}."
        )
    for field, index in (("sorted_indices", order), ("unsorted_indices", inverse)):
        if index is not None and (index.dim() != 1 or len(index) != counts[0]):
            raise ShapeError(
                f"{head}  {field} is {list(index.shape)}; expected [B] = [{counts[0]}], the first "
                "of batch_sizes."
            )
    if (order is None) != (inverse is None):
        raise ShapeError(
            f"{head}  sorted_indices is {_there(order)} and unsorted_indices is {_there(inverse)}; "
            "each is the inverse of the other."
        )
    if order is not None and inverse is not None:
        inside = bool(((order >= 0) & (order < len(order))).all())
        each = torch.arange(len(order), device=order.device)
        if not inside or not torch.equal(inverse[order], each.to(inverse.dtype)):
            raise ShapeError(
                f"{head}  unsorted_indices is not the inverse of sorted_indices: expected "
                "unsorted_indices[sorted_indices] to be 0, 1, …, B − 1."
            )


def _there(index: Tensor | None) -> str:
    return "missing" if index is None else "given"


def _short(numbers: list[int]) -> str:
    shown = ", ".join(str(n) for n in numbers[:8])
    return f"[{shown}{', …' if len(numbers) > 8 else ''}]"
