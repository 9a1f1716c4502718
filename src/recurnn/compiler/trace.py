"""Stage 1: a step, run on symbols instead of tensors, becomes a graph.

The step is ordinary Python; run on `Symbol`s it leaves behind what it computes. A symbol knows
its width as a letter, so that one graph serves every size. A row that was joined with
``torch.cat`` keeps its parts, so that joining and cutting cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recurnn.compiler import composed  # noqa: F401 - fills the table that symbols look into
from recurnn.compiler.ops import Graph, Unsupported, Value
from recurnn.compiler.symbols import Condition, Symbol, SymbolicMatrix
from recurnn.errors import RecurnnError, wrong_size


@dataclass
class Step:
    """The graph of one step of a cell.

    Attributes:
        graph: the values.
        states: the new value of each state, by name.
        old: the value of each state before the step.
        observed: the other values that the step returns, by name.
        output: the state that is the output.
        matrices: matrix name to (rows, columns), as letters.
        vectors: vector name to its letter.
        inputs: what arrives at each step beside x, by name.
    """

    graph: Graph
    states: dict[str, Value]
    old: dict[str, Value]
    observed: dict[str, Value]
    output: str
    matrices: dict[str, tuple[str, str]]
    vectors: dict[str, str]
    inputs: dict[str, Value]

    def signature(self) -> tuple[object, ...]:
        """What makes two steps the same: every value, and what is returned under which name."""
        values = tuple((repr(v), v.width, self.graph.names.get(v)) for v in self.graph.values)
        ends = [(k, v.index) for k, v in (self.states | self.observed).items()]
        return values, tuple(ends), tuple(self.matrices.items()), tuple(self.vectors.items())

    def value(self, name: str) -> Value:
        """The value of a state after the step, or of a gate."""
        return self.states[name] if name in self.states else self.observed[name]


NOT_COMPUTED = ("x", "input", "vector", "constant", "width")


def trace(cell: Any) -> Step:
    """The graph of a cell's step.

    Args:
        cell: a `recurnn.cells.Cell`.

    Raises:
        Unsupported: the step uses something that the compiler does not know.
    """
    graph = Graph()
    matrices: dict[str, tuple[str, str]] = {}
    vectors: dict[str, str] = {}
    weights: dict[str, Any] = {}
    for name, letters in cell.weights.items():
        if name in cell.absent:
            continue
        shape = letters.split()
        if len(shape) == 2:
            matrices[name] = (shape[0], shape[1])
            weights[name] = SymbolicMatrix(name, shape[0], shape[1])
        elif len(shape) == 1:
            # One number for all units: `run` gets it as a vector that repeats it.
            vectors[name] = "H" if shape[0] == "1" else shape[0]
            weights[name] = Symbol(
                graph, (graph.make("vector", width=vectors[name], data=name),), 1
            )
        else:
            raise Unsupported(f"the weight {name} has {len(shape)} dimensions")
    x = Symbol(graph, (graph.make("x", width="I", data="x"),))
    inputs = {k: graph.make("input", width=w, data=k) for k, w in cell.inputs.items()}
    old = {k: graph.make("state", width=w, data=k) for k, w in cell.states.items()}
    try:
        symbols = [Symbol(graph, (v,)) for v in old.values()]
        p = cell.bind(weights)
        p.put({k: Symbol(graph, (v,)) for k, v in inputs.items()})
        result = cell.apply_step(p, x, *symbols)
    except (Unsupported, RecurnnError):
        raise
    except Exception as error:
        raise Unsupported(f"the step could not be traced: {error}") from error
    values: dict[str, Value] = {}
    for name, symbol in result.items():
        if not isinstance(symbol, Symbol) or len(symbol.parts) != 1:
            raise Unsupported(f"the step returns {name} as something that is not one row")
        if isinstance(symbol, Condition):
            raise Unsupported(f"the step returns {name} as a comparison, true or false")
        value = values[name] = symbol.parts[0]
        if value.width == "1" or value.op in NOT_COMPUTED:
            raise Unsupported(f"the step returns {name}, which is not computed for each unit")
        graph.names.setdefault(symbol.parts[0], name)
    states = {k: values[k] for k in old}
    for name, width in cell.states.items():
        got, size = states[name].width, cell.sizes[width]
        if cell.sizes[got] != size:
            shape, expected = f"[B, {got}] = [B, {cell.sizes[got]}]", f"[B, {size}]"
            raise wrong_size(type(cell).__name__, name, shape, (width, size), expected)
        if got != width:
            raise Unsupported(f"the state {name} comes out with width {got}")
    observed = {k: v for k, v in values.items() if k not in old}
    return Step(graph, states, old, observed, cell.output, matrices, vectors, inputs)
