"""Run a cell along time.

`scan` is the one seam: it checks what it is given, picks an engine and returns outputs, final
states, and on request every state and gate. The reference engine is the plain loop over `step`
and thereby the definition that every other engine is tested against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from recurnn.cells import Cell
from recurnn.errors import ShapeError, one_of

State = Tensor | Sequence[Tensor] | Mapping[str, Tensor]
ENGINES = ("auto", "reference")


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
    parameters: Mapping[str, Tensor] | None = None,
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
        parameters: weights by name to use instead of the cell's own.
        return_states: ``"all"`` for each state at every step.
        return_gates: whether to return each gate at every step.
        engine: ``"reference"``, the plain loop over the step, or ``"auto"``, the fastest there is.

    Returns:
        Outputs, final states, and the states and gates at every step where asked for.

    Raises:
        ShapeError: sizes, types or devices that do not fit one another.
        ConfigError: an unknown engine or weight name.

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
    _check_input(cell, x)
    _check_parameters(cell, x, parameters)
    start = _named_state(cell, x, state, "state")
    restart = _named_state(cell, x, reset_state, "reset_state") if reset is not None else None
    real = _real_steps(cell, x, lengths)
    boundary = _check_reset(cell, x, reset)
    if real is not None:
        # A masked row still enters the products; zero it, since 0 · NaN would reach the weights.
        x = torch.where(real.unsqueeze(-1), x, 0)
        boundary = None if boundary is None else boundary & real
    states = tuple(cell.states) if return_states == "all" else ()
    gates = cell.gates if return_gates else ()
    wanted = tuple(dict.fromkeys([cell.output, *states, *gates]))
    last, trace = _reference(cell, x, start, restart, real, boundary, reverse, parameters, wanted)
    return ScanResult(
        trace[cell.output],
        last,
        {name: trace[name] for name in states} if states else None,
        {name: trace[name] for name in gates} if return_gates else None,
    )


def _reference(
    cell: Cell,
    x: Tensor,
    state: dict[str, Tensor],
    restart: dict[str, Tensor] | None,
    real: Tensor | None,
    boundary: Tensor | None,
    reverse: bool,
    parameters: Mapping[str, Tensor] | None,
    wanted: tuple[str, ...],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The definition: one `step` after another. Returns last states, and all wanted values."""
    T = x.shape[0]
    p = cell.bind(parameters)
    history: list[dict[str, Tensor]] = []
    for t in reversed(range(T)) if reverse else range(T):
        # Forward, a boundary at t cuts t−1 → t; in reverse it cuts t → t−1, that is, t+1 → t is
        # cut by the boundary at t+1.
        cut = t + 1 if reverse else t
        if boundary is not None and restart is not None and cut < T:
            new = boundary[cut].unsqueeze(-1)
            state = {k: torch.where(new, restart[k], s) for k, s in state.items()}
        values = cell.step(p, x[t], *state.values())
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
        values = cell.step(p, x.new_zeros(x.shape[1:]), *state.values())
        return state, {k: values[k].new_zeros(0, *values[k].shape) for k in wanted}
    return state, {k: torch.stack([kept[k] for kept in history]) for k in wanted}


def _check_input(cell: Cell, x: Tensor) -> None:
    name, size = type(cell).__name__, cell.input_size
    if x.dim() != 3:
        raise ShapeError(
            f"{name}: the input must have three dimensions.\n"
            f"  x is {list(x.shape)}; expected [T, B, I] with I = {size} of the cell."
        )
    if x.shape[-1] != size:
        raise ShapeError(
            f"{name}: the input does not fit the cell.\n"
            f"  x is {list(x.shape)}; expected [T, B, I] with I = {size}, because the cell was "
            f"made with input_size={size}.\n  I differs: {x.shape[-1]} in x, {size} in the cell."
        )


def _check_parameters(cell: Cell, x: Tensor, parameters: Mapping[str, Tensor] | None) -> None:
    name = type(cell).__name__
    if parameters is not None:
        wanted = {k: cell.shape(s) for k, s in cell.weights.items() if k not in cell.absent}
        for key in parameters:
            if key not in wanted:
                raise one_of(f"{name}: weight", key, wanted)
        for key, shape in wanted.items():
            got = tuple(parameters[key].shape) if key in parameters else None
            if got != shape:
                raise ShapeError(
                    f"{name}: the given weights do not fit the cell.\n  {key} is "
                    f"{'missing' if got is None else list(got)}; expected {list(shape)}."
                )
    for key, weight in (parameters or dict(cell.named_parameters())).items():
        if weight.dtype != x.dtype or weight.device != x.device:
            raise ShapeError(
                f"{name}: the input and the weights differ in type or device.\n"
                f"  x is {x.dtype} on {x.device}; {key} is {weight.dtype} on {weight.device}.\n"
                "  Move one of them with .to(...)."
            )
        break  # one stands for all: they are made and moved together


