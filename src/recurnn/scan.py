"""Run a cell along time.

`scan` is the one seam: it checks what it is given, picks an engine and returns outputs, final
states, and on request every state and gate. The reference engine is the plain loop over `step`
and thereby the definition that every other engine is tested against.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from recurnn import compiler
from recurnn.cells import Cell
from recurnn.checks import (
    State,
    check_input,
    check_lengths,
    check_parameters,
    check_reset,
    named_state,
)
from recurnn.compiler import Binding, Bound
from recurnn.errors import EngineError, one_of

log = logging.getLogger("recurnn")
ENGINES = ("auto", "reference", "cpu")


class ScanResult(NamedTuple):
    """What `scan` returns.

    Attributes:
        output: the cell's output at every step, [T, B, its size]; zero past a row's length.
        state: each state after the last real step of each row, name to [B, its size].
        states: each state at every step, name to [T, B, its size], if ``return_states="all"``.
        gates: each gate at every step, name to [T, B, its size], if ``return_gates=True``.
    """

    output: Tensor
    state: dict[str, Tensor]
    states: dict[str, Tensor] | None = None
    gates: dict[str, Tensor] | None = None


def scan(
    cell: Cell,
    x: Tensor,
    state: State | None = None,
    *,
    lengths: Tensor | Sequence[int] | None = None,
    reset: Tensor | None = None,
    reset_state: State | None = None,
    reverse: bool = False,
    parameters: Mapping[str, Tensor] | Bound | None = None,
    return_states: Literal["last", "all"] = "last",
    return_gates: bool = False,
    engine: str = "auto",
) -> ScanResult:
    """Run a cell along a batch of sequences.

    Args:
        cell: the cell.
        x: input, [T, B, I].
        state: the states before the first step: a tensor for a cell with one state, a sequence in
            the cell's order, or a mapping by name; each [B, its size]. Zeros by default.
        lengths: whole numbers [B]: row b has its real steps at 0 … lengths[b] − 1. What x holds
            past them has no influence on anything, not even if it is NaN; output, states and
            gates are zero there. A row of length 0 keeps its state.
        reset: booleans [T, B]: where true, a new sequence begins at that step, and no state
            passes from the step before it to this one (with ``reverse``, from this one to the
            step before it). The final state is that of the last sequence run.
        reset_state: the states that a reset starts from, in the same forms as `state`. Zeros by
            default.
        reverse: run from each row's last real step to step 0. Outputs stay at the steps of their
            inputs.
        parameters: weights by name to use instead of the cell's own; or a binding that says where
            in some tensors they lie, for a cell that is never changed.
        return_states: ``"all"`` for each state at every step.
        return_gates: whether to return each gate at every step.
        engine: ``"reference"``, the plain loop over the step; ``"cpu"``, the compiled kernel; or
            ``"auto"``, the kernel where there is one and the reference elsewhere.

    Returns:
        Outputs, final states, and the states and gates at every step where asked for.

    Raises:
        ShapeError: sizes, types or devices that do not fit one another.
        ConfigError: an unknown engine or weight name.
        EngineError: the engine asked for by name cannot run this; the text says why.

    Example:
        >>> import torch, recurnn
        >>> cell = recurnn.cells.GRU(3, 8)
        >>> y, last, *_ = recurnn.scan(cell, torch.randn(7, 2, 3), lengths=[7, 4])
        >>> y.shape, last["h"].shape, bool(y[4:, 1].any())
        (torch.Size([7, 2, 8]), torch.Size([2, 8]), False)
    """
    if engine not in ENGINES:
        raise one_of("engine", engine, ENGINES)
    if return_states not in ("last", "all"):
        raise one_of("return_states", return_states, ("last", "all"))
    check_input(cell, x)
    weights = parameters if parameters is not None else cell.tensors()
    check_parameters(cell, x, weights)
    start = named_state(cell, x, state, "state")
    restart = named_state(cell, x, reset_state, "reset_state") if reset is not None else None
    lengths = check_lengths(cell, x, lengths)
    reset = check_reset(cell, x, reset)
    states = tuple(cell.states) if return_states == "all" else ()
    gates = cell.gates if return_gates else ()
    wanted = tuple(dict.fromkeys([cell.output, *states, *gates]))
    bound = weights if isinstance(weights, Bound) else None
    number = _kernel(cell, x, engine, wanted, bound, restarts=reset_state is not None)
    if number is None:
        if isinstance(weights, Bound):
            weights = weights.binding.weights(weights.tensors, cell.shapes())
        last, trace = _reference(
            cell, x, start, restart, lengths, reset, reverse, weights, wanted
        )
    else:
        tensors = bound.tensors if bound else _spread(cell, weights)
        starts = [None] * len(cell.states) if start is None else list(start.values())
        last, trace = compiler.run(number, x, starts, tensors, lengths, reset, reverse=reverse)
    return ScanResult(
        trace[cell.output],
        last,
        {name: trace[name] for name in states} if states else None,
        {name: trace[name] for name in gates} if return_gates else None,
    )


def _spread(cell: Cell, weights: Mapping[str, Tensor]) -> list[Tensor]:
    """The weights in the cell's order; one number for all units as a vector that repeats it."""
    return [
        weights[k].expand(cell.hidden_size) if letters == "1" else weights[k]
        for k, letters in cell.weights.items()
        if k not in cell.absent
    ]


