"""The command line: ``recurnn forecast``, ``classify``, ``lm``, ``inspect``, ``tasks``, …"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from recurnn.cli import (
    cells,
    classify,
    data,
    forecast,
    generate,
    inspect,
    lm,
    show,
    tag,
    tasks,
    translate,
)
from recurnn.errors import RecurnnError
from recurnn.training import is_main

app = typer.Typer(
    name="recurnn",
    help="Recurrent networks, from the equations of a cell to an honest forecast.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("forecast")(forecast.forecast)
app.command("predict")(forecast.predict)
app.command("inspect")(inspect.inspect)
app.command("cells")(cells.cells)
app.command("show")(show.show)
app.command("tasks")(tasks.tasks)
app.add_typer(data.app, name="data")
app.add_typer(lm.app, name="lm")
app.add_typer(classify.app, name="classify")
app.add_typer(tag.app, name="tag")
app.add_typer(generate.app, name="generate")
app.add_typer(translate.app, name="translate")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 when all went well, 2 for an error that a user can mend."""
    if not is_main():
        # Of the processes that torchrun started one speaks.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end
    try:
        app(args=None if arguments is None else list(arguments), prog_name="recurnn")
    except RecurnnError as error:
        if is_main():
            print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: nothing more is written", file=sys.stderr)
        sys.exit(130)
