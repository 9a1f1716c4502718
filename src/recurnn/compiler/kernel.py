"""A compiled cell: calls of its kernels on tensors.

This is the only place that knows both torch's tensors and the kernel's arrays.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurnn.compiler.build import load
from recurnn.compiler.differentiate import Backward, differentiate
from recurnn.compiler.emit_cpp import Emitted, emit, runtime
from recurnn.compiler.ops import Unsupported
from recurnn.compiler.plan import Group, Plan, plan_backward, plan_forward
from recurnn.compiler.trace import Step, trace

_DENSE = torch.contiguous_format
P, I64, I32 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32


class _Stream(ctypes.Structure):
    _fields_ = (
        ("base", P), ("time", I64), ("row", I64), ("wrap", I64), ("shift", I64),
        ("first", P), ("first_row", I64),
    )  # fmt: skip


class _Matrix(ctypes.Structure):
    _fields_ = (("data", P), ("unit_stride", I64), ("k_stride", I64))


class _Term(ctypes.Structure):
    _fields_ = (("data", P), ("stride", I64), ("K", I32), ("matrix", _Matrix))


class _Call(ctypes.Structure):
    _fields_ = (
        ("T", I64), ("B", I64), ("size", P), ("stream", P), ("vector", P), ("matrix", P),
        ("order", P), ("length", P), ("reset", P),
        ("descending", I32), ("threads", I32), ("split_units", I32), ("chunk", I32),
        ("zero", P), ("packed", P),
    )  # fmt: skip


@dataclass
class Run:
    """What one forward call leaves for its backward.

    Attributes:
        x: the input, [T, B, I].
        starts: initial states, by name.
        weights: by name.
        news: each state at every step, by name, [T, B, its size].
        saved: the other values kept, [T, B, …].
    """

    x: Tensor
    starts: dict[str, Tensor]
    weights: dict[str, Tensor]
    news: dict[str, Tensor]
    saved: Tensor


@dataclass(frozen=True)
class Frame:
    """How the rows of a batch run along time.

    Attributes:
        lengths: [B] whole numbers, or None.
        reset: [T, B] booleans, true only at real steps, or None.
        reverse: whether from the last step to the first.
    """

    lengths: Tensor | None
    reset: Tensor | None
    reverse: bool


class Kernel:
    """The kernels of one cell for one dtype and one choice of what is wanted at every step.

    Args:
        cell: the cell; only its equations count, not its sizes or weights.
        dtype: float32 or float64.
        wanted: the states and gates that are given, and may have a gradient, at every step.

    Raises:
        Unsupported: the step cannot be compiled, with the reason.
    """

    def __init__(self, cell: Any, dtype: torch.dtype, wanted: tuple[str, ...]) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise Unsupported(f"there is no kernel for {dtype}")
        self.step: Step = trace(cell)
        self.letters = list(cell.sizes)
        self.vectors = list(self.step.vectors)
        self.back: Backward = differentiate(self.step, wanted)
        observed = tuple(k for k in wanted if k not in self.step.states)
        self.wanted = wanted
        self.forward_plan = plan_forward(self.step, self.back.saved, observed)
        self.plain_plan = plan_forward(self.step, [], observed)
        self.backward_plan = plan_backward(self.step, self.back)
        names, name = self.step.graph.names, type(cell).__name__
        texts = {}
        for kind, plan in self._plans().items():
            header = f"// {name}, {kind}:\n" + "".join(
                f"//     {line}\n" for line in cell.equations().splitlines()
            )
            texts[kind] = emit(plan, kind, self.letters, self.vectors, names, header)
        self.emitted: dict[str, Emitted] = texts
        self.text = runtime() + "\n" + "\n".join(e.text for e in texts.values())
        real = "float" if dtype == torch.float32 else "double"
        self.library = load(self.text, real, name)
        self.lanes: int = self.library.lanes()
        self.dtype = dtype

    def _plans(self) -> dict[str, Plan]:
        return {
            "forward": self.forward_plan,
            "inference": self.plain_plan,
            "backward": self.backward_plan,
        }

    # ---- layout

    def offset(self, widths: Sequence[str], sizes: Mapping[str, int]) -> int:
        """Elements that a run of widths takes in a stream, each rounded up to whole vectors."""
        return sum(
            self.lanes if w == "1" else -(-sizes[w] // self.lanes) * self.lanes for w in widths
        )

    def room(self, plan: Plan, stream: str, sizes: Mapping[str, int]) -> int:
        """Elements in a row of a stream."""
        return max(self.offset(plan.layout.get(stream, []), sizes), 1)

    # ---- forward

    def forward(
        self,
        x: Tensor,
        starts: dict[str, Tensor],
        weights: dict[str, Tensor],
        sizes: Mapping[str, int],
        frame: Frame,
        *,
        keep: bool,
    ) -> tuple[Run, dict[str, Tensor], dict[str, Tensor]]:
        """Run along time.

        Args:
            x: input [T, B, I].
            starts: initial states [B, n].
            weights: by name.
            sizes: letter to number.
            frame: lengths, resets and direction.
            keep: whether to keep what the backward needs.

        Returns:
            What the backward needs; the last states; what is wanted at every step.
        """
        plan = self.forward_plan if keep else self.plain_plan
        T, B = x.shape[:2]
        x = x if x.stride(-1) == 1 else x.contiguous()
        fresh = x.new_zeros if frame.lengths is not None else x.new_empty
        news, streams = {}, {}
        chunk = _chunk(B, self.room(plan, "hoisted", sizes), T)
        streams["x"] = _stream(x)
        streams["hoisted"] = _stream(
            x.new_empty(chunk, B, self.room(plan, "hoisted", sizes)), wrap=chunk - 1
        )
        back = 1 if frame.reverse else -1
        for k, start in starts.items():
            whole = keep or k in self.wanted
            news[k] = fresh(T, B, start.shape[-1]) if whole else x.new_empty(2, B, start.shape[-1])
            wrap = -1 if whole else 1
            streams[f"new_{k}"] = _stream(news[k], wrap=wrap)
            streams[f"old_{k}"] = _stream(news[k], wrap=wrap, shift=back, first=start)
        seen = {k: news[k] for k in self.wanted if k in news}
        for name in self.wanted:
            if name not in seen:
                seen[name] = fresh(T, B, sizes[self.step.observed[name].width])
                streams[f"seen_{name}"] = _stream(seen[name])
        saved = x.new_empty(T, B, self.room(plan, "saved", sizes))
        streams["saved"] = _stream(saved)
        streams["kept"] = _stream(x.new_empty(1, B, self.room(plan, "kept", sizes)), wrap=0)
        kind = "forward" if keep else "inference"
        self._call(kind, plan, streams, x, weights, sizes, frame, frame.reverse, chunk)
        last = {k: _last(news[k], starts[k], frame, T) for k in starts}
        return Run(x, starts, weights, news, saved), last, seen

    # ---- backward

    def backward(
        self,
        run: Run,
        sizes: Mapping[str, int],
        frame: Frame,
        seeds: dict[str, Tensor | None],
        lasts: dict[str, Tensor | None],
        *,
        wants_x: bool = True,
    ) -> tuple[Tensor | None, dict[str, Tensor], dict[str, Tensor]]:
        """The gradients of everything.

        Args:
            run: what the forward left.
            sizes: letter to number.
            frame: as in the forward.
            seeds: dL/dstate and dL/dgate at every step, [T, B, n], by name, or None.
            lasts: dL/d(last state), [B, n], by name, or None.
            wants_x: whether dL/dx is needed.

        Returns:
            dL/dx, dL/d(initial state) by name, dL/dweight by name.
        """
        plan, x = self.backward_plan, run.x
        T, B = x.shape[:2]
        streams: dict[str, _Stream] = {}
        back, onward = (1, -1) if frame.reverse else (-1, 1)
        firsts, hold = {}, []
        zero = x.new_zeros(max(sizes.values()) + self.lanes)
        still = _Stream(zero.data_ptr(), 0, 0, -1, 0, None, 0)
        for k, start in run.starts.items():
            streams[f"new_{k}"] = _stream(run.news[k])
            streams[f"old_{k}"] = _stream(run.news[k], shift=back, first=start)
            last = lasts.get(k)
            last = None if last is None else last.contiguous()
            ring = x.new_empty(2, B, start.shape[-1])
            hold += [last, ring]
            streams[f"next_{k}"] = _stream(ring, wrap=1)
            carry = _stream(ring, wrap=1, shift=onward, first=last)
            if k not in self.back.carries:  # nothing is ever carried on: zeros after the start
                carry.base, carry.time, carry.row = zero.data_ptr(), 0, 0
            streams[f"carry_{k}"] = carry
            firsts[k] = torch.empty_like(start, memory_format=torch.contiguous_format)
            streams[f"first_{k}"] = _stream(firsts[k].unsqueeze(0), wrap=0)
        for k in self.back.seeds:
            seed = seeds.get(k)
            seed = seed if seed is None or seed.stride(-1) == 1 else seed.contiguous()
            streams[f"seed_{k}"] = still if seed is None else _stream(seed)
        fresh = x.new_zeros if frame.lengths is not None else x.new_empty
        dz = fresh(T, B, self.room(plan, "dz", sizes))
        operands = fresh(T, B, self.room(plan, "operands", sizes))
        widths = [v.width for v in plan.sums.values()]
        sums = x.new_zeros(B, max(self.offset(widths, sizes), 1))
        kept = x.new_empty(1, B, self.room(plan, "kept", sizes))
        streams["saved"] = _stream(run.saved)
        streams["dz"] = _stream(dz)
        streams["past"] = _stream(dz, shift=onward)
        streams["operands"] = _stream(operands)
        streams["kept"] = _stream(kept, wrap=0)
        streams["sums"] = _stream(sums.unsqueeze(0), wrap=0)
        self._call("backward", plan, streams, x, run.weights, sizes, frame, not frame.reverse, 1)
        grads = self._vector_gradients(sums, run.weights, sizes)
        grads |= self._matrix_gradients(run, dz, operands, sizes, frame)
        dx = self._input_gradient(run, dz, sizes) if wants_x else None
        return dx, firsts, grads

    def _vector_gradients(
        self, sums: Tensor, weights: dict[str, Tensor], sizes: Mapping[str, int]
    ) -> dict[str, Tensor]:
        """Add up over rows, on one thread in the order of rows."""
        B, width = sums.shape
        total, ones = sums.new_empty(1, width), sums.new_ones(B, 1)
        self._outer(total, ones, 1, 1, sums, width, width, B, add=False)
        found, at = {}, 0
        for name, value in self.backward_plan.sums.items():
            found[name] = total[0, at : at + sizes[value.width]]
            at += self.offset([value.width], sizes)
        return {k: found[k] if k in found else torch.zeros_like(weights[k]) for k in self.vectors}

    def _matrix_gradients(
        self, run: Run, dz: Tensor, operands: Tensor, sizes: Mapping[str, int], frame: Frame
    ) -> dict[str, Tensor]:
        T, B, width = dz.shape
        plan, found = self.backward_plan, {}
        by_operand: dict[Any, list[tuple[int, str, Any]]] = {}
        for matrix, pairs in self.back.outer.items():
            for g, operand in pairs:
                place = next(p for p in plan.stores[g] if p.stream == "dz")
                at = self.offset(place.before, sizes)
                by_operand.setdefault(operand, []).append((at, matrix, g))
        for operand, uses in by_operand.items():
            uses.sort(key=lambda use: use[0])
            n = sizes[operand.width]
            begin, end = uses[0][0], uses[-1][0] + self.offset([uses[-1][2].width], sizes)
            if self.offset([u[2].width for u in uses], sizes) == end - begin:
                pieces = [(begin, end - begin, uses)]
            else:
                pieces = [(u[0], self.offset([u[2].width], sizes), [u]) for u in uses]
            for at, M, some in pieces:
                whole = dz.new_empty(M, n)
                self._outer_over_time(whole, dz, at, M, operand, run, operands, frame)
                for start, matrix, g in some:
                    part = whole[start - at : start - at + sizes[g.width]]
                    found[matrix] = part if matrix not in found else found[matrix] + part
        for k in self.step.matrices:
            found.setdefault(k, torch.zeros_like(run.weights[k]))
        return found

    def _outer_over_time(
        self,
        out: Tensor,
        dz: Tensor,
        at: int,
        M: int,
        operand: Any,
        run: Run,
        operands: Tensor,
        frame: Frame,
    ) -> None:
        """out = Σ over steps and rows of dz[t, b, at : at + M] ⊗ operand[t, b]."""
        T, B, width = dz.shape
        N = out.shape[1]
        left = dz[:, :, at:]
        if operand.op == "x":
            x = run.x if _flat(run.x) else run.x.contiguous()
            self._outer(out, left, width, M, x, x.stride(1) if B > 1 else N, N, T * B, add=False)
        elif operand.op == "state":
            k = operand.data
            new, start = run.news[k], run.starts[k].contiguous()
            if frame.lengths is None and frame.reset is None and T:
                # The operand at t is the state at t ∓ 1: the same array, one step along.
                first, rest, states = (
                    (dz[-1:, :, at:], dz[:-1, :, at:], new[1:])
                    if frame.reverse
                    else (dz[:1, :, at:], dz[1:, :, at:], new[:-1])
                )
                self._outer(out, rest, width, M, states, N, N, (T - 1) * B, add=False)
                self._outer(out, first, width, M, start, N, N, B, add=True)
            else:
                past = _past_states(new, start, frame)
                self._outer(out, left, width, M, past, N, N, T * B, add=False)
        else:
            right, N_stride = self._operand(operand, run, operands)
            self._outer(out, left, width, M, right, N_stride, N, T * B, add=False)

    def _operand(self, operand: Any, run: Run, operands: Tensor) -> tuple[Tensor, int]:
        """An operand that the step itself computes: kept by the forward or by the backward."""
        plan = self.backward_plan
        place = plan.homes.get(operand)
        if place is None or place.stream == "kept":
            place = next(p for p in plan.stores[operand] if p.stream == "operands")
        if place.stream.startswith("new_"):
            array = run.news[place.stream.removeprefix("new_")]
        else:
            array = run.saved if place.stream == "saved" else operands
        return array[:, :, self.offset(place.before, self._sizes) :], array.shape[2]

    def _outer(
        self,
        out: Tensor,
        left: Tensor,
        left_stride: int,
        M: int,
        right: Tensor,
        right_stride: int,
        N: int,
        rows: int,
        *,
        add: bool,
    ) -> None:
        threads = _threads(2 * rows * M * N)
        self.library.outer_product(
            P(out.data_ptr()), I64(out.stride(0)), P(left.data_ptr()), I64(left_stride),
            P(right.data_ptr()), I64(right_stride), I64(rows), M, N, int(add), threads,
        )  # fmt: skip

    def _input_gradient(self, run: Run, dz: Tensor, sizes: Mapping[str, int]) -> Tensor:
        """dL/dx = Σ over the matrices that multiply x of dz W."""
        T, B, width = dz.shape
        dx = torch.empty(T, B, sizes["I"], dtype=dz.dtype)
        terms, hold = [], []
        for matrix, pairs in self.back.outer.items():
            for g, operand in pairs:
                if operand.op != "x":
                    continue
                place = next(p for p in self.backward_plan.stores[g] if p.stream == "dz")
                W = run.weights[matrix]
                hold.append(W)
                base = dz.data_ptr() + self.offset(place.before, sizes) * dz.element_size()
                terms.append(
                    _Term(
                        base, width, sizes[g.width], _Matrix(W.data_ptr(), W.stride(1), W.stride(0))
                    )
                )
        if not terms:
            return torch.zeros_like(dx)
        threads = _threads(2 * T * B * sizes["I"] * sum(t.K for t in terms))
        self.library.row_product(
            P(dx.data_ptr()), I64(sizes["I"]), I64(T * B), sizes["I"], (_Term * len(terms))(*terms),
            len(terms), threads,
        )  # fmt: skip
        return dx

    # ---- the call

    def _call(
        self, kind: str, plan: Plan, streams: dict[str, _Stream], x: Tensor,
        weights: dict[str, Tensor], sizes: Mapping[str, int], frame: Frame,
        descending: bool, chunk: int,
    ) -> None:  # fmt: skip
        self._sizes = sizes
        emitted = self.emitted[kind]
        T, B = x.shape[:2]
        if B == 0:
            return
        groups = emitted.groups
        packed = [x.new_empty(self._panels(g, sizes)) for g in groups]
        matrices = [m for g in groups for m in _matrices(g, weights)]
        flops = 2 * T * B * sum(w.numel() for w in weights.values() if w.dim() == 2)
        threads, split = self._split(plan, flops, T, B, sizes)
        order = lengths = None
        if frame.lengths is not None:
            sorted_lengths, index = frame.lengths.sort(descending=True, stable=True)
            order, lengths = index.to(torch.int32), sorted_lengths.to(torch.int32)
        reset = None if frame.reset is None else frame.reset.clone(memory_format=_DENSE)
        if reset is not None and frame.reverse:
            reset[:1] = False  # run backwards, a row ends at step 0: nothing is cut there
        most = max(self.room(plan, s, sizes) for s in ("dz", "past", "saved", "kept"))
        zero = x.new_zeros(max(most, *sizes.values()) + self.lanes)
        arrays = (
            _array(I32, [sizes[k] for k in emitted.letters]),
            _array(_Stream, [streams[s] for s in plan.streams]),
            _array(P, [weights[v].data_ptr() for v in emitted.vectors]),
            _array(_Matrix, matrices),
            _array(P, [p.data_ptr() for p in packed]),
        )
        size, stream, vector, matrix, room = (ctypes.addressof(a) for a in arrays)
        call = _Call(
            T, B, size, stream, vector, matrix,
            _address(order), _address(lengths), _address(reset),
            int(descending), threads, int(split), chunk, zero.data_ptr(), room,
        )  # fmt: skip
        getattr(self.library, kind)(ctypes.byref(call))

    def _split(
        self, plan: Plan, flops: int, T: int, B: int, sizes: Mapping[str, int]
    ) -> tuple[int, bool]:
        """How many threads, and whether they split units (True) or rows (False)."""
        threads = _threads(flops)
        if threads == 1:
            return 1, False
        step = flops / max(T, 1)
        if B < 8 * threads and step > 4e6 and not plan.has_row_sums:
            return threads, True
        return min(threads, B), False

    def _panels(self, group: Group, sizes: Mapping[str, int]) -> int:
        A = len(group.outputs)
        U = 4 if A == 1 else 2 if A == 2 else 1
        panels = -(-sizes[group.units] // (U * self.lanes))
        return panels * sum(sizes[letter] for _, letter in group.operands) * A * U * self.lanes


def _stream(
    array: Tensor, *, wrap: int = -1, shift: int = 0, first: Tensor | None = None
) -> _Stream:
    """A stream over an array [T, B, n] whose last dimension is dense."""
    stream = _Stream(
        array.data_ptr(), array.stride(0), array.stride(1), wrap, shift,
        None if first is None else first.data_ptr(), 0 if first is None else first.stride(0),
    )  # fmt: skip
    stream.arrays = (array, first)  # alive as long as the stream
    return stream


def _matrices(group: Group, weights: dict[str, Tensor]) -> list[_Matrix]:
    """The matrices of a group, operand by operand, with the strides of unit and k."""
    found = []
    for row in group.matrices:
        for name, transposed in row:
            W = weights[name]
            unit, k = (W.stride(1), W.stride(0)) if transposed else (W.stride(0), W.stride(1))
            found.append(_Matrix(W.data_ptr(), unit, k))
    return found


def _array(kind: Any, items: Sequence[Any]) -> Any:
    return (kind * max(len(items), 1))(*items)


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _flat(x: Tensor) -> bool:
    """Whether steps and rows of x follow one another at one stride."""
    return x.shape[0] <= 1 or x.stride(0) == x.shape[1] * x.stride(1)


def _threads(flops: float) -> int:
    """Threads that are worth starting: one for each half a million operations."""
    return int(max(1, min(torch.get_num_threads(), flops // 1e6, 64)))


def _chunk(B: int, width: int, T: int) -> int:
    """Steps whose hoisted products are made at once: a power of two, some 256 KiB."""
    steps = 1
    while steps < T and steps * 2 * B * width <= 65536:
        steps *= 2
    return steps


def _last(new: Tensor, start: Tensor, frame: Frame, T: int) -> Tensor:
    """The state after each row's last step."""
    B, ring = start.shape[0], new.shape[0] - 1 if new.shape[0] != T else -1
    if T == 0:
        return start.clone()
    if frame.lengths is None:
        t = 0 if frame.reverse else T - 1
        return new[t & ring if ring >= 0 else t].clone()
    at = torch.zeros_like(frame.lengths) if frame.reverse else (frame.lengths - 1).clamp(min=0)
    at = at & ring if ring >= 0 else at
    last = new[at, torch.arange(B)]
    return torch.where((frame.lengths > 0).unsqueeze(-1), last, start)


def _past_states(new: Tensor, start: Tensor, frame: Frame) -> Tensor:
    """The state before each step, [T, B, n], with lengths and resets."""
    T, B = new.shape[:2]
    if frame.reverse:
        past = torch.cat([new[1:], start.unsqueeze(0)]) if T else new
        if frame.lengths is not None and T:
            some = frame.lengths > 0
            rows = torch.arange(B)[some]
            past[frame.lengths[some] - 1, rows] = start[some]
        cut = None if frame.reset is None else frame.reset.roll(-1, 0)
        if cut is not None and T:
            cut[-1] = False
    else:
        past = torch.cat([start.unsqueeze(0), new[:-1]]) if T else new
        cut = frame.reset
    return past if cut is None else torch.where(cut.unsqueeze(-1), 0, past)
