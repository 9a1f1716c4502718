"""The compiled engine as one operation of torch: differentiable, and seen as one by its tools.

To torch.compile and torch.export a scan is the operation ``recurnn::scan`` with a gradient,
``recurnn::scan_backward``; otherwise an autograd function, which costs less a call. The
gradient's own gradient is that of the reference, which the caller hands over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from recurnn.compiler.calls import (
    NOTHING,
    Extra,
    Given,
    by_reference,
    forward,
    gradients,
    leaving,
    narrow,
    split,
)
from recurnn.compiler.engine import Compiled, compiled
from recurnn.compiler.segments import SparseScan


def run(
    number: int, given: Given, *, states: Sequence[str], wanted: Sequence[str],
    extra: Extra = NOTHING, sparse: bool = False,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:  # fmt: skip
    """Run a compiled cell.

    Args:
        number: of the compiled cell, from `prepare`.
        given: what the scan is given.
        states: the names of its states.
        wanted: as for `prepare`.
        extra: what the backward pass does beside the usual gradients.
        sparse: whether to keep states at some steps only, and compute the others again.

    Returns:
        Last states, and what is wanted at every step, by name.
    """
    tensors = given.tensors
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    if torch.compiler.is_compiling():  # the list of what is compiled is not for it to look into
        x, starts, restarts, inputs, weights, lengths, reset, reverse = given
        known, again = ([s for s in some if s is not None] for some in (starts, restarts))
        out = torch.ops.recurnn.scan(
            x, known, again, list(inputs), list(weights), lengths, reset, reverse, number, keep,
            extra.limit,
        )  # fmt: skip
    elif keep:
        apply = _apply_sparse if sparse and given.x.shape[0] > 1 else _apply
        out = apply(number, extra, given.lengths, given.reset, given.reverse, *tensors)
    else:
        c = compiled(number)
        out = narrow(c, forward(c, given, keep=False)[0])
    n = len(wanted)
    last = dict(zip(states, out[n : n + len(states)], strict=True))
    return last, dict(zip(wanted, out, strict=False))


class _Scan(torch.autograd.Function):
    """The operation outside torch.compile, where a registered one would cost more than the scan."""

    @staticmethod
    def forward(
        ctx: Any, number: int, extra: Extra, lengths: Tensor | None, reset: Tensor | None,
        reverse: bool, *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        c = compiled(number)
        given = split(c, tensors, lengths, reset, reverse=reverse)
        out, kept = forward(c, given, keep=True)
        _keep(ctx, given, kept, number, extra)
        return tuple(narrow(c, out))

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> Any:
        found = _backward(ctx, slopes, ctx.needs_input_grad[5:])
        return (None, None, None, None, None, *found)


# What `apply` comes to when no torch.func transform is active, and in one none comes here.
_apply: Callable[..., tuple[Tensor, ...]] = super(torch.autograd.Function, _Scan).apply
_apply_sparse: Callable[..., tuple[Tensor, ...]] = super(torch.autograd.Function, SparseScan).apply


def _keep(ctx: Any, given: Given, kept: Sequence[Tensor], number: int, extra: Extra) -> None:
    # A result that nobody used has no gradient; torch would fill one of zeros as large as itself.
    ctx.set_materialize_grads(False)
    ctx.options = (given.reverse, number, extra)
    ctx.save_for_backward(given.lengths, given.reset, *given.tensors, *kept)


def _backward(
    ctx: Any, slopes: Sequence[Tensor | None], wants: Sequence[bool]
) -> list[Tensor | None]:
    reverse, number, extra = ctx.options
    c = compiled(number)
    lengths, reset, *rest = ctx.saved_tensors
    tensors, kept = rest[: len(wants)], rest[len(wants) :]
    given = split(c, tensors, lengths, reset, reverse=reverse)
    slopes = slopes[: len(c.wanted) + len(c.states)]
    if torch.is_grad_enabled():  # a gradient of the gradient is wanted
        return by_reference(c, given, slopes, wants, extra)
    if torch.compiler.is_compiling():
        found = torch.ops.recurnn.scan_backward(
            given.x, given.starts, given.restarts, given.inputs, given.weights, lengths, reset,
            reverse, number, kept, slopes, list(wants), extra.limit,
        )  # fmt: skip
        return [g if wanted else None for g, wanted in zip(found, wants, strict=True)]
    result = gradients(c, given, kept, slopes, wants, extra.limit)
    if extra.norms is not None:
        extra.norms.put(c.kernel.back.norms, result.norms)
    if extra.clipping is not None:
        extra.clipping.put(result.clipped)
    return narrow(c, _left(c, given, result.found, extra.limit))


def _left(
    c: Compiled, given: Given, found: list[Tensor | None], limit: float | None
) -> list[Tensor | None]:
    """The gradients, those of the initial states clipped."""
    if limit is not None:
        for k in range(1, 1 + len(c.states)):
            g = found[k]
            found[k] = None if g is None else leaving(g, given.lengths, given.x.shape[0], limit)
    return found


# ---- the registered operation, for torch.compile and torch.export. Initial states are all given or
# none, and so those of resets: a list with None in it would be one argument to torch, and get no
# gradients.


@torch.library.custom_op("recurnn::scan", mutates_args=(), device_types="cpu")
def _scan(
    x: Tensor, starts: list[Tensor], restarts: list[Tensor], inputs: list[Tensor],
    weights: list[Tensor], lengths: Tensor | None, reset: Tensor | None, reverse: bool,
    number: int, keep: bool, limit: float | None,
) -> list[Tensor]:  # fmt: skip
    c = compiled(number)
    again = restarts or c.no_starts
    given = Given(x, starts or c.no_starts, again, inputs, weights, lengths, reset, reverse)
    out, kept = forward(c, given, keep=keep)
    return [*narrow(c, out), *(kept if c.half else kept[len(c.wanted) :])]  # no tensor twice


@_scan.register_fake
def _(
    x: Tensor, starts: list[Tensor], restarts: list[Tensor], inputs: list[Tensor],
    weights: list[Tensor], lengths: Tensor | None, reset: Tensor | None, reverse: bool,
    number: int, keep: bool, limit: float | None,
) -> list[Tensor]:  # fmt: skip
    c = compiled(number)
    T, B = x.shape[:2]
    rest = [*(c.wanted_widths if c.half else []), *c.kept_widths] if keep else []
    kind = torch.float32 if c.half else x.dtype
    return [
        *(x.new_empty(T, B, n) for n in c.wanted_widths),
        *(x.new_empty(B, n) for n in c.widths),
        *(x.new_empty(T, B, n, dtype=kind) for n in rest),
    ]


@torch.library.custom_op("recurnn::scan_backward", mutates_args=(), device_types="cpu")
def _scan_backward(
    x: Tensor, starts: list[Tensor | None], restarts: list[Tensor | None],
    inputs: list[Tensor], weights: list[Tensor], lengths: Tensor | None, reset: Tensor | None,
    reverse: bool, number: int, kept: list[Tensor], slopes: list[Tensor | None],
    wants: list[bool], limit: float | None,
) -> list[Tensor]:  # fmt: skip
    given = Given(x, starts, restarts, inputs, weights, lengths, reset, reverse)
    c = compiled(number)
    found = gradients(c, given, kept, slopes, wants, limit).found
    found = narrow(c, _left(c, given, found, limit))
    return [x.new_empty(0) if g is None else g for g in found]


@_scan_backward.register_fake
def _(
    x: Tensor, starts: list[Tensor | None], restarts: list[Tensor | None],
    inputs: list[Tensor], weights: list[Tensor], lengths: Tensor | None, reset: Tensor | None,
    reverse: bool, number: int, kept: list[Tensor], slopes: list[Tensor | None],
    wants: list[bool], limit: float | None,
) -> list[Tensor]:  # fmt: skip
    c = compiled(number)
    shapes = [
        x.shape, *((x.shape[1], n) for n in [*c.widths, *c.widths]), *(m.shape for m in inputs),
        *(w.shape for w in weights),
    ]  # fmt: skip
    return [x.new_empty(s if w else 0) for s, w in zip(shapes, wants, strict=True)]


def _setup(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    x, starts, restarts, *given, number, keep, limit = inputs
    c = compiled(number)
    if keep:
        public = len(c.wanted) + len(c.states)
        kept = [*([] if c.half else output[: len(c.wanted)]), *output[public:]]
        none = c.no_starts
        whole = Given(x, starts or none, restarts or none, *given)
        _keep(ctx, whole, kept, number, Extra(limit=limit))
    else:
        ctx.set_materialize_grads(False)


def _registered_backward(ctx: Any, slopes: list[Tensor | None]) -> Any:
    wants_x, *wants_some, wants_inputs, wants_weights = ctx.needs_input_grad[:5]
    none = [False] * len(compiled(ctx.options[1]).states)
    wants = [wants_x, *(w for some in wants_some for w in (some or none)),
             *(wants_inputs or []), *wants_weights]  # fmt: skip
    found = iter(_backward(ctx, slopes, wants))
    dx = next(found)
    each = [[next(found) for _ in none] for _ in wants_some]
    # a list that was empty has an empty list of gradients
    starts, restarts = (g if some else [] for g, some in zip(each, wants_some, strict=True))
    by_input = [next(found) for _ in wants_inputs or []]
    return dx, starts, restarts, by_input, list(found), None, None, None, None, None, None


torch.library.register_autograd("recurnn::scan", _registered_backward, setup_context=_setup)
