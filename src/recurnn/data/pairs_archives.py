"""Archives as tables of conditions and sequences: ``.npz`` of numpy, ``.ts`` of sktime and UEA."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recurnn.data.labelled import Labelled, Roles
from recurnn.data.labelled_archives import LENGTHS, arrays_of, read_npz, read_ts
from recurnn.errors import DataError

SUFFIXES = (".npz", ".ts")


def archive_frame(path: Path) -> pd.DataFrame:
    """An archive as columns, a row for each sequence.

    Where an ``.npz`` has sequences of points, [N, T, C] or laid end to end with their lengths, they
    are one column, and the other arrays [N] the others. Else each array is a column, [N, F] one of
    vectors. Of a ``.ts`` file the columns are ``sequence`` and ``label``.

    Raises:
        DataError: the file cannot be read, or its arrays do not fit together.
    """
    if path.suffix.lower() == ".ts":
        return _frame(read_ts(path, Roles(), needed=True), "sequence", "label")
    arrays = arrays_of(path)
    laid = any(key.rpartition("_")[2] in LENGTHS for key in arrays)
    if laid or any(array.ndim > 2 for array in arrays.values()):
        found = read_npz(path, Roles(), needed=False)
        label = found.roles.label[0] if found.roles.label else "label"
        return _frame(found, found.roles.sequence[0], label)
    return _rows(path, arrays)


def _frame(found: Labelled, sequence: str, label: str) -> pd.DataFrame:
    columns: dict[str, Any] = {sequence: pd.Series(found.sequences, dtype=object)}
    if found.labels is not None:
        columns[label] = found.labels
    return pd.DataFrame(columns | {str(k): v for k, v in found.columns.items()})


def _rows(path: Path, arrays: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    sizes = {key: len(array) if array.ndim else 0 for key, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{key} {list(arrays[key].shape)}" for key in arrays)
        raise DataError(
            f"{path}: the arrays do not fit together.\n  They are {told}; expected N rows in each."
        )
    return pd.DataFrame({k: pd.Series(list(v), dtype=object) for k, v in arrays.items()}).map(_own)


def _own(value: Any) -> Any:
    """A number or text of numpy's as Python's; a vector stays."""
    return value.item() if isinstance(value, np.generic) else value
