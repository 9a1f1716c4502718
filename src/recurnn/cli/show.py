"""``recurnn show``: what the compiler makes of a cell, stage by stage."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from recurnn import compiler
from recurnn.cells import CELLS
from recurnn.compiler.show import STAGES
from recurnn.errors import one_of

Stage = Annotated[
    str, typer.Option(help=f"One of {', '.join(STAGES)}.", metavar="STAGE", show_default=True)
]


def show(
    name: Annotated[str, typer.Argument(help="A built-in cell; recurnn cells lists them.")],
    stage: Stage = "trace",
) -> None:
    """Print a stage of the compiler for a cell: from its equations to the C++ of its kernel."""
    if name not in CELLS:
        raise one_of("cell", name, CELLS)
    if stage not in STAGES:
        raise one_of("stage", stage, STAGES)
    sizes: dict[str, Any] = {"proj_size": 2} if name == "projected-lstm" else {}
    # Letters stand for sizes in every stage, so any sizes will do.
    cell = CELLS[name](3, 4, device="meta", **sizes)
    typer.echo(compiler.show(cell, stage), nl=False)
