"""``recurnn inspect``: what goes on inside a model, as verdicts and as a page."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from recurnn.cli.inspected import subject_of
from recurnn.errors import ConfigError, DataError, counted
from recurnn.models.folder import HISTORY
from recurnn.subject import Subject

if TYPE_CHECKING:
    from recurnn.insight import Course

_ROWS = 32
Folder = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODEL", help="Folder of a trained model; with --compare, more cells."),
]


def inspect(
    model: Folder = None,
    data: Annotated[
        Path | None, typer.Option(help="File to run it on, of the kind it was trained on.")
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
    rows: Annotated[
        int | None, typer.Option(help=f"Rows of data to look at ({_ROWS}).", show_default=False)
    ] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option(help="Colour the data by a unit or gate: h[3], f, layers.0:c[7]; several."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Of a row of text; with --compare of a sequence (100).", show_default=False
        ),
    ] = None,
    updates: Annotated[
        int | None,
        typer.Option(help="--compare: updates of the weights (500).", show_default=False),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="--compare: gates that keep start open (chrono, by default) or as usual (cell).",
            show_default=False,
        ),
    ] = None,
    recurrent_scale: Annotated[
        float | None,
        typer.Option(
            help="--compare: the recurrent matrices times this, before training (1).",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="--compare: of weights and data (0).", show_default=False)
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace page and figures.")
    ] = False,
) -> None:
    """Say what goes on inside a model: gradient through time, gates, reach of memory."""
    names = model or []
    training = {"updates": updates, "start": start, "recurrent_scale": recurrent_scale,
                "seed": seed}  # fmt: skip
    if compare is not None:
        _refuse(
            {"data": data, "lag": lag, "rows": rows, "unit": unit},
            "--compare makes its data itself, the adding problem.",
        )
    else:
        _refuse(training, "it is for the cells that --compare trains.")
    if out is not None:
        from recurnn.insight.page import check_free

        check_free(out, overwrite=overwrite)
    if figures is not None:
        from recurnn.insight.figure import check_folder

        check_folder(figures, overwrite=overwrite)
    console = Console(stderr=True, highlight=False)
    if compare is not None:
        given = {k: v for k, v in {"steps": steps, **training}.items() if v is not None}
        _compare([compare, *names], console, out, figures, **given)
        return
    if len(names) != 1:
        raise ConfigError(
            f"inspect: {counted(len(names), 'model')}.\n  Give one folder of a trained model, or "
            "--compare with the names of cells."
        )
    if data is None:
        raise ConfigError(
            "inspect: there are no data.\n  A model folder holds none. Give some: --data load.csv."
        )
    subject, notes = subject_of(Path(names[0]), data, rows=_ROWS if rows is None else rows, lag=lag,
                                steps=steps)  # fmt: skip
    for note in notes:
        typer.echo(f"- {note}", err=True)
    _inspect(subject, _course(Path(names[0])), console, out, figures, unit or [])


def _refuse(options: dict[str, Any], why: str) -> None:
    """Refuse options that could not act."""
    for name, value in options.items():
        if value is not None and value != []:
            raise ConfigError(f"--{name.replace('_', '-')}: {why}\n  Leave it out.")


def _inspect(
    subject: Subject, course: Course | None, console: Console, out: Path | None,
    figures: Path | None, units: list[str],
) -> None:  # fmt: skip
    from recurnn.insight import inspect as measure
    from recurnn.insight.reading import chosen_unit
    from recurnn.insight.report import report, save_figures

    with console.status("measuring") as status:
        found = measure(subject, course=course, watch=status.update)
    for unit in units:
        chosen_unit(found.record, unit)
    typer.echo(found.summary())
    if figures is not None:
        names = save_figures(found, figures, units, overwrite=True)
        typer.echo(f"Wrote {counted(len(names), 'figure')} to {figures}/, PNG and CSV")
    if out is not None:
        report(found, units).write(out, overwrite=True)
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
        written = found.save_figures(figures, overwrite=True)
        typer.echo(f"Wrote {counted(len(written), 'figure')} to {figures}/, PNG and CSV")
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

    file = folder / HISTORY
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


_HISTORY = ("epoch", "loss", "validation_loss")
