"""One step a call on arrays that stay where they are, with weights that are laid out only once."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from recurnn.compiler.engine import compiled
from recurnn.compiler.layout import array_names
from recurnn.compiler.structures import Call, Shape, share_pool


class Steps:
    """The kernel of one cell with everything that single steps of B rows need, prepared.

    A step is ``run(call, arrays)``, after the addresses of its input and its output have been
    put in ``arrays`` at ``x`` and ``y``; the states change in place.

    Args:
        number: of the compiled cell, from `prepare`.
        weights: the tensors of the binding.
        B: rows.
        hoisted: whether at ``x`` the products with the input are given, in rows of `room`, and
            not the input: see `products`.

    Attributes:
        states: each state, [B, its size], by name.
        room: how many elements the products of one row take.
    """

    def __init__(
        self, number: int, weights: Sequence[Tensor], B: int, *, hoisted: bool = False
    ) -> None:
        self._number, c = number, compiled(number)
        like, n = weights[0].detach().to(c.kernel.real), c.cell.input_size
        shape = Shape(
            1, B, ((B * n, n),), (True,) * len(c.states), lengths=False, reset=False,
            reverse=False, threads=torch.get_num_threads(), hoisted=hoisted,
        )  # fmt: skip
        layout = c.kernel.layout("inference", c.cell.sizes, c.shapes, shape, c.binding)
        names = array_names(c.states, c.inputs, c.wanted, c.binding.tensors, keep=False)
        names += ["hoisted"] if hoisted else []
        self.room = c.kernel.room("inference", "hoisted", c.cell.sizes)
        self.x, self.y = names.index("x"), names.index(f"new {c.cell.output}")
        self.states = {k: like.new_zeros(B, w) for k, w in zip(c.states, c.widths, strict=True)}
        self._layout, self._names = layout, names
        self._scratch = like.new_empty(layout.scratch)
        self.arrays = layout.addresses()
        # A state is read by every unit before the step's end puts the new one in its place.
        fixed = {f"{when} {k}": s for k, s in self.states.items() for when in ("start", "last")}
        for name, array in {"scratch": self._scratch, **fixed}.items():
            self.arrays[names.index(name)] = array.data_ptr()
        self.run = c.kernel.entry("inference")
        # The layout's own structure lays the weights out, and makes no step.
        self._step = Call.from_buffer_copy(layout.call)
        self._step.packed, layout.call.T = 1, 0
        if hoisted:
            self.x, self._step.made = names.index("hoisted"), 1
        share_pool(self._step)
        self.call = ctypes.addressof(self._step)
        self.pack(weights)

    def pack(self, weights: Sequence[Tensor]) -> None:
        """Lay the weights out anew; they are not needed after that.

        Args:
            weights: the tensors of the binding.
        """
        held = [w.detach().to(self._scratch.dtype).contiguous() for w in weights]
        arrays = type(self.arrays).from_buffer_copy(self.arrays)
        for k, w in enumerate(held):
            arrays[self._names.index(f"weight {k}")] = w.data_ptr()
        for k, s in self.states.items():  # of no steps, the last state is the first: a copy of it
            held.append(torch.empty_like(s))
            arrays[self._names.index(f"last {k}")] = held[-1].data_ptr()
        self.run(self._layout.address, arrays)

    def products(self, inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """What a step has to compute of each of these inputs alone, once and for all.

        Args:
            inputs: [V, I].
            weights: the tensors of the binding.

        Returns:
            [V, room]: a row for each, to be given in the place of the input.
        """
        made = inputs.new_empty(len(inputs), self.room, dtype=self._scratch.dtype)
        steps = Steps(self._number, weights, len(inputs), hoisted=True)
        steps._step.made = 0
        x = inputs.detach().to(made.dtype).contiguous()
        y = made.new_empty(len(inputs), compiled(self._number).cell.output_size)
        steps.arrays[steps._names.index("x")] = x.data_ptr()
        steps.arrays[steps.x], steps.arrays[steps.y] = made.data_ptr(), y.data_ptr()
        steps.run(steps.call, steps.arrays)
        return made
