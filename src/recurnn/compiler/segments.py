"""A scan that keeps its states at every √T-th step, and computes what lies between again.

The backward pass takes the segments one after another from the last run: it runs a segment
forward with all that its backward needs, then backward. What is kept at one time is the states
between the segments and the values of one segment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurnn.compiler.calls import (
    Extra,
    Given,
    Gradients,
    by_reference,
    forward,
    gradients,
    leaving,
    narrow,
    split,
)
from recurnn.compiler.engine import Compiled, compiled


class Segment(NamedTuple):
    """Steps `begin` … `end` − 1, and what a scan of them alone is given.

    Attributes:
        begin: its first step.
        end: the step after its last.
        lengths: real steps of each row within it, int64 [B], or None.
        reset: where a new sequence begins, of its steps, or None.
        cut: the rows [B, 1] in which a new sequence lies between it and the segment run before it
            where that is not said by `reset`; None if there can be none.
    """

    begin: int
    end: int
    lengths: Tensor | None
    reset: Tensor | None
    cut: Tensor | None

    def of(self, array: Tensor) -> Tensor:
        """An array [T, B, n] at these steps; [B, n], the same at every step, stays as it is."""
        return array[self.begin : self.end] if array.dim() == 3 else array

    def starts(
        self, states: Sequence[Tensor | None], restarts: Sequence[Tensor | None]
    ) -> list[Tensor | None]:
        """The states that it begins with, from those that the segment before it has left.

        Args:
            states: which.
            restarts: those that a reset starts from.
        """
        if self.cut is None:
            return list(states)
        return [
            s if s is None else torch.where(self.cut, 0 if again is None else again, s)
            for s, again in zip(states, restarts, strict=True)
        ]


def segments_of(
    T: int, lengths: Tensor | None, reset: Tensor | None, *, reverse: bool
) -> Iterator[Segment]:
    """The segments of a scan of T steps, in the order in which they are run.

    Args:
        T: steps.
        lengths: real steps of each row, int64 [B], or None.
        reset: where a new sequence begins, [T, B], or None.
        reverse: whether the scan runs from the last step to the first.
    """
    size = math.isqrt(T - 1) + 1
    begins = range(0, T, size)
    for begin in reversed(begins) if reverse else begins:
        end = min(begin + size, T)
        cut = None
        # A reset at a segment's first step cuts it from the one before; run in reverse, it cuts
        # the one before, which does not see it.
        if reverse and reset is not None and end < T:
            cut = (reset[end] if lengths is None else reset[end] & (lengths > end)).unsqueeze(-1)
        yield Segment(
            begin,
            end,
            None if lengths is None else (lengths - begin).clamp(0, end - begin),
            None if reset is None else reset[begin:end],
            cut,
        )


class SparseScan(torch.autograd.Function):
    """The compiled scan, by segments."""

    @staticmethod
    def forward(
        ctx: Any, number: int, extra: Extra, lengths: Tensor | None, reset: Tensor | None,
        reverse: bool, *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """As the scan, without what its backward pass needs: see `operation`."""
        c = compiled(number)
        given = split(c, tensors, lengths, reset, reverse=reverse)
        T, B, _ = given.x.shape
        kind = c.kernel.real
        whole = [given.x.new_empty((T, B, n), dtype=kind) for n in c.wanted_widths]
        state: Sequence[Tensor | None] = given.starts
        kept: list[Tensor | None] = []
        for k, segment in enumerate(segments_of(T, lengths, reset, reverse=reverse)):
            part = _part(given, segment, state)
            if k:
                kept += part.starts
            out, _ = forward(c, part, keep=False)
            for array, value in zip(whole, out, strict=False):
                segment.of(array).copy_(value)
            state = out[len(whole) :]
        ctx.set_materialize_grads(False)
        ctx.options = (reverse, number, extra)
        ctx.save_for_backward(lengths, reset, *tensors, *kept)
        return tuple(narrow(c, [*whole, *state]))

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> Any:
        """A segment forward and then backward, from the last run to the first."""
        reverse, number, extra = ctx.options
        c, wants = compiled(number), ctx.needs_input_grad[5:]
        lengths, reset, *rest = ctx.saved_tensors
        given = split(c, rest[: len(wants)], lengths, reset, reverse=reverse)
        none = (None, None, None, None, None)
        if torch.is_grad_enabled():
            return (*none, *by_reference(c, given, slopes, wants, extra))
        total = _Total(c, given, wants, extra)
        n, shown = len(c.states), len(c.wanted)
        states = [given.starts, *zip(*[iter(rest[len(wants) :])] * n, strict=True)]
        lasts = list(slopes[shown:])
        pairs = zip(segments_of(len(given.x), lengths, reset, reverse=reverse), states, strict=True)
        for segment, starts in reversed(list(pairs)):
            part = _part(given, segment, starts)
            _, kept = forward(c, part, keep=True)
            seeds = [g if g is None else segment.of(g) for g in slopes[:shown]]
            here = [wants[0], *([True] * n), *wants[1 + n :]]
            result = gradients(c, part, kept, [*seeds, *lasts], here, extra.limit)
            lasts = total.add(segment, result)
        if extra.norms is not None:
            extra.norms.put(c.kernel.back.norms, total.norms)
        if extra.clipping is not None:
            extra.clipping.put(total.clipped)
        return (*none, *narrow(c, total.found(lasts)))


class _Total:
    """The gradients of the whole scan, from those of its segments."""

    def __init__(self, c: Compiled, given: Given, wants: Sequence[bool], extra: Extra) -> None:
        self.c, self.given, self.wants, self.extra = c, given, wants, extra
        x, kind = given.x, c.kernel.real
        T, B, _ = x.shape
        self.sums: list[Tensor | None] = [None] * len(wants)
        self.arrays = {
            k: torch.empty_like(t, dtype=kind, memory_format=torch.contiguous_format)
            for k, (t, wanted) in enumerate(zip(given.tensors, wants, strict=True))
            if wanted and self.is_array(k) and t is not None
        }
        self.norms = [x.new_empty((T, B, 1), dtype=kind) for _ in c.kernel.back.norms]
        self.clipped = x.new_zeros((), dtype=torch.int64)

    def is_array(self, k: int) -> bool:
        """Whether the k-th tensor has a value for each step: x, and inputs beside it."""
        first = 1 + 2 * len(self.c.states)
        inputs = self.given.inputs
        return k == 0 or (first <= k < first + len(inputs) and inputs[k - first].dim() == 3)

    def add(self, segment: Segment, result: Gradients) -> list[Tensor | None]:
        """Take over a segment's gradients; returns those of the states that it began with."""
        for k, g in enumerate(result.found):
            if k in self.arrays and g is not None:
                segment.of(self.arrays[k]).copy_(g)
            elif g is not None:
                before = self.sums[k]
                self.sums[k] = g if before is None else before.add_(g)
        for whole, part in zip(self.norms, result.norms, strict=True):
            segment.of(whole).copy_(part)
        self.clipped += result.clipped.sum()
        n = len(self.c.states)
        starts, self.sums[1 : 1 + n] = self.sums[1 : 1 + n], [None] * n
        if segment.cut is not None:
            starts = self.cut(segment.cut, starts)
        if self.extra.limit is not None:
            starts = self.leaving(segment, starts, self.extra.limit)
        return starts

    def cut(self, cut: Tensor, starts: list[Tensor | None]) -> list[Tensor | None]:
        """The gradients of the states that a segment began with, in some rows those of a reset."""
        n = len(starts)
        for k, (g, wanted) in enumerate(zip(starts, self.wants[1 + n : 1 + 2 * n], strict=True)):
            if wanted and g is not None:
                again = self.sums[1 + n + k]
                assert again is not None
                again += torch.where(cut, g, 0)
        return [g if g is None else torch.where(cut, 0, g) for g in starts]

    def leaving(
        self, segment: Segment, starts: list[Tensor | None], limit: float
    ) -> list[Tensor | None]:
        """What leaves a segment's first step, clipped and counted."""
        found, clipping = list(starts), self.extra.clipping
        for k, g in enumerate(starts):
            if g is None:
                continue
            if clipping is not None:
                t = segment.end - 1 if self.given.reverse else segment.begin
                beyond = (g.abs() > limit) & clipping.passes[t].unsqueeze(-1)
                self.clipped += beyond.sum()
            found[k] = leaving(g, segment.lengths, segment.end - segment.begin, limit)
        return found

    def found(self, starts: Sequence[Tensor | None]) -> list[Tensor | None]:
        """All gradients that are wanted, in the order of `Given.tensors`."""
        n = len(self.c.states)
        every = [self.arrays.get(k, g) for k, g in enumerate(self.sums)]
        every[1 : 1 + n] = starts
        return [g if wanted else None for g, wanted in zip(every, self.wants, strict=True)]


def _part(given: Given, segment: Segment, starts: Sequence[Tensor | None]) -> Given:
    """What a segment alone is given."""
    return Given(
        segment.of(given.x), segment.starts(starts, given.restarts), given.restarts,
        [segment.of(m) for m in given.inputs], given.weights, segment.lengths, segment.reset,
        given.reverse,
    )  # fmt: skip
