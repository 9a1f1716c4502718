"""``recurnn show``: what the compiler makes of a cell, stage by stage."""

from __future__ import annotations

from typing import Annotated

import typer

from recurnn import compiler
from recurnn.cells import CELLS
from recurnn.cli.cells import example
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
    # Letters stand for sizes in every stage, so any sizes will do.
    typer.echo(compiler.show(example(name, device="meta"), stage), nl=False)
