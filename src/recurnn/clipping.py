"""Clipping of the gradient as it passes from step to step: `GradientClip`."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor

from recurnn.errors import ConfigError

MOST_ADDED = 1024  # counts that wait to be added up


class GradientClip:
    """Limits the gradient inside a recurrence, and counts how often it does.

    dL/dstate, as it passes from step t + 1 back to step t, is clipped to ±limit, component by
    component, for every state of the cell; what the outputs and the loss add at step t is added
    after that, unclipped. The gradient of the initial state is clipped as it leaves the first step,
    so that a sequence that is run in pieces has the gradients of the whole; that of the states
    given for resets is not. What passes back through n steps cannot grow with n.

    Graves, "Generating sequences with recurrent neural networks", 2013, clips likewise at each
    step, but the gradient of what goes into the gates.

    In gradients of gradients every way back through the recurrence is clipped. Where that bites
    they are no derivative of anything, and differ from engine to engine.

    Given to `recurnn.scan` as ``clip_gradient``, it is filled by the backward passes, each of
    which adds to the counts. Counted are the components that pass between two steps: not those of
    initial states, and none across a reset.

    Args:
        limit: the largest component that passes. It may be changed; what counts is its value at
            the time of the forward pass.

    Raises:
        ConfigError: the limit is not a positive number.

    Example:
        >>> import torch, recurnn
        >>> cell, clip = recurnn.cells.LSTM(3, 8), recurnn.GradientClip(1e-3)
        >>> y = recurnn.scan(cell, torch.randn(7, 2, 3), clip_gradient=clip).output
        >>> y.sum().backward()
        >>> clip.passed == 6 * 2 * (8 + 8), 0 < clip.rate < 1
        (True, True)
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.reset()

    @property
    def limit(self) -> float:
        """The largest component that passes."""
        return self._limit

    @limit.setter
    def limit(self, limit: float) -> None:
        self._limit = check_limit("GradientClip", limit)

    @property
    def clipped(self) -> int:
        """How many components were clipped since the last `reset`."""
        return self._counted()[0]

    @property
    def passed(self) -> int:
        """How many components have passed from a step to the one before, clipped ones included."""
        return self._counted()[1]

    @property
    def rate(self) -> float:
        """The share of components that were clipped; 0 where none has passed."""
        return self.clipped / max(self.passed, 1)

    def reset(self) -> None:
        """Begin to count anew."""
        self._known = (0, 0)
        self._added: list[tuple[int | Tensor, int | Tensor]] = []

    def add(self, clipped: int | Tensor, passed: int | Tensor) -> None:
        """Count some more.

        Args:
            clipped: components that were clipped, in any number of parts.
            passed: components that passed.
        """
        self._added.append((clipped, passed))
        if len(self._added) == MOST_ADDED:
            self._counted()

    def _counted(self) -> tuple[int, int]:
        """Add up: the backward pass waits for no device, and spends no time on it."""
        for which in self._added:
            clipped, passed = (int(n.sum()) if isinstance(n, Tensor) else n for n in which)
            self._known = self._known[0] + clipped, self._known[1] + passed
        self._added = []
        return self._known

    def __repr__(self) -> str:
        return f"GradientClip({self.limit:g})"


