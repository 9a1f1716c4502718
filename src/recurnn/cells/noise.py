"""Cells whose states are disturbed while they train: zoneout and dropout of the recurrent state.

Each is another cell's step with masks as inputs beside x, so that the compiled kernel runs it.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from recurnn.cells._cell import Cell
from recurnn.cells._weights import Matrix, Weights
from recurnn.errors import ConfigError


def zoned(cell: Cell, states: tuple[str, ...]) -> Cell:
    """The cell with zoneout: each unit keeps its old state where a mask says so.

        s = k ⊙ s_old + (1 − k) ⊙ s_new

    Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations", 2017.
    k is the input ``keep_s`` [T, B, its size]: zeros and ones in training, their mean otherwise.
    The equations of the cell see the old states as they are; zoneout acts on what a step returns,
    so h is made from the new c before c is zoned out, as in the paper.

    Args:
        cell: the cell; the result has its weights.
        states: the names of those that are zoned out.
    """
    keep = {f"keep_{state}": cell.states[state] for state in states}
    return _of_class(cell, _zoned(type(cell), states), keep)


def dropped(cell: Cell) -> Cell:
    """The cell with dropout on what its recurrent matrices multiply.

        U (m ⊙ h)  in place of  U h

    Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural
    networks", 2016. m is the input ``drop_H`` [B, H] (by the letter of the size), the same at all
    steps. The matrices are those whose names begin with U; what carries a state on without a
    product (z ⊙ h in the GRU, f ⊙ c in the LSTM) is not dropped.

    Args:
        cell: the cell; the result has its weights.

    Raises:
        ConfigError: the cell has no matrix whose name begins with U.
    """
    matrices = recurrent_matrices(cell)
    if not matrices:
        raise ConfigError(
            f"{type(cell).__name__}: state_dropout has nothing to act on.\n"
            "  It acts on what the matrices multiply whose names begin with U, and the cell has "
            "none."
        )
    kind = _dropped(type(cell), tuple(sorted(matrices.items())))
    return _of_class(cell, kind, {f"drop_{letter}": letter for letter in matrices.values()})


def recurrent_matrices(cell: Cell) -> dict[str, str]:
    """The matrices whose names begin with U: name to the letter of what they multiply.

    Args:
        cell: the cell.
    """
    return {
        name: letters.split()[1]
        for name, letters in cell.weights.items()
        if name.startswith("U") and len(letters.split()) == 2
    }


def _of_class(cell: Cell, kind: type[Cell], inputs: Mapping[str, str]) -> Cell:
    """The same cell, of another class and with more inputs; the weights are shared."""
    found = copy.copy(cell)
    found.__class__ = kind
    found.inputs = {**cell.inputs, **inputs}
    return found


@functools.cache
def _zoned(kind: type[Cell], states: tuple[str, ...]) -> type[Cell]:
    class Zoned(kind):  # type: ignore[misc, valid-type]
        def step(self, p: Weights, x: Tensor, *old: Any) -> dict[str, Any]:
            values: dict[str, Any] = super().step(p, x, *old)
            for state, before in zip(self.states, old, strict=True):
                if state in states:
                    keep = getattr(p, f"keep_{state}")
                    values[state] = keep * before + (1 - keep) * values[state]
            return values

    return _named(Zoned, kind)


@functools.cache
def _dropped(kind: type[Cell], matrices: tuple[tuple[str, str], ...]) -> type[Cell]:
    letters = dict(matrices)

    class Dropped(kind):  # type: ignore[misc, valid-type]
        def step(self, p: Weights, x: Tensor, *old: Any) -> dict[str, Any]:
            values: dict[str, Any] = super().step(_Dropping(p, letters), x, *old)
            return values

    return _named(Dropped, kind)


def _named(made: type[Cell], kind: type[Cell]) -> type[Cell]:
    made.__name__, made.__doc__ = kind.__name__, kind.__doc__
    return made


class _Dropping(Weights):
    """Weights whose recurrent matrices drop units of what they multiply."""

    def __init__(self, weights: Weights, letters: Mapping[str, str]) -> None:
        self._weights, self._letters = weights, letters

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._weights, name)
        if name not in self._letters:
            return value
        return _DroppingMatrix(value, getattr(self._weights, f"drop_{self._letters[name]}"))


class _DroppingMatrix(Matrix):
    """U, of which U @ h is U (m ⊙ h)."""

    __slots__ = ("_mask",)

    def __init__(self, matrix: Matrix, mask: Any) -> None:
        super().__init__(matrix.weight, matrix.name, matrix.letters)
        self._mask = mask

    @property
    def T(self) -> _DroppingMatrix:  # noqa: N802 - torch's name
        return _DroppingMatrix(super().T, self._mask)

    def __matmul__(self, h: Any) -> Any:
        return super().__matmul__(self._mask * h)
