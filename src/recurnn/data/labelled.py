"""Labelled sequences from a file of any usual form; everything guessed is noted."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recurnn.errors import ConfigError, DataError, one_of

LABEL_NAMES = (
    "label", "labels", "class", "target", "y", "category", "tag", "sentiment", "nationality",
    "speaker", "digit", "value",
)  # fmt: skip
_COMPARED = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, ">": operator.gt, "=": operator.eq,
}  # fmt: skip


@dataclass(frozen=True)
class Roles:
    """Which columns of a file are what; what is None or empty is guessed.

    Attributes:
        label: the column of the class or the number; several for a vector of numbers.
        sequence: the column that holds a whole sequence (a text, a list), those of the numbers in
            a row, or the channels of the long form.
        unique_id: of the long form, which has a row for each step: the sequence a row is of.
        step: of the long form: what its rows are sorted by.
        header: whether the first line names the columns.
        width: channels of a step, where a row holds the numbers of all steps.
        columns: how many a line has, of columns of CoNLL, which are named by their number; None
            for any.
    """

    label: tuple[str, ...] = ()
    sequence: tuple[str, ...] = ()
    unique_id: str | None = None
    step: str | None = None
    header: bool | None = None
    width: int = 1
    columns: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.width, bool) or self.width < 1:
            raise ConfigError(f"width is {self.width!r}; expected a whole number of at least 1.")


@dataclass(frozen=True)
class Labelled:
    """Sequences, and what is known of each.

    Attributes:
        sequences: for each an array [T, C], a text, or a list of numbers or tokens.
        labels: [N], or [N, numbers]; None where the file has none.
        columns: what else the file says of each sequence.
        places: where each stands: ``"line 7"``.
        origin: the file as the user named it.
        roles: as they were given or found.
        parts: of each sequence the part that the file puts it in: ``"train"``, ``"test"``.
        notes: a sentence for everything guessed.
    """

    sequences: list[Any]
    labels: NDArray[Any] | None
    columns: pd.DataFrame
    places: Sequence[str]
    origin: str
    roles: Roles = field(default_factory=Roles)
    parts: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sequences)

    def where(self, number: int) -> str:
        """What a sequence is called in errors."""
        return f"{self.origin}: the sequence at {self.places[number]}"

    def take(self, index: Sequence[int] | NDArray[np.int64]) -> Labelled:
        """Some of the sequences."""
        rows = np.asarray(index, dtype=np.int64)
        return replace(
            self,
            sequences=[self.sequences[i] for i in rows],
            labels=None if self.labels is None else self.labels[rows],
            columns=self.columns.iloc[rows].reset_index(drop=True),
            places=[self.places[i] for i in rows],
            parts=None if self.parts is None else self.parts[rows],
        )

    def matching(self, condition: str) -> NDArray[np.bool_]:
        """For which sequences a condition such as ``"take<5"`` holds, [N].

        Raises:
            ConfigError: it is not a column, a comparison and a value.
        """
        found = re.fullmatch(r"\s*(.+?)\s*(<=|>=|==|!=|<|>|=)\s*(.+?)\s*", condition)
        if found is None:
            raise ConfigError(
                f"{condition!r} is not a condition.\n  Expected a column, a comparison and a value:"
                ' "take<5", "speaker==theo".'
            )
        name, sign, text = found.groups()
        if name not in self.columns.columns:
            raise one_of(f"{condition}: column", name, self.columns.columns)
        column = self.columns[name]
        try:
            value = float(text) if pd.api.types.is_numeric_dtype(column) else text
        except ValueError:
            raise ConfigError(
                f"{condition}: column {name!r} holds numbers, and {text!r} is none."
            ) from None
        chosen: NDArray[np.bool_] = _COMPARED[sign](column.to_numpy(), value)
        return chosen


def read_labelled(path: str | Path, roles: Roles | None = None, *, needed: bool = True) -> Labelled:
    """Read sequences and their labels.

    What a file is, its name says, after ``.xz`` or ``.gz``: ``.npz``, ``.ts`` (sktime, UEA),
    ``.parquet``, ``.jsonl`` or ``.ndjson``; anything else is a table of text, its columns
    separated by tabs, semicolons or commas. A table has one row a sequence (a column of texts or
    lists, or the numbers side by side), or one row a step (the long form).

    Args:
        path: the file.
        roles: which columns are what; what is left out is guessed and noted.
        needed: whether there must be labels.

    Raises:
        DataError: the file cannot be read or used; the text names the line or row.
        ConfigError: options that do not fit the file.
    """
    from recurnn.data import labelled_archives, labelled_tables  # these two import this one

    path, roles = Path(path), roles or Roles()
    check_there(path)
    kind = suffix_of(path)
    if kind == ".npz":
        return labelled_archives.read_npz(path, roles, needed=needed)
    if kind == ".ts":
        return labelled_archives.read_ts(path, roles, needed=needed)
    return labelled_tables.read(path, roles, needed=needed)


def check_there(path: Path) -> None:
    """Refuse a path at which there is no file to read.

    Raises:
        DataError: no such file, a folder, or an empty file.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file.")
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file.\n  Name one file in it.")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty.")


def suffix_of(path: Path) -> str:
    """The suffix before that of a compression: ``.csv`` of ``load.csv.xz``."""
    bare = path.with_suffix("") if path.suffix.lower() in (".gz", ".xz") else path
    return bare.suffix.lower()


def refuse_width(origin: str, roles: Roles, what: str) -> None:
    """Refuse a width where nothing is cut into steps by it.

    Args:
        origin: the file.
        roles: as they were given.
        what: the file has in place of numbers side by side: ``"texts in column 'a'"``.

    Raises:
        ConfigError: a width was given.
    """
    if roles.width != 1:
        raise ConfigError(
            f"width is {roles.width}, but {origin} has {what}.\n  It cuts a row of numbers, a "
            "column each, into steps of so many. Leave --width out."
        )


def by_name(names: Sequence[str], known: Sequence[str]) -> str | None:
    """The first known name that is among the names, whatever its capitals."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[k] for k in known if k in lower), None)


def no_label(origin: str, names: Sequence[str]) -> DataError:
    """The error where nothing tells which column is the label."""
    return DataError(
        f"{origin}: which column is the label cannot be told.\n"
        f"  Columns: {', '.join(names)}.\n  Name it: --label {names[-1] if names else 'NAME'}."
    )
