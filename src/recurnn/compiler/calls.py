"""Calls of a compiled cell: tensors in, tensors out, no derivative of their own."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurnn.compiler.arrays import dense, scratch, strides
from recurnn.compiler.engine import Compiled
from recurnn.compiler.spans import forward_in_spans, gradients_between, of_starts, spans_of
from recurnn.compiler.structures import Shape


class Given(NamedTuple):
    """What a scan is given.

    Attributes:
        x: input, [T, B, I].
        starts: each initial state, [B, its size], or None for zeros.
        restarts: each state that a reset starts from, [B, its size], or None for zeros.
        inputs: each input beside x, [T, B, its size] or the same at every step, [B, its size].
        weights: the tensors of the binding.
        lengths: real steps of each row, int64 [B], or None.
        reset: where a new sequence begins, [T, B], or None.
        reverse: whether to run from the last step to the first.
    """

    x: Tensor
    starts: Sequence[Tensor | None]
    restarts: Sequence[Tensor | None]
    inputs: Sequence[Tensor]
    weights: Sequence[Tensor]
    lengths: Tensor | None
    reset: Tensor | None
    reverse: bool

    @property
    def tensors(self) -> list[Tensor | None]:
        """What may want a gradient, in the order in which gradients are given."""
        return [self.x, *self.starts, *self.restarts, *self.inputs, *self.weights]


class Extra(NamedTuple):
    """What a backward pass does beside the usual gradients.

    Attributes:
        norms: where the norms of the gradients of states go, or None.
        limit: to which the gradient that passes from step to step is clipped, or None.
        clipping: where it is counted how often, or None.
    """

    norms: Any = None
    limit: float | None = None
    clipping: Any = None


NOTHING = Extra()


def split(
    c: Compiled, tensors: Sequence[Any], lengths: Tensor | None, reset: Tensor | None, *,
    reverse: bool,
) -> Given:  # fmt: skip
    """What a scan is given, from `Given.tensors` in one row and the rest."""
    n = len(c.states)
    a, b = 1 + n, 1 + 2 * n
    e = b + len(c.inputs)
    return Given(
        tensors[0], tensors[1:a], tensors[a:b], tensors[b:e], tensors[e:], lengths, reset, reverse
    )  # fmt: skip


def narrow(c: Compiled, tensors: Sequence[Any]) -> list[Any]:
    """Results in the type of the cell, where the kernel has computed in a wider one."""
    if not c.half:
        return list(tensors)
    return [None if t is None else t.bfloat16() for t in tensors]


def forward(c: Compiled, given: Given, *, keep: bool) -> tuple[list[Tensor], list[Tensor]]:
    """What is wanted at every step with the last states, and if `keep` what the backward needs."""
    ready = _ready(c, given)
    x, starts, restarts, inputs, weights, lengths, reset, reverse = ready
    T, B, _ = x.shape
    shape = Shape(
        T, B, (strides(x),), tuple([s is not None for s in starts]), lengths is not None,
        reset is not None, reverse, torch.get_num_threads(),
        inputs=tuple([strides(m) for m in inputs]), restarts=_given(restarts),
        spans=spans_of(c, T, B),
    )  # fmt: skip
    kind = "forward" if keep else "inference"
    out = [x.new_empty((T, B, n)) for n in c.wanted_widths]
    out += [x.new_empty((B, n)) for n in c.widths]
    more = [x.new_empty((T, B, n)) for n in c.kept_widths] if keep else []
    if shape.spans > 1:
        forward_in_spans(c, ready, shape, out, more or _lent(x, c.kept_widths))
    elif B:  # in the order of `layout.array_names`
        layout = c.layout(kind, shape)
        c.kernel.run(
            kind, layout,
            [scratch(x, layout.scratch), x, lengths, reset, *starts, *restarts, *inputs, *weights,
             *out, *more],
        )  # fmt: skip
    kept = [*out[: len(c.wanted)], *more] if keep else []
    return out, kept


def _lent(x: Tensor, widths: Sequence[int]) -> list[Tensor]:
    """Arrays [T, B, n] that nobody needs after the call."""
    T, B, _ = x.shape
    whole, at, found = scratch(x, T * B * sum(widths), "kept"), 0, []
    for n in widths:
        found.append(whole[at : at + T * B * n].view(T, B, n))
        at += T * B * n
    return found


class Gradients(NamedTuple):
    """What a backward call gives.

    Attributes:
        found: the gradient of each of `Given.tensors`; None where it is not wanted.
        norms: by state, Σ (dL/dstate)² at each step, [T, B, 1]; empty if not asked for.
        clipped: by thread and state, how often a component was clipped between two steps, int64;
            empty if nothing is clipped.
    """

    found: list[Tensor | None]
    norms: list[Tensor]
    clipped: Tensor


def gradients(
    c: Compiled, given: Given, kept: Sequence[Tensor], slopes: Sequence[Tensor | None],
    wants: Sequence[bool], limit: float | None = None,
) -> Gradients:  # fmt: skip
    """The gradients of all that the scan was given, where they are wanted.

    Those of initial states are not clipped: `leaving` does that.

    Args:
        c: the compiled cell.
        given: what the forward call was given.
        kept: what it kept.
        slopes: dL of each wanted value at every step and of each last state, or None.
        wants: for each of `Given.tensors`, whether its gradient is wanted.
        limit: to which the gradient that passes from step to step is clipped, or None.
    """
    n, m, shown = len(c.states), len(c.inputs), len(c.wanted)
    ready = _ready(c, given)
    x, starts, restarts, inputs, weights, lengths, reset, reverse = ready
    if c.half:
        slopes = [None if g is None else g.float() for g in slopes]
    seeds = [g if g is None else dense(g) for g in slopes[:shown]]
    lasts = [g if g is None else g.contiguous() for g in slopes[shown:]]
    T, B, _ = x.shape
    wants_weight = wants[1 + 2 * n + m :]
    shape = Shape(
        T, B, (strides(x), *[g if g is None else strides(g) for g in seeds]),
        tuple([s is not None for s in starts]), lengths is not None, reset is not None, reverse,
        torch.get_num_threads(), (wants[0], *wants_weight), tuple([g is not None for g in lasts]),
        tuple([strides(i) for i in inputs]), _given(restarts), spans_of(c, T, B),
    )  # fmt: skip
    spans = (shape.spans,) if shape.spans > 1 else ()
    if spans:
        lasts = gradients_between(c, ready, shape, kept, seeds, lasts)
        shape = shape._replace(lasts=tuple([g is not None for g in lasts]))
    layout = c.layout("backward", shape)
    fresh = torch.empty_like if T and B and c.every_weight_counts else torch.zeros_like
    dx = torch.empty_like(x, memory_format=torch.contiguous_format) if wants[0] else None
    if dx is not None and not c.kernel.plans["backward"].input:
        dx.zero_()
    firsts = [x.new_empty((*spans, B, width)) for width in c.widths]
    again = [x.new_zeros((*spans, B, width)) if shape.restarts else None for width in c.widths]
    grads = [fresh(w) if wanted else None for w, wanted in zip(weights, wants_weight, strict=True)]
    extra = [x.new_empty((rows, *weights[k].shape[1:])) for k, _, rows in layout.extra]
    # Zeros stay where a row has ended.
    norms = [x.new_zeros((T, B, 1)) for _ in c.kernel.back.norms]
    by_input = {k: x.new_zeros((T, B, c.input_widths[k])) for k in c.kernel.back.inputs}
    counted = len(c.kernel.back.clipped)
    clipped = x.new_zeros((layout.call.threads, counted), dtype=torch.int64)
    limits = [*_limits(limit, x.dtype), clipped] if limit is not None else []
    if B:  # in the order of `layout.array_names` and `layout.gradient_names`
        c.kernel.run(
            "backward", layout,
            [scratch(x, layout.scratch), x, lengths, reset, *starts, *restarts, *inputs, *weights,
             *kept[:shown], *c.no_lasts, *kept[shown:], dx, *seeds, *lasts, *firsts, *again,
             *grads, *norms, *by_input.values(), *limits, *extra],
        )  # fmt: skip
    if spans:
        firsts = of_starts(c, firsts, reverse=reverse)
        again = [None if g is None else g.sum(0) for g in again]
    for (k, row, rows), g in zip(layout.extra, extra, strict=True):
        total = grads[k]
        if total is not None and T and B:
            total[row : row + rows] += g
    found = [
        dx,
        *(g if w else None for g, w in zip([*firsts, *again], wants[1 : 1 + 2 * n], strict=True)),
        *_of_inputs(c, inputs, by_input, wants[1 + 2 * n : 1 + 2 * n + m]),
        *grads,
    ]
    return Gradients(found, norms, clipped)


@functools.lru_cache(maxsize=64)
def _limits(limit: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A limit, and none, as a kernel reads them."""
    return torch.tensor([limit], dtype=dtype), torch.tensor([math.inf], dtype=dtype)


