"""The compiled engine as one operation of torch: registered once, differentiable, traceable.

To torch, a scan is the operation ``recurnn::scan`` with a gradient, ``recurnn::scan_backward``;
so ``torch.compile`` and ``torch.export`` pass over it in one piece. The gradient's own gradient
is that of the reference, which the caller hands over as a function of a kernel's number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurnn.compiler.arrays import dense
from recurnn.compiler.gradients import Frame, Run
from recurnn.compiler.kernel import Kernel
from recurnn.compiler.ops import Unsupported
from recurnn.compiler.trace import trace

Reference = Callable[..., list[Tensor]]


@dataclass
class Compiled:
    """A kernel with what its calls need beside tensors.

    Attributes:
        kernel: the kernel.
        cell: the cell it was made for, as the example of its kind.
        sizes: letter to number.
        wanted: the states and gates that are given at every step.
        reference: the same computation by the plain loop.
    """

    kernel: Kernel
    cell: Any
    sizes: dict[str, int]
    wanted: tuple[str, ...]
    reference: Reference

    @property
    def kept_states(self) -> list[str]:
        """The states that only the backward needs at every step."""
        return [k for k in self.cell.states if k not in self.wanted]


_kernels: dict[Any, Kernel] = {}
_compiled: list[Compiled] = []
_numbers: dict[Any, int | Unsupported] = {}


def prepare(cell: Any, dtype: torch.dtype, wanted: tuple[str, ...], reference: Reference) -> int:
    """The number of a compiled cell, built at the first call for its equations.

    Args:
        cell: the cell.
        dtype: the type of its numbers.
        wanted: the states and gates asked for at every step.
        reference: the plain loop, for the gradient's gradient.

    Raises:
        Unsupported: it cannot be compiled; the reason is the text.
    """
    key = (type(cell), type(cell).step, _attributes(cell), dtype, wanted)
    number = _numbers.get(key)
    if number is None:
        try:
            number = len(_compiled)
            kernel = _kernel(cell, dtype, wanted)
            _compiled.append(Compiled(kernel, cell, dict(cell.sizes), wanted, reference))
        except Unsupported as reason:
            number = reason
        _numbers[key] = number
    if isinstance(number, Unsupported):
        raise number
    return number


def _kernel(cell: Any, dtype: torch.dtype, wanted: tuple[str, ...]) -> Kernel:
    """One kernel for all cells with the same graph: sizes are its arguments, not part of it."""
    step = trace(cell)
    key = (type(cell).__name__, step.signature(), tuple(cell.sizes), dtype, wanted)
    if key not in _kernels:
        _kernels[key] = Kernel(cell, dtype, wanted, step)
    return _kernels[key]


class _Same:
    """Stands in a key for an object that cannot be compared: equal only to itself."""

    def __init__(self, value: Any) -> None:
        self.value = value  # kept, so that no other object takes its identity

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


_OF_EVERY_MODULE = frozenset(vars(torch.nn.Module()))


def _attributes(cell: Any) -> Any:
    """Everything that a step may read from its cell: another value may be another graph."""
    found = [(k, _frozen(v)) for k, v in vars(cell).items() if k not in _OF_EVERY_MODULE]
    return cell.training, tuple(found)


def _frozen(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return type(value), value
    if isinstance(value, Mapping):
        return tuple((k, _frozen(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return tuple(_frozen(v) for v in value)
    return _Same(value)


def run(
    number: int,
    x: Tensor,
    starts: dict[str, Tensor],
    weights: Mapping[str, Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    *,
    reverse: bool,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Run a compiled cell.

    Args:
        number: of the compiled cell, from `prepare`.
        x: input, [T, B, I].
        starts: initial states by name, each [B, its size].
        weights: by name.
        lengths: real steps of each row, [B], or None.
        reset: where a new sequence begins, [T, B], true at real steps only, or None.
        reverse: whether to run from the last step to the first.

    Returns:
        Last states, and what is wanted at every step, by name.
    """
    c = _compiled[number]
    named = [weights[k] for k in _names(c)]
    first = list(starts.values())
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *first, *named))
    if torch.compiler.is_compiling():
        out = torch.ops.recurnn.scan(x, first, named, lengths, reset, reverse, number, keep)
    elif keep:
        out = list(
            _Scan.apply(  # type: ignore[no-untyped-call]
                number, lengths, reset, reverse, x, *first, *named
            )
        )
    else:
        out = _forward(number, x, first, named, lengths, reset, reverse=reverse, keep=False)
    n = len(c.wanted)
    last = dict(zip(starts, out[n : n + len(starts)], strict=True))
    return last, dict(zip(c.wanted, out, strict=False))


