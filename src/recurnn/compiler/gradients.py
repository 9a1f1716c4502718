"""What is left after the backward loop: the gradients that are one large product over all steps.

The loop leaves dz of every product at every step. dL/dW is dz times the operand of the product,
summed over steps and rows; dL/dx is dz times W; a vector's gradient was added up row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurnn.compiler.arrays import (
    I64,
    MatrixAt,
    P,
    Term,
    flat,
    row_stride,
    threads_for,
)
from recurnn.compiler.ops import Value


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


@dataclass
class AfterLoop:
    """The arrays that a backward loop has filled, and the gradients made of them.

    Attributes:
        kernel: the kernel that ran.
        sizes: letter to number.
        run: what the forward left.
        frame: lengths, resets, direction.
        dz: dL/d(product) at every step, [T, B, …].
        operands: the operands that the backward computed anew, [T, B, …].
        sums: the vectors' gradients, a row of the batch each, [B, …].
    """

    kernel: Any
    sizes: dict[str, int]
    run: Run
    frame: Frame
    dz: Tensor
    operands: Tensor
    sums: Tensor

    def vectors(self) -> dict[str, Tensor]:
        """dL/dvector by name, added up over rows in the order of rows."""
        kernel, (B, width) = self.kernel, self.sums.shape
        total, ones = self.sums.new_empty(1, width), self.sums.new_ones(B, 1)
        self._outer(total, ones, 1, self.sums, width, B, add=False)
        found = {k: torch.zeros_like(self.run.weights[k]) for k in kernel.vectors}
        at = 0
        for name, value in kernel.backward_plan.sums.items():
            found[name] = total[0, at : at + self.sizes[value.width]]
            at += kernel.offset([value.width], self.sizes)
        return found

    def matrices(self) -> dict[str, Tensor]:
        """dL/dmatrix by name; matrices with the same operand share one product."""
        found: dict[str, Tensor] = {}
        by_operand: dict[Value, list[tuple[int, int, str, int]]] = {}
        for matrix, pairs in self.kernel.back.outer.items():
            for g, operand in pairs:
                room = self.kernel.offset([g.width], self.sizes)
                use = (self._place(g), room, matrix, self.sizes[g.width])
                by_operand.setdefault(operand, []).append(use)
        for operand, uses in by_operand.items():
            uses.sort()
            begin, end = uses[0][0], uses[-1][0] + uses[-1][1]
            together = sum(room for _, room, _, _ in uses) == end - begin
            for piece in [uses] if together else [[use] for use in uses]:
                at, M = piece[0][0], sum(room for _, room, _, _ in piece)
                whole = self._over_time(at, M, operand)
                for start, _, matrix, n in piece:
                    part = whole[start - at : start - at + n]
                    found[matrix] = part if matrix not in found else found[matrix] + part
        for k in self.kernel.step.matrices:
            found.setdefault(k, torch.zeros_like(self.run.weights[k]))
        return found

    def input(self) -> Tensor:
        """dL/dx, [T, B, I]: the sum over the matrices that multiply x."""
        (T, B, width), n, dz = self.dz.shape, self.sizes["I"], self.dz
        dx = dz.new_empty(T, B, n)
        terms = []
        for matrix, pairs in self.kernel.back.outer.items():
            W = self.run.weights[matrix]
            for g, operand in pairs:
                if operand.op == "x":
                    base = dz.data_ptr() + self._place(g) * dz.element_size()
                    across = MatrixAt(W.data_ptr(), W.stride(1), W.stride(0))
                    terms.append(Term(base, width, self.sizes[g.width], across))
        if not terms:
            return torch.zeros_like(dx)
        self.kernel.library.row_product(
            P(dx.data_ptr()), I64(n), I64(T * B), n, (Term * len(terms))(*terms), len(terms),
            threads_for(2 * T * B * n * sum(t.K for t in terms)),
        )  # fmt: skip
        return dx

    def _place(self, g: Value) -> int:
        """Where the dz of a product begins in each row of dz."""
        place = next(p for p in self.kernel.backward_plan.stores[g] if p.stream == "dz")
        at: int = self.kernel.offset(place.before, self.sizes)
        return at

    def _over_time(self, at: int, M: int, operand: Value) -> Tensor:
        """Σ over steps and rows of dz[t, b, at : at + M] ⊗ operand[t, b], [M, N]."""
        T, B, _ = self.dz.shape
        out = self.dz.new_empty(M, self.sizes[operand.width])
        left = self.dz[:, :, at:]
        if operand.op == "x":
            x = self.run.x if flat(self.run.x) else self.run.x.contiguous()
            self._outer(out, left, M, x, row_stride(x), T * B, add=False)
        elif operand.op == "state":
            new, start = self.run.news[operand.data], self.run.starts[operand.data].contiguous()
            N = new.shape[2]
            if self.frame.lengths is not None or self.frame.reset is not None or T == 0:
                past = past_states(new, start, self.frame)
                self._outer(out, left, M, past, N, T * B, add=False)
            else:  # the operand at t is the state at t ∓ 1: the same array, one step along
                rest, states, first = left[1:], new[:-1], left[:1]
                if self.frame.reverse:
                    rest, states, first = left[:-1], new[1:], left[-1:]
                self._outer(out, rest, M, states, N, (T - 1) * B, add=False)
                self._outer(out, first, M, start, N, B, add=True)
        else:
            right = self._computed(operand)
            self._outer(out, left, M, right, right.stride(1), T * B, add=False)
        return out

    def _computed(self, operand: Value) -> Tensor:
        """An operand that the step itself computes: kept by the forward or by the backward."""
        plan = self.kernel.backward_plan
        place = plan.homes.get(operand)
        if place is None or place.stream == "kept":
            place = next(p for p in plan.stores[operand] if p.stream == "operands")
        if place.stream.startswith("new_"):
            return self.run.news[place.stream.removeprefix("new_")]
        array = self.run.saved if place.stream == "saved" else self.operands
        return array[:, :, self.kernel.offset(place.before, self.sizes) :]

    def _outer(
        self, out: Tensor, left: Tensor, M: int, right: Tensor, right_stride: int, rows: int,
        *, add: bool,
    ) -> None:  # fmt: skip
        """Out [M, N] (+)= Σ over rows of left ⊗ right; left's rows are those of dz or ones."""
        N = out.shape[1]
        self.kernel.library.outer_product(
            P(out.data_ptr()), I64(out.stride(0)), P(left.data_ptr()), I64(left.stride(-2)),
            P(right.data_ptr()), I64(right_stride), I64(rows), M, N, int(add),
            threads_for(2 * rows * M * N),
        )  # fmt: skip


def last_states(new: Tensor, start: Tensor, frame: Frame, T: int) -> Tensor:
    """The state after each row's last step, [B, n]; `new` is every step, or a ring of two."""
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


def past_states(new: Tensor, start: Tensor, frame: Frame) -> Tensor:
    """The state before each step, [T, B, n], with lengths and resets."""
    T, B = new.shape[:2]
    if T == 0:
        return new
    if frame.reverse:
        past = torch.cat([new[1:], start.unsqueeze(0)])
        if frame.lengths is not None:
            some = frame.lengths > 0
            past[frame.lengths[some] - 1, torch.arange(B)[some]] = start[some]
        cut = None if frame.reset is None else frame.reset.roll(-1, 0)
        if cut is not None:
            cut[-1] = False
    else:
        past = torch.cat([start.unsqueeze(0), new[:-1]])
        cut = frame.reset
    return past if cut is None else torch.where(cut.unsqueeze(-1), 0, past)
