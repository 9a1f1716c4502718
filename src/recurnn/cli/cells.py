"""``recurnn cells``: the built-in cells and their equations."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from recurnn.cells import CELLS
from recurnn.errors import one_of


def cells(
    name: Annotated[
        str | None, typer.Argument(help="A cell; without one, all are listed.", show_default=False)
    ] = None,
) -> None:
    """List the cells, or print the equations of one."""
    if name is None:
        width = max(map(len, CELLS))
        for key, cell in CELLS.items():
            first = (inspect.getdoc(cell) or "").splitlines()[0]
            typer.echo(f"{key:{width}}  {first}")
        typer.echo("\nrecurnn cells NAME prints the equations of one.")
        return
    if name not in CELLS:
        raise one_of("cell", name, CELLS)
    typer.echo(str(CELLS[name]))
