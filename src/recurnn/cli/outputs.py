"""Files that commands write."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from recurnn.errors import DataError


def check_new(out: Path | None, *, overwrite: bool) -> None:
    """Refuse a file that exists, before any work is done.

    Raises:
        DataError: it does, and may not be replaced.
    """
    if out is not None and out.exists() and not overwrite:
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
        raise DataError(f"{file} cannot be written: {error.strerror}.") from error
