"""Where everything lies that a kernel needs in one shape of call: streams, weights, scratch.

A `Layout` is made once for each combination of sizes, strides and options and then only read;
what changes from call to call are the addresses of the arrays, in the order of `array_names`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

from recurnn.compiler.binding import Binding
from recurnn.compiler.differentiate import Backward
from recurnn.compiler.emit_cpp import Emitted
from recurnn.compiler.extents import apart, offset, power_of_two
from recurnn.compiler.plan_parts import Group, Plan
from recurnn.compiler.structures import (
    ALIGNED,
    DEPTH,
    I32,
    I64,
    MOST_EXTRA,
    NONE,
    SCRATCH,
    ZEROS,
    Call,
    Layout,
    MatrixAt,
    P,
    PlaceAt,
    Shape,
    VectorAt,
    share_pool,
)
from recurnn.compiler.sums import Sums

SHORT_STEP = 2e7  # operations; above, waiting for a thread costs less than doing its part


class Builder:
    """Lays out one call of one kernel.

    Args:
        plan: of the kernel.
        emitted: its text's tables.
        sizes: letter to number.
        lanes: elements in a vector.
        outer_width: elements that a thread needs for each row of a sum of weights' gradients.
        shape: of the call.
        binding: where the weights lie.
        arrays: the names of the arrays that a call is given, in their order.
    """

    def __init__(
        self, plan: Plan, emitted: Emitted, sizes: Mapping[str, int], lanes: int,
        outer_width: int, shape: Shape, binding: Binding, arrays: list[str],
    ) -> None:  # fmt: skip
        self.plan, self.emitted, self.sizes, self.lanes = plan, emitted, sizes, lanes
        self.outer_width, self.shape, self.pieces = outer_width, shape, dict(binding.pieces)
        self.arrays = arrays
        self.steps, self.rows = shape.steps, shape.B * shape.spans
        self.used = 0
        self.places: dict[str, Any] = {}
        self.keep: list[Any] = []

    # ---- sizes

    def offset(self, widths: Sequence[str]) -> int:
        """Elements that a run of widths takes in a stream, each rounded up to whole vectors."""
        return offset(widths, self.sizes, self.lanes)

    def room(self, stream: str) -> int:
        """Elements in a row of a stream that holds several values."""
        return max(self.offset(self.plan.layout.get(stream, [])), 1)

    def take(self, elements: int) -> int:
        """Room in the scratch."""
        at, self.used = self.used, self.used + -(-elements // ALIGNED) * ALIGNED
        return at

    def number(self, name: str) -> int:
        """The number of an array."""
        return self.arrays.index(name)

    # ---- streams

    def put(
        self, stream: str, array: int, offset: int = 0, time: int = 0, row: int = 0,
        span: int = 0, wrap: int = -1, *, shift: int = 0, first: str = "", n: int = 0,
        again: str = "", joined: bool = False,
    ) -> None:  # fmt: skip
        """The place of a stream; `first` and `again` are arrays with rows of n elements."""
        self.places[stream] = PlaceAt(
            array, offset, time, row, span, wrap, shift,
            self.number(first) if first else NONE, n, 0 if joined else self.shape.B * n,
            self.number(again) if again else NONE, n, joined,
        )  # fmt: skip

    def whole(self, stream: str, array: str, n: int) -> None:
        """A stream over an array [T, B, n] of the caller's, dense."""
        self.given(stream, array, (self.shape.B * n, n))

    def given(self, stream: str, array: str, strides: tuple[int, int]) -> None:
        """A stream over an array of the caller's, with its strides of step and row."""
        self.put(stream, self.number(array), 0, *strides, self.steps * strides[0])

    def ring(self, stream: str, n: int, steps: int) -> None:
        """A stream over some steps in the scratch, a power of two of them."""
        self._in_scratch(stream, n, steps, steps - 1)

    def inputs(self) -> None:
        """The streams over what arrives at each step beside x."""
        names = [k for k in self.plan.streams if k.startswith("input_")]
        for stream, strides in zip(names, self.shape.inputs, strict=True):
            self.given(stream, f"input {stream[6:]}", strides)

    def recent(self, stream: str, n: int, steps: int) -> None:
        """A stream over the last steps, a power of two of them, or over all if there are fewer."""
        if steps < self.steps:
            self.ring(stream, n, steps)
        else:
            self._in_scratch(stream, n, self.steps, -1)

    def _in_scratch(self, stream: str, n: int, steps: int, wrap: int) -> None:
        n = apart(n, self.lanes)
        at, B = self.take(steps * self.rows * n), self.shape.B
        self.put(stream, SCRATCH, at, self.rows * n, n, B * n, wrap)

    def again(
        self, stream: str, of: str, *, shift: int, n: int, first: str = "", restart: str = "",
        joined: bool = False,
    ) -> None:  # fmt: skip
        """The same array as another stream's, a step before or after."""
        p = self.places[of]
        self.put(
            stream, p.array, p.offset, p.time, p.row, p.span, p.wrap, shift=shift, first=first,
            n=n, again=restart, joined=joined,
        )  # fmt: skip

    def still(self, stream: str, array: str, n: int) -> None:
        """One row for each row of the batch and span of time, the same at every step."""
        self.put(stream, self.number(array), 0, 0, n, self.shape.B * n, 0)

    def nothing(self, stream: str, *, shift: int = 0, first: str = "", n: int = 0) -> None:
        """Zeros, at every step."""
        self.put(stream, ZEROS, shift=shift, first=first, n=n)

    # ---- tables

    def table(self, kind: Any, items: Sequence[Any]) -> int:
        """A C array's address; the array lives as long as the layout."""
        array = (kind * max(len(items), 1))(*items)
        self.keep.append(array)
        return ctypes.addressof(array)

    def matrices(self, shapes: Mapping[str, tuple[int, ...]]) -> list[Any]:
        """The matrices of all groups, operand by operand, with the strides of unit and k."""
        found = []
        for group in self.emitted.groups:
            for row in group.matrices:
                for name, transposed in row:
                    (piece,), n = self.pieces[name], shapes[name][1]
                    unit, k = (1, n) if transposed else (n, 1)
                    array = self.number(f"weight {piece.tensor}")
                    found.append(MatrixAt(array, piece.row * n, unit, k))
        return found

    def vectors(self) -> list[Any]:
        """Where each vector's one or two parts are."""
        found = []
        for name in self.emitted.vectors:
            pieces = self.pieces[name]
            at = [self.number(f"weight {p.tensor}") for p in pieces] + [NONE]
            rows = [p.row for p in pieces] + [0]
            found.append(VectorAt(*at[:2], *rows[:2]))
        return found

    def panels(self, group: Group) -> int:
        """Elements of a group's packed matrices."""
        A = len(group.outputs)
        U = 4 if A == 1 else 2 if A == 2 else 1
        panels = -(-self.sizes[group.units] // (U * self.lanes))
        # In whole pieces of k, of which bfloat16 packs 32 in the room of 16.
        depth = sum(-(-self.sizes[letter] // 16) * 16 for _, letter in group.operands)
        return panels * depth * A * U * self.lanes

    # ---- the call

    def threads(self, flops: int) -> tuple[int, bool]:
        """How many threads, and whether they split units (True) or rows (False)."""
        s = self.shape
        threads = int(max(1, min(s.threads, flops // 1_000_000, 64)))
        if threads == 1:
            return 1, False
        step = flops / max(self.steps, 1)
        # Few rows: every thread would read the whole of U at each step, and the more of that there
        # is the more rows are few.
        rows = self.rows
        few = (rows < 2 * threads and step > 1e5) or (rows < 8 * threads and step > 4e6)
        if few and not self.plan.has_row_sums:
            return threads, True
        return min(threads, rows), False

    def finish(
        self, shapes: Mapping[str, tuple[int, ...]], *, descending: bool, chunk: int, **more: Any
    ) -> Layout:
        """The layout, when every stream has its place.

        Args:
            shapes: of each weight.
            descending: whether the loop runs from the last step to the first.
            chunk: steps whose products outside the loop are made at once.
            **more: other fields of the call.
        """
        s, vectors = self.shape, self.emitted.vectors
        flops = 2 * s.T * s.B * sum(n[0] * n[1] for n in shapes.values() if len(n) == 2)
        threads, split = self.threads(flops)
        widths = [self.sizes[w] for w in self.sizes]
        depth = 0  # of the sums of weights' gradients
        if self.plan.kind == "backward":
            depth = min(DEPTH, -(-max(s.T * s.B, 1) // ALIGNED) * ALIGNED)
        zeros = max(*(self.room(k) for k in self.plan.layout), *widths, 1) + self.lanes
        call = Call(
            T=self.steps, B=s.B, spans=s.spans, whole=s.T,
            size=self.table(I32, [self.sizes[k] for k in self.emitted.letters]),
            stream=self.table(PlaceAt, [self.places[k] for k in self.plan.streams]),
            vector=self.table(VectorAt, self.vectors()),
            vector_at=self.table(I64, [self.take(shapes[v][0] + self.lanes) for v in vectors]),
            vector_size=self.table(I32, [shapes[v][0] for v in vectors]),
            matrix=self.table(MatrixAt, self.matrices(shapes)),
            packed_at=self.table(I64, [self.take(self.panels(g)) for g in self.emitted.groups]),
            zeros_at=self.take(zeros), zeros=zeros,
            outer_at=self.take(threads * depth * self.outer_width), outer_depth=depth,
            counts=more.pop("counts", NONE),
            length=self.number("lengths") if s.lengths else NONE,
            reset=self.number("reset") if s.reset else NONE,
            vectors=len(vectors), descending=int(descending), reverse=int(s.reverse),
            may_go_alone=int(flops / max(self.steps, 1) < SHORT_STEP), threads=threads,
            split_units=int(split), chunk=chunk, **more,
        )  # fmt: skip
        share_pool(call)
        call.scratch = self.used + self.lanes
        return Layout(call, P * len(self.arrays), call.scratch, keep=self.keep)


def array_names(
    states: Sequence[str], inputs: Sequence[str], wanted: Sequence[str], tensors: int, *,
    keep: bool,
) -> list[str]:  # fmt: skip
    """The arrays of a forward call in their order; with `keep`, those of the backward pass too."""
    return [
        "scratch", "x", "lengths", "reset",
        *(f"start {k}" for k in states),
        *(f"restart {k}" for k in states),
        *(f"input {k}" for k in inputs),
        *(f"weight {k}" for k in range(tensors)),
        *(f"{'new' if k in states else 'seen'} {k}" for k in wanted),
        *(f"last {k}" for k in states),
        *(f"new {k}" for k in states if keep and k not in wanted),
        *(["saved"] if keep else []),
    ]  # fmt: skip


def gradient_names(
    states: Sequence[str], wanted: Sequence[str], tensors: int, back: Backward
) -> list[str]:
    """What a backward call is given beside the arrays of the forward call."""
    return [
        "dx",
        *(f"seed {k}" for k in wanted),
        *(f"gradient last {k}" for k in states),
        *(f"first {k}" for k in states),
        *(f"gradient restart {k}" for k in states),
        *(f"gradient {k}" for k in range(tensors)),
        *(f"norm {k}" for k in back.norms),
        *(f"gradient input {k}" for k in back.inputs),
        *(["limit", "no limit", "counts"] if back.clipped else []),
        *(f"extra {k}" for k in range(MOST_EXTRA)),
    ]


def forward_layout(build: Builder, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    """Lay out a forward call.

    Args:
        build: with the plan and the shape.
        shapes: of each weight.
    """
    plan, s, sizes = build.plan, build.shape, build.sizes
    room = build.room("hoisted")
    # The products with the input of some steps at once: few enough to stay in the cache, and
    # rows enough that W is not read anew for every few of them.
    rows = max(build.rows, 1)
    chunk = max(power_of_two(65536 / (rows * room)), power_of_two(255 / rows))
    chunk = min(chunk, power_of_two(max(build.steps, 1)))
    assert s.strides[0] is not None
    build.given("x", "x", s.strides[0])
    build.inputs()
    if s.hoisted:
        build.whole("hoisted", "hoisted", room)
    else:
        build.ring("hoisted", room, chunk)
    back = 1 if s.reverse else -1
    for given, (k, width) in zip(s.starts, plan.last.items(), strict=True):
        n, first = sizes[width], f"start {k}" if given else ""
        restart = f"restart {k}" if s.restarts and f"restart {k}" in build.arrays else ""
        if f"new {k}" in build.arrays:
            build.whole(f"new_{k}", f"new {k}", n)
        else:
            build.ring(f"new_{k}", n, 2)
        build.again(f"old_{k}", f"new_{k}", shift=back, n=n, first=first, restart=restart)
        build.still(f"last_{k}", f"last {k}", n)
    for stream, width in plan.given.items():
        if stream.startswith("seen_"):
            build.whole(stream, f"seen {stream[5:]}", sizes[width])
    if "saved" in build.arrays:
        build.whole("saved", "saved", build.room("saved"))
    else:
        build.nothing("saved")
    if "front" in plan.streams:
        build.whole("front", "front", build.room("front"))
    build.ring("kept", build.room("kept"), 1)
    return build.finish(shapes, descending=s.reverse, chunk=chunk)


def backward_layout(
    build: Builder, shapes: Mapping[str, tuple[int, ...]], back: Backward
) -> Layout:
    """Lay out a backward call.

    Args:
        build: with the plan and the shape.
        shapes: of each weight.
        back: the derivative.
    """
    plan, s, sizes = build.plan, build.shape, build.sizes
    states = [k[6:] for k in plan.streams if k.startswith("first_")]
    before, after = (1, -1) if s.reverse else (-1, 1)
    # The gradients of weights are sums over some thousand steps and rows at a time; two such
    # chunks are in the ring, so that one thread may be at the next while another is at this.
    chunk = power_of_two(1024 / max(build.rows, 1))
    if 2 * chunk >= build.steps:
        chunk = max(build.steps, 1)  # the whole takes no more room than that
    x_strides, *seed_strides = s.strides
    assert x_strides is not None
    build.given("x", "x", x_strides)
    build.inputs()
    for k in back.norms:
        build.whole(f"norm_{k}", f"norm {k}", 1)
    for k, g in back.inputs.items():
        build.whole(f"dinput_{k}", f"gradient input {k}", 1 if g.width == "1" else sizes[g.width])
    build.whole("dx", "dx", sizes["I"])
    if back.clipped:
        # What comes in after a row's last step has not passed from one step to another.
        none = "no limit"
        build.put("limit", build.number("limit"), shift=after, first=none, again=none)
    widths = {k: sizes[v.width] for k, v in back.gradients.items()}
    for k, start, last in zip(states, s.starts, s.lasts, strict=True):
        n, first = widths[k], f"gradient last {k}" if last else ""
        build.whole(f"new_{k}", f"new {k}", n)
        build.again(
            f"old_{k}", f"new_{k}", shift=before, n=n, first=f"start {k}" if start else "",
            restart=f"restart {k}" if s.restarts else "", joined=True,
        )  # fmt: skip
        if k in back.carries:
            build.ring(f"next_{k}", n, 2)
            build.again(f"carry_{k}", f"next_{k}", shift=after, n=n, first=first)
        else:  # nothing is ever carried on: zeros after the start
            build.nothing(f"carry_{k}", shift=after, first=first, n=n)
        build.still(f"first_{k}", f"first {k}", n)
        build.still(f"again_{k}", f"gradient restart {k}", n)
    for k, strides in zip(back.seeds, seed_strides, strict=True):
        if strides is None:
            build.nothing(f"seed_{k}")
        else:
            build.given(f"seed_{k}", f"seed {k}", strides)
    build.whole("saved", "saved", build.room("saved"))
    build.recent("dz", build.room("dz"), 2 * chunk)
    build.again("past", "dz", shift=after, n=0)
    build.recent("operands", build.room("operands"), 2 * chunk)
    build.ring("kept", build.room("kept"), 1)
    sums = apart(max(build.offset([v.width for v in plan.sums.values()]), 1), build.lanes)
    build.ring("sums", sums, 1)
    tables = Sums(build, shapes, back)
    layout = build.finish(
        shapes, descending=not s.reverse, chunk=chunk, wants_x=int(s.wants[0]),
        dz=plan.streams.index("dz"),
        counts=build.number("counts") if back.clipped else NONE,
        sums_at=build.places["sums"].offset, sums_room=build.rows * sums,
        restarts=int(s.restarts), **tables.fields(),
    )  # fmt: skip
    layout.extra = tables.extra
    return layout
