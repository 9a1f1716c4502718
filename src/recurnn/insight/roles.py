"""What the values of a cell are: open or shut gates, candidates, and which gate keeps a state.

Nothing is declared for this. A copy of the cell with large random weights is run once, and shows
the range of each of its values; a copy whose state enters nowhere but directly shows which gate
the derivative of the new state by the old one is.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from recurnn.cells import Cell
from recurnn.insight.forward_mode import push

_ROWS = 64


@dataclass(frozen=True)
class Keep:
    """How a state is kept: multiplied by a gate, or by one minus it."""

    state: str
    gate: str
    inverted: bool = False

    def factor(self, gate: Tensor) -> Tensor:
        """The share of the old state that a step keeps."""
        return 1 - gate if self.inverted else gate

    def __str__(self) -> str:
        return f"1 − {self.gate}" if self.inverted else self.gate


@dataclass(frozen=True)
class Roles:
    """What the values of a cell are.

    Attributes:
        kinds: name to ``"gate"`` (between 0 and 1, and reaches both), ``"bounded"`` (between −1
            and 1), ``"relu"`` (0, or above it), ``"free"``.
        keeps: for each state that a gate keeps, which.
    """

    kinds: dict[str, str]
    keeps: dict[str, Keep]


def roles_of(cell: Cell) -> Roles:
    """The roles of a cell's states and gates.

    Example:
        >>> import recurnn
        >>> roles = roles_of(recurnn.cells.LSTM(3, 8))
        >>> roles.kinds, str(roles.keeps["c"])
        ({'h': 'bounded', 'c': 'free', 'i': 'gate', 'f': 'gate', 'g': 'bounded', 'o': 'gate'}, 'f')
        >>> str(roles_of(recurnn.cells.MGU(3, 8)).keeps["h"])
        '1 − f'
    """
    with torch.no_grad():
        values = _step(cell, scale=8.0)[0]
        kinds = {k: _kind(values[k]) for k in (*cell.states, *cell.gates)}
        values, slopes = _step(cell, scale=1.0, cut=True)
    keeps: dict[str, Keep] = {}
    for state, slope in slopes.items():
        for gate in (k for k in cell.gates if kinds[k] == "gate"):
            for inverted in (False, True):
                keep = Keep(state, gate, inverted)
                factor = keep.factor(values[gate])
                if factor.shape == slope.shape and torch.allclose(slope, factor, atol=1e-9):
                    keeps.setdefault(state, keep)
    return Roles(kinds, keeps)


def _step(
    cell: Cell, *, scale: float, cut: bool = False
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """One step of a random copy: its values, and if cut the slope of each state by itself."""
    random = torch.Generator().manual_seed(3)

    def drawn(*shape: int) -> Tensor:
        return scale * torch.randn(shape, generator=random, dtype=torch.float64)

    sizes = {k: cell.sizes[letter] for k, letter in cell.states.items()}
    weights = {}
    for name, shape in cell.shapes().items():
        weight = drawn(*shape) / (shape[-1] ** 0.5 if len(shape) > 1 else 1.0)
        weights[name] = torch.zeros_like(weight) if cut and _sees_a_state(cell, name) else weight
    p = copy.copy(cell).bind(weights)
    p.put({k: torch.ones(_ROWS, cell.sizes.get(n, 1)).double() for k, n in cell.inputs.items()})
    x, states = drawn(_ROWS, cell.input_size), {k: drawn(_ROWS, n) for k, n in sizes.items()}
    if not cut:
        return cell.apply_step(p, x, *states.values()), {}
    slopes: dict[str, Tensor] = {}
    values: dict[str, Tensor] = {}
    for state in states:
        tangents = [torch.ones_like(s) if k == state else None for k, s in states.items()]
        values, turned = push(lambda *s: cell.apply_step(p, x, *s), list(states.values()), tangents)
        slopes[state] = turned[state]
    return values, slopes


def _sees_a_state(cell: Cell, weight: str) -> bool:
    """Whether a weight multiplies a state: its name begins with U or R, or it is a peephole."""
    return weight.startswith(("U", "R", "p_", "v_", "beta"))


def _kind(values: Tensor) -> str:
    low, high = float(values.min()), float(values.max())
    if low >= 0:
        if high <= 1:
            return "gate" if low < 0.05 and high > 0.95 else "free"
        return "relu" if low == 0 and high > 2 else "free"
    return "bounded" if low >= -1 and high <= 1 else "free"