def leaving(g: Tensor, lengths: Tensor | None, steps: int, limit: float) -> Tensor:
    """The gradient of a state as it leaves the first step, clipped.

    Args:
        g: as it arrives there, [B, its size].
        lengths: real steps of each row, int64 [B], or None. What a row without steps hands on has
            passed no step.
        steps: T.
        limit: to which it is clipped.
    """
    if lengths is None:
        return g.clamp_(-limit, limit) if steps else g
    return torch.where(lengths.unsqueeze(-1) > 0, g.clamp(-limit, limit), g)


def _of_inputs(
    c: Compiled, inputs: Sequence[Tensor], found: dict[str, Tensor], wants: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients of the inputs beside x; of one that is the same at every step, their sum."""
    result: list[Tensor | None] = []
    for name, given, wanted in zip(c.inputs, inputs, wants, strict=True):
        g = found.get(name)
        if wanted and g is not None:
            result.append(g if given.dim() == 3 else g.sum(0))
        else:  # the step does not use it
            result.append(torch.zeros_like(given) if wanted else None)
    return result


def _ready(c: Compiled, given: Given) -> Given:
    """The arrays as a kernel takes them: dense, and wide where it computes in a wider type."""
    x, starts, restarts, inputs, weights, lengths, reset, reverse = given
    if c.half:
        x, weights = x.float(), [w.float() for w in weights]
        starts = [None if s is None else s.float() for s in starts]
        restarts = [None if s is None else s.float() for s in restarts]
        inputs = [m.float() for m in inputs]
    return Given(
        dense(x),
        [s if s is None else s.contiguous() for s in starts],
        [s if s is None else s.contiguous() for s in restarts],
        [dense(m) for m in inputs],
        [w.contiguous() for w in weights],
        lengths,
        reset if reset is None else reset.contiguous(),
        reverse,
    )


def _given(restarts: Sequence[Tensor | None]) -> bool:
    """Whether there are states that resets start from: they come all together."""
    return bool(restarts) and restarts[0] is not None


def by_reference(
    c: Compiled, given: Given, slopes: Sequence[Tensor | None], wants: Sequence[bool],
    extra: Extra = NOTHING,
) -> list[Tensor | None]:  # fmt: skip
    """The gradients of a scan as a graph of their own, for gradients of gradients.

    Args:
        c: the compiled cell.
        given: what the forward call was given.
        slopes: as in `gradients`.
        wants: as in `gradients`.
        extra: what is done beside.
    """
    x = given.x
    starts, restarts = (
        [
            x.new_zeros(x.shape[1], n) if s is None else s
            for s, n in zip(some, c.widths, strict=True)
        ]
        for some in (given.starts, given.restarts)
    )
    tensors: list[Any] = given._replace(starts=starts, restarts=restarts).tensors
    with torch.enable_grad():
        # Views, so that the graph reaches the inputs and their own gradients can be asked for.
        seen = [t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in tensors]
        again = split(c, seen, given.lengths, given.reset, reverse=given.reverse)
        outputs = c.reference(c, again, extra)
        pairs = [
            (o, g)
            for o, g in zip(outputs, slopes, strict=True)
            if g is not None and o.requires_grad
        ]
        found = torch.autograd.grad(
            [o for o, _ in pairs], seen, [g for _, g in pairs], create_graph=True, allow_unused=True
        )
    return [
        None if not wanted else torch.zeros_like(t) if g is None else g
        for t, g, wanted in zip(tensors, found, wants, strict=True)
    ]