class Clipping:
    """The clipping of one scan.

    Args:
        limit: the largest component that passes.
        clip: what counts, or None.
        units: of all states together.
        shape: T and B.
        lengths: real steps of each row, int64 [B], or None.
        reset: where a new sequence begins, [T, B], or None.
        reverse: whether from the last step to the first.
    """

    def __init__(
        self, limit: float, clip: GradientClip | None = None, units: int = 0,
        shape: tuple[int, int] = (0, 0), lengths: Tensor | None = None,
        reset: Tensor | None = None, *, reverse: bool = False,
    ) -> None:  # fmt: skip
        self.limit, self.clip, self._units, self._shape = limit, clip, units, shape
        self._lengths, self._reset, self._reverse = lengths, reset, reverse
        self._pass = -1

    @functools.cached_property
    def passes(self) -> Tensor:
        """Whether a state comes to step t of a row from another step of it, [T, B]."""
        T, B = self._shape
        device = None if self._lengths is None else self._lengths.device
        device = device if self._reset is None else self._reset.device
        found = torch.arange(T, device=device).unsqueeze(1).expand(T, B) > 0
        if self._lengths is not None:
            found = found & (torch.arange(T, device=device).unsqueeze(1) < self._lengths)
        if self._reset is not None:
            found = found & ~self._reset
        # In reverse it comes to t from t + 1, where forward it goes from t to t + 1.
        return found.roll(-1, 0) if self._reverse else found

    def put(self, clipped: Tensor) -> None:
        """What a kernel gives: how many components were clipped, in any number of parts."""
        if self.clip is not None:
            self.clip.add(clipped, self._total)

    @functools.cached_property
    def _total(self) -> int | Tensor:
        if self._lengths is None and self._reset is None:
            T, B = self._shape
            return max(T - 1, 0) * B * self._units
        return self.passes.sum() * self._units

    def entering(self, state: dict[str, Tensor], t: int) -> dict[str, Tensor]:
        """The states as step t of the reference takes them, their gradients clipped."""
        counts = self.clip is not None and torch._C._functorch.peek_interpreter_stack() is None
        note = functools.partial(self._note, t) if counts else None
        return {k: clip_gradient(s, self.limit, note) for k, s in state.items()}

    def _note(self, t: int, gradient: Tensor) -> None:
        assert self.clip is not None
        number = torch._C._current_graph_task_id()
        if number != self._pass:
            self._pass = number
            self.clip.add(0, self._total)
        beyond = (gradient.detach().abs() > self.limit) & self.passes[t].reshape(
            -1, *[1] * (gradient.dim() - 1)
        )
        self.clip.add(beyond.sum(), 0)


def clipping_of(
    clip: float | GradientClip, units: int, x: Tensor, lengths: Tensor | None,
    reset: Tensor | None, *, reverse: bool,
) -> Clipping:  # fmt: skip
    """The clipping of a scan, by what its caller gave; under torch.compile nothing is counted.

    Args:
        clip: the limit, or what has it and counts.
        units: of all states together.
        x: input, [T, B, I].
        lengths: as in `Clipping`.
        reset: as in `Clipping`.
        reverse: as in `Clipping`.
    """
    if not isinstance(clip, GradientClip):
        return Clipping(check_limit("scan", clip))
    if torch.compiler.is_compiling():
        return Clipping(clip.limit)
    shape = (x.shape[0], x.shape[1])
    return Clipping(clip.limit, clip, units, shape, lengths, reset, reverse=reverse)


class _Clip(torch.autograd.Function):
    """The identity, whose gradient is clipped."""

    generate_vmap_rule = True

    @staticmethod
    def forward(state: Tensor, limit: float, note: Any) -> Tensor:
        return state.view_as(state)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.limit, ctx.note = inputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        if ctx.note is not None:
            ctx.note(gradient)
        return gradient.clamp(-ctx.limit, ctx.limit), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return tangents[0].view_as(tangents[0])


def clip_gradient(state: Tensor, limit: float, note: Any = None) -> Tensor:
    """The state itself; its gradient is clipped to ±limit, component by component.

    Args:
        state: any tensor.
        limit: the largest component that passes.
        note: called with the gradient before it is clipped.
    """
    found: Tensor = _Clip.apply(state, limit, note)  # type: ignore[no-untyped-call]
    return found


def check_limit(name: str, limit: Any) -> float:
    """Refuse a limit that is not a positive number.

    Args:
        name: of what has it, for errors.
        limit: as the user gave it.
    """
    number = isinstance(limit, int | float) and not isinstance(limit, bool)
    if not number or not 0 < limit < math.inf:
        raise ConfigError(
            f"{name}: the limit of the gradient is {limit!r}.\n"
            "  Expected a positive number: a component beyond it, on either side, becomes it."
        )
    return float(limit)
