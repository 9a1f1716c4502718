"""``recurnn data``: fetch public data sets and write them as plain tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from recurnn.data.download import Report
from recurnn.data.electricity import CLOCK_CHANGE, Written, write_electricity
from recurnn.data.uci_archive import UCI, check_archive, choose_clients, fetch_archive
from recurnn.data.writing import check_target
from recurnn.errors import ConfigError, counted, one_of

__all__ = ["app", "electricity"]

app = typer.Typer(help="Fetch public data sets and write them as plain tables.")

STAGES = {"download": "Downloading", "check": "Checking", "read": "Reading"}


@app.callback()
def _data() -> None:
    """Keeps ``electricity`` a word of its own while it is the only command."""


@app.command()
def electricity(
    *,
    out: Annotated[Path, typer.Option(help="File to write: .csv or .parquet.")],
    clients: Annotated[
        list[str] | None,
        typer.Option("--clients", help="Clients, MT_001 to MT_370: --clients MT_001 MT_250."),
    ] = None,
    # An option takes one word; the words that follow it arrive as arguments.
    more: Annotated[
        list[str] | None, typer.Argument(metavar="CLIENT", help="Further clients.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All 370 clients.")] = False,
    hourly: Annotated[
        bool, typer.Option("--hourly", help="Hourly means instead of quarter hours.")
    ] = False,
    long: Annotated[
        bool, typer.Option("--long", help="Columns unique_id, ds, y instead of one a client.")
    ] = False,
    trim: Annotated[
        bool,
        typer.Option(
            "--trim", help="Zeros before a client's start: no rows in --long, else empty."
        ),
    ] = False,
    clock_change: Annotated[
        str, typer.Option(help="The hour that is skipped in March: keep as it is, or nan.")
    ] = "keep",
    kind: Annotated[
        str | None, typer.Option("--format", help="csv or parquet; else from the file's ending.")
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(help="The archive, where it was fetched by hand.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder for the downloaded archive.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
) -> None:
    """Fetch the UCI electricity load (370 clients, 2011-2014) and write the clients asked for."""
    named = [*(clients or []), *(more or [])]
    if every and named:
        raise ConfigError(
            f"clients: --all and {named[0]} exclude each other.\n  Give one or the other."
        )
    # Everything that can be wrong without the archive is told before the long download.
    chosen = UCI.clients if every else choose_clients(named, archive=UCI)
    if clock_change not in CLOCK_CHANGE:
        raise one_of("clock-change", clock_change, CLOCK_CHANGE)
    check_target(out, kind=kind, overwrite=overwrite)
    console = Console(stderr=True)
    with _progress(console) as report:
        if archive is None:
            file = fetch_archive(cache or default_cache(), archive=UCI, report=report)
        else:
            check_archive(archive, archive=UCI, report=report)
            file = archive
        written = write_electricity(
            out,
            chosen,
            file=file,
            archive=UCI,
            hourly=hourly,
            long=long,
            trim=trim,
            clock_change=clock_change,
            kind=kind,
            overwrite=overwrite,
            report=report,
        )
    typer.echo(_told(written, trim=trim))


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/recurnn``, or ``~/.cache/recurnn``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recurnn"


@contextmanager
def _progress(console: Console) -> Iterator[Report]:
    """A bar for each stage, on stderr."""
    columns = (
        TextColumn("{task.description:<11}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(STAGES[stage], total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


def _told(written: Written, *, trim: bool) -> str:
    """What was written, and what to know about it, in a few lines."""
    clients = len(written.clients)
    lines = [
        f"{written.out}: {written.rows:,} rows, {counted(clients, 'client')}, kW, "
        f"{written.first} to {written.last}."
    ]
    if written.late:
        name, start = next(iter(written.late.items()))
        begins = f"from {start}" if start is not None else "never"
        fate = "were taken away" if trim else "were left; --trim takes them away"
        lines.append(
            f"{len(written.late)} of them begin with zeros ({name} has values {begins}); "
            f"these zeros {fate}."
        )
    if written.marked:
        lines.append(f"{written.marked:,} values of the hour skipped in March are now missing.")
    lines.append("Data: A. Trindade (2015), doi 10.24432/C58C86, CC BY 4.0.")
    return "\n".join(lines)
