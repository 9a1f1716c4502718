"""Masks that a layer draws for one call: dropout of inputs, states and weights, and zoneout."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor

from recurnn.cells import Cell
from recurnn.cells.noise import dropped, zoned
from recurnn.nn.draw import dropout, kept


def drop_input(x: Tensor, rate: float) -> Tensor:
    """Variational dropout: one mask [B, I] for all steps of x [T, B, I]."""
    # not x * mask: 0 · NaN in padding would stay NaN, which is right, but inf would become NaN
    return x * dropout(torch.ones_like(x[0]), rate)


def drop_weights(weights: Mapping[str, Tensor], rate: float) -> dict[str, Tensor]:
    """DropConnect of the recurrent matrices, those whose names begin with U."""
    return {
        k: dropout(w, rate) if k.startswith("U") and w.dim() == 2 else w for k, w in weights.items()
    }


class Noise:
    """A cell as it runs with zoneout and dropout of its recurrent state.

    Args:
        cell: the cell.
        rates: of zoneout, by state; those of zero left out.
        drop: rate of dropout of what the recurrent matrices multiply.
    """

    def __init__(self, cell: Cell, rates: Mapping[str, float], drop: float) -> None:
        self.plain, self.rates, self.drop = cell, rates, drop
        cell = dropped(cell) if drop else cell
        self.cell = zoned(cell, tuple(rates)) if rates else cell

    def draw(self, x: Tensor, *, training: bool) -> tuple[Cell, dict[str, Tensor]]:
        """The cell to run and its inputs beside x: drawn in training, their mean otherwise.

        Args:
            x: input, [T, B, I].
            training: whether to draw.
        """
        if not training and not self.rates:
            return self.plain, {}
        T, B = x.shape[:2]
        found: dict[str, Tensor] = {}
        for name, letter in self.cell.inputs.items():
            kind, _, state = name.partition("_")
            size = self.cell.sizes[letter]
            if kind == "drop":
                found[name] = dropout(x.new_ones(B, size), self.drop, training)
            elif kind == "keep" and state in self.rates:
                rate = self.rates[state]
                if training:
                    found[name] = kept((T, B, size), 1 - rate, x)
                else:
                    found[name] = x.new_full((B, size), rate)
        return self.cell, found


@functools.cache
def described(cell: Cell, rates: tuple[tuple[str, float], ...], drop: float) -> Noise:
    """The `Noise` of a cell that only describes a layer: one for all layers of a kind."""
    return Noise(cell, dict(rates), drop)
