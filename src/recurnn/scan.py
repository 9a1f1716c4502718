"""Run a cell along time.

`scan` is the one seam: it checks what it is given, picks an engine and returns outputs, final
states, and on request every state and gate.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from recurnn import compiler
from recurnn.autocast import autocast_on, halves_products, in_type
from recurnn.cells import Cell
from recurnn.checks import (
    State,
    check_input,
    check_inputs,
    check_lengths,
    check_parameters,
    check_reset,
    named_state,
)
from recurnn.clipping import Clipping, GradientClip, clipping_of
from recurnn.compiler import Binding, Bound, Compiled, Extra, Given
from recurnn.errors import ConfigError, EngineError, one_of
from recurnn.norms import GradientNorms, check_norms
from recurnn.recorder import Recorder, Seen, recorder
from recurnn.reference import Frame, reference, reference_by_segments

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
    inputs: Mapping[str, Tensor] | None = None,
    parameters: Mapping[str, Tensor] | Bound | None = None,
    return_states: Literal["last", "all"] = "last",
    return_gates: bool = False,
    gradient_norms: GradientNorms | None = None,
    clip_gradient: float | GradientClip | None = None,
    memory: Literal["high", "low"] = "high",
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
        inputs: what the cell declares as `inputs` beside x, by name: each [T, B, its size], or
            [B, its size], the same at every step.
        parameters: weights by name to use instead of the cell's own; or a binding that says where
            in some tensors they lie, for a cell that is never changed.
        return_states: ``"all"`` for each state at every step.
        return_gates: whether to return each gate at every step.
        gradient_norms: what the backward pass fills with the norm of dL/dstate for every state,
            step and row.
        clip_gradient: clips dL/dstate to ±c, component by component, as it passes from a step to
            the one before: the number c; or a `GradientClip`, which counts how often. What
            reaches `reset_state` has passed no step and stays as it is.
        memory: ``"low"`` to keep, for the backward pass, the states at every √T-th step only, and
            to compute what lies between again. The same results; gradients equal to rounding.
        engine: ``"reference"``, the plain loop over the step; ``"cpu"``, the compiled kernel; or
            ``"auto"``, the kernel where there is one and the reference elsewhere.

    Returns:
        Outputs, final states, and the states and gates at every step where asked for.

    Raises:
        ShapeError: sizes, types or devices that do not fit one another.
        ConfigError: an unknown engine, option, weight or input name.
        EngineError: the engine asked for by name cannot run this; the text says why.

    Example:
        >>> import torch, recurnn
        >>> cell = recurnn.cells.GRU(3, 8)
        >>> y, last, *_ = recurnn.scan(cell, torch.randn(7, 2, 3), lengths=[7, 4])
        >>> y.shape, last["h"].shape, bool(y[4:, 1].any())
        (torch.Size([7, 2, 8]), torch.Size([2, 8]), False)
    """
    _check_options(engine, return_states, memory, return_gates, gradient_norms)
    check_input(cell, x)
    weights = parameters if parameters is not None else cell.tensors()
    options: dict[str, Any] = {
        "lengths": lengths, "reset": reset, "reverse": reverse, "return_states": return_states,
        "return_gates": return_gates, "gradient_norms": gradient_norms,
        "clip_gradient": clip_gradient, "memory": memory, "engine": engine,
    }  # fmt: skip
    if not (torch._C._is_any_autocast_enabled() and autocast_on(x.device.type)):
        return _scan(cell, x, state, reset_state, inputs, weights, half=False, **options)
    # Rounding adds up over the steps: states and sums are of the weights' type.
    like = next(iter(weights.tensors if isinstance(weights, Bound) else weights.values()))
    x, start, restart, others = (in_type(v, like.dtype) for v in (x, state, reset_state, inputs))
    half = halves_products(like)
    with torch.autocast(x.device.type, enabled=False):
        return _scan(cell, x, start, restart, others, weights, half=half, **options)


