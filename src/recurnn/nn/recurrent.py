"""The layer of any cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from recurnn.cells import Cell
from recurnn.cells.noise import recurrent_matrices
from recurnn.checks import State
from recurnn.errors import ConfigError, ShapeError, one_of
from recurnn.nn.clip import Clips
from recurnn.nn.forks import warn_if_forked
from recurnn.nn.masks import ALL, real_steps
from recurnn.nn.noise import Noise, drop_input, drop_weights
from recurnn.nn.options import INITIALS, MEMORIES, Zoneout, check_rate, zoneout_rates
from recurnn.nn.scanned import Lengths
from recurnn.norms import GradientNorms
from recurnn.scan import ENGINES, ScanResult, scan


class Recurrent(Clips, nn.Module):
    """A recurrent layer made of any cell.

    Args:
        cell: the cell; its weights are the layer's.
        batch_first: whether the input and output are [B, T, ...] instead of [T, B, ...].
        reverse: whether to run from the last real step to the first.
        engine: as in `recurnn.scan`.
        memory: as in `recurnn.scan`.
        initial: states where none are given: ``"zeros"``, or ``"learned"``, which start at zero.
        stateful: whether a call begins where the last one ended; see `reset_states`.
        input_dropout: probability for the input, one mask for all steps.
        state_dropout: probability for what the matrices multiply whose names begin with U, one
            mask for all steps.
        weight_dropout: probability for the weights in those matrices, one mask a call.
        zoneout: probability for a unit to keep its state: for all states, or by name.
        clip_gradient: c, to which dL/dstate is clipped, component by component, as it passes from
            a step to the one before; see `recurnn.GradientClip`. It can be set anew at any time.

    Raises:
        ConfigError: no cell, an unknown option, a probability that is none or acts on nothing, or
            c is not a positive number.

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
        initial: str = "zeros",
        stateful: bool = False,
        input_dropout: float = 0.0,
        state_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: Zoneout = 0.0,
        clip_gradient: float | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(cell, Cell):
            raise ConfigError(
                f"Recurrent: the cell is {cell!r}.\n"
                "  Expected a cell with its sizes, such as recurnn.cells.GRU(8, 32)."
            )
        name = type(cell).__name__
        for option, given, known in (
            ("initial", initial, INITIALS), ("engine", engine, ENGINES),
            ("memory", memory, MEMORIES),
        ):  # fmt: skip
            if given not in known:
                raise one_of(f"{name}: {option}", given, known)
        for option, rate in (
            ("input_dropout", input_dropout), ("state_dropout", state_dropout),
            ("weight_dropout", weight_dropout),
        ):  # fmt: skip
            check_rate(name, option, rate)
        if weight_dropout and not recurrent_matrices(cell):
            raise ConfigError(
                f"{name}: weight_dropout has nothing to act on.\n"
                "  It acts on the matrices whose names begin with U, and the cell has none."
            )
        self.cell = cell
        self.batch_first = batch_first
        self.reverse = reverse
        self.engine = engine
        self.memory: Literal["high", "low"] = memory
        self.stateful = stateful
        self.input_dropout = input_dropout
        self.state_dropout = state_dropout
        self.weight_dropout = weight_dropout
        self.zoneout = zoneout
        self.clip_gradient = clip_gradient
        self._carried: dict[str, Tensor] | None = None
        self._arrange()
        self.learned: nn.ParameterDict | None = None
        if initial == "learned":
            like = next(iter(cell.tensors().values()))
            sizes = {state: cell.sizes[letter] for state, letter in cell.states.items()}
            self.learned = nn.ParameterDict({k: like.new_zeros(n) for k, n in sizes.items()})

    def _arrange(self) -> None:
        cell = self.cell
        rates = zoneout_rates(type(cell).__name__, self.zoneout, cell.states)
        some = rates or self.state_dropout
        self._noise = Noise(cell, rates, self.state_dropout) if some else None

    def forward(
        self,
        x: Tensor,
        state: State | None = None,
        *,
        lengths: Lengths = None,
        mask: Tensor | None = None,
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
            mask: which steps are real, [T, B], or [B, T] if batch_first; instead of lengths. A
                step that is not passes the state on, and the output there is zero.
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
        if not torch.compiler.is_compiling():
            warn_if_forked()
        if self.batch_first:
            if not isinstance(x, Tensor) or x.dim() != 3:
                got = list(x.shape) if isinstance(x, Tensor) else f"a {type(x).__name__}"
                raise ShapeError(
                    f"{type(self.cell).__name__}: the input must have three dimensions.\n"
                    f"  x is {got}; expected [B, T, I] with I = {self.cell.input_size}."
                )
            x = x.transpose(0, 1)
            reset = None if reset is None else reset.transpose(0, 1)
            mask = None if mask is None else mask.transpose(0, 1)
            turned = {
                k: m.transpose(0, 1) if m.dim() == 3 else m for k, m in (inputs or {}).items()
            }
            inputs = turned or None
        steps = ALL
        if lengths is not None or mask is not None:
            steps = real_steps(type(self.cell).__name__, x.shape[0], x.shape[1], lengths, mask)
            x, reset = steps.front(x), None if reset is None else steps.front(reset)
            inputs = (
                None
                if inputs is None
                else {k: steps.front(m) if m.dim() == 3 else m for k, m in inputs.items()}
            )
        options: dict[str, Any] = {
            "return_states": return_states, "return_gates": return_gates,
            "gradient_norms": gradient_norms, "clip_gradient": self._clip,
            "memory": self.memory, "inputs": inputs,
        }  # fmt: skip
        result = self._run(x, state, steps.lengths, reset, options)
        if gradient_norms is not None and steps.inverse is not None:
            gradient_norms.move(steps.inverse)
        if self.stateful:
            self._carried = {k: s.detach() for k, s in result.state.items()}
        if steps.order is not None:
            output, states = steps.back(result.output), steps.all_back(result.states)
            result = ScanResult(output, result.state, states, steps.all_back(result.gates))
        if not self.batch_first:
            return result
        return ScanResult(
            result.output.transpose(0, 1),
            result.state,
            _batch_first(result.states),
            _batch_first(result.gates),
        )

    def _run(
        self, x: Tensor, state: State | None, lengths: Lengths, reset: Tensor | None,
        options: dict[str, Any],
    ) -> ScanResult:  # fmt: skip
        """The scan with the masks of this call; x is [T, B, I]."""
        cell = self.cell
        if state is None and (self._carried is not None or self.learned is not None):
            state = self._begin(x)
        if reset is not None and self.learned is not None:
            options["reset_state"] = self._learned(x)
        if self.input_dropout > 0 and self.training:
            x = drop_input(x, self.input_dropout)
        if self.weight_dropout > 0 and self.training:
            options["parameters"] = drop_weights(cell.tensors(), self.weight_dropout)
        if self._noise is not None:
            options.setdefault("parameters", cell.tensors())
            cell, inputs = self._noise.draw(x, training=self.training)
            if inputs:
                options["inputs"] = {**(options["inputs"] or {}), **inputs}
        return scan(
            cell,
            x,
            state,
            lengths=lengths,
            reset=reset,
            reverse=self.reverse,
            engine=self.engine,
            **options,
        )

    def _begin(self, x: Tensor) -> Mapping[str, Tensor]:
        """The states where none are given: those carried from the last call, or learned."""
        if self._carried is None:
            return self._learned(x)
        rows = next(iter(self._carried.values())).shape[0]
        if x.dim() == 3 and rows != x.shape[1]:
            raise ShapeError(
                f"{type(self.cell).__name__}: the carried state does not fit the input.\n"
                f"  The last call had {rows} rows, x has {x.shape[1]}: call reset_states() where "
                "new sequences begin."
            )
        return {k: s.to(x) for k, s in self._carried.items()}

    def _learned(self, x: Tensor) -> dict[str, Tensor]:
        assert self.learned is not None
        return {k: self.learned[k].expand(x.shape[1], -1) for k in self.cell.states}

    def reset_states(self) -> None:
        """Forget what a stateful layer carries: the next call begins a new sequence."""
        self._carried = None

    def extra_repr(self) -> str:
        """What differs from the defaults, for ``print(layer)``."""
        usual = {
            "stateful": False, "input_dropout": 0.0, "state_dropout": 0.0, "weight_dropout": 0.0,
            "zoneout": 0.0, "clip_gradient": None,
        }  # fmt: skip
        given = [f"{k}={getattr(self, k)!r}" for k, v in usual.items() if getattr(self, k) != v]
        return ", ".join([f"batch_first={self.batch_first}, reverse={self.reverse}", *given])

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the disturbed cell, which is made anew from the cell."""
        return {k: v for k, v in self.__dict__.items() if k != "_noise"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._arrange()


def _batch_first(values: dict[str, torch.Tensor] | None) -> dict[str, torch.Tensor] | None:
    return None if values is None else {k: v.transpose(0, 1) for k, v in values.items()}
