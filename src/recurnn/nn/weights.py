"""Where the weights of torch's layers lie: names, the rows of each gate, and the cell they make.

torch stacks the gates in one matrix and has two biases; our cells have a matrix a gate. A
binding says which rows of which tensor each weight of the cell is.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from recurnn import cells
from recurnn.cells import Cell
from recurnn.cells.activated import Activation
from recurnn.compiler import Binding, Piece
from recurnn.nn.noise import Noise

GATES: dict[str, tuple[str, ...]] = {
    "LSTM": ("i", "f", "g", "o"),
    "GRU": ("r", "z", "n"),
    "RNN_TANH": ("",),
    "RNN_RELU": ("",),
}
"""The order in which torch stacks the gates, by the mode of its layers."""


NORMED: dict[str, type[Cell]] = {
    "LSTM": cells.LayerNormLSTM,
    "GRU": cells.LayerNormGRU,
    "RNN_TANH": cells.LayerNormElman,
    "RNN_RELU": cells.LayerNormElman,
}
"""The layer-normed cell of a mode."""

ACTIVATED: dict[str, type[Cell]] = {
    "LSTM": cells.ActivatedLSTM,
    "GRU": cells.ActivatedGRU,
    "RNN_TANH": cells.ActivatedElman,
}
"""The cell of a mode with activations of one's own."""


class Direction(NamedTuple):
    """One direction of one layer, as `scan` needs it.

    Attributes:
        cell: a description, without weights of its own.
        binding: where in the tensors each weight of the cell lies.
        names: of the tensors: attributes of the layer.
        reverse: whether it runs from the last step to the first.
        own: names of the tensors that torch does not have, by the cell's name for them.
        noise: the cell with zoneout or dropout of its state, or None.
    """

    cell: Cell
    binding: Binding
    names: tuple[str, ...]
    reverse: bool
    own: dict[str, str]
    noise: Noise | None


SHARED: dict[str | None, tuple[str, ...]] = {
    None: (),
    "input": ("weight_ih", "bias_ih"),
    "recurrent": ("weight_hh", "bias_hh", "weight_hr"),
    "both": ("weight_ih", "bias_ih", "weight_hh", "bias_hh", "weight_hr"),
}
"""The tensors that two directions have in common."""


@functools.cache
def describe(
    mode: str,
    size: int,
    units: int,
    *,
    proj_size: int = 0,
    bias: bool = True,
    layer_norm: bool = False,
    activations: tuple[tuple[str, Activation], ...] = (),
) -> Cell:
    """The cell of one of torch's layers, as a description: it has no weights of its own."""
    options: dict[str, Any] = {"bias": bias, "device": "meta"}
    phi: dict[str, Any] = {"nonlinearity": "relu"} if mode == "RNN_RELU" else {}
    if layer_norm:
        return NORMED[mode](size, units, **options, **phi)
    if activations:
        return ACTIVATED[mode](size, units, **options, **dict[str, Any](activations))
    if mode == "LSTM" and proj_size:
        return cells.ProjectedLSTM(size, units, proj_size=proj_size, **options)
    if mode == "LSTM":
        return cells.LSTM(size, units, **options)
    if mode == "GRU":
        return cells.GRU(size, units, **options)
    return cells.Elman(size, units, **options, **phi)


def stacked(*, bias: bool, projected: bool) -> list[str]:
    """The tensors of one direction in torch's order, without the number of the layer."""
    names = ["weight_ih", "weight_hh"]
    names += ["bias_ih", "bias_hh"] if bias else []
    return names + (["weight_hr"] if projected else [])


def bind(cell: Cell, gates: tuple[str, ...]) -> tuple[Binding, tuple[str, ...]]:
    """Which rows of torch's tensors each weight of a cell is.

    Args:
        cell: with W, U and b of each gate, as `cells.affine` declares them.
        gates: in the order in which torch stacks them.

    Returns:
        The binding of all the cell's weights, and the names of those that torch does not have
        (the gains of layer normalisation), which are tensors of their own after torch's.
    """
    pieces: dict[str, tuple[Piece, ...]] = {}
    units = cell.hidden_size
    for k, gate in enumerate(gates):
        tail, row = f"_{gate}" if gate else "", k * units
        pieces |= {f"W{tail}": (Piece(0, row),), f"U{tail}": (Piece(1, row),)}
        if cell.bias and f"b{tail}" == "b_n" and "b_u" in cell.weights:
            # The reset gate multiplies U_n h + b_hh, so n keeps its two biases apart.
            pieces |= {"b_n": (Piece(2, row),), "b_u": (Piece(3, row),)}
        elif cell.bias:
            pieces[f"b{tail}"] = (Piece(2, row), Piece(3, row))
    first = 4 if cell.bias else 2
    if "W_p" in cell.weights:
        pieces["W_p"], first = (Piece(first),), first + 1
    own = tuple(k for k in cell.shapes() if k not in pieces)
    pieces |= {name: (Piece(first + n),) for n, name in enumerate(own)}
    return Binding(tuple(pieces.items())), own
