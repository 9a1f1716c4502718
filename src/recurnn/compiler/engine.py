"""The compiled engine as one operation of torch: differentiable, and seen as one by its tools.

To torch.compile and torch.export a scan is the operation ``recurnn::scan`` with a gradient,
``recurnn::scan_backward``; otherwise an autograd function, which costs less a call. The
gradient's own gradient is that of the reference, which the caller hands over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from recurnn.compiler.binding import Binding
from recurnn.compiler.kernel import Kernel
from recurnn.compiler.layout import Layout, Shape
from recurnn.compiler.ops import Unsupported
from recurnn.compiler.trace import trace

Reference = Callable[..., list[Tensor]]
MOST_LAYOUTS = 256


@dataclass
class Compiled:
    """A kernel with what its calls need beside tensors.

    Attributes:
        kernel: the kernel.
        cell: the cell it was made for, as the example of its kind.
        binding: where its weights lie in the tensors that it is given.
        wanted: the states and gates that are given at every step.
        reference: the same computation by the plain loop.
    """

    kernel: Kernel
    cell: Any
    binding: Binding
    wanted: tuple[str, ...]
    reference: Reference
    layouts: dict[Any, Layout] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Sizes and names that every call needs."""
        cell, sizes = self.cell, self.cell.sizes
        self.states = list(cell.states)
        self.kept = [k for k in self.states if k not in self.wanted]
        self.half = self.kernel.dtype == torch.bfloat16
        self.no_lasts = [None] * len(self.states)
        # One number for all units comes as a vector that repeats it.
        one = (cell.hidden_size,)
        self.shapes = {
            k: one if cell.weights[k] == "1" else shape for k, shape in cell.shapes().items()
        }
        self.widths = [sizes[w] for w in cell.states.values()]
        self.wanted_widths = [sizes[self.kernel.step.value(k).width] for k in self.wanted]
        self.kept_widths = [sizes[cell.states[k]] for k in self.kept]
        self.kept_widths.append(self.kernel.saved_room(sizes))
        # Of a weight that the step does not use, or not for anything wanted, the gradient is zero.
        back = self.kernel.back
        self.every_weight_counts = {*back.outer, *back.vectors} >= set(self.shapes)

    def layout(self, kind: str, shape: Shape) -> Layout:
        """The layout of a shape of call, made when it is first met."""
        key = kind, shape
        found = self.layouts.get(key)
        if found is None:
            if len(self.layouts) >= MOST_LAYOUTS:
                self.layouts.clear()
            found = self.kernel.layout(kind, self.cell.sizes, self.shapes, shape, self.binding)
            self.layouts[key] = found
        return found


_kernels: dict[Any, Kernel] = {}
_compiled: list[Compiled] = []
_numbers: dict[Any, int | Unsupported] = {}


