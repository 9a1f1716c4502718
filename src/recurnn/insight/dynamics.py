"""The cell as a map of its states: products of Jacobians, and Lyapunov exponents."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recurnn.cells import Cell
from recurnn.checks import State, check_input, named_state
from recurnn.compiler import Bound
from recurnn.errors import ConfigError
from recurnn.insight.forward_mode import push
from recurnn.insight.gradient import spread_lags
from recurnn.insight.record import Layer
from recurnn.nn import GRU, LSTM, RNN, Recurrent

Array = NDArray[np.float64]
_LARGEST = 4096
_WORTH_THREADS = 1 << 16


def lyapunov(
    layer: nn.Module | Layer,
    x: Tensor | None = None,
    state: State | None = None,
    *,
    exponents: int = 4,
    steps: int = 2000,
    transient: int = 100,
) -> Array:
    """The leading Lyapunov exponents of a cell along its own trajectory, in nats a step.

    Above zero, two states that are next to each other part by exp(exponent) at each step, and so
    does a gradient on its way back: chaos. Below zero they meet, and the past is forgotten. The
    method is that of Benettin et al. 1980: tangent vectors go along with the state, by
    Jacobian-vector products of the reference step in float64, and are made orthogonal at every
    step; the exponents are the means of the logarithms of their growth, over steps and rows.

    Args:
        layer: a cell, a `recurnn.nn.Recurrent`, a drop-in of one layer and direction, or a layer
            of a `Record`.
        x: inputs that drive it, [T, B, I], used again from the start when they end; zeros by
            default, which show what the cell does by itself.
        state: the states that it begins with, each [B, its size]; small random ones by default.
        exponents: how many, the largest first.
        steps: how many steps are averaged over, in each row.
        transient: steps before those, in which the state comes to where it stays.

    Returns:
        The exponents, [exponents].

    Raises:
        ConfigError: it is none of these, or has fewer states than `exponents`.

    Example:
        >>> import torch, recurnn
        >>> class Logistic(recurnn.cells.Cell):
        ...     weights = {"W": "H I"}
        ...     def step(self, p, x, h):
        ...         return {"h": 4 * h * (1 - h) + p.W @ x}
        >>> h = torch.full((1, 1), 0.3)
        >>> found = recurnn.insight.lyapunov(Logistic(1, 1), state=h, exponents=1)
        >>> round(float(found[0]), 2)  # ln 2
        0.69
    """
    cell, weights = cell_and_weights(layer)
    n = sum(cell.sizes[letter] for letter in cell.states.values())
    if not 1 <= exponents <= n:
        raise ConfigError(
            f"lyapunov: exponents is {exponents}.\n  Expected 1 to {n}, for the states of the "
            f"{type(cell).__name__} have {n} numbers."
        )
    if steps < 1 or transient < 0:
        raise ConfigError(f"lyapunov: steps is {steps}, transient {transient}; expected ≥ 1, ≥ 0.")
    random = torch.Generator().manual_seed(0)
    begin = torch.randn(n, exponents, generator=random, dtype=torch.float64)
    growth = torch.zeros(exponents, dtype=torch.float64)
    with _few_threads(n * exponents):
        for t, turned in enumerate(_along(cell, weights, x, state, begin.T, steps + transient)):
            Q, R = torch.linalg.qr(turned.mT)
            turned.copy_(Q.mT)
            if t >= transient:
                grown = R.diagonal(dim1=1, dim2=2).abs().clamp(min=1e-300).log()
                growth += grown.mean(0)
    found: Array = np.sort((growth / steps).numpy())[::-1]
    return found


def singular_values(
    layer: nn.Module | Layer,
    x: Tensor | None = None,
    state: State | None = None,
    *,
    lags: Sequence[int] | None = None,
    count: int = 3,
) -> pd.DataFrame:
    """The largest singular values of the product of Jacobians ds_t/ds_0 over lags.

    The first one is the most by which any gradient can grow, or the least by which it must
    shrink, on its way over so many steps.

    Args:
        layer: a cell, a `recurnn.nn.Recurrent`, a drop-in of one layer and direction, or a layer
            of a `Record`.
        x: inputs, [T, B, I], of which the first row counts.
        state: the states at the first step, one row; zeros by default.
        lags: numbers of steps; by default about eight up to T, evenly on a logarithmic scale.
        count: how many singular values, the largest first.

    Returns:
        A row a lag: ``lag``, ``s1``, ``s2``, …, as their natural logarithms in ``log s1``, ….
    """
    cell, weights = cell_and_weights(layer)
    n = sum(cell.sizes[letter] for letter in cell.states.values())
    if n > _LARGEST:
        raise ConfigError(f"singular_values: {n} states; {_LARGEST} at most, for they are exact.")
    wanted = spread_lags(100 if x is None else x.shape[0]) if lags is None else sorted(lags)
    x = None if x is None else x[:, :1]
    start = state
    if start is None:
        start = {k: torch.zeros(1, cell.sizes[v]) for k, v in cell.states.items()}
    columns = [f"s{i + 1}" for i in range(min(count, n))]
    rows, scale = [], 0.0
    begin = torch.eye(n, dtype=torch.float64)
    with _few_threads(n * n):
        along = _along(cell, weights, x, start, begin, wanted[-1])
        for t, (product,) in enumerate(along, start=1):
            largest = float(product.abs().max())
            if largest > 0:  # so that a long product neither vanishes nor overflows
                product.div_(largest)
                scale += math.log(largest)
            if t in wanted:
                values = torch.linalg.svdvals(product)[: len(columns)].clamp(min=1e-300).log()
                values += scale
                rows.append((t, *values.exp().tolist(), *values.tolist()))
    return pd.DataFrame(rows, columns=["lag", *columns, *(f"log {c}" for c in columns)])


def cell_and_weights(layer: nn.Module | Layer) -> tuple[Cell, dict[str, Tensor]]:
    """The cell of a layer with one, and its weights by name in float64.

    Raises:
        ConfigError: it has none, or several.
    """
    weights: Any = None
    if isinstance(layer, Layer):
        cell, weights = layer.cell, layer.calls[-1].weights
    elif isinstance(inner := layer.cell if isinstance(layer, Recurrent) else layer, Cell):
        cell, weights = inner, inner.tensors()
    elif isinstance(layer, RNN | GRU | LSTM) and layer.num_layers * layer.directions == 1:
        ((cell, weights),) = layer.chain()
    if weights is None:
        raise ConfigError(
            f"A {type(layer).__name__} is not one cell.\n  Expected a cell, a "
            "recurnn.nn.Recurrent, a recurnn.nn.RNN, GRU or LSTM of one layer and one direction, "
            "or a layer of a Record."
        )
    if isinstance(weights, Bound):
        weights = weights.binding.weights(weights.tensors, cell.shapes())
    return cell, {k: w.detach().cpu().double() for k, w in weights.items()}


def _input(cell: Cell, x: Tensor | None, rows: int = 1) -> Tensor:
    if x is None:
        return torch.zeros(1, rows, cell.input_size)
    check_input(cell, x)
    return x


def _along(
    cell: Cell, weights: dict[str, Tensor], x: Tensor | None, state: State | None,
    tangents: Tensor, steps: int,
) -> Iterator[Tensor]:  # fmt: skip
    """The tangents of each row [B, K, n] after each step; what the caller makes of them goes on.

    Args:
        cell: the cell.
        weights: its parameters by name.
        x: input, [T, B, I], or None for none.
        state: initial states, or None for zeros.
        tangents: that every row begins with, [K, n].
        steps: how many.
    """
    if cell.inputs:
        raise ConfigError(
            f"The {type(cell).__name__} has inputs beside x: {', '.join(cell.inputs)}.\n"
            "  Its step is not a map of its states alone."
        )
    state = None if state is None else _doubled(state)
    inputs = _input(cell, x, _rows_of(state)).detach().cpu().double()
    start = named_state(cell, inputs, state, "state")
    B, K = inputs.shape[1], len(tangents)
    sizes = [cell.sizes[letter] for letter in cell.states.values()]
    random = torch.Generator().manual_seed(1)
    s = (
        torch.cat(list(start.values()), dim=1)
        if start is not None
        else 0.1 * torch.randn(B, sum(sizes), generator=random, dtype=torch.float64)
    )
    p = cell.bind(weights)

    def step(*states: Tensor) -> dict[str, Tensor]:
        values = cell.apply_step(p, now, *states)
        return {k: values[k] for k in cell.states}

    moved = tangents.expand(B, *tangents.shape).clone()
    for t in range(steps):
        now = inputs[t % len(inputs)].repeat_interleave(K, dim=0)
        rows = torch.split(s.repeat_interleave(K, dim=0), sizes, dim=1)
        after, turned = push(step, rows, torch.split(moved.flatten(0, 1), sizes, dim=1))
        s = torch.cat(list(after.values()), dim=1)[::K]
        moved = torch.cat(list(turned.values()), dim=1).reshape(B, K, -1)
        yield moved


def _doubled(state: State) -> State:
    """The states in float64, in the form that they were given in."""
    if isinstance(state, Tensor):
        return state.detach().cpu().double()
    if isinstance(state, Mapping):
        return {k: s.detach().cpu().double() for k, s in state.items()}
    return [s.detach().cpu().double() for s in state]


def _rows_of(state: State | None) -> int:
    if state is None:
        return 1
    parts = [state] if isinstance(state, Tensor) else state
    first = next(iter(parts.values() if isinstance(parts, Mapping) else parts))
    return int(first.shape[0])


@contextmanager
def _few_threads(numbers: int) -> Iterator[None]:
    """One thread where there is little to compute: two would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if numbers < _WORTH_THREADS else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
