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


KINDS = {
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


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random numbers that ask for a gradient."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=random, dtype=torch.float64).to(dtype).requires_grad_()


def states_of(cell: cells.Cell, B: int, *, seed: int) -> dict[str, Tensor]:
    """Random states of a batch, by name."""
    dtype = next(cell.parameters()).dtype
    sizes = {k: cell.sizes[letter] for k, letter in cell.states.items()}
    return {
        k: normal(B, size, seed=seed + n, dtype=dtype) for n, (k, size) in enumerate(sizes.items())
    }


def against_witness(cell: cells.Cell, step: object, *, T: int = 4, B: int = 3) -> None:
    """Assert that every output, state and gate of every step is what the witness says."""
    x = normal(T, B, cell.input_size, seed=1)
    start = states_of(cell, B, seed=2)
    result = recurnn.scan(cell, x, start, return_states="all", return_gates=True)
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
