"""Files that commands write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import typer

from recurnn.cli.plots import curve_plot
from recurnn.errors import DataError, counted
from recurnn.models.folder import HISTORY


def check_new(out: Path | None, *, overwrite: bool) -> None:
    """Refuse a file that exists, or cannot be, before any work is done.

    Raises:
        DataError: it exists and may not be replaced, or there is no folder for it.
    """
    if out is None:
        return
    if not out.parent.is_dir():
        raise DataError(f"{out} cannot be written: there is no folder {out.parent}.")
    if out.is_dir():
        raise DataError(f"{out} is a folder.\n  Give the name of a file.")
    if out.exists() and not overwrite:
        raise DataError(
            f"{out} exists.\n  Nothing was written. Give another file, or allow overwriting "
            "(--overwrite)."
        )


def save_csv(frame: pd.DataFrame, file: Path, *, index: bool = False) -> None:
    """Write a table.

    Raises:
        DataError: the disk refuses.
    """
    try:
        frame.to_csv(file, index=index)
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror or error}.") from error


def say(frame: pd.DataFrame, out: Path | None) -> None:
    """Write rows to a file, or print them as CSV."""
    if out is None:
        typer.echo(frame.to_csv(index=False), nl=False)
        return
    save_csv(frame, out)
    typer.echo(f"Wrote {counted(len(frame), 'row')} to {out}")


def write_trained(folder: Path, model: Any, *, title: str) -> list[str]:
    """Write a trained model, its history and its comparison into the output folder.

    Args:
        folder: where to; it exists.
        model: with `write_to` and `history`, and a `comparison` if it was compared.
        title: of the picture.

    Returns:
        The names of the files.
    """
    model.write_to(folder)
    model.history.save(folder / HISTORY)
    tables = [HISTORY]
    if compared := getattr(model, "comparison", None):
        save_csv(pd.DataFrame([row.row() for row in compared]), folder / "comparison.csv")
        tables.append("comparison.csv")
    curve_plot(folder / "curve.png", model.history, title=title)
    return ["model.safetensors", "config.json", *tables, "curve.png"]
