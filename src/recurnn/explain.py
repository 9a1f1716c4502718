"""Which engine runs a cell, and what the compiled one does: `explain`."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn

from recurnn import compiler
from recurnn.cells import Cell
from recurnn.compiler import Summary
from recurnn.errors import ConfigError
from recurnn.nn import GRU, LSTM, RNN
from recurnn.scan import why_not_compiled


def explain(layer: nn.Module) -> str:
    """Say which engine runs a cell or a layer with ``engine="auto"``, and what it does.

    The type and the place of the weights are taken for those of the input. A kernel that is not
    in the cache yet is compiled.

    Args:
        layer: a cell, a `recurnn.nn.Recurrent`, or a drop-in `recurnn.nn.RNN`, `GRU` or `LSTM`.

    Returns:
        Some lines of text: the engine and the reason; what is computed for many steps at once;
        the phases of a step; what the forward pass keeps for the backward pass, in bytes for each
        step and row of the batch, in the letters of the sizes; the threads.

    Raises:
        ConfigError: it is none of these.

    Example:
        >>> import recurnn
        >>> cell = recurnn.cells.LSTM(3, 8, device="meta")
        >>> print(recurnn.explain(cell))
        LSTM, I=3, H=8, float32 on meta: the reference runs.
          there is no kernel for meta.
    """
    cell, weight = _cell_of(layer)
    sizes = ", ".join(f"{letter}={size}" for letter, size in cell.sizes.items())
    kind = str(weight.dtype).removeprefix("torch.")
    head = f"{type(cell).__name__}, {sizes}, {kind} on {weight.device}: "
    engine = getattr(layer, "engine", "auto")
    reason = (
        "the layer was made with engine='reference'"
        if engine == "reference"
        else why_not_compiled(cell, weight.dtype, weight.device)
    )
    if reason:
        return f"{head}the reference runs.\n  {reason}."
    lines = [f"{head}the compiled kernel runs.", *_lines(compiler.summary(cell), weight)]
    return "\n  ".join(lines)


def _cell_of(layer: nn.Module) -> tuple[Cell, torch.Tensor]:
    """The cell of a layer, and one of the weights that it runs on."""
    inner = getattr(layer, "cell", layer)
    if isinstance(inner, Cell):
        return inner, next(iter(inner.tensors().values()))
    if not isinstance(layer, RNN | GRU | LSTM):
        raise ConfigError(
            f"explain: a {type(layer).__name__} has no cell.\n"
            "  Expected a cell, a recurnn.nn.Recurrent, or a recurnn.nn.RNN, GRU or LSTM."
        )
    return layer.cells[0], layer.all_weights[0][0]


def _lines(found: Summary, weight: torch.Tensor) -> list[str]:
    size, nameless = weight.element_size(), len(found.kept) - len(found.names)
    more = f" and {nameless} value{'' if nameless == 1 else 's'} without a name" if nameless else ""
    return [
        f"Ahead of the loop: {found.hoisted or 'nothing'}.",
        f"A step has {_count(found.phases)} forward and {_count(found.backward_phases)} backward.",
        f"Kept for the backward pass, for each step and row: {size} · ({letters(found.kept)}) "
        f"bytes, of {', '.join(found.names)}{more}.",
        f"Threads: up to {torch.get_num_threads()} (torch.get_num_threads()), which share the "
        + (
            "rows; the same bits for any number."
            if found.row_sums
            else "rows, or the units of a large\n  step of few rows; the same bits for any number."
        ),
    ]


def _count(phases: int) -> str:
    return f"{phases} phase{'' if phases == 1 else 's'}"


def letters(widths: list[str]) -> str:
    """``["H", "H", "P"]`` as ``2 H + P``."""
    counted = Counter(widths)
    return " + ".join(f"{n} {w}" if n > 1 and w != "1" else w if n == 1 else str(n)
                      for w, n in counted.items())  # fmt: skip