def _scan(
    cell: Cell, x: Tensor, state: State | None, reset_state: State | None,
    inputs: Mapping[str, Tensor] | None, weights: Mapping[str, Tensor] | Bound, *, half: bool,
    lengths: Tensor | Sequence[int] | None, reset: Tensor | None, reverse: bool,
    return_states: str, return_gates: bool, gradient_norms: GradientNorms | None,
    clip_gradient: float | GradientClip | None, memory: str, engine: str,
) -> ScanResult:  # fmt: skip
    """`scan` where no autocast is on; `half` says whether products are of bfloat16."""
    check_parameters(cell, x, weights)
    if not isinstance(weights, Bound):
        weights = cell.effective(weights)
    start = named_state(cell, x, state, "state")
    restart = named_state(cell, x, reset_state, "reset_state") if reset is not None else None
    lengths = check_lengths(type(cell).__name__, x, lengths)
    reset = check_reset(type(cell).__name__, x, reset)
    others = check_inputs(cell, x, inputs)
    watch = recorder()
    gradient_norms = _norms_of(watch, gradient_norms, cell, x)
    units = sum(cell.sizes[letter] for letter in cell.states.values())
    clipping = clipping_of(clip_gradient, units, x, lengths, reset, reverse=reverse)
    states = tuple(cell.states) if return_states == "all" else ()
    gates = cell.gates if return_gates else ()
    others_wanted = () if watch is None else _watched(watch, cell)
    wanted = tuple(dict.fromkeys([cell.output, *states, *gates, *others_wanted]))
    bound = weights if isinstance(weights, Bound) else None
    more = _more(others, gradient_norms, clipping)
    number = find_kernel(cell, x, engine, wanted, bound, more=more, half=half)
    if number is None:
        if isinstance(weights, Bound):
            weights = weights.binding.weights(weights.tensors, cell.shapes())
        run = reference_by_segments if memory == "low" and _can_compute_again(x) else reference
        frame = Frame(lengths, reset, reverse, wanted, gradient_norms, clipping)
        last, trace = run(cell, x, start, restart, others, weights, frame)
    else:
        given = Given(
            x, _values(cell, start), _values(cell, restart), list(others.values()),
            weights.tensors if isinstance(weights, Bound) else spread(cell, weights),
            lengths, reset, reverse,
        )  # fmt: skip
        last, trace = compiler.run(
            number, given, states=list(cell.states), wanted=wanted,
            extra=Extra(gradient_norms, None if clipping is None else clipping.limit, clipping),
            sparse=memory == "low",
        )  # fmt: skip
    if watch is not None:
        seen = {k: trace[k].detach() for k in others_wanted}
        watch.saw(Seen(cell, reverse, lengths, x, weights, seen, gradient_norms))
    return ScanResult(
        trace[cell.output],
        last,
        {name: trace[name] for name in states} if states else None,
        {name: trace[name] for name in gates} if return_gates else None,
    )


def _watched(watch: Recorder, cell: Cell) -> tuple[str, ...]:
    """The states and gates that a recorder wants to see."""
    return (*(cell.states if watch.states else ()), *(cell.gates if watch.gates else ()))


def _values(cell: Cell, states: Mapping[str, Tensor] | None) -> list[Tensor | None]:
    """The states in their order, or that there are none."""
    return [None] * len(cell.states) if states is None else list(states.values())


def _norms_of(
    watch: Recorder | None, norms: GradientNorms | None, cell: Cell, x: Tensor
) -> GradientNorms | None:
    """What is filled with the norms, if it is asked for here or by who records."""
    if watch is not None and watch.norms and norms is None:
        norms = GradientNorms()
    if norms is not None:
        norms.begin(cell.states, x.shape[0])
    return norms


def _more(
    inputs: Mapping[str, Tensor], norms: GradientNorms | None, clipping: Clipping | None
) -> tuple[str, ...]:
    """What the backward pass must give beside the usual gradients."""
    if not torch.is_grad_enabled():
        return ()
    wants_inputs = any(m.requires_grad for m in inputs.values())
    asked = {"norms": norms is not None, "inputs": wants_inputs, "clip": clipping is not None}
    return tuple(name for name, wanted in asked.items() if wanted)


def _can_compute_again(x: Tensor) -> bool:
    """Whether the reference may run by segments: outside of torch's own transforms."""
    return (
        x.shape[0] > 1
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and torch._C._functorch.peek_interpreter_stack() is None
    )


def spread(cell: Cell, weights: Mapping[str, Tensor]) -> list[Tensor]:
    """The weights as the kernel takes them: one number for all units as a vector that repeats it.

    Args:
        cell: the cell.
        weights: by name.
    """
    return [
        weights[k].expand(cell.hidden_size) if letters == "1" else weights[k]
        for k, letters in cell.weights.items()
        if k not in cell.absent
    ]


