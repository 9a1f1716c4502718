"""The cells, each the equations of its paper: ``print(recurnn.cells.LSTM)`` shows them."""

from recurnn.cells._cell import Cell, Matrix, Weights, affine
from recurnn.cells.elman import Elman, Jordan
from recurnn.cells.gru import GRU, ResetBeforeGRU
from recurnn.cells.init import PRESETS, SCHEMES, initialise
from recurnn.cells.lstm import LSTM, CoupledLSTM, LayerNormLSTM, PeepholeLSTM, ProjectedLSTM

CELLS: dict[str, type[Cell]] = {
    "elman": Elman,
    "jordan": Jordan,
    "lstm": LSTM,
    "peephole-lstm": PeepholeLSTM,
    "coupled-lstm": CoupledLSTM,
    "projected-lstm": ProjectedLSTM,
    "layernorm-lstm": LayerNormLSTM,
    "gru": GRU,
    "reset-before-gru": ResetBeforeGRU,
}
"""The built-in cells by the name that the command line uses."""

__all__ = [
    "Cell", "Weights", "Matrix", "affine",
    "Elman", "Jordan",
    "LSTM", "PeepholeLSTM", "CoupledLSTM", "ProjectedLSTM", "LayerNormLSTM",
    "GRU", "ResetBeforeGRU",
    "CELLS", "PRESETS", "SCHEMES", "initialise",
]  # fmt: skip
