"""Calls of a compiled cell: tensors in, tensors out, no derivative of their own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurnn.compiler.engine import Compiled
from recurnn.compiler.structures import Shape


class Given(NamedTuple):
    """What a scan is given.

    Attributes:
        x: input, [T, B, I].
        starts: each initial state, [B, its size], or None for zeros.
        inputs: each input beside x, [T, B, its size] or the same at every step, [B, its size].
        weights: the tensors of the binding.
        lengths: real steps of each row, int64 [B], or None.
        reset: where a new sequence begins, [T, B], or None.
        reverse: whether to run from the last step to the first.
    """

    x: Tensor
    starts: Sequence[Tensor | None]
    inputs: Sequence[Tensor]
    weights: Sequence[Tensor]
    lengths: Tensor | None
    reset: Tensor | None
    reverse: bool

    @property
    def tensors(self) -> list[Tensor | None]:
        """What may want a gradient, in the order in which gradients are given."""
        return [self.x, *self.starts, *self.inputs, *self.weights]


def split(
    c: Compiled, tensors: Sequence[Any], lengths: Tensor | None, reset: Tensor | None, *,
    reverse: bool,
) -> Given:  # fmt: skip
    """What a scan is given, from `Given.tensors` in one row and the rest."""
    a, b = 1 + len(c.states), 1 + len(c.states) + len(c.inputs)
    return Given(tensors[0], tensors[1:a], tensors[a:b], tensors[b:], lengths, reset, reverse)


def narrow(c: Compiled, tensors: Sequence[Any]) -> list[Any]:
    """Results in the type of the cell, where the kernel has computed in a wider one."""
    if not c.half:
        return list(tensors)
    return [None if t is None else t.bfloat16() for t in tensors]


def forward(c: Compiled, given: Given, *, keep: bool) -> tuple[list[Tensor], list[Tensor]]:
    """What is wanted at every step with the last states, and if `keep` what the backward needs."""
    x, starts, inputs, weights, lengths, reset, reverse = _ready(c, given)
    T, B, _ = x.shape
    shape = Shape(
        T, B, (_strides(x),), tuple([s is not None for s in starts]), lengths is not None,
        reset is not None, reverse, torch.get_num_threads(),
        inputs=tuple([_strides(m) for m in inputs]),
    )  # fmt: skip
    kind = "forward" if keep else "inference"
    layout = c.layout(kind, shape)
    out = [x.new_empty((T, B, n)) for n in c.wanted_widths]
    out += [x.new_empty((B, n)) for n in c.widths]
    more = [x.new_empty((T, B, n)) for n in c.kept_widths] if keep else []
    if B:  # in the order of `layout.array_names`
        scratch = scratch_for(x, layout.scratch)
        c.kernel.run(
            kind, layout,
            [scratch, x, lengths, reset, *starts, *inputs, *weights, *out, *more],
        )  # fmt: skip
    kept = [*out[: len(c.wanted)], *more] if keep else []
    return out, kept


MOST_KEPT = 1 << 24  # elements
_kept = threading.local()


def scratch_for(like: Tensor, elements: int) -> Tensor:
    """Working memory: the thread's own from the call before, unless it would be large.

    Memory that is given back and taken anew is cleared page by page by the system, which can cost
    as much as a short call. Where torch fills fresh memory to find what nobody wrote, it is fresh.
    """
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if elements > MOST_KEPT or (filled and torch.are_deterministic_algorithms_enabled()):
        return like.new_empty((elements,))
    name = "double" if like.dtype == torch.float64 else "float"
    found: Tensor | None = getattr(_kept, name, None)
    if found is None or found.numel() < elements:
        found = like.new_empty((elements,))
        setattr(_kept, name, found)
    return found


class Gradients(NamedTuple):
    """What a backward call gives.

    Attributes:
        found: the gradient of each of `Given.tensors`; None where it is not wanted.
        norms: by state, Σ (dL/dstate)² at each step, [T, B, 1]; empty if not asked for.
    """

    found: list[Tensor | None]
    norms: list[Tensor]


def gradients(
    c: Compiled, given: Given, kept: Sequence[Tensor], slopes: Sequence[Tensor | None],
    wants: Sequence[bool],
) -> Gradients:  # fmt: skip
    """The gradients of all that the scan was given, where they are wanted.

    Args:
        c: the compiled cell.
        given: what the forward call was given.
        kept: what it kept.
        slopes: dL of each wanted value at every step and of each last state, or None.
        wants: for each of `Given.tensors`, whether its gradient is wanted.
    """
    n, m, shown = len(c.states), len(c.inputs), len(c.wanted)
    x, starts, inputs, weights, lengths, reset, reverse = _ready(c, given)
    if c.half:
        slopes = [None if g is None else g.float() for g in slopes]
    seeds = [g if g is None else _dense(g) for g in slopes[:shown]]
    lasts = [g if g is None else g.contiguous() for g in slopes[shown:]]
    T, B, _ = x.shape
    wants_weight = wants[1 + n + m :]
    shape = Shape(
        T, B, (_strides(x), *[g if g is None else _strides(g) for g in seeds]),
        tuple([s is not None for s in starts]), lengths is not None, reset is not None, reverse,
        torch.get_num_threads(), (wants[0], *wants_weight), tuple([g is not None for g in lasts]),
        tuple([_strides(i) for i in inputs]),
    )  # fmt: skip
    layout = c.layout("backward", shape)
    fresh = torch.empty_like if T and B and c.every_weight_counts else torch.zeros_like
    dx = torch.empty_like(x, memory_format=torch.contiguous_format) if wants[0] else None
    if dx is not None and not c.kernel.plans["backward"].input:
        dx.zero_()
    firsts = [x.new_empty((B, width)) for width in c.widths]
    grads = [fresh(w) if wanted else None for w, wanted in zip(weights, wants_weight, strict=True)]
    extra = [x.new_empty((rows, *weights[k].shape[1:])) for k, _, rows in layout.extra]
    # Zeros stay where a row has ended.
    norms = [x.new_zeros((T, B, 1)) for _ in c.kernel.back.norms]
    by_input = {k: x.new_zeros((T, B, c.input_widths[k])) for k in c.kernel.back.inputs}
    if B:  # in the order of `layout.array_names` and `layout.gradient_names`
        scratch = scratch_for(x, layout.scratch)
        c.kernel.run(
            "backward", layout,
            [scratch, x, lengths, reset, *starts, *inputs, *weights, *kept[:shown], *c.no_lasts,
             *kept[shown:], dx, *seeds, *lasts, *firsts, *grads, *norms, *by_input.values(),
             *extra],
        )  # fmt: skip
    for (k, row, rows), g in zip(layout.extra, extra, strict=True):
        total = grads[k]
        if total is not None and T and B:
            total[row : row + rows] += g
    found = [
        dx,
        *(g if w else None for g, w in zip(firsts, wants[1 : 1 + n], strict=True)),
        *_of_inputs(c, inputs, by_input, wants[1 + n : 1 + n + m]),
        *grads,
    ]
    return Gradients(found, norms)


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
    x, starts, inputs, weights, lengths, reset, reverse = given
    if c.half:
        x, weights = x.float(), [w.float() for w in weights]
        starts = [None if s is None else s.float() for s in starts]
        inputs = [m.float() for m in inputs]
    return Given(
        _dense(x),
        [s if s is None else s.contiguous() for s in starts],
        [_dense(m) for m in inputs],
        [w.contiguous() for w in weights],
        lengths,
        reset if reset is None else reset.contiguous(),
        reverse,
    )


def _dense(x: Tensor) -> Tensor:
    """The array with its last dimension dense."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _strides(x: Tensor) -> tuple[int, int]:
    """The strides of step and row; that of step is 0 in [B, n], the same at every step."""
    strides = x.stride()
    return (strides[0], strides[1]) if len(strides) == 3 else (0, strides[0])


def by_reference(
    c: Compiled, given: Given, slopes: Sequence[Tensor | None], wants: Sequence[bool],
    norms: Any = None,
) -> list[Tensor | None]:  # fmt: skip
    """The gradients of a scan as a graph of their own, for gradients of gradients.

    Args:
        c: the compiled cell.
        given: what the forward call was given.
        slopes: as in `gradients`.
        wants: as in `gradients`.
        norms: where the norms of the gradients of states go, or None.
    """
    x = given.x
    starts = [
        x.new_zeros(x.shape[1], n) if s is None else s
        for s, n in zip(given.starts, c.widths, strict=True)
    ]
    tensors: list[Any] = given._replace(starts=starts).tensors
    with torch.enable_grad():
        # Views, so that the graph reaches the inputs and their own gradients can be asked for.
        seen = [t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in tensors]
        again = split(c, seen, given.lengths, given.reset, reverse=given.reverse)
        outputs = c.reference(c, again, norms)
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
