"""The parts of the README that come from the code. ``python tests/generated.py`` renews them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from recurnn import cells, compiler
from recurnn.compiler import Unsupported
from recurnn.compiler.differentiate import differentiate
from recurnn.compiler.plan import plan_backward, plan_forward
from recurnn.compiler.trace import trace

README = Path(__file__).parent.parent / "README.md"

# Surnames and year; that the cell's own docstring has them is checked when the table is made.
PAPERS = {
    "elman": "Elman 1990",
    "jordan": "Jordan 1986",
    "lstm": "Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000",
    "peephole-lstm": "Gers & Schmidhuber 2000; Graves 2013",
    "coupled-lstm": "Greff, Srivastava, Koutník, Steunebrink & Schmidhuber 2017",
    "projected-lstm": "Sak, Senior & Beaufays 2014",
    "layernorm-lstm": "Ba, Kiros & Hinton 2016",
    "gru": "Cho et al. 2014",
    "reset-before-gru": "Cho et al. 2014",
}


def engines(cell: cells.Cell) -> str:
    """The engines that run a cell, found by planning its kernels without building them."""
    try:
        step = trace(cell)
        back = differentiate(step, (cell.output,))
        plan_forward(step, back.saved, ())
        plan_backward(step, back)
    except Unsupported:
        return "reference"
    return "cpu, reference"


def cells_table() -> str:
    """A row for each built-in cell, from its class."""
    rows = ["| name | class | paper | states | gates | engines |", "|---|---|---|---|---|---|"]
    for name, cell in cells.CELLS.items():
        for word in re.findall(r"[^\W\d]{3,}|\d{4}", PAPERS[name]):
            assert word in (cell.__doc__ or ""), f"{name}: {word} is not in its docstring"
        made = cell(3, 4, **({"proj_size": 2} if "P H" in cell.weights.values() else {}))
        states = ", ".join(f"{state} [B, {size}]" for state, size in cell.states.items())
        gates = ", ".join(cell.gates) or "–"
        rows.append(
            f"| `{name}` | `{cell.__name__}` | {PAPERS[name]} | {states} | {gates} "
            f"| {engines(made)} |"
        )
    return "\n".join(rows)


def kernel_excerpt() -> str:
    """The body of the forward phase of the LSTM's kernel, as it is compiled."""
    forward = compiler.show(cells.LSTM(3, 4, device="meta"), "kernel")
    phase = forward[forward.index("struct Phase0_H {") :]
    first = phase.index("static void body")
    body = phase[first : phase.index("static void tile", first)]
    return "```cpp\n" + textwrap.dedent(" " * 4 + body).rstrip() + "\n```"


BLOCKS = {"cells": cells_table, "kernel": kernel_excerpt}
"""What stands between ``<!-- name -->`` and ``<!-- /name -->``."""


def between(text: str, name: str) -> str:
    """The text between the marks of a name."""
    first, last = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    return text[text.index(first) + len(first) : text.index(last)]


def renewed(text: str) -> str:
    """The text with every block made anew."""
    for name, make in BLOCKS.items():
        mark = f"<!-- {name} -->\n"
        text = text.replace(mark + between(text, name), f"{mark}{make()}\n")
    return text


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
