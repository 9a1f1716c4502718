"""Cells of every kind with weights that no symmetry can hide behind, and inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import recurnn
import witness
import witness_zoo as zoo
from recurnn import cells
from tolerance import agree


@dataclass(frozen=True)
class Kind:
    """A cell as the tests make it, and its equations in numpy."""

    cell: type[cells.Cell]
    witness: Callable[..., dict[str, Any]]
    options: dict[str, Any]

    def make(
        self,
        inputs: int = 3,
        units: int = 4,
        *,
        bias: bool = True,
        dtype: torch.dtype = torch.float64,
    ) -> cells.Cell:
        """A cell with random weights about as large as those of a trained one."""
        made = self.cell(inputs, units, bias=bias, dtype=dtype, **self.options)
        random = torch.Generator().manual_seed(11)
        for weight in made.parameters():
            drawn = torch.randn(weight.shape, generator=random, dtype=torch.float64)
            weight.data = (0.6 * drawn / weight.shape[-1] ** 0.25).to(dtype)
        return made


CORE = {
    "elman": Kind(cells.Elman, witness.elman(np.tanh), {}),
    "elman-relu": Kind(cells.Elman, witness.elman(witness.relu), {"nonlinearity": "relu"}),
    "elman-sigmoid": Kind(cells.Elman, witness.elman(witness.sigma), {"nonlinearity": "sigmoid"}),
    "jordan": Kind(cells.Jordan, witness.jordan(np.tanh, witness.same), {}),
    "jordan-2": Kind(
        cells.Jordan,
        witness.jordan(witness.relu, witness.sigma),
        {"output_size": 2, "nonlinearity": "relu", "output_nonlinearity": "sigmoid"},
    ),
    "lstm": Kind(cells.LSTM, witness.lstm, {}),
    "peephole-lstm": Kind(cells.PeepholeLSTM, witness.peephole, {}),
    "coupled-lstm": Kind(cells.CoupledLSTM, witness.coupled, {}),
    "projected-lstm": Kind(cells.ProjectedLSTM, witness.projected, {"proj_size": 2}),
    "layernorm-lstm": Kind(cells.LayerNormLSTM, witness.layer_norm, {}),
    "gru": Kind(cells.GRU, witness.gru, {}),
    "reset-before-gru": Kind(cells.ResetBeforeGRU, witness.reset_before_gru, {}),
}
ZOO = {
    "lstm-1997": Kind(cells.LSTM1997, zoo.lstm_1997, {}),
    "multiplicative-lstm": Kind(cells.MultiplicativeLSTM, zoo.multiplicative, {}),
    "working-memory-lstm": Kind(cells.WorkingMemoryLSTM, zoo.working_memory, {}),
    "slstm": Kind(cells.SLSTM, zoo.slstm, {}),
    "nested-lstm": Kind(cells.NestedLSTM, zoo.nested, {}),
    "residual-lstm": Kind(cells.ResidualLSTM, zoo.residual, {}),
    "layernorm-elman": Kind(cells.LayerNormElman, zoo.layer_norm_elman, {}),
    "layernorm-gru": Kind(cells.LayerNormGRU, zoo.layer_norm_gru, {}),
    "mgu": Kind(cells.MGU, zoo.mgu, {}),
    "janet": Kind(cells.JANET, zoo.janet(0.5), {"beta": 0.5}),
    "li-gru": Kind(cells.LiGRU, zoo.update_gate("z", witness.relu), {}),
    "ugrnn": Kind(cells.UGRNN, zoo.update_gate("g", np.tanh), {}),
    "minimal-rnn": Kind(cells.MinimalRNN, zoo.minimal, {}),
    "light-ru": Kind(cells.LightRU, zoo.light_ru, {}),
    "atr": Kind(cells.ATR, zoo.atr, {}),
    "star": Kind(cells.STAR, zoo.star, {}),
    "sgrn": Kind(cells.SGRN, zoo.sgrn, {}),
    "multiplicative-rnn": Kind(cells.MultiplicativeRNN, zoo.multiplicative_rnn, {}),
    "mi-rnn": Kind(cells.MIRNN, zoo.mi_rnn, {}),
    "delta-rnn": Kind(cells.DeltaRNN, zoo.delta_rnn, {}),
    "sgu": Kind(cells.SGU, zoo.sgu, {}),
    "ran": Kind(cells.RAN, zoo.ran, {}),
    "cfn": Kind(cells.CFN, zoo.cfn, {}),
    "indrnn": Kind(cells.IndRNN, zoo.indrnn(witness.relu), {}),
    "indrnn-tanh": Kind(cells.IndRNN, zoo.indrnn(np.tanh), {"nonlinearity": "tanh"}),
    "sru": Kind(cells.SRU, zoo.sru, {}),
    "qrnn": Kind(cells.QRNN, zoo.qrnn, {}),
    "t-rnn": Kind(cells.StronglyTypedRNN, zoo.strongly_typed, {}),
    "min-gru": Kind(cells.MinGRU, zoo.min_gru, {}),
    "min-lstm": Kind(cells.MinLSTM, zoo.min_lstm, {}),
    "rg-lru": Kind(cells.RGLRU, zoo.rg_lru, {}),
    "brc": Kind(cells.BRC, zoo.brc, {}),
    "nbrc": Kind(cells.NBRC, zoo.nbrc, {}),
    "fast-rnn": Kind(cells.FastRNN, zoo.fast_rnn, {}),
    "fast-grnn": Kind(cells.FastGRNN, zoo.fast_grnn, {}),
    "leaky-rnn": Kind(cells.LeakyRNN, zoo.leaky(0.3), {"alpha": 0.3}),
    "plrnn": Kind(cells.PLRNN, zoo.plrnn, {}),
    "antisymmetric-rnn": Kind(
        cells.AntisymmetricRNN, zoo.antisymmetric(0.5, 0.2), {"epsilon": 0.5, "gamma": 0.2}
    ),
    "gated-antisymmetric-rnn": Kind(
        cells.GatedAntisymmetricRNN,
        zoo.gated_antisymmetric(0.5, 0.2),
        {"epsilon": 0.5, "gamma": 0.2},
    ),
    "lipschitz-rnn": Kind(
        cells.LipschitzRNN,
        zoo.lipschitz(0.6, 0.2, 0.5),
        {"beta": 0.6, "gamma": 0.2, "epsilon": 0.5},
    ),
    "lem": Kind(cells.LEM, zoo.lem(0.7), {"dt": 0.7}),
    "cfc": Kind(cells.CfC, zoo.cfc, {"backbone_size": 2}),
    "cornn": Kind(cells.CoRNN, zoo.cornn(0.4, 1.5, 0.8), {"dt": 0.4, "gamma": 1.5, "epsilon": 0.8}),
    "unicornn": Kind(cells.UnICORNN, zoo.unicornn(0.6, 1.5), {"dt": 0.6, "alpha": 1.5}),
    "clockwork": Kind(cells.Clockwork, zoo.clockwork(1, 3, 4), {"periods": (1, 3, 4)}),
    "phased-lstm": Kind(cells.PhasedLSTM, zoo.phased(0.3, 0.1), {"ratio": 0.3, "leak": 0.1}),
    "scrn": Kind(cells.SCRN, zoo.scrn(0.7), {"context_size": 3, "output_size": 2, "alpha": 0.7}),
    "lmu": Kind(cells.LMU, zoo.lmu, {"memory_size": 3}),
    "rhn": Kind(cells.RHN, zoo.rhn(3), {}),
    "rhn-1": Kind(cells.RHN, zoo.rhn(1), {"depth": 1}),
    "intersection-rnn": Kind(cells.IntersectionRNN, zoo.intersection, {}),
    "mut1": Kind(cells.MUT1, zoo.mut1, {}),
    "mut2": Kind(cells.MUT2, zoo.mut2, {}),
    "mut3": Kind(cells.MUT3, zoo.mut3, {}),
    "nas": Kind(cells.NASCell, zoo.nas, {}),
}
"""The rest of the literature. What is true of any cell is tested on the kinds above."""

KINDS = CORE | ZOO


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random numbers that ask for a gradient."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=random, dtype=torch.float64).to(dtype).requires_grad_()


def states_of(cell: cells.Cell, B: int, *, seed: int) -> dict[str, Tensor]:
    """Random states of a batch, by name."""
    dtype = next(cell.parameters()).dtype
    sizes = {k: cell.sizes[letter] for k, letter in cell.states.items()}
    made = {
        k: normal(B, size, seed=seed + n, dtype=dtype) for n, (k, size) in enumerate(sizes.items())
    }
    if isinstance(cell, cells.SLSTM):  # a sum of positive weights, which the cell divides by
        made["n"].data = 0.5 + made["n"].data.abs()
    return made


def engine_of(kind: str) -> str:
    """The engine for what is not about engines: the zoo's kernels take minutes to compile."""
    return "auto" if kind in CORE else "reference"


def against_witness(
    cell: cells.Cell, step: object, *, T: int = 4, B: int = 3, engine: str = "auto"
) -> None:
    """Assert that every output, state and gate of every step is what the witness says."""
    x = normal(T, B, cell.input_size, seed=1)
    start = states_of(cell, B, seed=2)
    with torch.no_grad():  # derivatives are not in question, and their kernels need not be built
        result = recurnn.scan(cell, x, start, return_states="all", return_gates=True, engine=engine)
    assert result.states is not None
    assert result.gates is not None
    w = {name: weight.detach().numpy() for name, weight in cell.named_parameters()}
    want = {
        name: torch.from_numpy(values)
        for name, values in witness.run(
            step, w, x.detach().numpy(), {k: s.detach().numpy() for k, s in start.items()}
        ).items()
    }
    agree(result.states | result.gates, want, terms=T * (cell.input_size + cell.hidden_size))
    assert torch.equal(result.output, result.states[cell.output])
    last = {k: v[-1] for k, v in want.items() if k in cell.states}
    agree(result.state, last, terms=T * (cell.input_size + cell.hidden_size))
