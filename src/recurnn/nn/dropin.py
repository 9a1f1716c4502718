"""`RNN`, `GRU` and `LSTM` with torch's arguments, results and parameter names."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from recurnn.errors import ConfigError
from recurnn.nn.scanned import Lengths, Norms, Scanned, asked

Input = Tensor | PackedSequence
Every = Literal["last", "all"]


class _OneState(Scanned):
    """A layer whose only state is h."""

    def forward(
        self,
        input: Input,
        hx: Tensor | None = None,
        *,
        lengths: Lengths = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
        return_states: Every = "last",
        return_gates: bool = False,
        gradient_norms: Norms = None,
    ) -> Any:
        """Run the layer as torch's; see `LSTM.forward` for what is more.

        Args:
            input: x, [T, B, I], [B, T, I] if batch_first, [T, I] without a batch, or packed.
            hx: the initial h, [L·D, B, H].
            lengths: real steps of each row, [B].
            mask: which steps are real, of the input's shape without I.
            reset: where a new sequence begins, of the same shape.
            return_states: ``"all"`` for the states at every step.
            return_gates: whether to return the gates at every step.
            gradient_norms: what the backward pass fills with the norms of dL/dstate, [T, B]: a
                list with a `recurnn.GradientNorms` for each layer and direction, in the order of
                h_n; or one, where there is one.

        Returns:
            output, h_n; and the results of every layer and direction, if more was asked for.
        """
        how = asked(return_states, return_gates)
        y, (h,), seen = self._call(input, hx, lengths, mask, reset, how, gradient_norms)
        return (y, h, seen) if how else (y, h)


class RNN(_OneState):
    """Drop-in for `torch.nn.RNN`: the Elman cell, L layers, one or two directions.

    Takes torch's arguments, gives torch's results, and has torch's parameter names.

    Args:
        input_size: I.
        hidden_size: H.
        num_layers: L.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        *args: as in torch: bias, batch_first, dropout, bidirectional, device, dtype.
        **options: the same by name.

    Example:
        >>> import torch, recurnn
        >>> layer = recurnn.nn.RNN(3, 8, num_layers=2)
        >>> y, h = layer(torch.randn(7, 2, 3))
        >>> y.shape, h.shape
        (torch.Size([7, 2, 8]), torch.Size([2, 2, 8]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **options: Any,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ConfigError(
                f"RNN: nonlinearity is {nonlinearity!r}.\n"
                f"  Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        _no_projection("RNN", options)
        mode = "RNN_RELU" if nonlinearity == "relu" else "RNN_TANH"
        super().__init__(mode, input_size, hidden_size, num_layers, *args, **options)
        self.nonlinearity = nonlinearity


class GRU(_OneState):
    """Drop-in for `torch.nn.GRU`: reset gate after the product, L layers, one or two directions.

    Takes torch's arguments, gives torch's results, and has torch's parameter names.

    Args:
        input_size: I.
        hidden_size: H.
        *args: as in torch: num_layers, bias, batch_first, dropout, bidirectional.
        **options: the same by name, device and dtype.

    Example:
        >>> import torch, recurnn
        >>> layer = recurnn.nn.GRU(3, 8, bidirectional=True)
        >>> layer.load_state_dict(torch.nn.GRU(3, 8, bidirectional=True).state_dict())
        <All keys matched successfully>
        >>> layer(torch.randn(7, 2, 3))[0].shape
        torch.Size([7, 2, 16])
    """

    def __init__(self, input_size: int, hidden_size: int, *args: Any, **options: Any) -> None:
        _no_projection("GRU", options)
        super().__init__("GRU", input_size, hidden_size, *args, **options)


class LSTM(Scanned):
    """Drop-in for `torch.nn.LSTM`, projections included: L layers, one or two directions.

    Takes torch's arguments, gives torch's results, and has torch's parameter names.

    Args:
        input_size: I.
        hidden_size: H.
        *args: as in torch: num_layers, bias, batch_first, dropout, bidirectional, proj_size.
        **options: the same by name, device and dtype.

    Example:
        >>> import torch, recurnn
        >>> layer = recurnn.nn.LSTM(3, 8, batch_first=True)
        >>> y, (h, c) = layer(torch.randn(2, 7, 3))
        >>> y.shape, c.shape
        (torch.Size([2, 7, 8]), torch.Size([1, 2, 8]))
        >>> y, (h, c) = layer(torch.randn(2, 7, 3), lengths=[7, 4])
        >>> bool(y[1, 4:].any())
        False
    """

    def __init__(self, input_size: int, hidden_size: int, *args: Any, **options: Any) -> None:
        super().__init__("LSTM", input_size, hidden_size, *args, **options)

    def forward(
        self,
        input: Input,
        hx: tuple[Tensor, Tensor] | None = None,
        *,
        lengths: Lengths = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
        return_states: Every = "last",
        return_gates: bool = False,
        gradient_norms: Norms = None,
    ) -> Any:
        """Run the layer as torch's, with lengths, masks and resets if they are given.

        Args:
            input: x, [T, B, I], [B, T, I] if batch_first, [T, I] without a batch, or packed.
            hx: the initial h, [L·D, B, H], and c, in a pair.
            lengths: real steps of each row, [B]. What stands past them acts on nothing.
            mask: which steps are real, of the input's shape without I; instead of lengths. A step
                that is not passes the state on, and the output there is zero.
            reset: where a new sequence begins, of the same shape.
            return_states: ``"all"`` for the states at every step.
            return_gates: whether to return the gates at every step.
            gradient_norms: what the backward pass fills with the norms of dL/dstate, [T, B]: a
                list with a `recurnn.GradientNorms` for each layer and direction, in the order of
                h_n; or one, where there is one.

        Returns:
            output and (h_n, c_n), as in torch. If states or gates were asked for, also a list with
            the `ScanResult` of each layer and direction, in the order of h_n; with batch_first its
            values are [B, T, ...] too.
        """
        how = asked(return_states, return_gates)
        y, (h, c), seen = self._call(input, hx, lengths, mask, reset, how, gradient_norms)
        return (y, (h, c), seen) if how else (y, (h, c))


def _no_projection(name: str, options: dict[str, Any]) -> None:
    if "proj_size" in options:
        raise ConfigError(
            f"{name}: the layer has no projection.\n"
            "  proj_size argument is only supported for LSTM, not RNN or GRU."
        )