def prepare(
    cell: Any, dtype: torch.dtype, wanted: tuple[str, ...], binding: Binding | None,
    reference: Reference,
) -> int:  # fmt: skip
    """The number of a compiled cell, built at the first call for its equations.

    Args:
        cell: the cell.
        dtype: the type of its numbers.
        wanted: the states and gates asked for at every step.
        binding: where its weights lie; None for each in a tensor of its own.
        reference: the plain loop, for the gradient's gradient.

    Raises:
        Unsupported: it cannot be compiled; the reason is the text.
    """
    key = (type(cell), type(cell).step, _attributes(cell), dtype, wanted, binding)
    number = _numbers.get(key)
    if number is None:
        try:
            number = len(_compiled)
            kernel = _kernel(cell, dtype, wanted)
            own = binding or Binding.own(k for k in cell.weights if k not in cell.absent)
            _compiled.append(Compiled(kernel, cell, own, wanted, reference))
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
    starts: Sequence[Tensor | None],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    *,
    reverse: bool,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Run a compiled cell.

    Args:
        number: of the compiled cell, from `prepare`.
        x: input, [T, B, I].
        starts: each initial state, [B, its size], or None for zeros.
        weights: the tensors of the binding.
        lengths: real steps of each row, int64 [B], or None.
        reset: where a new sequence begins, [T, B], or None.
        reverse: whether to run from the last step to the first.

    Returns:
        Last states, and what is wanted at every step, by name.
    """
    keep = torch.is_grad_enabled() and (
        x.requires_grad
        or any(w.requires_grad for w in weights)
        or any(s is not None and s.requires_grad for s in starts)
    )
    if torch.compiler.is_compiling():
        states, wanted = _results(number)
        out = torch.ops.recurnn.scan(
            x, list(starts), list(weights), lengths, reset, reverse, number, keep
        )
    else:
        c = _compiled[number]
        states, wanted = c.states, c.wanted
        if keep:
            out = _apply(number, lengths, reset, reverse, x, *starts, *weights)
        else:
            out, _ = _forward(c, x, starts, weights, lengths, reset, reverse=reverse, keep=False)
    n = len(wanted)
    last = dict(zip(states, out[n : n + len(states)], strict=True))
    return last, dict(zip(wanted, out, strict=False))


# torch.compile remembers a list as it was when first met, and `_compiled` grows as it traces
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _results(number: int) -> tuple[list[str], tuple[str, ...]]:
    c = _compiled[number]
    return c.states, c.wanted


class _Scan(torch.autograd.Function):
    """The operation outside torch.compile, where a registered one would cost more than the scan."""

    @staticmethod
    def forward(
        ctx: Any, number: int, lengths: Tensor | None, reset: Tensor | None, reverse: bool,
        x: Tensor, *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        c = _compiled[number]
        n = len(c.states)
        starts, weights = tensors[:n], tensors[n:]
        out, kept = _forward(c, x, starts, weights, lengths, reset, reverse=reverse, keep=True)
        _keep(ctx, x, starts, weights, lengths, reset, kept, reverse=reverse, number=number)
        return tuple(out)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        found = _backward(ctx, gradients, ctx.needs_input_grad[4:])
        return (None, None, None, None, *found)


# What `_Scan.apply` comes to when no torch.func transform is active, and in one none comes here.
_apply: Callable[..., tuple[Tensor, ...]] = super(torch.autograd.Function, _Scan).apply


def _forward(
    c: Compiled, x: Tensor, starts: Sequence[Tensor | None], weights: Sequence[Tensor],
    lengths: Tensor | None, reset: Tensor | None, *, reverse: bool, keep: bool,
) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
    """What is wanted at every step with the last states, and if `keep` what the backward needs."""
    x, starts, weights = _ready(c, x, starts, weights)
    reset = _contiguous(reset)
    T, B, _ = x.shape
    shape = Shape(
        T, B, (x.stride()[:2],), tuple([s is not None for s in starts]), lengths is not None,
        reset is not None, reverse, torch.get_num_threads(),
    )  # fmt: skip
    kind = "forward" if keep else "inference"
    layout = c.layout(kind, shape)
    out = [x.new_empty((T, B, n)) for n in c.wanted_widths]
    out += [x.new_empty((B, n)) for n in c.widths]
    more = [x.new_empty((T, B, n)) for n in c.kept_widths] if keep else []
    if B:  # in the order of `layout.array_names`
        scratch = x.new_empty((layout.scratch,))
        c.kernel.run(kind, layout, [scratch, x, lengths, reset, *starts, *weights, *out, *more])
    kept = [*out[: len(c.wanted)], *more] if keep else []
    return [t.bfloat16() for t in out] if c.half else out, kept


def _ready(
    c: Compiled, x: Tensor, starts: Sequence[Tensor | None], weights: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor | None], list[Tensor]]:
    """The arrays as a kernel takes them: dense, and wide where it computes in a wider type."""
    if c.half:
        x, weights = x.float(), [w.float() for w in weights]
        starts = [None if s is None else s.float() for s in starts]
    return _dense(x), [_contiguous(s) for s in starts], [w.contiguous() for w in weights]


def _dense(x: Tensor) -> Tensor:
    """The array with its last dimension dense."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _contiguous(array: Tensor | None) -> Tensor | None:
    return array if array is None or array.is_contiguous() else array.contiguous()


