"""``recurnn inspect``: what goes on inside a model, as verdicts and as a page."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from recurnn.errors import ConfigError, DataError
from recurnn.models import Forecaster

if TYPE_CHECKING:
    from recurnn.insight import Course

Folder = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL", help="Folder that `recurnn forecast` wrote; with --compare, more cells."
    ),
]


def inspect(
    model: Folder = None,
    data: Annotated[
        Path | None, typer.Option(help="Data to run it on: CSV, Parquet or TSF.")
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(help="Cells side by side on the adding problem: --compare elman lstm gru."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Page to write: report.html.")] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for every figure as PNG and CSV.")
    ] = None,
    lag: Annotated[
        int | None, typer.Option(help="How many steps back the task reaches, if you know.")
    ] = None,
    rows: Annotated[int, typer.Option(help="Rows of data to look at.")] = 32,
    steps: Annotated[int, typer.Option(help="--compare: steps of a sequence.")] = 100,
    updates: Annotated[int, typer.Option(help="--compare: updates of the weights.")] = 500,
    start: Annotated[
        str,
        typer.Option(help="--compare: gates that keep start open (chrono) or as usual (cell)."),
    ] = "chrono",
    recurrent_scale: Annotated[
        float, typer.Option(help="--compare: the recurrent matrices times this, before training.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="--compare: of weights and data.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page.")] = False,
) -> None:
    """Say what goes on inside a model: gradient through time, gates, reach of memory."""
    names = model or []
    if out is not None:
        from recurnn.insight.page import check_free

        check_free(out, overwrite=overwrite)
    console = Console(stderr=True, highlight=False)
    if compare is not None:
        _compare([compare, *names], console, out, figures, steps=steps, updates=updates,
                 start=start, recurrent_scale=recurrent_scale, seed=seed)  # fmt: skip
        return
    if len(names) != 1:
        raise ConfigError(
            f"inspect: {len(names)} models.\n  Give one folder that `recurnn forecast` wrote, or "
            "--compare with the names of cells."
        )
    if data is None:
        raise ConfigError(
            "inspect: there are no data.\n  A model folder holds none. Give some: --data load.csv."
        )
    _inspect(Path(names[0]), data, console, out, figures, lag=lag, rows=rows)


def _inspect(
    folder: Path, data: Path, console: Console, out: Path | None, figures: Path | None, *,
    lag: int | None, rows: int,
) -> None:  # fmt: skip
    from recurnn.insight import inspect as measure
    from recurnn.insight.report import report, save_figures

    forecaster = Forecaster.load(folder)
    subject = forecaster.subject(data, rows=rows, lag=lag)
    for note in forecaster.notes:
        typer.echo(f"- {note}", err=True)
    with console.status("measuring") as status:
        found = measure(subject, course=_course(folder), watch=status.update)
    typer.echo(found.summary())
    if figures is not None:
        names = save_figures(found, figures)
        typer.echo(f"Wrote {len(names)} figures to {figures}/, PNG and CSV")
    if out is not None:
        report(found).write(out, overwrite=True)
        typer.echo(f"Wrote {out}")


def _compare(
    names: list[str], console: Console, out: Path | None, figures: Path | None, **options: Any
) -> None:
    from recurnn.insight.comparison import compare

    with console.status("training") as status:
        found = compare(names, watch=status.update, **options)
    head, rows = found.table()
    typer.echo(_aligned([head, *([str(v) for v in row] for row in rows)]))
    if figures is not None:
        written = found.save_figures(figures)
        typer.echo(f"Wrote {len(written)} figures to {figures}/, PNG and CSV")
    if out is not None:
        found.page().write(out, overwrite=True)
        typer.echo(f"Wrote {out}")


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if k == 0 else cell.rjust(w)
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _course(folder: Path) -> Course | None:
    """How the training went, if its history lies beside the model."""
    from recurnn.insight import Course

    file = folder / "history.csv"
    if not file.is_file():
        return None
    try:
        with file.open(encoding="utf-8", newline="") as text:
            epochs = [
                {k: float(v) if v else None for k, v in row.items() if k in _HISTORY}
                for row in csv.DictReader(text)
            ]
        return Course.of_epochs(epochs)
    except (ValueError, KeyError, OSError) as error:
        raise DataError(
            f"{file} is not the history of a training: {error}.\n  Remove it, or train again."
        ) from error


_HISTORY = ("number", "loss", "validation_loss")
