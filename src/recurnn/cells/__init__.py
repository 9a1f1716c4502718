"""The cells, each the equations of its paper: ``print(recurnn.cells.LSTM)`` shows them."""

from recurnn.cells._cell import Cell, affine
from recurnn.cells._weights import Matrix, Weights
from recurnn.cells.activated import ActivatedElman, ActivatedGRU, ActivatedLSTM
from recurnn.cells.additive import CFN, RAN
from recurnn.cells.bistable import BRC, NBRC
from recurnn.cells.clocked import Clockwork, PhasedLSTM
from recurnn.cells.context import LMU, SCRN
from recurnn.cells.depth import RHN, IntersectionRNN
from recurnn.cells.dynamics import (
    LEM,
    PLRNN,
    AntisymmetricRNN,
    CfC,
    GatedAntisymmetricRNN,
    LeakyRNN,
    LipschitzRNN,
)
from recurnn.cells.elementwise import QRNN, RGLRU, SRU, IndRNN, MinGRU, MinLSTM, StronglyTypedRNN
from recurnn.cells.elman import Elman, Jordan, LayerNormElman
from recurnn.cells.fast import FastGRNN, FastRNN
from recurnn.cells.few_gates import ATR, JANET, MGU, SGRN, STAR, UGRNN, LightRU, LiGRU, MinimalRNN
from recurnn.cells.gru import GRU, LayerNormGRU, ResetBeforeGRU
from recurnn.cells.init import PRESETS, SCHEMES, chrono, initialise
from recurnn.cells.lstm import LSTM, CoupledLSTM, LayerNormLSTM, PeepholeLSTM, ProjectedLSTM
from recurnn.cells.lstm_memory import (
    LSTM1997,
    SLSTM,
    MultiplicativeLSTM,
    NestedLSTM,
    ResidualLSTM,
    WorkingMemoryLSTM,
)
from recurnn.cells.multiplied import MIRNN, SGU, DeltaRNN, MultiplicativeRNN
from recurnn.cells.oscillators import CoRNN, UnICORNN
from recurnn.cells.searched import MUT1, MUT2, MUT3, NASCell

CELLS: dict[str, type[Cell]] = {
    "elman": Elman,
    "layernorm-elman": LayerNormElman,
    "jordan": Jordan,
    "lstm": LSTM,
    "peephole-lstm": PeepholeLSTM,
    "coupled-lstm": CoupledLSTM,
    "projected-lstm": ProjectedLSTM,
    "layernorm-lstm": LayerNormLSTM,
    "lstm-1997": LSTM1997,
    "multiplicative-lstm": MultiplicativeLSTM,
    "working-memory-lstm": WorkingMemoryLSTM,
    "slstm": SLSTM,
    "nested-lstm": NestedLSTM,
    "residual-lstm": ResidualLSTM,
    "gru": GRU,
    "reset-before-gru": ResetBeforeGRU,
    "layernorm-gru": LayerNormGRU,
    "mgu": MGU,
    "janet": JANET,
    "li-gru": LiGRU,
    "ugrnn": UGRNN,
    "minimal-rnn": MinimalRNN,
    "light-ru": LightRU,
    "atr": ATR,
    "star": STAR,
    "sgrn": SGRN,
    "ran": RAN,
    "cfn": CFN,
    "multiplicative-rnn": MultiplicativeRNN,
    "mi-rnn": MIRNN,
    "delta-rnn": DeltaRNN,
    "sgu": SGU,
    "indrnn": IndRNN,
    "sru": SRU,
    "qrnn": QRNN,
    "t-rnn": StronglyTypedRNN,
    "min-gru": MinGRU,
    "min-lstm": MinLSTM,
    "rg-lru": RGLRU,
    "brc": BRC,
    "nbrc": NBRC,
    "fast-rnn": FastRNN,
    "fast-grnn": FastGRNN,
    "leaky-rnn": LeakyRNN,
    "plrnn": PLRNN,
    "antisymmetric-rnn": AntisymmetricRNN,
    "gated-antisymmetric-rnn": GatedAntisymmetricRNN,
    "lipschitz-rnn": LipschitzRNN,
    "lem": LEM,
    "cfc": CfC,
    "cornn": CoRNN,
    "unicornn": UnICORNN,
    "clockwork": Clockwork,
    "phased-lstm": PhasedLSTM,
    "scrn": SCRN,
    "lmu": LMU,
    "rhn": RHN,
    "intersection-rnn": IntersectionRNN,
    "mut1": MUT1,
    "mut2": MUT2,
    "mut3": MUT3,
    "nas": NASCell,
}
"""The built-in cells by the name that the command line uses."""

__all__ = [
    "Cell", "Weights", "Matrix", "affine",
    "Elman", "LayerNormElman", "Jordan",
    "LSTM", "PeepholeLSTM", "CoupledLSTM", "ProjectedLSTM", "LayerNormLSTM",
    "LSTM1997", "MultiplicativeLSTM", "WorkingMemoryLSTM", "SLSTM", "NestedLSTM", "ResidualLSTM",
    "GRU", "ResetBeforeGRU", "LayerNormGRU",
    "ActivatedElman", "ActivatedLSTM", "ActivatedGRU",
    "MGU", "JANET", "LiGRU", "UGRNN", "MinimalRNN", "LightRU", "ATR", "STAR", "SGRN",
    "RAN", "CFN",
    "MultiplicativeRNN", "MIRNN", "DeltaRNN", "SGU",
    "IndRNN", "SRU", "QRNN", "StronglyTypedRNN", "MinGRU", "MinLSTM", "RGLRU",
    "BRC", "NBRC",
    "FastRNN", "FastGRNN",
    "LeakyRNN", "PLRNN", "AntisymmetricRNN", "GatedAntisymmetricRNN", "LipschitzRNN", "LEM", "CfC",
    "CoRNN", "UnICORNN",
    "Clockwork", "PhasedLSTM",
    "SCRN", "LMU",
    "RHN", "IntersectionRNN",
    "MUT1", "MUT2", "MUT3", "NASCell",
    "CELLS", "PRESETS", "SCHEMES", "chrono", "initialise",
]  # fmt: skip
