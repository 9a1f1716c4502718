"""The forward pass of `RNN`, `GRU` and `LSTM`: torch's layouts in and out, `scan` in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from recurnn.cells import Cell
from recurnn.compiler import Bound
from recurnn.errors import ConfigError, ShapeError
from recurnn.nn import packed
from recurnn.nn.base import TorchLayer
from recurnn.nn.calls import check_kind, check_sizes, norms_of, states_of
from recurnn.nn.draw import dropout
from recurnn.nn.forks import warn_if_forked
from recurnn.nn.masks import ALL, Steps, real_steps
from recurnn.nn.merge import MERGED, Output, each
from recurnn.nn.noise import drop_input
from recurnn.nn.weights import Direction
from recurnn.norms import GradientNorms
from recurnn.recorder import recorder
from recurnn.scan import ScanResult, scan

States = tuple[Tensor, ...]
Lengths = Tensor | Sequence[int] | None
Norms = GradientNorms | Sequence[GradientNorms] | None


class Scanned(TorchLayer):
    """The forward pass that the three layers share."""

    def _call(
        self,
        x: Tensor | PackedSequence,
        hx: Any,
        lengths: Lengths,
        mask: Tensor | None,
        reset: Tensor | None,
        how: dict[str, Any],
        norms: Norms = None,
    ) -> tuple[Any, States, list[ScanResult]]:
        """Torch's layouts in and out: packed, unbatched, batch-major or time-major."""
        if not torch.compiler.is_compiling():
            warn_if_forked()
        norms = norms_of(self, norms)
        if isinstance(x, PackedSequence):
            if lengths is not None or mask is not None:
                raise ConfigError(
                    f"{type(self).__name__}: lengths or mask beside a PackedSequence.\n"
                    "  The sequence has its own lengths: leave the others out."
                )
            return self._packed(x, hx, reset, how, norms)
        check_kind(type(self).__name__, x)
        batched, shape, turned = x.dim() == 3, tuple(x.shape), self.batch_first and x.dim() == 3
        state = states_of(self, hx, batched=batched)
        if not batched:
            x = x.unsqueeze(1)
        elif turned:
            x = x.transpose(0, 1)
        T, B = x.shape[:2]
        x, state = check_sizes(self, x, shape, B, state, self._weights(self._plan[0][0])[0])
        if not self._plain:
            state = self._begin(x, B, state)
        y: Output
        if self._cudnn(x) and not how and norms is None and lengths is mask is reset is None:
            y, last = self._torchs(x, None, state)
            seen: list[ScanResult] = []
        else:
            if mask is not None or reset is not None:
                mask, reset = (self._by_step(m, batched, turned) for m in (mask, reset))
            steps = ALL
            if lengths is not None or mask is not None:
                steps = real_steps(type(self).__name__, T, B, lengths, mask)
            y, last, seen = self._run(x, state, steps, reset, how, norms)
        if self.options.stateful:
            self._carried = tuple(s.detach() for s in last)
        if not batched:
            last = tuple(s.squeeze(1) for s in last)
            return each(y, _without_batch), last, _each(seen, _without_batch) if how else seen
        if turned:
            return each(y, _batch_first), last, _each(seen, _batch_first) if how else seen
        return y, last, seen

    @staticmethod
    def _by_step(mask: Tensor | None, batched: bool, turned: bool) -> Tensor | None:
        """A mask of steps as [T, B]."""
        if mask is None or (batched and not turned):
            return mask
        return mask.t() if turned else mask.unsqueeze(1)

    def _packed(
        self,
        sequence: PackedSequence,
        hx: Any,
        reset: Tensor | None,
        how: dict[str, Any],
        norms: Sequence[GradientNorms] | None,
    ) -> tuple[Any, States, list[ScanResult]]:
        name = type(self).__name__
        x, lengths = packed.unpack(name, sequence)
        state = states_of(self, hx, batched=True)
        weight = self._weights(self._plan[0][0])[0]
        x, state = check_sizes(self, x, tuple(sequence.data.shape), x.shape[1], state, weight)
        if not self._plain:
            state = self._begin(x, x.shape[1], state)
        state = packed.permuted(state, sequence.sorted_indices)
        if reset is not None or norms is not None or how:
            raise ConfigError(
                f"{name}: reset, return_states, return_gates or gradient_norms with a "
                "PackedSequence.\n"
                "  Pad it (torch.nn.utils.rnn.pad_packed_sequence) and give the layer lengths."
            )
        if self._cudnn(x):
            data, last = self._torchs(sequence.data, sequence.batch_sizes, state)
            y: Any = PackedSequence(data, *sequence[1:])
        else:
            padded, last, _ = self._run(x, state, Steps(lengths), None, {}, None)
            y = each(padded, lambda one: packed.pack(one, lengths, sequence))
        last = packed.permuted(last, sequence.unsorted_indices) or last
        if self.options.stateful:
            self._carried = tuple(s.detach() for s in last)
        return y, last, []

    def _run(
        self, x: Tensor, state: States | None, steps: Steps, reset: Tensor | None,
        how: dict[str, Any], norms: Sequence[GradientNorms] | None,
    ) -> tuple[Output, States, list[ScanResult]]:  # fmt: skip
        """Run every layer and direction. x is [T, B, I]; each state is [L·D, B, its size]."""
        D, o = self.directions, self.options
        if steps.order is not None:
            x, reset = steps.front(x), None if reset is None else steps.front(reset)
        results: list[ScanResult] = []
        y: Output = x
        for k, layer in enumerate(self._plan):
            drop = o.input_dropout > 0 and self.training
            entering = drop_input(x, o.input_dropout) if drop else x
            for d, direction in enumerate(layer):
                start = None if state is None else tuple([s[k * D + d] for s in state])
                one = how if norms is None else how | {"gradient_norms": norms[k * D + d]}
                results.append(self._scan(direction, entering, start, steps.lengths, reset, one))
            outputs = [r.output for r in results[-D:]]
            last_one = k == self.num_layers - 1
            if last_one and D == 2 and o.merge is None:
                y = outputs[0], outputs[1]
                break
            y = outputs[0] if D == 1 else MERGED[o.merge or "concat"](outputs[0], outputs[1])
            if self.dropout > 0 and not last_one:
                y = dropout(y, self.dropout, self.training)
            if o.connections == "residual" and k > 0:
                y = x + y
            x = torch.cat([x, y], dim=-1) if o.connections == "dense" else y
        last = _stacked([tuple(r.state.values()) for r in results])
        if steps.order is not None:
            y, results = each(y, steps.back), _each(results, steps.back)
            for found in norms or ():
                found.move(cast(Tensor, steps.inverse))
        return y, last, results

    def _scan(
        self, direction: Direction, x: Tensor, start: States | None, lengths: Lengths,
        reset: Tensor | None, how: dict[str, Any],
    ) -> ScanResult:  # fmt: skip
        """One direction of one layer, with the masks of this call."""
        cell, weights, o = direction.cell, self._weights(direction), self.options
        if direction.noise is not None:
            cell, inputs = direction.noise.draw(x, training=self.training)
            how = how | {"inputs": inputs} if inputs else how
        if o.weight_dropout > 0 and self.training:
            weights[1] = dropout(weights[1], o.weight_dropout)
        if reset is not None and o.initial == "learned":
            how = how | {"reset_state": self._learned(direction, x.shape[1])}
        if self._clip is not None:
            how = how | {"clip_gradient": self._clip}
        if o.memory == "low":
            how = how | {"memory": "low"}
        return scan(
            cell,
            x,
            start,
            lengths=lengths,
            reset=reset,
            reverse=direction.reverse,
            parameters=Bound(direction.binding, weights),
            **how,
        )

    def _learned(self, direction: Direction, B: int) -> States:
        """The learned states of one direction, [B, its size]."""
        at = [d for layer in self._plan for d in layer].index(direction)
        names = [f"initial_{state}" for state in direction.cell.states]
        return tuple(getattr(self, name)[at].expand(B, -1) for name in names)

    def _begin(self, x: Tensor, B: int, state: States | None) -> States | None:
        """The initial states: given, carried from the last call, learned, or zeros."""
        if state is not None:
            return state
        if self._carried is not None:
            if self._carried[0].shape[1] != B:
                raise ShapeError(
                    f"{type(self).__name__}: the carried state does not fit the input.\n"
                    f"  The last call had {self._carried[0].shape[1]} rows, x has {B}: call "
                    "reset_states() where new sequences begin."
                )
            return tuple(s.to(x) for s in self._carried)
        if self.options.initial == "learned":
            names = [f"initial_{state}" for state in self._plan[0][0].cell.states]
            return tuple(getattr(self, name).unsqueeze(1).expand(-1, B, -1) for name in names)
        return None

    def chain(self) -> list[tuple[Cell, Bound | dict[str, Tensor]]]:
        """The cell of each layer with its weights, of a layer with one direction."""
        return [(d.cell, Bound(d.binding, self._weights(d))) for (d,) in self._plan]

    def reset_states(self) -> None:
        """Forget what a stateful layer carries: the next call begins a new sequence."""
        self._carried = None

    def _cudnn(self, x: Tensor) -> bool:
        """Whether torch's own layer may run: nobody wants to see what it does not show."""
        return x.is_cuda and self._plain and recorder() is None

    def _torchs(
        self, x: Tensor, batch_sizes: Tensor | None, state: States | None
    ) -> tuple[Tensor, States]:
        """Torch's own layer, on CUDA cuDNN's; x is [T, B, I], or the data of a packed one."""
        B = x.shape[1] if batch_sizes is None else int(batch_sizes[0])
        count = self.num_layers * self.directions
        if state is None:
            state = tuple(x.new_zeros(count, B, size) for size in self.state_sizes)
        hx = state if len(state) > 1 else state[0]
        options = (self.bias, self.num_layers, self.dropout, self.training, self.bidirectional)
        run: Any = getattr(torch._VF, self.mode.lower())
        if batch_sizes is None:
            batch_first = False
            y, *last = run(x, hx, self._flat_weights, *options, batch_first)
        else:
            y, *last = run(x, batch_sizes, hx, self._flat_weights, *options)
        return y, tuple(last)


def _stacked(last: list[States]) -> States:
    """The states of each layer and direction as one tensor a state."""
    if len(last) == 1:
        return tuple([s.unsqueeze(0) for s in last[0]])
    return tuple([torch.stack(states) for states in zip(*last, strict=True)])


def _batch_first(values: Tensor) -> Tensor:
    return values.transpose(0, 1)


def _without_batch(values: Tensor) -> Tensor:
    return values.squeeze(1)


def asked(return_states: str, return_gates: bool) -> dict[str, Any]:
    """What `scan` is asked for beside outputs and last states; empty for nothing."""
    if return_states == "last" and not return_gates:
        return {}
    return {"return_states": return_states, "return_gates": return_gates}


def _each(results: list[ScanResult], change: Any) -> list[ScanResult]:
    """Each result with its values at every step changed."""

    def changed(values: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
        return None if values is None else {k: change(v) for k, v in values.items()}

    return [
        ScanResult(change(r.output), r.state, changed(r.states), changed(r.gates)) for r in results
    ]
