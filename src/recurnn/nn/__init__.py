"""Layers: `Recurrent` of any cell, and drop-ins for torch's recurrent layers."""

from recurnn.nn.convert import convert
from recurnn.nn.dropin import GRU, LSTM, RNN
from recurnn.nn.recurrent import Recurrent
from recurnn.nn.steps import GRUCell, LSTMCell, RNNCell

__all__ = [
    "Recurrent", "RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell", "convert",
]  # fmt: skip
