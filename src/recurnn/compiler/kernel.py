"""A compiled cell: calls of its kernels on tensors.

This is the only place that knows both torch's tensors and the kernel's arrays.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from recurnn.compiler.arrays import (
    DENSE,
    I32,
    Call,
    MatrixAt,
    P,
    Stream,
    address,
    array,
    chunk_for,
    dense,
    matrices_of,
    stream,
    threads_for,
)
from recurnn.compiler.build import load
from recurnn.compiler.cpp_text import runtime
from recurnn.compiler.differentiate import Backward, differentiate
from recurnn.compiler.emit_cpp import Emitted, emit
from recurnn.compiler.gradients import AfterLoop, Frame, Run, last_states
from recurnn.compiler.ops import Unsupported
from recurnn.compiler.plan import Group, Plan, plan_backward, plan_forward
from recurnn.compiler.trace import Step, trace


class Kernel:
    """The kernels of one cell for one dtype and one choice of what is wanted at every step.

    Args:
        cell: the cell, for its name and equations; its sizes and weights do not count.
        dtype: float32 or float64.
        wanted: the states and gates that are given, and may have a gradient, at every step.
        step: the traced step, where it was traced already; its graph grows by the derivative.

    Raises:
        Unsupported: the step cannot be compiled, with the reason.
    """

    def __init__(
        self, cell: Any, dtype: torch.dtype, wanted: tuple[str, ...], step: Step | None = None
    ) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise Unsupported(f"there is no kernel for {dtype}")
        self.step = step or trace(cell)
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
        x = dense(x)
        fresh = x.new_zeros if frame.lengths is not None else x.new_empty
        news, streams = {}, {}
        chunk = chunk_for(B, self.room(plan, "hoisted", sizes), T)
        streams["x"] = stream(x)
        streams["hoisted"] = stream(
            x.new_empty(chunk, B, self.room(plan, "hoisted", sizes)), wrap=chunk - 1
        )
        back = 1 if frame.reverse else -1
        starts = {k: dense(s) for k, s in starts.items()}
        for k, start in starts.items():
            whole = keep or k in self.wanted
            news[k] = fresh(T, B, start.shape[-1]) if whole else x.new_empty(2, B, start.shape[-1])
            wrap = -1 if whole else 1
            streams[f"new_{k}"] = stream(news[k], wrap=wrap)
            streams[f"old_{k}"] = stream(news[k], wrap=wrap, shift=back, first=start)
        seen = {k: news[k] for k in self.wanted if k in news}
        for name in self.wanted:
            if name not in seen:
                seen[name] = fresh(T, B, sizes[self.step.observed[name].width])
                streams[f"seen_{name}"] = stream(seen[name])
        saved = fresh(T, B, self.room(plan, "saved", sizes))
        streams["saved"] = stream(saved)
        streams["kept"] = stream(x.new_empty(1, B, self.room(plan, "kept", sizes)), wrap=0)
        kind = "forward" if keep else "inference"
        self._call(kind, plan, streams, x, weights, sizes, frame, frame.reverse, chunk)
        last = {k: last_states(news[k], starts[k], frame, T) for k in starts}
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
        streams: dict[str, Stream] = {}
        back, onward = (1, -1) if frame.reverse else (-1, 1)
        firsts, hold = {}, []
        zero = x.new_zeros(max(sizes.values()) + self.lanes)
        still = Stream(zero.data_ptr(), 0, 0, -1, 0, None, 0)
        for k, start in run.starts.items():
            streams[f"new_{k}"] = stream(run.news[k])
            streams[f"old_{k}"] = stream(run.news[k], shift=back, first=start)
            last = lasts.get(k)
            last = None if last is None else last.contiguous()
            ring = x.new_empty(2, B, start.shape[-1])
            hold += [last, ring]
            streams[f"next_{k}"] = stream(ring, wrap=1)
            carry = stream(ring, wrap=1, shift=onward, first=last)
            if k not in self.back.carries:  # nothing is ever carried on: zeros after the start
                carry.base, carry.time, carry.row = zero.data_ptr(), 0, 0
            streams[f"carry_{k}"] = carry
            firsts[k] = torch.empty_like(start, memory_format=torch.contiguous_format)
            streams[f"first_{k}"] = stream(firsts[k].unsqueeze(0), wrap=0)
        for k in self.back.seeds:
            seed = seeds.get(k)
            streams[f"seed_{k}"] = still if seed is None else stream(dense(seed))
        fresh = x.new_zeros if frame.lengths is not None else x.new_empty
        dz = fresh(T, B, self.room(plan, "dz", sizes))
        operands = fresh(T, B, self.room(plan, "operands", sizes))
        widths = [v.width for v in plan.sums.values()]
        sums = x.new_zeros(B, max(self.offset(widths, sizes), 1))
        kept = x.new_empty(1, B, self.room(plan, "kept", sizes))
        streams["saved"] = stream(run.saved)
        streams["dz"] = stream(dz)
        streams["past"] = stream(dz, shift=onward)
        streams["operands"] = stream(operands)
        streams["kept"] = stream(kept, wrap=0)
        streams["sums"] = stream(sums.unsqueeze(0), wrap=0)
        self._call("backward", plan, streams, x, run.weights, sizes, frame, not frame.reverse, 1)
        after = AfterLoop(self, dict(sizes), run, frame, dz, operands, sums)
        dx = after.input() if wants_x else None
        return dx, firsts, after.vectors() | after.matrices()

    # ---- the call

    def _call(
        self, kind: str, plan: Plan, streams: dict[str, Stream], x: Tensor,
        weights: dict[str, Tensor], sizes: Mapping[str, int], frame: Frame,
        descending: bool, chunk: int,
    ) -> None:  # fmt: skip
        emitted = self.emitted[kind]
        T, B = x.shape[:2]
        if B == 0:
            return
        groups = emitted.groups
        vectors = [dense(weights[v]) for v in emitted.vectors]
        packed = [x.new_empty(self._panels(g, sizes)) for g in groups]
        matrices = [m for g in groups for m in matrices_of(g, weights)]
        flops = 2 * T * B * sum(w.numel() for w in weights.values() if w.dim() == 2)
        threads, split = self._split(plan, flops, T, B, sizes)
        order = lengths = None
        if frame.lengths is not None:
            sorted_lengths, index = frame.lengths.sort(descending=True, stable=True)
            order, lengths = index.to(torch.int32), sorted_lengths.to(torch.int32)
        reset = None if frame.reset is None else frame.reset.clone(memory_format=DENSE)
        if reset is not None and frame.reverse:
            reset[:1] = False  # run backwards, a row ends at step 0: nothing is cut there
        most = max(self.room(plan, s, sizes) for s in ("dz", "past", "saved", "kept"))
        zero = x.new_zeros(max(most, *sizes.values()) + self.lanes)
        arrays = (
            array(I32, [sizes[k] for k in emitted.letters]),
            array(Stream, [streams[s] for s in plan.streams]),
            array(P, [v.data_ptr() for v in vectors]),
            array(MatrixAt, matrices),
            array(P, [p.data_ptr() for p in packed]),
        )
        *places, room = (ctypes.addressof(a) for a in arrays)
        call = Call(
            T, B, *places, address(order), address(lengths), address(reset),
            int(descending), threads, int(split), chunk, zero.data_ptr(), room,
        )  # fmt: skip
        getattr(self.library, kind)(ctypes.byref(call))

    def _split(
        self, plan: Plan, flops: int, T: int, B: int, sizes: Mapping[str, int]
    ) -> tuple[int, bool]:
        """How many threads, and whether they split units (True) or rows (False)."""
        threads = threads_for(flops)
        if threads == 1:
            return 1, False
        step = flops / max(T, 1)
        if 8 * threads > B and step > 4e6 and not plan.has_row_sums:
            return threads, True
        return min(threads, B), False

    def _panels(self, group: Group, sizes: Mapping[str, int]) -> int:
        A = len(group.outputs)
        U = 4 if A == 1 else 2 if A == 2 else 1
        panels = -(-sizes[group.units] // (U * self.lanes))
        return panels * sum(sizes[letter] for _, letter in group.operands) * A * U * self.lanes
