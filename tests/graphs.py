"""A compiler's graph in torch's operations."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recurnn.cells import Cell
from recurnn.compiler.ops import OPS, Graph, Value


def evaluate(
    graph: Graph, leaves: Mapping[str, Tensor], cell: Cell | None = None
) -> dict[Value, Tensor]:
    """Every value of a graph, by the torch function of its row in the table."""
    weights = cell.effective(cell.tensors()) if cell is not None else {}
    found: dict[Value, Tensor] = {}
    for value in graph.values:
        if value.op in ("x", "state"):
            found[value] = leaves[value.data]
        elif value.op == "vector":
            found[value] = weights[value.data]
        elif value.op == "constant":
            found[value] = torch.tensor(value.data, dtype=torch.float64)
        elif value.op == "width":
            assert cell is not None
            found[value] = torch.tensor(float(cell.sizes[value.data]), dtype=torch.float64)
        elif value.op == "product":
            ((matrix, transposed, operand),) = value.data
            W = weights[matrix]
            found[value] = found[operand] @ (W if transposed else W.T)
        elif value.op == "sum":
            found[value] = found[value.args[0]].sum(-1, keepdim=True)
        elif value.op == "spread":
            found[value] = found[value.args[0]]
        elif value.op == "highest":
            found[value] = found[value.args[0]].detach().amax(-1, keepdim=True)
        else:
            found[value] = OPS[value.op].torch(*(found[a] for a in value.args))
    return found