def _gradients(
    c: Compiled, x: Tensor, starts: Sequence[Tensor | None], weights: Sequence[Tensor],
    lengths: Tensor | None, reset: Tensor | None, kept: Sequence[Tensor],
    gradients: Sequence[Tensor | None], wants: Sequence[bool], *, reverse: bool,
) -> list[Tensor | None]:  # fmt: skip
    """The gradients of x, of the initial states and of the weights, where they are wanted."""
    n, shown = len(c.states), len(c.wanted)
    x, starts, weights = _ready(c, x, starts, weights)
    reset = _contiguous(reset)
    if c.half:
        gradients = [None if g is None else g.float() for g in gradients]
    seeds = [g if g is None else _dense(g) for g in gradients[:shown]]
    lasts = [_contiguous(g) for g in gradients[shown:]]
    T, B, _ = x.shape
    wants_weight = wants[1 + n :]
    shape = Shape(
        T, B, (x.stride()[:2], *[g if g is None else g.stride()[:2] for g in seeds]),
        tuple([s is not None for s in starts]), lengths is not None, reset is not None, reverse,
        torch.get_num_threads(), (wants[0], *wants_weight), tuple([g is not None for g in lasts]),
    )  # fmt: skip
    layout = c.layout("backward", shape)
    fresh = torch.empty_like if T and B and c.every_weight_counts else torch.zeros_like
    dx = torch.empty_like(x, memory_format=torch.contiguous_format) if wants[0] else None
    if dx is not None and not c.kernel.plans["backward"].input:
        dx.zero_()
    firsts = [x.new_empty((B, width)) for width in c.widths]
    grads = [fresh(w) if wanted else None for w, wanted in zip(weights, wants_weight, strict=True)]
    extra = [x.new_empty((rows, *weights[k].shape[1:])) for k, _, rows in layout.extra]
    if B:  # in the order of `layout.backward_arrays`
        scratch = x.new_empty((layout.scratch,))
        c.kernel.run(
            "backward", layout,
            [scratch, x, lengths, reset, *starts, *weights, *kept[:shown], *c.no_lasts,
             *kept[shown:], dx, *seeds, *lasts, *firsts, *grads, *extra],
        )  # fmt: skip
    for (k, row, rows), g in zip(layout.extra, extra, strict=True):
        total = grads[k]
        if total is not None and T and B:
            total[row : row + rows] += g
    found = [dx, *(g if w else None for g, w in zip(firsts, wants[1 : 1 + n], strict=True)), *grads]
    return [None if g is None else g.bfloat16() for g in found] if c.half else found


def _keep(
    ctx: Any, x: Tensor, starts: Sequence[Tensor | None], weights: Sequence[Tensor],
    lengths: Tensor | None, reset: Tensor | None, kept: Sequence[Tensor], *,
    reverse: bool, number: int,
) -> None:  # fmt: skip
    # A result that nobody used has no gradient; torch would fill one of zeros as large as itself.
    ctx.set_materialize_grads(False)
    ctx.options = (reverse, number)
    ctx.save_for_backward(x, *starts, *weights, lengths, reset, *kept)


def _backward(
    ctx: Any, gradients: Sequence[Tensor | None], wants: Sequence[bool]
) -> list[Tensor | None]:
    reverse, number = ctx.options
    c = _compiled[number]
    n, m = len(c.states), len(wants) - 1 - len(c.states)
    x, *rest = ctx.saved_tensors
    starts, weights = rest[:n], rest[n : n + m]
    lengths, reset, *kept = rest[n + m :]
    given = list(gradients[: len(c.wanted) + n])
    if torch.is_grad_enabled():  # a gradient of the gradient is wanted
        return _by_reference(c, x, starts, weights, lengths, reset, reverse, given, wants)
    if torch.compiler.is_compiling():
        found = torch.ops.recurnn.scan_backward(
            x, starts, weights, lengths, reset, reverse, number, kept, given, list(wants)
        )
        return [g if wanted else None for g, wanted in zip(found, wants, strict=True)]
    return _gradients(
        c, x, starts, weights, lengths, reset, kept, given, wants, reverse=reverse
    )


