"""How the weights of the drop-in layers start where torch's way is not asked for."""

from __future__ import annotations

import copy
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from recurnn.cells import Cell, initialise
from recurnn.cells.init import Init
from recurnn.nn.weights import Direction


def start_of(weight: Tensor, cell: Cell, name: str) -> None:
    """Fill a weight that torch does not have with what its cell says: a gain with ones.

    Args:
        weight: to fill in place.
        cell: whose weight it is.
        name: the cell's name for it.
    """
    for pattern, value in cell.start.items():
        if fnmatchcase(name, pattern):
            nn.init.constant_(weight, float(value))  # type: ignore[arg-type]
            return
    nn.init.zeros_(weight)


def start_by_gate(
    direction: Direction, tensors: list[Tensor], init: Init | None, forget_bias: float | None
) -> None:
    """Start the weights of one direction a gate at a time, in torch's stacked tensors.

    Args:
        direction: the direction.
        tensors: its tensors.
        init: as for a cell; None for what is there already.
        forget_bias: of the forget gate, or None.
    """
    shapes, drawn = direction.cell.shapes(), None
    if init is not None:
        cell = copy.deepcopy(direction.cell).to_empty(device="cpu")
        initialise(cell, init)
        drawn = cell.tensors()
    with torch.no_grad():
        for name, pieces in direction.binding.pieces:
            if drawn is not None:
                value: Tensor | float = drawn[name]
            elif name == "b_f" and forget_bias is not None:
                value = forget_bias
            else:
                continue
            if name == "b_f" and forget_bias is not None:
                value = forget_bias
            # torch's two biases add up: one of them is the whole.
            for n, piece in enumerate(pieces):
                rows = tensors[piece.tensor].narrow(0, piece.row, shapes[name][0])
                rows.copy_(torch.as_tensor(value if n == 0 else 0.0))
