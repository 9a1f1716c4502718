"""Every error of the drop-in layers, by its text; and torch's kind of error, where it has one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence

from recurnn import nn
from recurnn.errors import CallError, ConfigError, KindError, RecurnnError, ShapeError

F64 = torch.float64
X = torch.zeros(5, 2, 3)
H = torch.zeros(1, 2, 4)
N = torch.zeros(6, 3)


def packed(
    sizes: list[int], data: torch.Tensor = N, order: Any = None, inverse: Any = None
) -> PackedSequence:
    """A PackedSequence whose fields nobody has checked."""
    fields = (data, torch.tensor(sizes), order, inverse)
    made: PackedSequence = tuple.__new__(PackedSequence, fields)
    return made


FIELDS = "LSTM: the fields of the PackedSequence do not fit together.\n  "
MESSAGES: list[tuple[type[RecurnnError], Callable[[], object], str]] = [
    # arguments
    (
        ConfigError,
        lambda: nn.LSTM(3, 4, 2, dropout=1.5),
        "LSTM: dropout is 1.5.\n  dropout should be a number in range [0, 1], representing the "
        "probability of an element being zeroed.",
    ),
    (
        KindError,
        lambda: nn.GRU(3, 4, bias=1),
        "GRU: bias is 1.\n  bias should be of type bool, got: int.",
    ),
    (
        KindError,
        lambda: nn.GRU(3.0, 4),
        "GRU: input_size is 3.0.\n  input_size should be of type int, got: float.",
    ),
    (
        ConfigError,
        lambda: nn.RNN(3, 0),
        "RNN: hidden_size is 0.\n  hidden_size must be greater than zero.",
    ),
    (
        ConfigError,
        lambda: nn.LSTM(3, 4, proj_size=4),
        "LSTM: proj_size is 4 and hidden_size is 4.\n"
        "  proj_size has to be smaller than hidden_size: h is projected to fewer units.",
    ),
    (
        ConfigError,
        lambda: nn.LSTM(3, 4, proj_size=-1),
        "LSTM: proj_size is -1.\n"
        "  proj_size should be a positive integer, or zero to disable projections.",
    ),
    (
        ConfigError,
        lambda: nn.GRU(3, 4, proj_size=2),
        "GRU: the layer has no projection.\n"
        "  proj_size argument is only supported for LSTM, not RNN or GRU.",
    ),
    (
        ConfigError,
        lambda: nn.RNN(3, 4, nonlinearity="garbage"),
        "RNN: nonlinearity is 'garbage'.\n"
        "  Unknown nonlinearity 'garbage'. Select from 'tanh' or 'relu'.",
    ),
    # the input
    (
        ShapeError,
        lambda: nn.GRU(3, 4)(torch.zeros(1, 2, 3, 3)),
        "GRU: the input must have two or three dimensions.\n"
        "  x is [1, 2, 3, 3]. Expected input to be 2D or 3D, got 4D instead.",
    ),
    (
        ShapeError,
        lambda: nn.GRU(3, 4)([1.0]),
        "GRU: the input is a list.\n  Expected a torch.Tensor or a PackedSequence.",
    ),
    (
        CallError,
        lambda: nn.LSTM(3, 4, num_layers=2, batch_first=True)(torch.zeros(5, 2, 7)),
        "LSTM: the input does not fit the layer.\n  x is [5, 2, 7]. input.size(-1) must be equal "
        "to input_size. Expected 3, got 7.",
    ),
    (
        ShapeError,
        lambda: nn.LSTM(3, 4)(X.to(F64)),
        "LSTM: the input and the weights differ in type.\n"
        "  RNN input dtype (torch.float64) does not match weight dtype (torch.float32). Convert "
        "input: input.to(torch.float32), or convert model: model.to(torch.float64).",
    ),
    (
        CallError,
        lambda: nn.LSTM(3, 4)(X.to("meta")),
        "LSTM: Input and parameter tensors are not at the same device.\n"
        "  x is on meta, the weights on cpu: move one with .to(...).",
    ),
    # states
    (
        CallError,
        lambda: nn.LSTM(3, 4)(X, (H, H[:, :1])),
        "LSTM: the initial state does not fit.\n"
        "  Expected hidden[1] size (1, 2, 4), got [1, 1, 4]: c_0 is [L·D, B, 4], and x is "
        "[5, 2, 3].\n  B differs: 1 in c_0, 2 in x.",
    ),
    (
        CallError,
        lambda: nn.GRU(3, 5, 2)(X, H),
        "GRU: the initial state does not fit.\n"
        "  Expected hidden size (2, 2, 5), got [1, 2, 4]: h_0 is [L·D, B, 5], and x is "
        "[5, 2, 3].\n  L·D differs: 1 in h_0, 2 in the layer. H differs: 4 in h_0, 5 in the layer.",
    ),
    (
        CallError,
        lambda: nn.LSTM(3, 4)(X, H),
        "LSTM: hx is not what the layer has for states.\n"
        "  Expected two tensors, (h_0, c_0); got a Tensor.",
    ),
    (
        CallError,
        lambda: nn.GRU(3, 4)(X, (H, H)),
        "GRU: hx is not what the layer has for states.\n"
        "  Expected one tensor, h_0; got a tuple of 2.",
    ),
    (
        CallError,
        lambda: nn.GRU(3, 4)(X, H[0]),
        "GRU: the initial state does not have the dimensions that the input asks for.\n"
        "  For batched 3-D input, hx should also be 3-D but got 2-D tensor.",
    ),
    (
        CallError,
        lambda: nn.LSTM(3, 4)(X[:, 0], (H, H)),
        "LSTM: the initial state does not have the dimensions that the input asks for.\n"
        "  For unbatched 2-D input, hx and cx should also be 2-D but got (3-D, 3-D) tensors.",
    ),
    (
        CallError,
        lambda: nn.GRU(3, 4)(X, H.to(F64)),
        "GRU: the initial state and the input differ in type or device.\n"
        "  Input and hidden tensors are not the same: x is torch.float32 on cpu, h_0 is "
        "torch.float64 on cpu.",
    ),
    # lengths and masks
    (
        ConfigError,
        lambda: nn.GRU(3, 4)(X, lengths=[1, 2], mask=torch.ones(5, 2, dtype=torch.bool)),
        "GRU: lengths and mask are both given.\n  Each says which steps are real: give one of "
        "them.",
    ),
    (
        ShapeError,
        lambda: nn.GRU(3, 4, batch_first=True)(X, mask=torch.ones(2, 5, dtype=torch.bool)),
        "GRU: mask does not fit the input.\n  mask is [5, 2] of torch.bool; expected booleans, one "
        "for each step of each row: T = 2 and B = 5. True is a real step.\n"
        "  Its dimensions are the other way round: mask and input have one layout.",
    ),
    (
        ConfigError,
        lambda: nn.LSTM(3, 4)(packed([2, 2, 2]), lengths=[3, 3]),
        "LSTM: lengths or mask beside a PackedSequence.\n"
        "  The sequence has its own lengths: leave the others out.",
    ),
    (
        ShapeError,
        lambda: nn.LSTM(3, 4)(X, lengths=3),
        "LSTM: lengths must be whole numbers, one a row.\n"
        "  lengths is 3; expected a tensor or a list [B] = [2].",
    ),
    (
        ShapeError,
        lambda: nn.LSTM(3, 4)(X, lengths=[6, 2]),
        "LSTM: a length is out of range.\n"
        "  lengths go from 2 to 6; expected 0 to T = 5, because x is [5, 2, 3].",
    ),
    (
        ShapeError,
        lambda: nn.GRU(3, 4)(X, lengths=torch.ones(2)),
        "GRU: lengths must be whole numbers, one a row.\n"
        "  lengths is [2] of torch.float32; expected [B] = [2].",
    ),
    # a PackedSequence whose fields do not fit
    (
        ShapeError,
        lambda: nn.LSTM(3, 4)(packed([2, 2, 2], X)),
        f"{FIELDS}data is [5, 2, 3]; expected [N, I], the real steps of all rows.",
    ),
    (
        ShapeError,
        lambda: nn.LSTM(3, 4)(packed([])),
        f"{FIELDS}batch_sizes is [0] of torch.float32; expected whole numbers [T], how many rows "
        "reach each step.",
    ),
    (
        ShapeError,
        lambda: nn.LSTM(3, 4)(packed([1, 2, 3])),
        f"{FIELDS}batch_sizes is [1, 2, 3]; expected numbers of at least 1 that never rise: the "
        "rows stand longest first.",
    ),
    (
        ShapeError,
        lambda: nn.LSTM(3, 4)(packed([4, 2, 0])),
        f"{FIELDS}batch_sizes is [4, 2, 0]; expected numbers of at least 1 that never rise: the "
        "rows stand longest first.",
    ),
    (
        ShapeError,
        lambda: nn.LSTM(3, 4)(packed([2, 2])),
        f"{FIELDS}batch_sizes adds up to 4; expected 6, because data is [6, 3].",
    ),
    (
        ShapeError,
        lambda: nn.LSTM(3, 4)(packed([3, 3], order=torch.arange(2), inverse=torch.arange(3))),
        f"{FIELDS}sorted_indices is [2]; expected [B] = [3], the first of batch_sizes.",
    ),
    (
        ShapeError,
        lambda: nn.LSTM(3, 4)(packed([3, 3], order=torch.arange(3))),
        f"{FIELDS}sorted_indices is given and unsorted_indices is missing; each is the inverse of "
        "the other.",
    ),
    (
        ShapeError,
        lambda: nn.LSTM(3, 4)(
            packed([3, 3], order=torch.tensor([1, 2, 0]), inverse=torch.tensor([1, 2, 0]))
        ),
        f"{FIELDS}unsorted_indices is not the inverse of sorted_indices: expected "
        "unsorted_indices[sorted_indices] to be 0, 1, …, B − 1.",
    ),
    (
        CallError,
        lambda: nn.LSTM(2, 4)(packed([3, 3])),
        "LSTM: the input does not fit the layer.\n  x is [6, 3]. input.size(-1) must be equal to "
        "input_size. Expected 2, got 3.",
    ),
    # one step
    (
        KindError,
        lambda: nn.LSTMCell(3, 0),
        "LSTMCell: hidden_size is 0.\n  Expected a whole number of at least 1.",
    ),
    (
        ConfigError,
        lambda: nn.RNNCell(3, 4, nonlinearity="selu"),
        "RNNCell: nonlinearity is 'selu'.\n"
        "  Unknown nonlinearity: selu. Select from 'tanh' or 'relu'.",
    ),
    (
        ShapeError,
        lambda: nn.GRUCell(3, 4)(X),
        "GRUCell: the input must have one or two dimensions.\n"
        "  x is [5, 2, 3]. Expected input to be 1D or 2D, got 3D instead.",
    ),
    (
        ShapeError,
        lambda: nn.GRUCell(3, 4)([1.0]),
        "GRUCell: the input is a list.\n  Expected a torch.Tensor [B, I] or [I].",
    ),
    (
        CallError,
        lambda: nn.GRUCell(3, 4)(X[0, :, :2]),
        "GRUCell: the input does not fit the cell.\n  x is [2, 2]; expected [B, I]. input has "
        "inconsistent input_size: got 2 expected 3.",
    ),
    (
        ShapeError,
        lambda: nn.LSTMCell(3, 4)(X[0], (H[0], H)),
        "LSTMCell: the state must have one or two dimensions.\n"
        "  Expected hx[1] to be 1D or 2D, got 3D instead.",
    ),
    (
        CallError,
        lambda: nn.GRUCell(3, 4)(X[0], torch.zeros(3, 4)),
        "GRUCell: the state does not fit the input.\n  hidden is [3, 4]; expected [B, H] = [2, 4].",
    ),
    (
        CallError,
        lambda: nn.LSTMCell(3, 4)(X[0], (H[0],)),
        "LSTMCell: hx is not what the cell has for states.\n  Expected two tensors, (h, c).",
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


TORCHS: list[Callable[[Any], object]] = [
    lambda nn: nn.LSTM(3, 4, 2, dropout=1.5),
    lambda nn: nn.GRU(3, 4, bias=1),
    lambda nn: nn.GRU(3.0, 4),
    lambda nn: nn.RNN(3, 0),
    lambda nn: nn.LSTM(3, 4, proj_size=4),
    lambda nn: nn.GRU(3, 4, proj_size=2),
    lambda nn: nn.RNN(3, 4, nonlinearity="garbage"),
    lambda nn: nn.GRU(3, 4)(torch.zeros(1, 2, 3, 3)),
    lambda nn: nn.LSTM(3, 4, num_layers=2)(torch.zeros(5, 2, 7)),
    lambda nn: nn.LSTM(3, 4)(X.to(F64)),
    lambda nn: nn.LSTM(3, 4)(X, (H, H[:, :1])),
    lambda nn: nn.GRU(3, 4)(X, H[0]),
    lambda nn: nn.LSTM(3, 4)(X[:, 0], (H, H)),
    lambda nn: nn.GRU(3, 5, 2)(X, H),
    lambda nn: nn.GRU(3, 4)(X, H.to(F64)),
    lambda nn: nn.GRUCell(3, 4)(X),
    lambda nn: nn.GRUCell(3, 4)(X[0, :, :2]),
    lambda nn: nn.GRUCell(3, 4)(X[0], torch.zeros(3, 4)),
    lambda nn: nn.LSTMCell(3, 4)(X[0], (H[0], H)),
]


@pytest.mark.parametrize("call", TORCHS)
def test_torchs_kind_of_error(call: Callable[[Any], object]) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        call(torch.nn)
    kind = next(k for k in (ValueError, TypeError, RuntimeError) if isinstance(theirs.value, k))
    with pytest.raises(kind) as ours:
        call(nn)
    assert isinstance(ours.value, RecurnnError)


def test_dropout_with_one_layer_warns_as_torch_does() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nn.LSTM(3, 4, dropout=0.5)
    assert [str(w.message) for w in caught] == [
        "LSTM: dropout=0.5 acts between layers, and num_layers is 1."
    ]
    assert caught[0].filename == __file__