class _Scan(torch.autograd.Function):
    """The operation outside torch.compile, where a registered one would cost more than the scan."""

    @staticmethod
    def forward(
        ctx: Any, number: int, lengths: Tensor | None, reset: Tensor | None, reverse: bool,
        x: Tensor, *tensors: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        c = _compiled[number]
        n = len(c.cell.states)
        starts, weights = list(tensors[:n]), list(tensors[n:])
        out = _forward(number, x, starts, weights, lengths, reset, reverse=reverse, keep=True)
        inputs = (x, starts, weights, lengths, reset, reverse, number, True)
        _setup(ctx, inputs, out)
        return tuple(out[: len(c.wanted) + n])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        dx, starts, weights, *_ = _backward(ctx, list(gradients), wants_x=ctx.needs_input_grad[4])
        return None, None, None, None, dx, *starts, *weights


def _names(compiled: Compiled) -> list[str]:
    """The names of the weights, in the order in which they are passed."""
    return [k for k in compiled.cell.weights if k not in compiled.cell.absent]


@torch.library.custom_op("recurnn::scan", mutates_args=(), device_types="cpu")
def _scan(
    x: Tensor, starts: list[Tensor], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, reverse: bool, number: int, keep: bool,
) -> list[Tensor]:  # fmt: skip
    return _forward(number, x, starts, weights, lengths, reset, reverse=reverse, keep=keep)


def _forward(
    number: int, x: Tensor, starts: list[Tensor], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, *, reverse: bool, keep: bool,
) -> list[Tensor]:  # fmt: skip
    """What is wanted at every step, the last states, and if `keep` what the backward needs."""
    c = _compiled[number]
    ran, last, seen = c.kernel.forward(
        x,
        dict(zip(c.cell.states, starts, strict=True)),
        dict(zip(_names(c), weights, strict=True)),
        c.sizes,
        Frame(lengths, reset, reverse),
        keep=keep,
    )
    public = [*(seen[k] for k in c.wanted), *last.values()]
    return [*public, *(ran.news[k] for k in c.kept_states), ran.saved] if keep else public


@_scan.register_fake
def _(
    x: Tensor, starts: list[Tensor], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, reverse: bool, number: int, keep: bool,
) -> list[Tensor]:  # fmt: skip
    c = _compiled[number]
    T, B = x.shape[:2]
    named = dict(zip(c.cell.states, starts, strict=True))

    def whole(n: int) -> Tensor:
        return x.new_empty(T, B, n)

    public = [whole(c.sizes[c.kernel.step.value(k).width]) for k in c.wanted]
    public += [torch.empty_like(s, memory_format=torch.contiguous_format) for s in starts]
    if not keep:
        return public
    rest = [whole(named[k].shape[1]) for k in c.kept_states]
    return [*public, *rest, whole(c.kernel.room(c.kernel.forward_plan, "saved", c.sizes))]


@torch.library.custom_op("recurnn::scan_backward", mutates_args=(), device_types="cpu")
def _scan_backward(
    x: Tensor, starts: list[Tensor], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, reverse: bool, number: int, outputs: list[Tensor],
    gradients: list[Tensor | None], wants_x: bool,
) -> list[Tensor]:  # fmt: skip
    return _gradients(
        number, x, starts, weights, lengths, reset, outputs, gradients,
        reverse=reverse, wants_x=wants_x,
    )  # fmt: skip


def _gradients(
    number: int, x: Tensor, starts: list[Tensor], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, outputs: list[Tensor], gradients: list[Tensor | None],
    *, reverse: bool, wants_x: bool,
) -> list[Tensor]:  # fmt: skip
    """The gradients of x, the initial states and the weights."""
    c = _compiled[number]
    n, shown = len(starts), len(c.wanted)
    names = [*c.wanted, *c.kept_states]
    arrays = dict(zip(names, outputs, strict=False))
    run = Run(
        dense(x),
        {k: dense(s) for k, s in zip(c.cell.states, starts, strict=True)},
        dict(zip(_names(c), weights, strict=True)),
        {k: arrays[k] for k in c.cell.states},
        outputs[-1],
    )
    seeds = dict(zip(c.wanted, gradients, strict=False))
    lasts = dict(zip(c.cell.states, gradients[shown : shown + n], strict=True))
    dx, firsts, grads = c.kernel.backward(
        run, c.sizes, Frame(lengths, reset, reverse), seeds, lasts, wants_x=wants_x
    )
    dx = x.new_empty(0) if dx is None else dx
    return [dx, *firsts.values(), *(grads[k].clone() for k in _names(c))]


@_scan_backward.register_fake
def _(
    x: Tensor, starts: list[Tensor], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, reverse: bool, number: int, outputs: list[Tensor],
    gradients: list[Tensor | None], wants_x: bool,
) -> list[Tensor]:  # fmt: skip
    dx = x.new_empty(x.shape) if wants_x else x.new_empty(0)
    return [
        dx,
        *(torch.empty_like(t, memory_format=torch.contiguous_format) for t in (*starts, *weights)),
    ]


def _setup(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    x, starts, weights, lengths, reset, reverse, number, keep = inputs
    c = _compiled[number]
    public = len(c.wanted) + len(starts)
    kept = [*output[: len(c.wanted)], *output[public:]] if keep else []
    ctx.counts = (len(starts), len(weights), public)
    # A result that nobody used has no gradient; torch would fill one of zeros as large as itself.
    ctx.set_materialize_grads(False)
    ctx.options = (reverse, number)
    ctx.save_for_backward(x, *starts, *weights, lengths, reset, *kept)


def _backward(ctx: Any, gradients: list[Tensor | None], *, wants_x: bool | None = None) -> Any:
    n, m, public = ctx.counts
    reverse, number = ctx.options
    x, *rest = ctx.saved_tensors
    starts, weights = rest[:n], rest[n : n + m]
    lengths, reset = rest[n + m : n + m + 2]
    kept = rest[n + m + 2 :]
    wants_x = ctx.needs_input_grad[0] if wants_x is None else wants_x
    given = list(gradients[:public])
    if torch.is_grad_enabled():  # a gradient of the gradient is wanted
        found = _by_reference(number, x, starts, weights, lengths, reset, reverse, given)
    elif torch.compiler.is_compiling():
        found = torch.ops.recurnn.scan_backward(
            x, starts, weights, lengths, reset, reverse, number, kept, given, wants_x
        )
    else:
        found = _gradients(
            number, x, starts, weights, lengths, reset, kept, given,
            reverse=reverse, wants_x=wants_x,
        )  # fmt: skip
    dx = found[0] if wants_x else None
    return dx, list(found[1 : 1 + n]), list(found[1 + n :]), None, None, None, None, None


def _by_reference(
    number: int, x: Tensor, starts: list[Tensor], weights: list[Tensor],
    lengths: Tensor | None, reset: Tensor | None, reverse: bool,
    gradients: list[Tensor | None],
) -> list[Tensor]:  # fmt: skip
    c = _compiled[number]
    inputs = [x, *starts, *weights]
    with torch.enable_grad():
        # Views, so that the graph reaches the inputs and their own gradients can be asked for.
        seen = [t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in inputs]
        named = dict(zip(_names(c), seen[1 + len(starts) :], strict=True))
        states = dict(zip(c.cell.states, seen[1 : 1 + len(starts)], strict=True))
        outputs = c.reference(c.cell, seen[0], states, named, lengths, reset, reverse, c.wanted)
        pairs = [
            (o, g)
            for o, g in zip(outputs, gradients, strict=False)
            if g is not None and o.requires_grad
        ]
        found = torch.autograd.grad(
            [o for o, _ in pairs], seen, [g for _, g in pairs], create_graph=True, allow_unused=True
        )
    return [torch.zeros_like(t) if g is None else g for t, g in zip(inputs, found, strict=True)]


torch.library.register_autograd("recurnn::scan", _backward, setup_context=_setup)
