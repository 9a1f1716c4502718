"""One step at a time: `stepper`, for streams and for generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurnn.cells import Cell
from recurnn.checks import State
from recurnn.compiler import Bound, Steps
from recurnn.errors import ConfigError, ShapeError
from recurnn.nn import GRU, LSTM, RNN
from recurnn.scan import find_kernel, scan, spread

BLOCK = 1 << 16  # bytes of outputs that are made at once
Rows = Tensor | Sequence[int]


def stepper(
    layer: nn.Module, batch_size: int = 1, *, inputs: Tensor | None = None, engine: str = "auto"
) -> Stepper:
    """Make a cell or a layer ready to take one step at a time, its state carried inside.

    The weights are laid out for the kernel now, once: after they have changed, call
    `Stepper.refresh`. A step has the same bits as the same step of `recurnn.scan`. No gradient
    passes, and there is no dropout between layers. One stepper belongs to one thread.

    Args:
        layer: a cell, a `recurnn.nn.Recurrent`, or a drop-in `recurnn.nn.RNN`, `GRU` or `LSTM`
            with any number of layers and one direction.
        batch_size: B, the rows of every step.
        inputs: every input that there will be, [V, I], for instance the embeddings of all tokens:
            their products with the weights are made once, and a step is given numbers from 0 to
            V − 1, int64 [B], in the place of x.
        engine: as in `recurnn.scan`; of a `Recurrent` made with another engine than ``"auto"``,
            that one counts.

    Returns:
        The stepper: called with x [B, I], it gives the output [B, H].

    Raises:
        ConfigError: it is none of these, it runs from the last step to the first, or its cell has
            inputs beside x.
        EngineError: the engine asked for by name cannot run this; the text says why.

    Example:
        >>> import torch, recurnn
        >>> step = recurnn.stepper(recurnn.cells.GRU(3, 8), batch_size=2)
        >>> for x in torch.randn(5, 2, 3):
        ...     y = step(x)
        >>> y.shape, step.state["h"].shape
        (torch.Size([2, 8]), torch.Size([2, 8]))
    """
    return Stepper(layer, batch_size, inputs=inputs, engine=engine)


class Stepper:
    """A cell or a layer that takes one step a call; made by `recurnn.stepper`."""

    def __init__(
        self, layer: nn.Module, batch_size: int = 1, *, inputs: Tensor | None = None,
        engine: str = "auto",
    ) -> None:  # fmt: skip
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ConfigError(
                f"stepper: batch_size is {batch_size!r}; expected a whole number of at least 1."
            )
        self.layer, self.batch_size = layer, batch_size
        chain = _chain(layer)
        # `Recurrent` has an engine of its own.
        engine = engine if engine != "auto" else str(getattr(layer, "engine", engine))
        self._cells = [cell for cell, _ in chain]
        like = _tensors(*chain[0])[0].detach()
        self._like, self._size = like, (batch_size, self._cells[0].input_size)
        self._dtype, self._on_cpu = like.dtype, like.device.type == "cpu"
        self._output_size = self._cells[-1].output_size
        self._fresh: list[tuple[Tensor, int]] = []
        self._reference = False
        engines: list[Any] = []
        x = like.new_empty(1, *self._size)
        for cell, weights in chain:
            bound = weights if isinstance(weights, Bound) else None
            number = find_kernel(cell, x, engine, (cell.output,), bound)
            self._reference = self._reference or number is None
            if not self._reference and number is not None:
                given = _tensors(cell, weights)
                hoisted = inputs is not None and not engines
                engines.append(Steps(number, given, batch_size, hoisted=hoisted))
        if self._reference:
            engines = [_ReferenceSteps(cell, weights, like, batch_size) for cell, weights in chain]
        self._engines = engines
        self._link()
        self._inputs = None if inputs is None else self._checked(inputs)
        self._tabulate(chain)

    def _link(self) -> None:
        """Lay the output of each layer where the next one reads its input."""
        if self._reference:
            return
        steps = self._engines
        # Of bfloat16, the kernel's arrays are float32.
        self._like = next(iter(steps[0].states.values()))
        self._wide = self._like.dtype != self._dtype
        self._calls = [(s.run, s.call, s.arrays) for s in steps[1:]]
        self._run, self._call = steps[0].run, steps[0].call
        self._reads, self._x = steps[0].arrays, steps[0].x
        self._writes, self._y = steps[-1].arrays, steps[-1].y
        self._between = []
        for cell, below, above in zip(self._cells, steps, steps[1:], strict=False):
            between = self._like.new_empty(self.batch_size, cell.output_size)
            below.arrays[below.y] = above.arrays[above.x] = between.data_ptr()
            self._between.append(between)

    def _tabulate(self, chain: Sequence[tuple[Cell, Bound | dict[str, Tensor]]]) -> None:
        """Make the rows that a step reads where it is given the number of its input."""
        self._table = self._inputs
        if self._inputs is not None and not self._reference:
            self._table = self._engines[0].products(self._inputs, _tensors(*chain[0]))

    def __call__(self, x: Tensor) -> Tensor:
        """One step.

        Args:
            x: input, [B, I]; counts as detached. Where the stepper has `inputs`, their numbers,
                int64 [B].

        Returns:
            The output, [B, H]: a new tensor at each call. Some of them share one storage, so
            that one which is kept for long keeps up to 64 KB alive.

        Raises:
            ShapeError: x does not fit.
        """
        if self._table is not None:
            x = self._looked_up(x)
        elif x.shape != self._size or x.dtype is not self._dtype or x.is_cpu is not self._on_cpu:
            raise self._misfit(x)
        if self._reference:
            for engine in self._engines:
                x = engine.step(x)
            return x
        if self._table is None and (self._wide or not x.is_contiguous()):
            x = x.to(self._like.dtype).contiguous()
        fresh = self._fresh or self._more()
        y, address = fresh.pop()
        self._reads[self._x] = x.data_ptr()
        self._writes[self._y] = address
        self._run(self._call, self._reads)
        for run, call, arrays in self._calls:
            run(call, arrays)
        return y.to(self._dtype) if self._wide else y

    def _looked_up(self, numbers: Tensor) -> Tensor:
        """The rows of the table with these numbers."""
        assert self._table is not None
        B, V = self.batch_size, len(self._table)
        if numbers.shape != (B,) or numbers.dtype is not torch.int64:
            shown = f"{list(numbers.shape)} of {numbers.dtype}"
        else:
            try:
                return self._table.index_select(0, numbers)
            except (IndexError, RuntimeError):
                shown = f"{numbers.tolist()}"
        raise ShapeError(
            f"stepper: the input does not fit.\n  x is {shown}; expected [B] = [{B}] of "
            f"torch.int64, from 0 to V − 1 = {V - 1}, because the stepper was made with the inputs "
            "to choose from."
        )

    def _checked(self, inputs: Tensor) -> Tensor:
        """The inputs to choose from, as they are now."""
        size = self._size[1]
        if inputs.dim() != 2 or inputs.shape[1] != size or inputs.dtype is not self._dtype:
            raise ShapeError(
                f"stepper: the inputs do not fit.\n  inputs is {list(inputs.shape)} of "
                f"{inputs.dtype}; expected [V, I] with I = {size}, of {self._dtype}, because the "
                f"{type(self.layer).__name__} has I = {size}."
            )
        return inputs.detach().to(self._like.device, copy=True)

    def _more(self) -> list[tuple[Tensor, int]]:
        """Outputs for some calls to come, each with its address."""
        n = self.batch_size * self._output_size
        count = max(1, BLOCK // (n * self._like.element_size()))
        with torch.no_grad():
            block = self._like.new_empty(count, self.batch_size, self._output_size)
            self._fresh += [(y, y.data_ptr()) for y in block.unbind(0)]
        return self._fresh

    @property
    def state(self) -> dict[str, Tensor]:
        """A copy of the states by name: [B, its size]; of a drop-in, [L, B, its size].

        Setting it is `reset` to these states.
        """
        kind = self._dtype
        layers = [{k: s.to(kind) for k, s in e.states.items()} for e in self._engines]
        if isinstance(self.layer, RNN | GRU | LSTM):
            return {k: torch.stack([states[k] for states in layers]) for k in layers[0]}
        return {k: s.clone() for k, s in layers[0].items()}

    @state.setter
    def state(self, state: State) -> None:
        self.reset(state)

    def reset(self, state: State | None = None, *, rows: Rows | None = None) -> None:
        """Begin anew.

        Args:
            state: the states to begin with, by name, in the cell's order, or the only one; sizes
                as in `state`, all rows of them. Zeros by default.
            rows: which rows begin anew: their numbers, or booleans [B]. All by default.

        Raises:
            ShapeError: states or rows that do not fit.
        """
        given = None if state is None else self._named(state)
        chosen = self._chosen(rows)
        for k, engine in enumerate(self._engines):
            for name, held in engine.states.items():
                new = torch.zeros_like(held) if given is None else given[name]
                held[chosen] = (new[k] if new.dim() == 3 else new).detach()[chosen]

    def refresh(self) -> None:
        """Take over weights that have changed since this was made; the states stay."""
        chain = _chain(self.layer)
        for engine, (cell, weights) in zip(self._engines, chain, strict=True):
            engine.pack(_tensors(cell, weights))
        self._tabulate(chain)

    def _chosen(self, rows: Rows | None) -> Any:
        if rows is None:
            return slice(None)
        B, found = self.batch_size, torch.as_tensor(rows, device=self._like.device)
        if found.dtype == torch.bool:
            fits = found.shape == (B,)
        else:
            found = found.to(torch.int64) if found.numel() == 0 else found
            whole = not found.dtype.is_floating_point and found.dim() == 1
            fits = whole and bool(((found >= 0) & (found < B)).all())
        if not fits:
            shown = list(found.shape) if found.dtype == torch.bool else found.tolist()
            raise ShapeError(
                f"stepper: rows does not fit the batch.\n  rows is {shown}; expected numbers from "
                f"0 to {B - 1}, or booleans [B] = [{B}], because the stepper was made with "
                f"batch_size={B}."
            )
        return found

    def _named(self, state: State) -> dict[str, Tensor]:
        """Any accepted form of the states by name, checked."""
        now = self.state
        if isinstance(state, Mapping):
            named = dict(state)
        else:
            parts = [state] if isinstance(state, Tensor) else list(state)
            named = dict(zip(now, parts, strict=False)) if len(parts) == len(now) else {}
        if set(named) != set(now):
            raise ShapeError(
                "stepper: state does not have the states of the cell.\n  Expected "
                f"{', '.join(now)}, in this order or by name."
            )
        for k, s in now.items():
            got = named[k]
            if got.shape != s.shape or got.dtype != s.dtype or got.device != s.device:
                L = "L, " if s.dim() == 3 else ""
                raise ShapeError(
                    f"stepper: the state does not fit.\n  {k} is {list(got.shape)} of {got.dtype} "
                    f"on {got.device}; expected [{L}B, its size] = {list(s.shape)} of {s.dtype} "
                    f"on {s.device}."
                )
        return named

    def _misfit(self, x: Tensor) -> ShapeError:
        B, size = self._size
        return ShapeError(
            f"stepper: the input does not fit.\n  x is {list(x.shape)} of {x.dtype} on {x.device}; "
            f"expected [B, I] = [{B}, {size}] of {self._dtype} on {self._like.device}, because the "
            f"stepper was made with batch_size={B} and the {type(self.layer).__name__} has "
            f"I = {size}."
        )


class _ReferenceSteps:
    """Steps of one cell by the plain loop."""

    def __init__(
        self, cell: Cell, weights: Bound | dict[str, Tensor], like: Tensor, B: int
    ) -> None:
        self.cell, self.binding = cell, weights.binding if isinstance(weights, Bound) else None
        self.states = {k: like.new_zeros(B, cell.sizes[n]) for k, n in cell.states.items()}
        self.pack(_tensors(cell, weights))

    def pack(self, weights: Sequence[Tensor]) -> None:
        """A copy of the weights, so that a change counts when it does with a kernel."""
        held = [w.detach().clone() for w in weights]
        shapes = self.cell.shapes()
        self.weights: Any = (
            Bound(self.binding, held)
            if self.binding
            else {k: w[: n[0]] for (k, n), w in zip(shapes.items(), held, strict=True)}
        )

    def step(self, x: Tensor) -> Tensor:
        """One step of x [B, I]."""
        with torch.no_grad():
            result = scan(
                self.cell, x.unsqueeze(0), self.states, parameters=self.weights, engine="reference"
            )
        self.states = result.state
        return result.output[0]


def _chain(layer: nn.Module) -> list[tuple[Cell, Bound | dict[str, Tensor]]]:
    """The cells that run one after another in a step, each with its weights."""
    if isinstance(layer, RNN | GRU | LSTM):
        if layer.bidirectional:
            raise _backwards(f"a bidirectional {type(layer).__name__}")
        _only_steps(type(layer).__name__, layer.beyond)
        return layer.chain()
    inner = getattr(layer, "cell", layer)
    if not isinstance(inner, Cell):
        raise ConfigError(
            f"stepper: a {type(layer).__name__} has no cell.\n"
            "  Expected a cell, a recurnn.nn.Recurrent, or a recurnn.nn.RNN, GRU or LSTM."
        )
    if getattr(layer, "reverse", False):
        raise _backwards("a layer with reverse=True")
    given = {"zoneout": getattr(layer, "zoneout", 0.0), "initial": getattr(layer, "learned", None)}
    _only_steps("layer", {k: v for k, v in given.items() if v})
    if inner.inputs:
        raise ConfigError(
            f"stepper: the {type(inner).__name__} has inputs beside x: {', '.join(inner.inputs)}.\n"
            "  A stepper gives it only x. Use recurnn.scan on one step, and hand its state on."
        )
    return [(inner, inner.tensors())]


def _only_steps(name: str, options: Mapping[str, Any]) -> None:
    """Refuse options that a step of the plain cell does not have."""
    if options.get("reverse"):
        raise _backwards(f"a {name} with reverse=True")
    for option in ("connections", "zoneout", "initial"):
        if option in options:
            raise ConfigError(
                f"stepper: a {name} with {option} cannot be run step by step.\n"
                "  Run it with the state of the last call, or stateful=True, a step at a time."
            )


def _backwards(what: str) -> ConfigError:
    return ConfigError(
        f"stepper: {what} cannot be run step by step.\n"
        "  It begins at the last step of a sequence, which is not there yet."
    )


def _tensors(cell: Cell, weights: Bound | dict[str, Tensor]) -> list[Tensor]:
    """The tensors of the binding, or of the cell's own weights."""
    if isinstance(weights, Bound):
        return list(weights.tensors)
    return spread(cell, cell.effective(weights))