def _kernel(
    cell: Cell, x: Tensor, engine: str, wanted: tuple[str, ...], bound: Bound | None, *,
    restarts: bool,
) -> int | None:  # fmt: skip
    """The compiled cell's number, or None where the reference is to run."""
    if engine == "reference":
        return None
    if restarts:
        reason = "a reset to given states has no kernel"
    # `is not None` would be true of what torch.compile puts in place of None
    elif not isinstance(torch._C._functorch.peek_interpreter_stack(), type(None)):
        reason = "inside a torch.func transform only the reference runs"
    else:
        # torch.compile asks once, and warns of what keeps results
        plain = bound is None or torch.compiler.is_compiling()
        prepare = _prepare if plain else _prepare_bound
        found: tuple[int, str] = prepare(
            cell, x.dtype, x.device, wanted, None if bound is None else bound.binding
        )
        number, reason = found
        if not reason:
            return int(number)
    if engine == "auto":
        if not torch.compiler.is_compiling():
            _say_once(type(cell).__name__, reason)
    else:
        raise EngineError(
            f"{type(cell).__name__}: the engine {engine!r} cannot run this.\n  {reason}.\n"
            "  Use engine='auto' or engine='reference'."
        )
    return None


@functools.cache
def _say_once(name: str, reason: str) -> None:
    log.warning("%s runs on the reference engine: %s", name, reason)


# torch.compile asks once and does not look inside
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _prepare(
    cell: Cell, dtype: torch.dtype, device: torch.device, wanted: tuple[str, ...],
    binding: Binding | None,
) -> tuple[int, str]:  # fmt: skip
    """The number of the compiled cell and no reason, or a reason why there is none."""
    if device.type != "cpu":
        return -1, f"there is no kernel for {device.type}"
    try:
        return compiler.prepare(cell, dtype, wanted, binding, _for_derivatives), ""
    except compiler.Unsupported as unsupported:
        return -1, str(unsupported)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
@functools.cache
def _prepare_bound(
    cell: Cell, dtype: torch.dtype, device: torch.device, wanted: tuple[str, ...],
    binding: Binding,
) -> tuple[int, str]:  # fmt: skip
    """As `_prepare`, for a cell that only describes a layer and never changes."""
    found: tuple[int, str] = _prepare(cell, dtype, device, wanted, binding)
    return found


def why_not_compiled(cell: Cell, dtype: torch.dtype, device: torch.device) -> str:
    """Why the reference runs on inputs of this type and device; empty if the kernel does."""
    found: tuple[int, str] = _prepare(cell, dtype, device, (cell.output,), None)
    return found[1]


def _for_derivatives(
    cell: Cell,
    x: Tensor,
    state: dict[str, Tensor],
    parameters: Mapping[str, Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    reverse: bool,
    wanted: tuple[str, ...],
) -> list[Tensor]:
    """The reference with the kernel's arguments and results, for gradients of gradients."""
    last, trace = _reference(cell, x, state, None, lengths, reset, reverse, parameters, wanted)
    return [*(trace[k] for k in wanted), *last.values()]


def _reference(
    cell: Cell,
    x: Tensor,
    state: dict[str, Tensor] | None,
    restart: dict[str, Tensor] | None,
    lengths: Tensor | None,
    reset: Tensor | None,
    reverse: bool,
    parameters: Mapping[str, Tensor],
    wanted: tuple[str, ...],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The definition: one `step` after another. Returns last states, and all wanted values."""
    T = x.shape[0]
    zeros = {k: x.new_zeros(x.shape[1], cell.sizes[n]) for k, n in cell.states.items()}
    state, restart = state or zeros, restart or zeros
    real = None
    if lengths is not None:
        real = torch.arange(T, device=x.device).unsqueeze(1) < lengths
        # A masked row still enters the products; zero it, since 0 · NaN would reach the weights.
        x = torch.where(real.unsqueeze(-1), x, 0)
        reset = None if reset is None else reset & real
    p = cell.bind(parameters)
    history: list[dict[str, Tensor]] = []
    for t in reversed(range(T)) if reverse else range(T):
        # Forward, a reset at t cuts t−1 → t; in reverse it cuts t → t−1, that is, t+1 → t is
        # cut by the reset at t+1.
        cut = t + 1 if reverse else t
        if reset is not None and cut < T:
            new = reset[cut].unsqueeze(-1)
            state = {k: torch.where(new, restart[k], s) for k, s in state.items()}
        values = cell.apply_step(p, x[t], *state.values())
        kept = {k: values[k] for k in wanted}
        if real is None:
            state = {k: values[k] for k in state}
        else:
            here = real[t].unsqueeze(-1)
            state = {k: torch.where(here, values[k], s) for k, s in state.items()}
            kept = {k: torch.where(here, v, 0) for k, v in kept.items()}
        history.append(kept)
    if reverse:
        history.reverse()
    if not history:  # T = 0: one step on zeros tells the shapes
        values = cell.apply_step(p, x.new_zeros(x.shape[1:]), *state.values())
        return state, {k: values[k].new_zeros(0, *values[k].shape) for k in wanted}
    return state, {k: torch.stack([kept[k] for kept in history]) for k in wanted}
