"""The compiled engine as one operation of torch: registered once, differentiable, traceable.

To torch, a scan is the operation ``recurnn::scan`` with a gradient, ``recurnn::scan_backward``;
so ``torch.compile`` and ``torch.export`` pass over it in one piece. The gradient's own gradient
is that of the reference, which the caller hands over as a function of a kernel's number.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurnn.compiler.kernel import Frame, Kernel, Run
from recurnn.compiler.ops import Unsupported

log = logging.getLogger("recurnn")

Reference = Callable[..., list[Tensor]]


@dataclass
class Compiled:
    """A kernel with what its calls need beside tensors.

    Attributes:
        kernel: the kernel.
        cell: the cell it was made for, as the example of its kind.
        sizes: letter to number.
        every: whether every state is given at every step.
        observed: the gates that are given at every step.
        reference: the same computation by the plain loop.
    """

    kernel: Kernel
    cell: Any
    sizes: dict[str, int]
    every: bool
    observed: tuple[str, ...]
    reference: Reference

    @property
    def traced(self) -> list[str]:
        """The states that are given at every step."""
        return list(self.cell.states) if self.every else [self.cell.output]


_kernels: dict[Any, Kernel | Unsupported] = {}
_compiled: list[Compiled] = []
_numbers: dict[Any, int] = {}


def prepare(
    cell: Any,
    dtype: torch.dtype,
    *,
    every: bool,
    observed: tuple[str, ...],
    reference: Reference,
) -> int:
    """The number of a compiled cell, built at the first call for its kind.

    Args:
        cell: the cell.
        dtype: the type of its numbers.
        every: whether every state is asked for at every step.
        observed: the gates asked for at every step.
        reference: the plain loop, for the gradient's gradient.

    Raises:
        Unsupported: it cannot be compiled; the reason is the text. It is logged once.
    """
    sizes = tuple(cell.sizes.items())
    key = (_kind(cell), dtype, every, observed)
    number = _numbers.get((key, sizes))
    if number is None:
        found = _kernels.get(key)
        if found is None:
            found = _kernels[key] = _build(cell, dtype, every, observed)
        if isinstance(found, Unsupported):
            raise found
        number = _numbers[(key, sizes)] = len(_compiled)
        _compiled.append(Compiled(found, cell, dict(sizes), every, observed, reference))
    return number


def _build(
    cell: Any, dtype: torch.dtype, every: bool, observed: tuple[str, ...]  # noqa: FBT001
) -> Kernel | Unsupported:
    states = tuple(cell.states) if every else (cell.output,)
    try:
        return Kernel(cell, dtype, observed, (*states, *observed))
    except Unsupported as reason:
        log.warning("%s runs on the reference engine: %s", type(cell).__name__, reason)
        return reason


def _kind(cell: Any) -> Any:
    """What distinguishes cells beyond their class: the options that their step reads."""
    options = {
        k: v
        for k, v in vars(cell).items()
        if not k.startswith("_") and k not in ("training", "init", "sizes")
        and not k.endswith("_size")
    }
    return type(cell), tuple(sorted((k, _hashable(v)) for k, v in options.items()))


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | tuple) else id(value)


def run(
    number: int,
    x: Tensor,
    starts: list[Tensor],
    weights: list[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    *,
    reverse: bool,
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Run a compiled cell.

    Returns:
        States at every step, last states, gates at every step, by name.
    """
    compiled = _compiled[number]
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *starts, *weights))
    out = torch.ops.recurnn.scan(x, starts, weights, lengths, reset, reverse, number, keep)
    traced, n = compiled.traced, len(starts)
    last = dict(zip(compiled.cell.states, out[len(traced) : len(traced) + n], strict=True))
    gates = out[len(traced) + n : len(traced) + n + len(compiled.observed)]
    return (
        dict(zip(traced, out, strict=False)),
        last,
        dict(zip(compiled.observed, gates, strict=True)),
    )


def _names(compiled: Compiled) -> list[str]:
    """The names of the weights, in the order in which they are passed."""
    return [k for k in compiled.cell.weights if k not in compiled.cell.absent]


@torch.library.custom_op("recurnn::scan", mutates_args=(), device_types="cpu")
def _scan(
    x: Tensor, starts: list[Tensor], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, reverse: bool, number: int, keep: bool,  # noqa: FBT001
) -> list[Tensor]:  # fmt: skip
    c = _compiled[number]
    ran, last, gates = c.kernel.forward(
        x,
        dict(zip(c.cell.states, starts, strict=True)),
        dict(zip(_names(c), weights, strict=True)),
        c.sizes,
        Frame(lengths, reset, reverse),
        keep=keep,
        every=c.every,
        observed=c.observed,
    )
    public = [*(ran.news[k] for k in c.traced), *last.values(), *gates.values()]
    if not keep:
        return public
    return [*public, *(v for k, v in ran.news.items() if k not in c.traced), ran.saved]


