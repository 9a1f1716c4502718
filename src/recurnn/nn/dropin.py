"""`RNN`, `GRU` and `LSTM` with torch's arguments, results and parameter names, run by `scan`.

Each is a subclass of its torch namesake, from which it has its parameters, their names, their
initialisation and its checks of the arguments; only ``forward`` is ours. torch stacks the gates
in one matrix and has two biases; a binding says where in them each weight of our cell lies.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from recurnn import cells
from recurnn.compiler import Binding, Bound, Piece
from recurnn.errors import ConfigError, ShapeError
from recurnn.scan import scan


class _Scanned:
    """The forward pass that the three layers share; mixed in before a subclass of RNNBase."""

    gates: tuple[str, ...]

    def _run(
        self, layer: nn.RNNBase, x: Tensor, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run every layer and direction. x is [T, B, I]; each state is [L·D, B, its size]."""
        D = 2 if layer.bidirectional else 1
        last: list[tuple[Tensor, ...]] = []
        for k in range(layer.num_layers):
            outputs = []
            for d in range(D):
                cell = self.cell_of(layer, k)
                start = None if state is None else tuple(s[k * D + d] for s in state)
                result = scan(
                    cell, x, start, parameters=self.weights_of(layer, k, d), reverse=d == 1
                )
                outputs.append(result.output)
                last.append(tuple(result.state.values()))
            x = outputs[0] if D == 1 else torch.cat(outputs, dim=-1)
            if layer.dropout > 0 and k < layer.num_layers - 1:
                x = F.dropout(x, layer.dropout, layer.training)
        if len(last) == 1:
            return x, tuple(s.unsqueeze(0) for s in last[0])
        return x, tuple(torch.stack(states) for states in zip(*last, strict=True))

    def cell_of(self, layer: nn.RNNBase, k: int) -> cells.Cell:
        """The cell of layer k as a description: it has no weights of its own."""
        below = layer.proj_size or layer.hidden_size
        return _cell(
            layer.mode,
            below * (2 if layer.bidirectional else 1) if k else layer.input_size,
            layer.hidden_size,
            layer.proj_size,
            bias=layer.bias,
        )

    def weights_of(self, layer: nn.RNNBase, k: int, d: int = 0) -> Bound:
        """Torch's stacked weights of layer k in direction d, bound to the names of our cell."""
        binding = _binding(
            self.gates, layer.hidden_size, bias=layer.bias, projected=layer.proj_size > 0
        )
        names = _names(k, d, bias=layer.bias, projected=layer.proj_size > 0)
        return Bound(binding, [getattr(layer, name) for name in names])

    def _batched(
        self, layer: nn.RNNBase, x: Tensor | PackedSequence, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Torch's layouts in and out: unbatched, batch-major or time-major."""
        if isinstance(x, PackedSequence):
            raise ConfigError(
                f"{type(layer).__name__}: a PackedSequence is not taken here.\n"
                "  Pad it (torch.nn.utils.rnn.pad_packed_sequence) and give recurnn.nn.Recurrent "
                "the lengths."
            )
        if x.dim() not in (2, 3):
            raise ShapeError(  # torch's text
                f"{type(layer).__name__}: Expected input to be 2D or 3D, got {x.dim()}D instead"
            )
        single = x.dim() == 2
        if single:
            x = x.unsqueeze(0 if layer.batch_first else 1)
            state = None if state is None else tuple(s.unsqueeze(1) for s in state)
        if state is not None:
            hidden: Any = state if isinstance(layer, nn.LSTM) else state[0]
            layer.check_forward_args(x, hidden, None)
        if layer.batch_first:
            x = x.transpose(0, 1)
        y, last = self._run(layer, x, state)
        if single:
            return y.squeeze(1), tuple(s.squeeze(1) for s in last)
        return (y.transpose(0, 1) if layer.batch_first else y), last


@functools.cache
def _names(k: int, d: int, *, bias: bool, projected: bool) -> list[str]:
    """Torch's names of the weights of layer k in direction d, in its order."""
    names = ["weight_ih", "weight_hh"]
    names += ["bias_ih", "bias_hh"] if bias else []
    names += ["weight_hr"] if projected else []
    return [f"{name}_l{k}{'_reverse' if d else ''}" for name in names]


@functools.cache
def _binding(gates: tuple[str, ...], H: int, *, bias: bool, projected: bool) -> Binding:
    """Which rows of torch's tensors (W, U, the two biases, the projection) each weight is."""
    pieces: dict[str, tuple[Piece, ...]] = {}
    for k, gate in enumerate(gates):
        tail, row = f"_{gate}" if gate else "", k * H
        pieces |= {f"W{tail}": (Piece(0, row),), f"U{tail}": (Piece(1, row),)}
        if bias and gate == "n":
            # The reset gate multiplies U_n h + b_hh, so n keeps its two biases apart.
            pieces |= {"b_n": (Piece(2, row),), "b_u": (Piece(3, row),)}
        elif bias:
            pieces[f"b{tail}"] = (Piece(2, row), Piece(3, row))
    if projected:
        pieces["W_p"] = (Piece(4 if bias else 2),)
    return Binding(tuple(pieces.items()))


@functools.cache
def _cell(mode: str, size: int, hidden_size: int, proj_size: int, *, bias: bool) -> cells.Cell:
    """One cell of each kind, so that what is known of it is known for all layers."""
    options: dict[str, Any] = {"bias": bias, "device": "meta"}
    if mode == "LSTM" and proj_size:
        return cells.ProjectedLSTM(size, hidden_size, proj_size=proj_size, **options)
    if mode == "LSTM":
        return cells.LSTM(size, hidden_size, **options)
    if mode == "GRU":
        return cells.GRU(size, hidden_size, **options)
    phi = "relu" if mode == "RNN_RELU" else "tanh"
    return cells.Elman(size, hidden_size, nonlinearity=phi, **options)


class RNN(_Scanned, nn.RNN):
    """Drop-in for `torch.nn.RNN`: the Elman cell, L layers, one or two directions.

    Takes torch's arguments, gives torch's results, and has torch's parameter names.

    Example:
        >>> import torch, recurnn
        >>> layer = recurnn.nn.RNN(3, 8, num_layers=2)
        >>> y, h = layer(torch.randn(7, 2, 3))
        >>> y.shape, h.shape
        (torch.Size([7, 2, 8]), torch.Size([2, 2, 8]))
    """

    gates = ("",)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """As `torch.nn.RNN.forward`: input [T, B, I] and hx [L·D, B, H] to output and h_n."""
        y, (h,) = self._batched(self, input, None if hx is None else (hx,))
        return y, h


class GRU(_Scanned, nn.GRU):
    """Drop-in for `torch.nn.GRU`: reset gate after the product, L layers, one or two directions.

    Takes torch's arguments, gives torch's results, and has torch's parameter names.

    Example:
        >>> import torch, recurnn
        >>> layer = recurnn.nn.GRU(3, 8, bidirectional=True)
        >>> layer.load_state_dict(torch.nn.GRU(3, 8, bidirectional=True).state_dict())
        <All keys matched successfully>
        >>> layer(torch.randn(7, 2, 3))[0].shape
        torch.Size([7, 2, 16])
    """

    gates = ("r", "z", "n")

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """As `torch.nn.GRU.forward`: input [T, B, I] and hx [L·D, B, H] to output and h_n."""
        y, (h,) = self._batched(self, input, None if hx is None else (hx,))
        return y, h


class LSTM(_Scanned, nn.LSTM):
    """Drop-in for `torch.nn.LSTM`, projections included: L layers, one or two directions.

    Takes torch's arguments, gives torch's results, and has torch's parameter names.

    Example:
        >>> import torch, recurnn
        >>> layer = recurnn.nn.LSTM(3, 8, batch_first=True)
        >>> y, (h, c) = layer(torch.randn(2, 7, 3))
        >>> y.shape, c.shape
        (torch.Size([2, 7, 8]), torch.Size([1, 2, 8]))
    """

    gates = ("i", "f", "g", "o")

    def forward(  # type: ignore[override]
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """As `torch.nn.LSTM.forward`: input [T, B, I], (h_0, c_0) to output and (h_n, c_n)."""
        y, (h, c) = self._batched(self, input, hx)
        return y, (h, c)
