"""The reference engine: one `step` after another, which defines what every engine computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from recurnn.cells import Cell
from recurnn.cells.declared import check_values
from recurnn.clipping import Clipping
from recurnn.compiler import Segment, segments_of
from recurnn.errors import changed_in_place
from recurnn.norms import GradientNorms

States = dict[str, Tensor]


class Frame(NamedTuple):
    """What a scan is given beside numbers to compute with.

    Attributes:
        lengths: real steps of each row, int64 [B], or None.
        reset: where a new sequence begins, [T, B], or None.
        reverse: whether to run from the last step to the first.
        wanted: the states and gates that are given at every step.
        norms: where the norms of the gradients of states go, or None.
        clipping: how the gradient that passes from step to step is clipped, or None.
        first: the step at which x begins, where it is a part of a longer scan.
        cut: where a new sequence lies between this part of a scan and that run before, [B, 1].
    """

    lengths: Tensor | None
    reset: Tensor | None
    reverse: bool
    wanted: tuple[str, ...]
    norms: GradientNorms | None = None
    clipping: Clipping | None = None
    first: int = 0
    cut: Tensor | None = None


def reference(
    cell: Cell,
    x: Tensor,
    state: States | None,
    restart: States | None,
    inputs: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    frame: Frame,
) -> tuple[States, States]:
    """The definition of a scan: one `step` after another.

    Args:
        cell: the cell.
        x: input, [T, B, I].
        state: the states before the first step, or None for zeros.
        restart: the states that a reset starts from, or None for zeros.
        inputs: the inputs beside x, each [T, B, its size] or [B, its size].
        parameters: the weights by name.
        frame: the rest.

    Returns:
        Last states, and what is wanted at every step, by name.
    """
    T = x.shape[0]
    zeros = {k: x.new_zeros(x.shape[1], cell.sizes[n]) for k, n in cell.states.items()}
    state, restart = state or zeros, restart or zeros
    real, reset = None, frame.reset
    if frame.lengths is not None:
        real = torch.arange(T, device=x.device).unsqueeze(1) < frame.lengths
        # A masked row still enters the products; zero it, since 0 · NaN would reach the weights.
        x, inputs = _masked(x, real), {k: _masked(m, real) for k, m in inputs.items()}
        reset = None if reset is None else reset & real
    p = cell.bind(parameters)
    history: list[States] = []
    for t in reversed(range(T)) if frame.reverse else range(T):
        # Forward, a reset at t cuts t−1 → t; in reverse it cuts t → t−1, that is, t+1 → t is
        # cut by the reset at t+1.
        cut = t + 1 if frame.reverse else t
        old = state
        if frame.clipping is not None:
            old = frame.clipping.entering(state, frame.first + t)
        new = reset[cut].unsqueeze(-1) if reset is not None and cut < T else None
        if cut == T:
            new = frame.cut
        if new is not None:
            clipped, state = old is not state, _restarted(state, restart, new)
            old = _restarted(old, restart, new) if clipped else state
        p.put({k: m[t] if m.dim() == 3 else m for k, m in inputs.items()})
        given = [x[t], *old.values()]
        versions = [] if history else _versions(given)
        values = cell.apply_step(p, *given)
        if versions and _versions(given) != versions:
            raise changed_in_place("its input or a state")
        if not history:
            check_values(cell, values, x[t])
        if frame.norms is not None:
            values = frame.norms.watch(values, old, x, frame.first + t)
        kept = {k: values[k] for k in frame.wanted}
        if real is None:
            state = {k: values[k] for k in state}
        else:
            here = real[t].unsqueeze(-1)
            state = {k: torch.where(here, values[k], s) for k, s in state.items()}
            kept = {k: torch.where(here, v, 0) for k, v in kept.items()}
        history.append(kept)
    if frame.reverse:
        history.reverse()
    if not history:  # T = 0: one step on zeros tells the shapes
        p.put({k: x.new_zeros(m.shape[-2:]) for k, m in inputs.items()})
        x = x.new_zeros(x.shape[1:])
        values = cell.apply_step(p, x, *state.values())
        check_values(cell, values, x)
        return state, {k: values[k].new_zeros(0, *values[k].shape) for k in frame.wanted}
    return state, {k: torch.stack([kept[k] for kept in history]) for k in frame.wanted}


def _restarted(state: States, restart: Mapping[str, Tensor], new: Tensor) -> States:
    return {k: torch.where(new, restart[k], s) for k, s in state.items()}


def _masked(x: Tensor, real: Tensor) -> Tensor:
    return torch.where(real.unsqueeze(-1), x, 0) if x.dim() == 3 else x


def _versions(tensors: list[Tensor]) -> list[int]:
    """How often each has been changed in place; nothing where torch does not say."""
    try:
        return [t._version for t in tensors]
    except RuntimeError:
        return []


def reference_by_segments(
    cell: Cell,
    x: Tensor,
    state: States | None,
    restart: States | None,
    inputs: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    frame: Frame,
) -> tuple[States, States]:
    """As `reference`, but what it computed within a segment is computed again for the gradient."""
    T = x.shape[0]
    zeros = {k: x.new_zeros(x.shape[1], cell.sizes[n]) for k, n in cell.states.items()}
    state, restart = state or zeros, restart or zeros
    traces: list[States] = []
    for segment in segments_of(T, frame.lengths, frame.reset, reverse=frame.reverse):
        state, trace = checkpoint(
            _segment, cell, x, state, restart, inputs, parameters, frame, segment,
            use_reentrant=False, preserve_rng_state=False,
        )  # fmt: skip
        traces.append(trace)
    if frame.reverse:
        traces.reverse()
    return state, {k: torch.cat([trace[k] for trace in traces]) for k in frame.wanted}


def _segment(
    cell: Cell, x: Tensor, state: States, restart: States, inputs: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor], frame: Frame, segment: Segment,
) -> tuple[States, States]:  # fmt: skip
    part = frame._replace(
        lengths=segment.lengths, reset=segment.reset, first=frame.first + segment.begin,
        cut=segment.cut,
    )  # fmt: skip
    some = {k: segment.of(m) for k, m in inputs.items()}
    return reference(cell, segment.of(x), state, restart, some, parameters, part)
