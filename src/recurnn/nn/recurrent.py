"""The layer of any cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from recurnn.cells import Cell
from recurnn.checks import State
from recurnn.errors import ShapeError
from recurnn.norms import GradientNorms
from recurnn.scan import ScanResult, scan


class Recurrent(nn.Module):
    """A recurrent layer made of any cell.

    Args:
        cell: the cell; its weights are the layer's.
        batch_first: whether the input and output are [B, T, ...] instead of [T, B, ...].
        reverse: whether to run from the last real step to the first.
        engine: as in `recurnn.scan`.
        memory: as in `recurnn.scan`.

    Example:
        >>> import torch
        >>> from recurnn import cells, nn
        >>> layer = nn.Recurrent(cells.PeepholeLSTM(3, 8), batch_first=True)
        >>> output, state, *_ = layer(torch.randn(2, 7, 3), lengths=[7, 4])
        >>> output.shape, sorted(state)
        (torch.Size([2, 7, 8]), ['c', 'h'])
    """

    def __init__(
        self,
        cell: Cell,
        *,
        batch_first: bool = False,
        reverse: bool = False,
        engine: str = "auto",
        memory: Literal["high", "low"] = "high",
    ) -> None:
        super().__init__()
        self.cell = cell
        self.batch_first = batch_first
        self.reverse = reverse
        self.engine = engine
        self.memory: Literal["high", "low"] = memory

    def forward(
        self,
        x: Tensor,
        state: State | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        inputs: Mapping[str, Tensor] | None = None,
        return_states: Literal["last", "all"] = "last",
        return_gates: bool = False,
        gradient_norms: GradientNorms | None = None,
    ) -> ScanResult:
        """Run the layer; see `recurnn.scan`, with [B, T] in place of [T, B] if batch_first.

        Args:
            x: input, [T, B, I], or [B, T, I] if batch_first.
            state: initial states, each [B, its size].
            lengths: real steps of each row, [B].
            reset: where a new sequence begins, [T, B], or [B, T] if batch_first.
            inputs: what the cell declares beside x, [T, B, its size], or [B, T, its size] if
                batch_first, or [B, its size].
            return_states: ``"all"`` for the states at every step.
            return_gates: whether to return the gates at every step.
            gradient_norms: as in `recurnn.scan`, [T, B] in any case.

        Returns:
            Outputs, final states, and states and gates at every step where asked for.

        Raises:
            ShapeError: sizes, types or devices that do not fit.
        """
        if self.batch_first:
            if x.dim() != 3:
                raise ShapeError(
                    f"{type(self.cell).__name__}: the input must have three dimensions.\n"
                    f"  x is {list(x.shape)}; expected [B, T, I] with I = {self.cell.input_size}."
                )
            x = x.transpose(0, 1)
            reset = None if reset is None else reset.transpose(0, 1)
            turned = {
                k: m.transpose(0, 1) if m.dim() == 3 else m for k, m in (inputs or {}).items()
            }
            inputs = turned or None
        result = scan(
            self.cell,
            x,
            state,
            lengths=lengths,
            reset=reset,
            reverse=self.reverse,
            inputs=inputs,
            return_states=return_states,
            return_gates=return_gates,
            gradient_norms=gradient_norms,
            memory=self.memory,
            engine=self.engine,
        )
        if not self.batch_first:
            return result
        return ScanResult(
            result.output.transpose(0, 1),
            result.state,
            _batch_first(result.states),
            _batch_first(result.gates),
        )

    def extra_repr(self) -> str:
        """What differs from the defaults, for ``print(layer)``."""
        return f"batch_first={self.batch_first}, reverse={self.reverse}"


def _batch_first(values: dict[str, torch.Tensor] | None) -> dict[str, torch.Tensor] | None:
    return None if values is None else {k: v.transpose(0, 1) for k, v in values.items()}