def _check_options(
    engine: str, return_states: str, memory: str, return_gates: object, gradient_norms: object
) -> None:
    """Refuse options that have another value than those there are."""
    if engine not in ENGINES:
        raise one_of("engine", engine, ENGINES)
    if return_states not in ("last", "all"):
        raise one_of("return_states", return_states, ("last", "all"))
    if memory not in ("high", "low"):
        raise one_of("memory", memory, ("high", "low"))
    if not isinstance(return_gates, bool):
        raise ConfigError(
            f"scan: return_gates is {return_gates!r}.\n  Expected True, for every gate, or False."
        )
    check_norms("scan", gradient_norms)


def find_kernel(
    cell: Cell, x: Tensor, engine: str, wanted: tuple[str, ...], bound: Bound | None, *,
    more: tuple[str, ...] = (), half: bool = False,
) -> int | None:  # fmt: skip
    """The compiled cell's number, or None where the reference is to run.

    Args:
        cell: the cell.
        x: an input, for its type and device.
        engine: as in `scan`.
        wanted: the states and gates that are given at every step.
        bound: the weights, where a binding says where they lie.
        more: what the backward pass gives beside the usual gradients.
        half: whether products may take float32 rounded to bfloat16.

    Raises:
        EngineError: the engine asked for by name cannot run this.
    """
    if engine == "reference":
        return None
    # `is not None` would be true of what torch.compile puts in place of None
    if not isinstance(torch._C._functorch.peek_interpreter_stack(), type(None)):
        reason = "inside a torch.func transform only the reference runs"
    else:
        # torch.compile asks once, and warns of what keeps results
        plain = bound is None or torch.compiler.is_compiling()
        prepare = _prepare if plain else _prepare_bound
        found: tuple[int, str] = prepare(
            cell, x.dtype, x.device, wanted, None if bound is None else bound.binding, more, half
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


F = TypeVar("F", bound=Callable[..., Any])


def _constant(function: F) -> F:
    """Mark a function that torch.compile asks once and does not look into.

    It is `torch.compiler.assume_constant_result`, which imports the whole of Dynamo for it and
    doubles the time that ``import recurnn`` takes.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@_constant
def _prepare(
    cell: Cell, dtype: torch.dtype, device: torch.device, wanted: tuple[str, ...],
    binding: Binding | None, more: tuple[str, ...] = (), half: bool = False,
) -> tuple[int, str]:  # fmt: skip
    """The number of the compiled cell and no reason, or a reason why there is none."""
    if device.type != "cpu":
        return -1, f"there is no kernel for {device.type}"
    try:
        number = compiler.prepare(cell, dtype, wanted, binding, _for_derivatives, more, half=half)
        return number, ""
    except compiler.Unsupported as unsupported:
        return -1, str(unsupported)


@_constant
@functools.cache
def _prepare_bound(
    cell: Cell, dtype: torch.dtype, device: torch.device, wanted: tuple[str, ...],
    binding: Binding, more: tuple[str, ...] = (), half: bool = False,
) -> tuple[int, str]:  # fmt: skip
    """As `_prepare`, for a cell that only describes a layer and never changes."""
    found: tuple[int, str] = _prepare(cell, dtype, device, wanted, binding, more, half)
    return found


def why_not_compiled(cell: Cell, dtype: torch.dtype, device: torch.device) -> str:
    """Why the reference runs on inputs of this type and device; empty if the kernel does."""
    found: tuple[int, str] = _prepare(cell, dtype, device, (cell.output,), None)
    return found[1]


def _for_derivatives(c: Compiled, given: Given, extra: Extra) -> list[Tensor]:
    """The reference with the kernel's arguments and results, for gradients of gradients."""
    clipping = extra.clipping
    if clipping is None and extra.limit is not None:
        clipping = Clipping(extra.limit)
    start, restart = (
        {k: s for k, s in zip(c.states, some, strict=True) if s is not None}
        for some in (given.starts, given.restarts)
    )
    frame = Frame(given.lengths, given.reset, given.reverse, c.wanted, extra.norms, clipping)
    with torch.autocast(given.x.device.type, enabled=False):
        last, trace = reference(
            c.cell,
            given.x,
            start,
            restart,
            dict(zip(c.inputs, given.inputs, strict=True)),
            c.binding.weights(given.weights, c.shapes),
            frame,
        )
    return [*(trace[k] for k in c.wanted), *last.values()]
