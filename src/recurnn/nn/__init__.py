"""Layers: `Recurrent` of any cell, drop-ins for torch's recurrent layers, combinations of both."""

from recurnn.nn.bidirectional import Bidirectional
from recurnn.nn.clip import ClipCounts, clip_counts, set_clip_gradient
from recurnn.nn.conv import ConvLSTM
from recurnn.nn.convert import convert
from recurnn.nn.cross_entropy import linear_cross_entropy
from recurnn.nn.draw import Dropout
from recurnn.nn.dropin import GRU, LSTM, RNN
from recurnn.nn.output import LinearCrossEntropy
from recurnn.nn.recurrent import Recurrent
from recurnn.nn.results import LayerResult
from recurnn.nn.stack import Stack
from recurnn.nn.steps import GRUCell, LSTMCell, RNNCell

__all__ = [
    "Recurrent", "Bidirectional", "Stack", "ConvLSTM", "LayerResult",
    "RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell", "Dropout", "convert",
    "set_clip_gradient", "clip_counts", "ClipCounts", "LinearCrossEntropy", "linear_cross_entropy",
]  # fmt: skip
