"""The forward pass of `RNN`, `GRU` and `LSTM`: torch's layouts in and out, `scan` in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from recurnn.compiler import Bound
from recurnn.errors import ConfigError
from recurnn.nn import packed
from recurnn.nn.base import TorchLayer
from recurnn.nn.calls import check_kind, check_sizes, states_of
from recurnn.nn.masks import ALL, Steps, real_steps
from recurnn.scan import ScanResult, scan

States = tuple[Tensor, ...]
Lengths = Tensor | Sequence[int] | None


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
    ) -> tuple[Tensor | PackedSequence, States, list[ScanResult]]:
        """Torch's layouts in and out: packed, unbatched, batch-major or time-major."""
        if isinstance(x, PackedSequence):
            if lengths is not None or mask is not None:
                raise ConfigError(
                    f"{type(self).__name__}: lengths or mask beside a PackedSequence.\n"
                    "  The sequence has its own lengths: leave the others out."
                )
            return self._packed(x, hx, reset, how)
        check_kind(type(self).__name__, x)
        batched, shape, turned = x.dim() == 3, tuple(x.shape), self.batch_first and x.dim() == 3
        state = states_of(self, hx, batched=batched)
        if not batched:
            x = x.unsqueeze(1)
        elif turned:
            x = x.transpose(0, 1)
        T, B = x.shape[:2]
        x, state = check_sizes(self, x, shape, B, state, self._weights(self._plan[0][0])[0])
        if x.is_cuda and lengths is None and mask is None and reset is None and not how:
            y, last = self._torchs(x, None, state)
            seen: list[ScanResult] = []
        else:
            if mask is not None or reset is not None:
                mask, reset = (self._by_step(m, batched, turned) for m in (mask, reset))
            steps = ALL
            if lengths is not None or mask is not None:
                steps = real_steps(type(self).__name__, T, B, lengths, mask)
            y, last, seen = self._run(x, state, steps, reset, how)
        if not batched:
            seen = _each(seen, _without_batch)
            return y.squeeze(1), tuple(s.squeeze(1) for s in last), seen
        if turned:
            return y.transpose(0, 1), last, _each(seen, _batch_first) if how else seen
        return y, last, seen

    @staticmethod
    def _by_step(mask: Tensor | None, batched: bool, turned: bool) -> Tensor | None:
        """A mask of steps as [T, B]."""
        if mask is None or (batched and not turned):
            return mask
        return mask.t() if turned else mask.unsqueeze(1)

    def _packed(
        self, sequence: PackedSequence, hx: Any, reset: Tensor | None, how: dict[str, Any]
    ) -> tuple[PackedSequence, States, list[ScanResult]]:
        name = type(self).__name__
        x, lengths = packed.unpack(name, sequence)
        state = states_of(self, hx, batched=True)
        weight = self._weights(self._plan[0][0])[0]
        x, state = check_sizes(self, x, tuple(sequence.data.shape), x.shape[1], state, weight)
        state = packed.permuted(state, sequence.sorted_indices)
        if reset is not None or how:
            raise ConfigError(
                f"{name}: reset, return_states or return_gates with a PackedSequence.\n"
                "  Pad it (torch.nn.utils.rnn.pad_packed_sequence) and give the layer lengths."
            )
        if x.is_cuda:
            data, last = self._torchs(sequence.data, sequence.batch_sizes, state)
            y = PackedSequence(data, *sequence[1:])
        else:
            padded, last, _ = self._run(x, state, Steps(lengths), None, how)
            y = packed.pack(padded, lengths, sequence)
        back = packed.permuted(last, sequence.unsorted_indices)
        assert back is not None
        return y, back, []

    def _run(
        self, x: Tensor, state: States | None, steps: Steps, reset: Tensor | None,
        how: dict[str, Any],
    ) -> tuple[Tensor, States, list[ScanResult]]:  # fmt: skip
        """Run every layer and direction. x is [T, B, I]; each state is [L·D, B, its size]."""
        D = self.directions
        if steps.order is not None:
            x, reset = steps.front(x), None if reset is None else steps.front(reset)
        results: list[ScanResult] = []
        for k, layer in enumerate(self._plan):
            outputs = []
            for d, direction in enumerate(layer):
                result = scan(
                    direction.cell,
                    x,
                    None if state is None else tuple([s[k * D + d] for s in state]),
                    lengths=steps.lengths,
                    reset=reset,
                    reverse=direction.reverse,
                    parameters=Bound(direction.binding, self._weights(direction)),
                    **how,
                )
                outputs.append(result.output)
                results.append(result)
            x = outputs[0] if D == 1 else torch.cat(outputs, dim=-1)
            if self.dropout > 0 and k < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        last = _stacked([tuple(r.state.values()) for r in results])
        if steps.order is not None:
            x, results = steps.back(x), _each(results, steps.back)
        return x, last, results

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
