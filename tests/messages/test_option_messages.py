"""Every error of the options beyond torch, of `Recurrent` and of combined layers, by its text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import recurnn
from recurnn import cells, nn
from recurnn.errors import ConfigError, EngineError, KindError, RecurnnError, ShapeError

X = torch.zeros(5, 2, 3)
H = torch.zeros(1, 2, 4)
GRU = cells.GRU(3, 4)


def twice(layer: Any) -> None:
    layer(X)
    layer(X[:, :1])


MESSAGES: list[tuple[type[RecurnnError], Callable[[], object], str]] = [
    # options beyond torch
    (
        KindError,
        lambda: nn.LSTM(3, 4, bidirectonal=True),
        "LSTM: option: there is no 'bidirectonal'.\n  Known: num_layers, nonlinearity, bias, "
        "batch_first, dropout, bidirectional, proj_size, device, dtype, merge, share, reverse, "
        "initial, stateful, connections, input_dropout, state_dropout, weight_dropout, zoneout, "
        "layer_norm, activation, gate_activation, forget_bias, memory, clip_gradient, init. Did "
        "you mean 'bidirectional'?",
    ),
    (
        ConfigError,
        lambda: nn.GRU(3, 4, bidirectional=True, merge="add"),
        "GRU: merge: there is no 'add'.\n  Known: concat, sum, mean, mul, None.",
    ),
    (
        ConfigError,
        lambda: nn.GRU(3, 4, merge="sum"),
        "GRU: merge='sum' does not fit.\n  Only a bidirectional layer has two outputs to merge: "
        "bidirectional=True.",
    ),
    (
        ConfigError,
        lambda: nn.GRU(3, 4, share="both"),
        "GRU: share='both' does not fit.\n  Only a bidirectional layer has weights to share: "
        "bidirectional=True.",
    ),
    (
        ConfigError,
        lambda: nn.GRU(3, 4, bidirectional=True, reverse=True),
        "GRU: reverse=True does not fit.\n  A bidirectional layer runs in both directions already.",
    ),
    (
        ConfigError,
        lambda: nn.GRU(3, 4, 2, bidirectional=True, merge=None, connections="residual"),
        "GRU: merge=None does not fit.\n  The last layer would add its input to a pair of outputs: "
        "connections='residual'.",
    ),
    (
        ConfigError,
        lambda: nn.LSTM(3, 4, layer_norm=True, proj_size=2),
        "LSTM: layer_norm=True does not fit.\n"
        "  The layer-normed LSTM has no projection: proj_size=0.",
    ),
    (
        ConfigError,
        lambda: nn.LSTM(3, 4, layer_norm=True, activation="relu"),
        "LSTM: layer_norm=True does not fit.\n"
        "  The layer-normed cell has its own activations: leave activation and gate_activation.",
    ),
    (
        ConfigError,
        lambda: nn.LSTM(3, 4, proj_size=2, activation="relu"),
        "LSTM: activation does not fit.\n"
        "  The projected LSTM has its own activations: proj_size=0.",
    ),
    (
        ConfigError,
        lambda: nn.RNN(3, 4, nonlinearity="relu", activation="elu"),
        "RNN: activation does not fit.\n  nonlinearity is given too: one of them.",
    ),
    (
        ConfigError,
        lambda: nn.RNN(3, 4, gate_activation="relu"),
        "RNN: gate_activation does not fit.\n  An Elman network has no gates.",
    ),
    (
        ConfigError,
        lambda: nn.LSTM(3, 4, activation="swish"),
        "activation: there is no 'swish'.\n  Known: tanh, relu, sigmoid, identity, hard_sigmoid, "
        "hard_tanh, softsign, softplus, elu, selu, silu, gelu, leaky_relu.",
    ),
    (
        ConfigError,
        lambda: nn.GRU(3, 4, forget_bias=1.0),
        "GRU: forget_bias does not fit.\n  Only the LSTM has a forget gate.",
    ),
    (
        ConfigError,
        lambda: nn.LSTM(3, 4, bias=False, forget_bias=1.0),
        "LSTM: forget_bias does not fit.\n  The layer has no biases: bias=True.",
    ),
    (
        KindError,
        lambda: nn.LSTM(3, 4, stateful=1),
        "LSTM: stateful is 1.\n  Expected True or False.",
    ),
    (
        ConfigError,
        lambda: nn.LSTM(3, 4, weight_dropout=1.0),
        "LSTM: weight_dropout is 1.0.\n  Expected a probability: at least 0 and below 1.",
    ),
    (
        ConfigError,
        lambda: nn.GRU(3, 4, zoneout={"c": 0.1}),
        "GRU: zoneout: state: there is no 'c'.\n  Known: h.",
    ),
    (
        ConfigError,
        lambda: nn.LSTM(3, 4)(torch.nn.utils.rnn.pack_sequence([X[:, 0]]), return_gates=True),
        "LSTM: reset, return_states, return_gates or gradient_norms with a PackedSequence.\n"
        "  Pad it (torch.nn.utils.rnn.pad_packed_sequence) and give the layer lengths.",
    ),
    (
        ConfigError,
        lambda: nn.GRU(3, 4)(X, gradient_norms=3),
        "scan: gradient_norms is 3.\n"
        "  Expected a recurnn.GradientNorms(), which the backward pass fills.",
    ),
    (
        KindError,
        lambda: nn.LSTM(3, 4, forget_bias="one"),
        "LSTM: forget_bias is 'one'.\n  Expected a number.",
    ),
    (
        ConfigError,
        lambda: nn.GRU(3, 4, memory="little"),
        "GRU: memory: there is no 'little'.\n  Known: high, low.",
    ),
    (
        ConfigError,
        lambda: nn.GRU(3, 4, 2)(X, gradient_norms=recurnn.GradientNorms()),
        "GRU: gradient_norms has 1 entry; expected 2, one for each layer and direction in the "
        "order of h.\n  [recurnn.GradientNorms() for _ in range(2)] makes them.",
    ),
    (
        ConfigError,
        lambda: nn.convert(torch.nn.Sequential(nn.GRU(3, 4, layer_norm=True)), to="torch"),
        "convert: a GRU has layer_norm=True.\n  torch.nn.GRU has no such option.",
    ),
    # Recurrent
    (
        ConfigError,
        lambda: nn.Recurrent(torch.nn.Tanh()),
        "Recurrent: the cell is Tanh().\n"
        "  Expected a cell with its sizes, such as recurnn.cells.GRU(8, 32).",
    ),
    (
        ConfigError,
        lambda: nn.Recurrent(GRU, engine="gpu"),
        "GRU: engine: there is no 'gpu'.\n  Known: auto, reference, cpu. Did you mean 'cpu'?",
    ),
    (
        ConfigError,
        lambda: nn.Recurrent(GRU, memory="little"),
        "GRU: memory: there is no 'little'.\n  Known: high, low.",
    ),
    (
        ShapeError,
        lambda: nn.Recurrent(GRU, batch_first=True)([1.0]),
        "GRU: the input must have three dimensions.\n  x is a list; expected [B, T, I] with I = 3.",
    ),
    (
        EngineError,
        lambda: nn.Recurrent(cells.GRU(3, 4, dtype=torch.float16), engine="cpu")(X.half()),
        "GRU: the engine 'cpu' cannot run this.\n  there is no kernel for torch.float16.\n"
        "  Use engine='auto' or engine='reference'.",
    ),
    (
        ConfigError,
        lambda: nn.Recurrent(GRU, initial="learnt"),
        "GRU: initial: there is no 'learnt'.\n  Known: zeros, learned. Did you mean 'learned'?",
    ),
    (
        ConfigError,
        lambda: nn.Recurrent(GRU, zoneout=2),
        "GRU: zoneout is 2.\n  Expected a probability: at least 0 and below 1.",
    ),
    (
        ConfigError,
        lambda: nn.Recurrent(cells.MinGRU(3, 4), state_dropout=0.5),
        "MinGRU: state_dropout has nothing to act on.\n  It acts on what the matrices multiply "
        "whose names begin with U, and the cell has none.",
    ),
    (
        ConfigError,
        lambda: nn.Recurrent(cells.MinGRU(3, 4), weight_dropout=0.5),
        "MinGRU: weight_dropout has nothing to act on.\n"
        "  It acts on the matrices whose names begin with U, and the cell has none.",
    ),
    (
        ShapeError,
        lambda: twice(nn.Recurrent(GRU, stateful=True)),
        "GRU: the carried state does not fit the input.\n  The last call had 2 rows, x has 1: call "
        "reset_states() where new sequences begin.",
    ),
    # combined
    (
        ConfigError,
        lambda: nn.Bidirectional(nn.Recurrent(GRU), merge="add"),
        "Bidirectional: merge: there is no 'add'.\n  Known: concat, sum, mean, mul, None.",
    ),
    (
        ConfigError,
        lambda: nn.Bidirectional(nn.Recurrent(GRU), nn.Recurrent(GRU), share="both"),
        "Bidirectional: share with a layer of one's own for the way back.\n"
        "  Share the parameters there, or leave `backward` out.",
    ),
    (
        ConfigError,
        lambda: nn.Bidirectional(nn.ConvLSTM(3, 4), share="input"),
        "Bidirectional: share='input' with a ConvLSTM.\n  Which weights are the input's is known "
        "of a Recurrent, RNN, GRU and LSTM: share='both' shares all.",
    ),
    (
        ShapeError,
        lambda: nn.Bidirectional(
            nn.GRU(3, 4), nn.Recurrent(cells.GRU(3, 5), reverse=True), merge="sum"
        )(X),
        "Bidirectional: merge='sum' needs outputs of one size.\n  They are [5, 2, 4] and "
        "[5, 2, 5]: give both layers the same size, or merge='concat'.",
    ),
    (
        ConfigError,
        lambda: nn.Bidirectional(torch.nn.Linear(3, 4)),
        "Bidirectional: a Linear has no direction.\n"
        "  Expected a recurrent layer: a Recurrent, RNN, GRU, LSTM, ConvLSTM or Stack.",
    ),
    (
        ShapeError,
        lambda: nn.Bidirectional(nn.GRU(3, 4))(X, H),
        "Bidirectional: state is not a pair.\n  Got Tensor; expected the states of the layer that "
        "runs forward, and those of the one that runs back.",
    ),
    (
        ShapeError,
        lambda: nn.Bidirectional(nn.GRU(3, 4))(X, lengths=[6, 2]),
        "Bidirectional: a length is out of range.\n"
        "  lengths go from 2 to 6; expected 0 to T = 5, because x is [5, 2, 3].",
    ),
    (
        ShapeError,
        lambda: nn.Stack(torch.nn.Linear(3, 2))(X, lengths=[1, 1, 1]),
        "Stack: lengths does not fit the input.\n"
        "  lengths is [3]; expected [B] = [2], because x is [5, 2, 3].",
    ),
    (
        ConfigError,
        lambda: nn.Stack(nn.GRU(3, 4, bidirectional=True, merge=None))(X),
        "Stack: layer 0, a GRU, gives no single output but a tuple.\n"
        "  Give it another merge than None.",
    ),
    (ConfigError, lambda: nn.Stack(), "Stack: there are no layers.\n  Give it one or more."),
    (
        ConfigError,
        lambda: nn.Stack(nn.GRU(3, 4), connections="skip"),
        "Stack: connections: there is no 'skip'.\n  Known: residual, dense, None.",
    ),
    (
        ShapeError,
        lambda: nn.Stack(nn.GRU(3, 4), torch.nn.Tanh())(X, [None]),
        "Stack: state has 1 entries; expected one for each of the 2 layers, None for those without "
        "a state.",
    ),
    (
        ConfigError,
        lambda: nn.Stack(torch.nn.MaxPool1d(2, ceil_mode=True))(X, lengths=[5, 3]),
        "Stack: lengths cannot be followed through this MaxPool1d.\n  With ceil_mode or a padding "
        "other than zeros a row would see what is past its end.",
    ),
    (
        ConfigError,
        lambda: nn.Stack(torch.nn.MaxPool1d(2))(X, reset=torch.zeros(5, 2, dtype=torch.bool)),
        "Stack: a mask or a reset, and a MaxPool1d that makes 2 steps of 5.\n"
        "  Give lengths, or a layer that keeps the number of steps.",
    ),
    (
        ConfigError,
        lambda: nn.ConvLSTM(3, 4, 4),
        "ConvLSTM: kernel_size is 4.\n"
        "  Expected an odd number, or 2 of them, so that the image keeps its size.",
    ),
    (
        ConfigError,
        lambda: nn.ConvLSTM(3, 4, dimensions=4),
        "ConvLSTM: dimensions is 4; expected 1, 2 or 3.",
    ),
    (
        KindError,
        lambda: nn.LSTM(3, 4, recurrent_dropout=0.1),
        "LSTM: there is no option 'recurrent_dropout'.\n  It is 'state_dropout' here.",
    ),
    (
        ConfigError,
        lambda: nn.LSTM(3, 4, activation=torch.nn.ReLU()),
        "activation is the module ReLU.\n  Expected a name, such as 'relu', or a function, such as "
        "torch.relu.",
    ),
    (
        ShapeError,
        lambda: nn.ConvLSTM(3, 4)(X),
        "ConvLSTM: the input does not fit the layer.\n  x is [5, 2, 3]; expected [T, B, I, *image] "
        "with I = 3 and an image of 2 dimensions.",
    ),
    (
        ShapeError,
        lambda: nn.ConvLSTM(3, 4, dimensions=1)(torch.zeros(5, 2, 3, 6).double()),
        "ConvLSTM: the input and the weights differ in type or device.\n  x is torch.float64 on "
        "cpu; the weights are torch.float32 on cpu.\n  Move one of them with .to(...).",
    ),
    (
        ShapeError,
        lambda: nn.ConvLSTM(3, 4, dimensions=1)(torch.zeros(5, 2, 3, 6), lengths=[9, 1]),
        "ConvLSTM: a length is out of range.\n"
        "  lengths go from 1 to 9; expected 0 to T = 5, because x is [5, 2, 3, 6].",
    ),
    (
        ShapeError,
        lambda: nn.ConvLSTM(3, 4, dimensions=1)(
            torch.zeros(5, 2, 3, 6), reset=torch.zeros(2, 5, dtype=torch.bool)
        ),
        "ConvLSTM: reset does not fit the input.\n  reset is [2, 5] of torch.bool; expected "
        "booleans [T, B] = [5, 2], because x is [5, 2, 3, 6].",
    ),
    (
        ShapeError,
        lambda: nn.ConvLSTM(3, 4, dimensions=1)(torch.zeros(5, 2, 3, 6), (H[0], H[0])),
        "ConvLSTM: the initial state does not fit the input.\n"
        "  h is [2, 4]; expected [B, H, *image] = [2, 4, 6].",
    ),
    (
        ConfigError,
        lambda: recurnn.stepper(nn.GRU(3, 4, zoneout=0.1)),
        "stepper: a GRU with zoneout cannot be run step by step.\n"
        "  Run it with the state of the last call, or stateful=True, a step at a time.",
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
