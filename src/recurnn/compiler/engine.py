"""Which cells are compiled: a kernel for each choice of cell, type and what is wanted of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from recurnn.compiler.binding import Binding
from recurnn.compiler.build import matrix_unit
from recurnn.compiler.kernel import Kernel
from recurnn.compiler.ops import Unsupported
from recurnn.compiler.structures import Layout, Shape
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
        self.states, self.inputs = list(cell.states), list(cell.inputs)
        self.input_widths = {k: 1 if w == "1" else sizes[w] for k, w in cell.inputs.items()}
        self.kept = [k for k in self.states if k not in self.wanted]
        self.half = self.kernel.dtype == torch.bfloat16
        self.no_starts = self.no_lasts = [None] * len(self.states)
        # One number for all units comes as a vector that repeats it.
        one = (cell.hidden_size,)
        self.shapes = {
            k: one if cell.weights[k] == "1" else shape for k, shape in cell.shapes().items()
        }
        self.widths = [sizes[w] for w in cell.states.values()]
        self.wanted_widths = [sizes[self.kernel.step.value(k).width] for k in self.wanted]
        self.kept_widths = [sizes[cell.states[k]] for k in self.kept]
        self.kept_widths.append(self.kernel.room("forward", "saved", sizes))
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
_building = threading.RLock()


def prepare(
    cell: Any, dtype: torch.dtype, wanted: tuple[str, ...], binding: Binding | None,
    reference: Reference, more: tuple[str, ...] = (), *, half: bool = False,
) -> int:  # fmt: skip
    """The number of a compiled cell, built at the first call for its equations.

    Args:
        cell: the cell.
        dtype: the type of its numbers.
        wanted: the states and gates asked for at every step.
        binding: where its weights lie; None for each in a tensor of its own.
        reference: the plain loop, for the gradient's gradient.
        more: what the backward pass gives beside the usual gradients; see `differentiate`.
        half: whether products may take float32 rounded to bfloat16, as they then do where there
            is a matrix unit for it.

    Raises:
        Unsupported: it cannot be compiled; the reason is the text.
    """
    half = half and dtype == torch.float32 and matrix_unit()
    key = (type(cell), type(cell).step, _attributes(cell), dtype, wanted, binding, more, half)
    number = _numbers.get(key)
    if number is None:
        with _building:  # the number is the place in a list: one thread at a time
            number = _numbers.get(key)
            if number is None:
                number = _numbers[key] = _build(
                    cell, dtype, wanted, binding, reference, more, half=half
                )
    if isinstance(number, Unsupported):
        raise number
    return number


def compiled(number: int) -> Compiled:
    """The compiled cell of this number."""
    return _compiled[number]


def _build(
    cell: Any, dtype: torch.dtype, wanted: tuple[str, ...], binding: Binding | None,
    reference: Reference, more: tuple[str, ...], *, half: bool,
) -> int | Unsupported:  # fmt: skip
    """The number of a cell that was not compiled before, or why there is none."""
    try:
        kernel = _kernel(cell, dtype, wanted, more, half=half)
    except Unsupported as reason:
        return reason
    own = binding or Binding.own(k for k in cell.weights if k not in cell.absent)
    _compiled.append(Compiled(kernel, cell, own, wanted, reference))
    return len(_compiled) - 1


def _in_child() -> None:
    """A child has only the thread that forked: no lock is another's."""
    global _building
    _building = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def _kernel(
    cell: Any, dtype: torch.dtype, wanted: tuple[str, ...], more: tuple[str, ...], *, half: bool
) -> Kernel:
    """One kernel for all cells with the same graph: sizes are its arguments, not part of it."""
    step = trace(cell)
    key = (type(cell).__name__, step.signature(), tuple(cell.sizes), dtype, wanted, more, half)
    if key not in _kernels:
        _kernels[key] = Kernel(cell, dtype, wanted, step, more, half=half)
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