def _named_state(cell: Cell, x: Tensor, state: State | None, what: str) -> dict[str, Tensor]:
    """Any accepted form of the states as a mapping in the cell's order, checked."""
    name, B = type(cell).__name__, x.shape[1]
    sizes = {k: cell.sizes[letter] for k, letter in cell.states.items()}
    if state is None:
        return {k: x.new_zeros(B, size) for k, size in sizes.items()}
    if isinstance(state, Mapping):
        named = dict(state)
    else:
        parts = [state] if isinstance(state, Tensor) else list(state)
        named = dict(zip(sizes, parts, strict=False)) if len(parts) == len(sizes) else {}
    if set(named) != set(sizes):
        raise ShapeError(
            f"{name}: {what} does not have the states of the cell.\n"
            f"  {what} has {_received(state)}; expected {', '.join(sizes)}, in this order or by "
            "name."
        )
    for k, size in sizes.items():
        if tuple(named[k].shape) != (B, size):
            raise ShapeError(_state_message(name, what, k, list(named[k].shape), x, size))
        if named[k].dtype != x.dtype or named[k].device != x.device:
            raise ShapeError(
                f"{name}: {what} and the input differ in type or device.\n"
                f"  {k} is {named[k].dtype} on {named[k].device}; x is {x.dtype} on {x.device}."
            )
    return {k: named[k] for k in sizes}


def _received(state: State) -> str:
    if isinstance(state, Mapping):
        return ", ".join(state) or "nothing"
    count = 1 if isinstance(state, Tensor) else len(state)
    return f"{count} tensor{'' if count == 1 else 's'}"


def _state_message(name: str, what: str, k: str, got: list[int], x: Tensor, size: int) -> str:
    B = x.shape[1]
    lines = [
        f"{name}: the {'initial state' if what == 'state' else what} does not fit the input.",
        f"  {k} is {got}; expected [B, {size}] = [{B}, {size}], because x is {list(x.shape)} "
        f"and {k} has {size} units.",
    ]
    if len(got) == 2 and got[0] != B:
        lines.append(f"  B differs: {got[0]} in {k}, {B} in x.")
    return "\n".join(lines)


def _real_steps(cell: Cell, x: Tensor, lengths: Tensor | Sequence[int] | None) -> Tensor | None:
    """[T, B], true where a row has a real step; None if every step is real."""
    if lengths is None:
        return None
    T, B = x.shape[:2]
    # An empty list has no type of its own, and torch would take it for floating point.
    empty = not isinstance(lengths, Tensor) and len(lengths) == 0
    lengths = torch.as_tensor(lengths, dtype=torch.int64 if empty else None, device=x.device)
    if lengths.dtype.is_floating_point or lengths.dtype == torch.bool or lengths.dim() != 1:
        raise ShapeError(
            f"{type(cell).__name__}: lengths must be whole numbers, one a row.\n"
            f"  lengths is {list(lengths.shape)} of {lengths.dtype}; expected [B] = [{B}]."
        )
    if lengths.shape[0] != B:
        raise ShapeError(
            f"{type(cell).__name__}: lengths does not fit the input.\n"
            f"  lengths is [{lengths.shape[0]}]; expected [B] = [{B}], because x is "
            f"{list(x.shape)}."
        )
    if B and not torch.compiler.is_compiling():
        low, high = int(lengths.min()), int(lengths.max())
        if low < 0 or high > T:
            raise ShapeError(
                f"{type(cell).__name__}: a length is out of range.\n"
                f"  lengths go from {low} to {high}; expected 0 to T = {T}, because x is "
                f"{list(x.shape)}."
            )
    return torch.arange(T, device=x.device).unsqueeze(1) < lengths


def _check_reset(cell: Cell, x: Tensor, reset: Tensor | None) -> Tensor | None:
    if reset is None:
        return None
    if reset.shape != x.shape[:2] or reset.dtype != torch.bool:
        raise ShapeError(
            f"{type(cell).__name__}: reset does not fit the input.\n"
            f"  reset is {list(reset.shape)} of {reset.dtype}; expected booleans "
            f"[T, B] = {list(x.shape[:2])}, because x is {list(x.shape)}."
        )
    return reset.to(x.device)