def _by_reference(
    c: Compiled, x: Tensor, starts: list[Tensor | None], weights: list[Tensor],
    lengths: Tensor | None, reset: Tensor | None, reverse: bool,
    gradients: list[Tensor | None], wants: Sequence[bool],
) -> list[Tensor | None]:  # fmt: skip
    filled = [
        x.new_zeros(x.shape[1], n) if s is None else s
        for s, n in zip(starts, c.widths, strict=True)
    ]
    inputs = [x, *filled, *weights]
    with torch.enable_grad():
        # Views, so that the graph reaches the inputs and their own gradients can be asked for.
        seen = [t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in inputs]
        named = c.binding.weights(seen[1 + len(starts) :], c.shapes)
        states = dict(zip(c.states, seen[1 : 1 + len(starts)], strict=True))
        outputs = c.reference(c.cell, seen[0], states, named, lengths, reset, reverse, c.wanted)
        pairs = [
            (o, g)
            for o, g in zip(outputs, gradients, strict=False)
            if g is not None and o.requires_grad
        ]
        found = torch.autograd.grad(
            [o for o, _ in pairs], seen, [g for _, g in pairs], create_graph=True, allow_unused=True
        )
    return [
        None if not wanted else torch.zeros_like(t) if g is None else g
        for t, g, wanted in zip(inputs, found, wants, strict=True)
    ]


# ---- the registered operation, for torch.compile and torch.export


@torch.library.custom_op("recurnn::scan", mutates_args=(), device_types="cpu")
def _scan(
    x: Tensor, starts: list[Tensor | None], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, reverse: bool, number: int, keep: bool,
) -> list[Tensor]:  # fmt: skip
    c = _compiled[number]
    out, kept = _forward(c, x, starts, weights, lengths, reset, reverse=reverse, keep=keep)
    return [*out, *(kept if c.half else kept[len(c.wanted) :])]  # no tensor twice


@_scan.register_fake
def _(
    x: Tensor, starts: list[Tensor | None], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, reverse: bool, number: int, keep: bool,
) -> list[Tensor]:  # fmt: skip
    c = _compiled[number]
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
    x: Tensor, starts: list[Tensor | None], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, reverse: bool, number: int, kept: list[Tensor],
    gradients: list[Tensor | None], wants: list[bool],
) -> list[Tensor]:  # fmt: skip
    found = _gradients(
        _compiled[number], x, starts, weights, lengths, reset, kept, gradients, wants,
        reverse=reverse,
    )  # fmt: skip
    return [x.new_empty(0) if g is None else g for g in found]


@_scan_backward.register_fake
def _(
    x: Tensor, starts: list[Tensor | None], weights: list[Tensor], lengths: Tensor | None,
    reset: Tensor | None, reverse: bool, number: int, kept: list[Tensor],
    gradients: list[Tensor | None], wants: list[bool],
) -> list[Tensor]:  # fmt: skip
    c = _compiled[number]
    shapes = [x.shape, *((x.shape[1], n) for n in c.widths), *(w.shape for w in weights)]
    return [x.new_empty(s if w else 0) for s, w in zip(shapes, wants, strict=True)]


def _setup(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    x, starts, weights, lengths, reset, reverse, number, keep = inputs
    c = _compiled[number]
    if keep:
        public = len(c.wanted) + len(c.states)
        kept = [*([] if c.half else output[: len(c.wanted)]), *output[public:]]
        _keep(ctx, x, starts, weights, lengths, reset, kept, reverse=reverse, number=number)
    else:
        ctx.set_materialize_grads(False)


def _registered_backward(ctx: Any, gradients: list[Tensor | None]) -> Any:
    wants_x, wants_starts, wants_weights, *_ = ctx.needs_input_grad
    given = isinstance(wants_starts, list)  # torch takes a list of nothing but None for one None
    n = len(_compiled[ctx.options[1]].states)
    starts = wants_starts if given else [False] * n
    found = _backward(ctx, gradients, [wants_x, *starts, *wants_weights])
    slopes = found[1 : 1 + n] if given else None
    return found[0], slopes, found[1 + n :], None, None, None, None, None


torch.library.register_autograd("recurnn::scan", _registered_backward, setup_context=_setup)