@_scan.register_fake
def _(
    x: Tensor, starts: list[Tensor], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, reverse: bool, number: int, keep: bool,  # noqa: FBT001
) -> list[Tensor]:  # fmt: skip
    c = _compiled[number]
    T, B = x.shape[:2]
    named = dict(zip(c.cell.states, starts, strict=True))

    def whole(n: int) -> Tensor:
        return x.new_empty(T, B, n)

    public = [whole(named[k].shape[1]) for k in c.traced]
    public += [torch.empty_like(s, memory_format=torch.contiguous_format) for s in starts]
    observed = c.kernel.step.observed
    public += [whole(c.sizes[observed[name].width]) for name in c.observed]
    if not keep:
        return public
    rest = [whole(s.shape[1]) for k, s in named.items() if k not in c.traced]
    return [*public, *rest, whole(c.kernel.room(c.kernel.forward_plan, "saved", c.sizes))]


@torch.library.custom_op("recurnn::scan_backward", mutates_args=(), device_types="cpu")
def _scan_backward(
    x: Tensor, starts: list[Tensor], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, reverse: bool, number: int, outputs: list[Tensor],  # noqa: FBT001
    gradients: list[Tensor | None], wants_x: bool,  # noqa: FBT001
) -> list[Tensor]:  # fmt: skip
    c = _compiled[number]
    n, traced = len(starts), c.traced
    news = dict(zip(traced, outputs, strict=False))
    rest = [k for k in c.cell.states if k not in traced]
    news |= dict(zip(rest, outputs[len(traced) :], strict=False))
    run = Run(
        x if x.stride(-1) == 1 else x.contiguous(),
        dict(zip(c.cell.states, starts, strict=True)),
        dict(zip(_names(c), weights, strict=True)),
        {k: news[k] for k in c.cell.states},
        outputs[-1],
    )
    seeds: dict[str, Tensor | None] = dict(zip(traced, gradients, strict=False))
    seeds |= dict(zip(c.observed, gradients[len(traced) + n :], strict=True))
    lasts = dict(zip(c.cell.states, gradients[len(traced) : len(traced) + n], strict=True))
    dx, firsts, grads = c.kernel.backward(
        run, c.sizes, Frame(lengths, reset, reverse), seeds, lasts, wants_x=wants_x
    )
    dx = x.new_empty(0) if dx is None else dx
    return [dx, *firsts.values(), *(grads[k].clone() for k in _names(c))]


@_scan_backward.register_fake
def _(
    x: Tensor, starts: list[Tensor], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, reverse: bool, number: int, outputs: list[Tensor],  # noqa: FBT001
    gradients: list[Tensor | None], wants_x: bool,  # noqa: FBT001
) -> list[Tensor]:  # fmt: skip
    dx = x.new_empty(x.shape) if wants_x else x.new_empty(0)
    return [dx, *(torch.empty_like(t, memory_format=torch.contiguous_format)
                  for t in (*starts, *weights))]


def _setup(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    x, starts, weights, lengths, reset, reverse, number, keep = inputs
    c = _compiled[number]
    traced, public = len(c.traced), len(c.traced) + len(starts) + len(c.observed)
    kept = [*output[:traced], *output[public:]] if keep else []
    ctx.counts = (len(starts), len(weights), public)
    ctx.options = (reverse, number)
    ctx.save_for_backward(x, *starts, *weights, lengths, reset, *kept)


def _backward(ctx: Any, gradients: list[Tensor | None]) -> Any:
    n, m, public = ctx.counts
    reverse, number = ctx.options
    x, *rest = ctx.saved_tensors
    starts, weights = rest[:n], rest[n : n + m]
    lengths, reset = rest[n + m : n + m + 2]
    kept = rest[n + m + 2 :]
    if torch.is_grad_enabled():  # a gradient of the gradient is wanted
        found = _by_reference(number, x, starts, weights, lengths, reset, reverse, gradients)
    else:
        found = torch.ops.recurnn.scan_backward(
            x, starts, weights, lengths, reset, reverse, number, kept,
            list(gradients[:public]), ctx.needs_input_grad[0],
        )  # fmt: skip
    dx = found[0] if ctx.needs_input_grad[0] else None
    return dx, list(found[1 : 1 + n]), list(found[1 + n :]), None, None, None, None, None


def _by_reference(
    number: int, x: Tensor, starts: list[Tensor], weights: list[Tensor],
    lengths: Tensor | None, reset: Tensor | None, reverse: bool,  # noqa: FBT001
    gradients: list[Tensor | None],
) -> list[Tensor]:  # fmt: skip
    c = _compiled[number]
    inputs = [x, *starts, *weights]
    with torch.enable_grad():
        # Views, so that the graph reaches the inputs and their own gradients can be asked for.
        seen = [t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in inputs]
        named = dict(zip(_names(c), seen[1 + len(starts) :], strict=True))
        states = dict(zip(c.cell.states, seen[1 : 1 + len(starts)], strict=True))
        outputs = c.reference(c.cell, seen[0], states, named, lengths, reset, reverse=reverse,
                              traced=c.traced, observed=c.observed)
        pairs = [(o, g) for o, g in zip(outputs, gradients, strict=False)
                 if g is not None and o.requires_grad]
        found = torch.autograd.grad([o for o, _ in pairs], seen, [g for _, g in pairs],
                                    create_graph=True, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(inputs, found, strict=True)]


torch.library.register_autograd("recurnn::scan", _backward, setup_context=_setup)
