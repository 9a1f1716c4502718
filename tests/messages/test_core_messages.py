"""Every error of cells, init, scan and nn, by its text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import recurnn
from recurnn import cells, nn
from recurnn.errors import ConfigError, RecurnnError, ShapeError

F64 = torch.float64
LSTM = cells.LSTM(16, 32)
ELMAN = cells.Elman(3, 4)
X = torch.zeros(100, 8, 16)
SMALL = torch.zeros(5, 2, 3)


def scan(cell: cells.Cell, x: torch.Tensor, *args: Any, **options: Any) -> Callable[[], object]:
    return lambda: recurnn.scan(cell, x, *args, **options)


def weights(**changed: torch.Tensor | None) -> dict[str, torch.Tensor]:
    given = dict(ELMAN.named_parameters()) | changed
    return {k: v for k, v in given.items() if v is not None}


class Masked(cells.Elman):
    inputs = {"m": "H", "clock": "1"}


class Clash(cells.Elman):
    inputs = {"W": "H"}


MASKED = Masked(3, 4)


def norms() -> recurnn.GradientNorms:
    found = recurnn.GradientNorms()
    recurnn.scan(ELMAN, SMALL, gradient_norms=found).output.sum().backward()
    return found


KNOWN = "W_i, U_i, b_i, W_f, U_f, b_f, W_g, U_g, b_g, W_o, U_o, b_o"
MESSAGES: list[tuple[type[RecurnnError], Callable[[], object], str]] = [
    # cells
    (
        ConfigError,
        lambda: cells.LSTM(3, 0),
        "LSTM: the size H is 0; expected a whole number of at least 1.",
    ),
    (
        ConfigError,
        lambda: cells.GRU(2.5, 4),  # type: ignore[arg-type]
        "GRU: the size I is 2.5; expected a whole number of at least 1.",
    ),
    (
        ConfigError,
        lambda: cells.ProjectedLSTM(3, 4, proj_size=True),
        "ProjectedLSTM: the size P is True; expected a whole number of at least 1.",
    ),
    (
        ConfigError,
        lambda: cells.LSTM(3, 4, biases=2),
        "LSTM: option: there is no 'biases'.\n"
        "  Known: input_size, hidden_size, bias, init, device, dtype. Did you mean 'bias'?",
    ),
    (
        ConfigError,
        lambda: cells.ProjectedLSTM(3, 4, proj_size=2, num_layers=2),
        "ProjectedLSTM: option: there is no 'num_layers'.\n"
        "  Known: input_size, hidden_size, proj_size, bias, init, device, dtype.",
    ),
    (
        ConfigError,
        lambda: cells.Elman(3, 4, nonlinearity="tan"),
        "nonlinearity: there is no 'tan'.\n"
        "  Known: tanh, relu, sigmoid, identity. Did you mean 'tanh'?",
    ),
    # init
    (
        ConfigError,
        lambda: cells.LSTM(3, 4, init="glorrot"),
        "init: there is no 'glorrot'.\n  Known: uniform, glorot. Did you mean 'glorot'?",
    ),
    (
        ConfigError,
        lambda: cells.LSTM(3, 4, init={"U_*": "orthogonall"}),
        "init of U_i: there is no 'orthogonall'.\n"
        "  Known: uniform, zeros, ones, xavier_uniform, xavier_normal, kaiming_uniform, "
        "orthogonal, identity. Did you mean 'orthogonal'?",
    ),
    (
        ConfigError,
        lambda: cells.LSTM(3, 4, init={"b_*": "orthogonal"}),
        "init of b_i: 'orthogonal' needs a matrix; b_i is a vector.",
    ),
    (
        ConfigError,
        lambda: cells.LSTM(3, 4, init={"b_h": 1.0}),
        f"init of LSTM: weight: there is no 'b_h'.\n  Known: {KNOWN}. Did you mean 'b_o'?",
    ),
    # scan: options
    (
        ConfigError,
        scan(ELMAN, SMALL, engine="referense"),
        "engine: there is no 'referense'.\n  Known: auto, reference, cpu. "
        "Did you mean 'reference'?",
    ),
    (
        ConfigError,
        scan(ELMAN, SMALL, return_states="every"),
        "return_states: there is no 'every'.\n  Known: last, all.",
    ),
    (
        ConfigError,
        scan(ELMAN, SMALL, engine="fast"),
        "engine: there is no 'fast'.\n  Known: auto, reference, cpu. Did you mean 'auto'?",
    ),
    # scan: the input
    (
        ShapeError,
        scan(LSTM, X[0]),
        "LSTM: the input must have three dimensions.\n"
        "  x is [8, 16]; expected [T, B, I] with I = 16 of the cell.",
    ),
    (
        ShapeError,
        scan(LSTM, X[..., :15]),
        "LSTM: the input does not fit the cell.\n"
        "  x is [100, 8, 15]; expected [T, B, I] with I = 16, because the cell was made with "
        "input_size=16.\n  I differs: 15 in x, 16 in the cell.",
    ),
    (
        ShapeError,
        scan(LSTM, X.double()),
        "LSTM: the input and the weights differ in type or device.\n"
        "  x is torch.float64 on cpu; W_i is torch.float32 on cpu.\n"
        "  Move one of them with .to(...).",
    ),
    (
        ShapeError,
        scan(ELMAN, SMALL.to("meta")),
        "Elman: the input and the weights differ in type or device.\n"
        "  x is torch.float32 on meta; W is torch.float32 on cpu.\n"
        "  Move one of them with .to(...).",
    ),
    # scan: given weights
    (
        ConfigError,
        scan(ELMAN, SMALL, parameters=weights(Q=torch.zeros(4))),
        "Elman: weight: there is no 'Q'.\n  Known: W, U, b.",
    ),
    (
        ShapeError,
        scan(ELMAN, SMALL, parameters=weights(U=None)),
        "Elman: the given weights do not fit the cell.\n  U is missing; expected [4, 4].",
    ),
    (
        ShapeError,
        scan(ELMAN, SMALL, parameters=weights(W=torch.zeros(3, 4))),
        "Elman: the given weights do not fit the cell.\n  W is [3, 4]; expected [4, 3].",
    ),
    # scan: states
    (
        ShapeError,
        scan(LSTM, X, (torch.zeros(8, 32), torch.zeros(4, 32))),
        "LSTM: the initial state does not fit the input.\n"
        "  c is [4, 32]; expected [B, 32] = [8, 32], because x is [100, 8, 16] and c has 32 "
        "units.\n  B differs: 4 in c, 8 in x.",
    ),
    (
        ShapeError,
        scan(LSTM, X, (torch.zeros(1, 8, 32), torch.zeros(8, 32))),
        "LSTM: the initial state does not fit the input.\n"
        "  h is [1, 8, 32]; expected [B, 32] = [8, 32], because x is [100, 8, 16] and h has 32 "
        "units.",
    ),
    (
        ShapeError,
        scan(
            ELMAN,
            SMALL,
            reset=torch.zeros(5, 2, dtype=torch.bool),
            reset_state=torch.zeros(2, 5),
        ),
        "Elman: the reset_state does not fit the input.\n"
        "  h is [2, 5]; expected [B, 4] = [2, 4], because x is [5, 2, 3] and h has 4 units.",
    ),
    (
        ShapeError,
        scan(LSTM, X, torch.zeros(8, 32)),
        "LSTM: state does not have the states of the cell.\n"
        "  state has 1 tensor; expected h, c, in this order or by name.",
    ),
    (
        ShapeError,
        scan(LSTM, X, [torch.zeros(8, 32)] * 3),
        "LSTM: state does not have the states of the cell.\n"
        "  state has 3 tensors; expected h, c, in this order or by name.",
    ),
    (
        ShapeError,
        scan(LSTM, X, {"h": torch.zeros(8, 32), "s": torch.zeros(8, 32)}),
        "LSTM: state does not have the states of the cell.\n"
        "  state has h, s; expected h, c, in this order or by name.",
    ),
    (
        ShapeError,
        scan(ELMAN, SMALL, torch.zeros(2, 4, dtype=F64)),
        "Elman: state and the input differ in type or device.\n"
        "  h is torch.float64 on cpu; x is torch.float32 on cpu.",
    ),
    # scan: lengths and resets
    (
        ShapeError,
        scan(ELMAN, SMALL, lengths=[1.0, 2.0]),
        "Elman: lengths must be whole numbers, one a row.\n"
        "  lengths is [2] of torch.float32; expected [B] = [2].",
    ),
    (
        ShapeError,
        scan(ELMAN, SMALL, lengths=torch.ones(5, 2, dtype=torch.bool)),
        "Elman: lengths must be whole numbers, one a row.\n"
        "  lengths is [5, 2] of torch.bool; expected [B] = [2].",
    ),
    (
        ShapeError,
        scan(ELMAN, SMALL, lengths=[5, 2, 1]),
        "Elman: lengths does not fit the input.\n"
        "  lengths is [3]; expected [B] = [2], because x is [5, 2, 3].",
    ),
    (
        ShapeError,
        scan(ELMAN, SMALL, lengths=[6, 2]),
        "Elman: a length is out of range.\n"
        "  lengths go from 2 to 6; expected 0 to T = 5, because x is [5, 2, 3].",
    ),
    (
        ShapeError,
        scan(ELMAN, SMALL, lengths=[-1, 2]),
        "Elman: a length is out of range.\n"
        "  lengths go from -1 to 2; expected 0 to T = 5, because x is [5, 2, 3].",
    ),
    (
        ShapeError,
        scan(ELMAN, SMALL, reset=torch.zeros(2, 5, dtype=torch.bool)),
        "Elman: reset does not fit the input.\n"
        "  reset is [2, 5] of torch.bool; expected booleans [T, B] = [5, 2], because x is "
        "[5, 2, 3].",
    ),
    (
        ShapeError,
        scan(ELMAN, SMALL, reset=torch.zeros(5, 2)),
        "Elman: reset does not fit the input.\n"
        "  reset is [5, 2] of torch.float32; expected booleans [T, B] = [5, 2], because x is "
        "[5, 2, 3].",
    ),
    # nn
    (
        ShapeError,
        lambda: nn.Recurrent(ELMAN, batch_first=True)(SMALL[0]),
        "Elman: the input must have three dimensions.\n"
        "  x is [2, 3]; expected [B, T, I] with I = 3.",
    ),
    # scan: memory, norms and inputs beside x
    (
        ConfigError,
        scan(ELMAN, SMALL, memory="lo"),
        "memory: there is no 'lo'.\n  Known: high, low. Did you mean 'low'?",
    ),
    (
        ConfigError,
        lambda: recurnn.GradientNorms()["h"],
        "GradientNorms: there are none yet.\n  Give it to recurnn.scan as gradient_norms, and run "
        "the backward pass of what the scan returned.",
    ),
    (
        ConfigError,
        lambda: norms()["c"],
        "GradientNorms: state: there is no 'c'.\n  Known: h.",
    ),
    (
        ConfigError,
        scan(ELMAN, SMALL, inputs={"m": torch.zeros(2, 4)}),
        "Elman: the cell declares no inputs beside x; m is given.",
    ),
    (
        ConfigError,
        scan(MASKED, SMALL, inputs={"mask": torch.zeros(2, 4)}),
        "Masked: input: there is no 'mask'.\n  Known: m, clock.",
    ),
    (
        ShapeError,
        scan(MASKED, SMALL),
        "Masked: an input beside x is missing.\n"
        "  Give inputs={'m': ...}, [T, B, H] = [5, 2, 4] or [B, H] = [2, 4].",
    ),
    (
        ShapeError,
        scan(MASKED, SMALL, inputs={"m": torch.zeros(2, 4), "clock": torch.zeros(5, 2)}),
        "Masked: the input clock does not fit x.\n"
        "  clock is [5, 2]; expected [T, B, 1] = [5, 2, 1] or [B, 1] = [2, 1], because x is "
        "[5, 2, 3].",
    ),
    (
        ShapeError,
        scan(MASKED, SMALL, inputs={"m": torch.ones(2, 4, dtype=torch.bool)}),
        "Masked: the input m and x differ in type or device.\n"
        "  m is torch.bool on cpu; x is torch.float32 on cpu.",
    ),
    (
        ConfigError,
        lambda: Clash(3, 4),
        "Clash: the input 'W' needs a name of its own.\n"
        "  `step` finds it as p.W, beside the weights W, U, b.",
    ),
    # stepper
    (
        ConfigError,
        lambda: recurnn.stepper(ELMAN, 0),
        "stepper: batch_size is 0; expected a whole number of at least 1.",
    ),
    (
        ConfigError,
        lambda: recurnn.stepper(torch.nn.Linear(3, 4)),
        "stepper: a Linear has no cell.\n"
        "  Expected a cell, a recurnn.nn.Recurrent, or a recurnn.nn.RNN, GRU or LSTM.",
    ),
    (
        ConfigError,
        lambda: recurnn.stepper(nn.GRU(3, 4, bidirectional=True)),
        "stepper: a bidirectional GRU cannot be run step by step.\n"
        "  It begins at the last step of a sequence, which is not there yet.",
    ),
    (
        ConfigError,
        lambda: recurnn.stepper(nn.Recurrent(ELMAN, reverse=True)),
        "stepper: a layer with reverse=True cannot be run step by step.\n"
        "  It begins at the last step of a sequence, which is not there yet.",
    ),
    (
        ConfigError,
        lambda: recurnn.stepper(MASKED),
        "stepper: the Masked has inputs beside x: m, clock.\n"
        "  A stepper gives it only x. Use recurnn.scan on one step, and hand its state on.",
    ),
    (
        ConfigError,
        scan(ELMAN, SMALL, return_gates=["h"]),
        "scan: return_gates is ['h'].\n  Expected True, for every gate, or False.",
    ),
    (
        ConfigError,
        scan(ELMAN, SMALL, gradient_norms=True),
        "scan: gradient_norms is True.\n"
        "  Expected a recurnn.GradientNorms(), which the backward pass fills.",
    ),
    (
        ShapeError,
        lambda: recurnn.stepper(ELMAN, 2)(torch.zeros(1, 3)),
        "stepper: the input does not fit.\n"
        "  x is [1, 3] of torch.float32 on cpu; expected [B, I] = [2, 3] of torch.float32 on cpu, "
        "because the stepper was made with batch_size=2 and the Elman has I = 3.",
    ),
    (
        ShapeError,
        lambda: recurnn.stepper(nn.LSTM(3, 4)).reset(torch.zeros(1, 1, 4)),
        "stepper: state does not have the states of the cell.\n"
        "  Expected h, c, in this order or by name.",
    ),
    (
        ShapeError,
        lambda: recurnn.stepper(nn.GRU(3, 4, num_layers=2)).reset(torch.zeros(1, 1, 4)),
        "stepper: the state does not fit.\n  h is [1, 1, 4] of torch.float32 on cpu; "
        "expected [L, B, its size] = [2, 1, 4] of torch.float32 on cpu.",
    ),
    (
        ShapeError,
        lambda: recurnn.stepper(ELMAN, 2).reset(rows=[0, 2]),
        "stepper: rows does not fit the batch.\n"
        "  rows is [0, 2]; expected numbers from 0 to 1, or booleans [B] = [2], because the "
        "stepper was made with batch_size=2.",
    ),
]


@pytest.mark.parametrize(
    ("kind", "call", "text"), MESSAGES, ids=[m[2].splitlines()[0] for m in MESSAGES]
)
def test_message(kind: type[RecurnnError], call: Callable[[], object], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
    assert type(caught.value) is kind
