"""The kernels of one cell: their text, their libraries, and calls on addresses."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from recurnn.compiler.binding import Binding
from recurnn.compiler.build import load, matrix_unit
from recurnn.compiler.cpp_text import runtime
from recurnn.compiler.differentiate import Backward, differentiate
from recurnn.compiler.emit_cpp import Emitted, emit
from recurnn.compiler.extents import offset
from recurnn.compiler.layout import (
    Builder,
    array_names,
    backward_layout,
    forward_layout,
    gradient_names,
)
from recurnn.compiler.layout_spans import behind_layout, span_names
from recurnn.compiler.linear import Linear, linear, plan_after, plan_ahead, plan_behind
from recurnn.compiler.ops import Unsupported
from recurnn.compiler.plan import plan_backward, plan_forward
from recurnn.compiler.plan_parts import Plan
from recurnn.compiler.structures import MOST_EXTRA, Layout, Shape
from recurnn.compiler.trace import Step, trace

REALS = {torch.float32: "float", torch.float64: "double", torch.bfloat16: "float"}
"""What a kernel computes in. bfloat16 weights and activations are widened at its door; where the
processor has products of bfloat16 it uses those, and sums in float32 in any case."""


TOGETHER = (
    ("inference",), ("forward", "backward"), ("ahead", "after"), ("behind", "backward"),
)  # fmt: skip
"""The kernels that are built side by side when one of them is first called."""


class Kernel:
    """The kernels of one cell for one dtype and one choice of what is wanted at every step.

    ``forward`` keeps what ``backward`` needs, ``inference`` does not. Where the recurrence is
    linear there are three more for spans of time: see `linear`. Each is a library of its own,
    built when it is first called.

    Args:
        cell: the cell, for its name and equations; its sizes and weights do not count.
        dtype: float32, float64 or bfloat16.
        wanted: the states and gates that are given, and may have a gradient, at every step.
        step: the traced step, where it was traced already; its graph grows by the derivative.
        more: what the backward step gives beside the usual gradients; see `differentiate`.
        half: whether products take float32 rounded to bfloat16, as they do where `dtype` is that.

    Raises:
        Unsupported: the step cannot be compiled, with the reason.
    """

    def __init__(
        self, cell: Any, dtype: torch.dtype, wanted: tuple[str, ...], step: Step | None = None,
        more: tuple[str, ...] = (), *, half: bool = False,
    ) -> None:  # fmt: skip
        if dtype not in REALS:
            raise Unsupported(f"there is no kernel for {dtype}")
        self.step = step or trace(cell)
        self.back: Backward = differentiate(self.step, wanted, more)
        observed = tuple(k for k in wanted if k not in self.step.states)
        if sum(len(pairs) - 1 for pairs in self.back.outer.values()) > MOST_EXTRA:
            raise Unsupported("the step uses its matrices too many times")
        self.real = torch.float32 if dtype == torch.bfloat16 else dtype
        self.wanted, self.dtype, self.name = wanted, dtype, type(cell).__name__
        self.half = half or dtype == torch.bfloat16
        self.plans: dict[str, Plan] = {
            "forward": plan_forward(self.step, self.back.saved, observed),
            "inference": plan_forward(self.step, [], observed),
            "backward": plan_backward(self.step, self.back),
        }
        # Where it is clipped the gradient is not linear.
        self.linear: Linear | None = None if self.back.clipped else linear(self.step, self.back)
        if self.linear:
            given = (self.step, self.linear, self.back.saved, observed)
            self.plans |= {"ahead": plan_ahead(*given), "after": plan_after(*given)}
            self.plans["behind"] = plan_behind(self.step, self.linear, self.back)
        letters, vectors = list(cell.sizes), list(self.step.vectors)
        self.emitted: dict[str, Emitted] = {}
        for kind, plan in self.plans.items():
            header = f"// {self.name}, {kind}:\n" + "".join(
                f"//     {line}\n" for line in cell.equations().splitlines()
            )
            self.emitted[kind] = emit(plan, kind, letters, vectors, self.step.graph.names, header)
        self._arrays: dict[tuple[str, int], list[str]] = {}
        self._libraries: dict[str, ctypes.CDLL] = {}
        self._calls: dict[str, Any] = {}
        # One of them is built at once, so that what the C++ compiler refuses is known early.
        self.lanes: int = self.library("inference").lanes()
        self.outer_width: int = self.library("inference").outer_width()

    def text(self, kind: str) -> str:
        """The whole C++ of one kernel."""
        half = "#define HALF_PRODUCTS\n" * self.half
        tiles = "#define MATRIX_UNIT\n" * (self.half and matrix_unit())
        return half + tiles + runtime() + "\n" + self.emitted[kind].text

    def library(self, kind: str) -> ctypes.CDLL:
        """The library of one kernel, built if it is not there, with those that go with it."""
        if kind not in self._libraries:
            kinds = [k for k in next(some for some in TOGETHER if kind in some)
                     if k not in self._libraries]  # fmt: skip

            def build(one: str) -> ctypes.CDLL:
                return load(self.text(one), REALS[self.dtype], f"{self.name}-{one}")

            with ThreadPoolExecutor(len(kinds)) as pool:
                self._libraries |= dict(zip(kinds, pool.map(build, kinds), strict=True))
        return self._libraries[kind]

    def room(self, kind: str, stream: str, sizes: Mapping[str, int]) -> int:
        """Elements of a stream that holds several values, for each step and row.

        Args:
            kind: which kernel.
            stream: ``"saved"``, what is kept for the backward pass beside the states; or others.
            sizes: letter to number.
        """
        return max(offset(self.plans[kind].layout.get(stream, []), sizes, self.lanes), 1)

    def layout(
        self, kind: str, sizes: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]],
        shape: Shape, binding: Binding,
    ) -> Layout:  # fmt: skip
        """Everything about a call that does not change from call to call.

        Args:
            kind: which kernel.
            sizes: letter to number.
            shapes: of each weight.
            shape: of the call.
            binding: where the weights lie.
        """
        build = Builder(
            self.plans[kind], self.emitted[kind], sizes, self.lanes, self.outer_width, shape,
            binding, [*self.arrays(kind, binding.tensors), *(["hoisted"] if shape.hoisted else [])],
        )  # fmt: skip
        if kind == "backward":
            return backward_layout(build, shapes, self.back)
        if kind == "behind":
            return behind_layout(build, shapes, self.back)
        return forward_layout(build, shapes)

    def arrays(self, kind: str, tensors: int) -> list[str]:
        """The names of the arrays that a kernel is given, in their order.

        Args:
            kind: which kernel.
            tensors: how many tensors the weights lie in.
        """
        names = self._arrays.get((kind, tensors))
        if names is None:
            states, inputs = list(self.step.states), list(self.step.inputs)
            if kind in ("inference", "forward", "backward"):
                keep = kind != "inference"
                names = array_names(states, inputs, self.wanted, tensors, keep=keep)
                if kind == "backward":
                    names += gradient_names(states, self.wanted, tensors, self.back)
            else:
                names = span_names(kind, self.plans[kind], states, inputs, self.wanted, tensors)
            self._arrays[kind, tensors] = names
        return names

    def run(self, kind: str, layout: Layout, tensors: Sequence[Tensor | None]) -> None:
        """Call a kernel.

        Args:
            kind: which.
            layout: of this shape of call.
            tensors: what the layout's arrays are, in its order; None for what is absent.
        """
        call = self._calls.get(kind) or self.entry(kind)
        addresses = [None if t is None else t.data_ptr() for t in tensors]
        call(layout.address, layout.addresses(*addresses))

    def link(
        self, begin: Tensor | None, ends: Tensor, through: Tensor, cuts: Tensor | None, *,
        descending: bool,
    ) -> Tensor:  # fmt: skip
        """With what each span of time begins; see recurrence.h.

        Args:
            begin: with what the one run first begins, [B, n], or None for zeros.
            ends: with what each ends if it begins with zeros, [K, B, n].
            through: how much of another beginning is added to it.
            cuts: where no state passes through a span, [K, B], or None.
            descending: whether the last span is the first to be run.
        """
        found = torch.empty_like(ends)
        arrays = [None if t is None else t.data_ptr() for t in (begin, ends, through, cuts, found)]
        self.library("inference").link(
            (ctypes.c_int64 * 3)(*ends.shape), int(descending), (ctypes.c_void_p * 5)(*arrays)
        )
        return found

    def entry(self, kind: str) -> Any:
        """The C function of a kernel: of a call's structure and the addresses of its arrays."""
        if kind not in self._calls:
            call = self._calls[kind] = getattr(self.library(kind), kind)
            call.argtypes, call.restype = (ctypes.c_void_p, ctypes.c_void_p), None
        return self._calls[kind]
