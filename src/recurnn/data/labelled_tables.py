"""Tables of labelled sequences: a row a sequence, or a row a step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recurnn.data.columns import numbers
from recurnn.data.labelled import (
    LABEL_NAMES,
    Labelled,
    Roles,
    by_name,
    no_label,
    refuse_width,
    suffix_of,
)
from recurnn.data.labelled_text import read_json, read_text
from recurnn.data.sequence_inputs import ragged
from recurnn.data.tables import Table, from_frame, parquet_frame, stem
from recurnn.errors import ConfigError, DataError, nearest

ID_NAMES = (
    "unique_id", "sequence_id", "series_id", "sequence", "series", "id", "case_id", "case", "sid",
)  # fmt: skip
STEP_NAMES = ("step", "t", "time", "frame", "ds", "position", "timestamp", "index")
_NUMBERS = 4  # columns of numbers from which on a row is taken for the numbers of a sequence


def read(path: Path, roles: Roles, *, needed: bool) -> Labelled:
    """A table in any file.

    Args:
        path: the file.
        roles: which columns are what.
        needed: whether there must be labels.

    Raises:
        DataError: the file cannot be read or used.
    """
    kind = suffix_of(path)
    if kind in (".jsonl", ".ndjson", ".json"):
        table = read_json(path)
    elif kind == ".parquet":
        table = from_frame(parquet_frame(path), name=stem(path), origin=str(path))
    else:
        table = read_text(path, header=roles.header)
    return labelled(table, roles, needed=needed)


def labelled(table: Table, roles: Roles, *, needed: bool) -> Labelled:
    """The sequences of a table.

    Raises:
        DataError: a column is not there or cannot be what it should be; a label is missing.
    """
    frame, notes = table.frame, list(table.notes)
    if not needed:
        roles = replace(roles, label=tuple(n for n in roles.label if n in frame.columns))
    _check_named(table, roles)
    roles = _long(frame, roles, notes)
    if roles.unique_id is not None:
        return _of_steps(table, roles, notes, needed=needed)
    roles = _label(table, roles, notes, needed=needed)
    roles = _sequence(table, roles, notes)
    rest = [n for n in frame.columns if n not in (*roles.label, *roles.sequence)]
    return Labelled(
        _of_rows(table, roles), _labels(table, roles), frame[rest].reset_index(drop=True),
        [table.at(i) for i in range(len(frame))], table.origin, roles, notes=tuple(notes),
    )  # fmt: skip


def _check_named(table: Table, roles: Roles) -> None:
    """Refuse columns that are not there, by the user's word or by that of the training's file."""
    names = [str(name) for name in table.frame.columns]
    wanted = [*roles.sequence, *roles.label, roles.unique_id, roles.step]
    for name in wanted:
        if name is not None and name not in names:
            asked = ", ".join(str(n) for n in wanted if n is not None)
            raise DataError(
                f"{table.origin}: there is no column {name!r}.\n  Expected, as the options or the "
                f"file that the model was trained on name them: {asked}.\n  Columns: "
                f"{', '.join(names)}.{nearest(name, names)}\n  Rename them, or say which is which: "
                "--column, --label, --id, --step."
            )


def _long(frame: pd.DataFrame, roles: Roles, notes: list[str]) -> Roles:
    """With the column of ids, where a row is a step."""
    free = [n for n in frame.columns if n not in (*roles.label, *roles.sequence)]
    name = roles.unique_id
    if name is None:
        name = by_name(free, ID_NAMES)
        if name is None or _lists(frame[name]) or not frame[name].duplicated().any():
            return roles
        notes.append(f"column {name!r} comes again: a row is a step of the sequence it names")
    step = roles.step or by_name([n for n in free if n != name], STEP_NAMES)
    if step is not None and roles.step is None:
        notes.append(f"column {step!r} was taken as the order of the steps")
    return replace(roles, unique_id=name, step=step)


def _label(table: Table, roles: Roles, notes: list[str], *, needed: bool) -> Roles:
    """With the label of rows that are sequences."""
    frame = table.frame
    free = [n for n in frame.columns if n not in roles.sequence and not _lists(frame[n])]
    if roles.label or (not needed and roles.sequence):
        return roles
    name = by_name(free, LABEL_NAMES)
    if name is None and len(frame.columns) > 1:
        # The last or the first column, whichever says the same thing more often.
        ends = [n for n in (frame.columns[-1], frame.columns[0]) if n in free]
        ends = [n for n in ends if frame[n].nunique() > 1]
        name = min(ends, key=lambda n: frame[n].nunique(), default=None)
        if name is not None and 2 * frame[name].nunique() > len(frame):
            name = None
    if name is None:
        if needed:
            raise no_label(table.origin, list(frame.columns))
        return roles
    notes.append(f"column {name!r} was taken as the label")
    return replace(roles, label=(name,))


def _sequence(table: Table, roles: Roles, notes: list[str]) -> Roles:
    """With the column, or the columns, that hold a sequence a row."""
    if roles.sequence:
        return roles
    frame = table.frame
    free = [n for n in frame.columns if n not in roles.label]
    lists = [n for n in free if _lists(frame[n])]
    texts = [n for n in free if n not in lists and not _is_numeric(frame[n])]
    numeric = [n for n in free if _is_numeric(frame[n]) and n.lower() not in ID_NAMES]
    if lists:
        chosen = lists[:1]
    elif texts and len(numeric) < _NUMBERS:
        chosen = [max(texts, key=lambda n: frame[n].astype(str).str.len().mean())]
    else:
        _refuse_holes(table, texts)
        chosen = numeric
    if not chosen:
        raise DataError(
            f"{table.origin}: no column holds sequences.\n  Columns: {', '.join(frame.columns)}."
        )
    what = (
        f"column {chosen[0]!r}"
        if len(chosen) == 1
        else f"columns {chosen[0]!r} to {chosen[-1]!r} ({len(chosen)})"
    )
    notes.append(f"{what} taken as the sequence")
    left = [n for n in free if n not in chosen]
    if left:
        notes.append(f"not used: {', '.join(left[:8])}{', …' if len(left) > 8 else ''}")
    return replace(roles, sequence=tuple(chosen))


def _refuse_holes(table: Table, texts: list[str]) -> None:
    """Refuse a column of numbers that a few words make text: without it steps would be missing."""
    for name in texts:
        column = table.frame[name]
        bad = (pd.to_numeric(column, errors="coerce").isna() & column.notna()).to_numpy()
        if 2 * bad.sum() < len(bad) and name.lower() not in ID_NAMES:
            row = int(bad.argmax())
            raise DataError(
                f"{table.origin}: column {name!r} holds numbers, but {column.iloc[row]!r} at "
                f"{table.at(row)}.\n  Mend it, or name the columns of the sequence: --column."
            )


def _of_rows(table: Table, roles: Roles) -> list[Any]:
    """A sequence a row: its text, its list, or its numbers side by side as [T, width]."""
    frame = table.frame
    first = frame[roles.sequence[0]]
    if len(roles.sequence) == 1 and not _is_numeric(first):
        held = "lists" if _lists(first) else "texts"
        refuse_width(table.origin, roles, f"{held} in column {roles.sequence[0]!r}")
        if first.isna().any():
            at = table.at(int(first.isna().to_numpy().argmax()))
            raise DataError(f"{table.origin}: the sequence at {at} is missing.")
        return [_plain(x) for x in first]
    values = numbers(table, roles.sequence)
    if values.shape[1] % roles.width:
        raise ConfigError(
            f"width is {roles.width}, but {table.origin} has {values.shape[1]} columns of numbers"
            f".\n  Every step has {roles.width} of them: give a number that divides them."
        )
    return list(values.reshape(len(values), -1, roles.width).astype(np.float32))


def _of_steps(table: Table, roles: Roles, notes: list[str], *, needed: bool) -> Labelled:
    """The long form: the rows of an id are the steps of a sequence."""
    frame, unique_id = table.frame, str(roles.unique_id)
    refuse_width(table.origin, roles, f"a row for each step (by column {unique_id!r})")
    groups, codes, names = _grouped(table, roles)
    used = (unique_id, roles.step)
    free = [n for n in frame.columns if n not in used]
    constant = [n for n in free if bool((frame.groupby(codes)[n].nunique(dropna=False) == 1).all())]
    roles = _label_of_steps(table, roles, free, constant, notes, needed=needed)
    _check_constant(table, roles, groups)
    if not roles.sequence:
        channels = [n for n in free if n not in roles.label and n not in constant]
        channels = [n for n in channels if _is_numeric(frame[n])] or channels[:1]
        if not channels:
            raise DataError(f"{table.origin}: no column changes within the sequences.")
        notes.append(f"channels: {', '.join(channels[:8])}{', …' if len(channels) > 8 else ''}")
        roles = replace(roles, sequence=tuple(channels))
    column = frame[roles.sequence[0]]
    tokens = len(roles.sequence) == 1 and not _is_numeric(column)
    values: Any = column.to_numpy() if tokens else numbers(table, roles.sequence)
    firsts = np.array([rows.min() for rows in groups])
    rest = [n for n in constant if n not in roles.label]
    labels = _labels(table, roles)
    return Labelled(
        [values[rows].tolist() if tokens else values[rows].astype(np.float32) for rows in groups],
        None if labels is None else labels[firsts],
        frame[[unique_id, *rest]].iloc[firsts].reset_index(drop=True),
        [f"{table.at(int(row))} ({name})" for row, name in zip(firsts, names, strict=True)],
        table.origin, roles, notes=tuple(notes),
    )  # fmt: skip


def _grouped(
    table: Table, roles: Roles
) -> tuple[list[NDArray[np.intp]], NDArray[np.intp], list[str]]:
    """The rows of each sequence in their order, the number of each row's, and their names."""
    frame, unique_id = table.frame, str(roles.unique_id)
    ids = frame[unique_id]
    if ids.isna().any():
        at = table.at(int(ids.isna().to_numpy().argmax()))
        raise DataError(f"{table.origin}: column {unique_id!r} is empty at {at}.")
    codes, names = pd.factorize(ids)
    order = np.argsort(codes, kind="stable")
    if roles.step is not None:
        order = np.lexsort((frame[roles.step].to_numpy(), codes))
        again = np.flatnonzero(
            (np.diff(codes[order]) == 0)
            & (frame[roles.step].to_numpy()[order][1:] == frame[roles.step].to_numpy()[order][:-1])
        )
        if len(again):
            row = int(order[again[0] + 1])
            raise DataError(
                f"{table.origin}: step {frame[roles.step].iloc[row]} of {ids.iloc[row]!r} comes "
                f"twice, the second time at {table.at(row)}.\n  Keep one of them."
            )
    groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    return groups, codes, [str(name) for name in names]


def tagged(table: Table, roles: Roles, *, needed: bool) -> Labelled:
    """The sequences of a long table whose steps have labels of their own, as lists.

    Raises:
        DataError: a column is not there or cannot be what it should be; a label is missing.
    """
    frame, notes = table.frame, list(table.notes)
    if not needed:
        roles = replace(roles, label=tuple(n for n in roles.label if n in frame.columns))
    _check_named(table, roles)
    roles = _long(frame, roles, notes)
    if roles.unique_id is None:
        raise DataError(
            f"{table.origin}: which column tells the sequences apart cannot be told.\n"
            f"  Columns: {', '.join(frame.columns)}.\n  Name it: --id NAME."
        )
    groups, _, names = _grouped(table, roles)
    free = [n for n in frame.columns if n not in (roles.unique_id, roles.step)]
    roles = _label_of_steps(table, roles, free, [], notes, needed=needed)
    if not roles.sequence:
        channels = [n for n in free if n not in roles.label]
        channels = [n for n in channels if not _is_numeric(frame[n])][:1] or channels
        notes.append(f"steps: {', '.join(channels[:8])}{', …' if len(channels) > 8 else ''}")
        roles = replace(roles, sequence=tuple(channels))
    words = not _is_numeric(frame[roles.sequence[0]])
    values: Any = frame[roles.sequence[0]].to_numpy() if words else numbers(table, roles.sequence)
    labels = _labels(table, roles)
    firsts = [int(rows.min()) for rows in groups]
    return Labelled(
        [values[rows].tolist() if words else values[rows].astype(np.float32) for rows in groups],
        None if labels is None else ragged([labels[rows].tolist() for rows in groups]),
        pd.DataFrame({roles.unique_id: names}),
        [f"{table.at(row)} ({name})" for row, name in zip(firsts, names, strict=True)],
        table.origin, roles, notes=tuple(notes),
    )  # fmt: skip


def _label_of_steps(
    table: Table, roles: Roles, free: list[str], constant: list[str], notes: list[str],
    *, needed: bool,
) -> Roles:  # fmt: skip
    if roles.label:
        return roles
    name = by_name([n for n in free if n not in roles.sequence], LABEL_NAMES)
    if name is None and len(constant) == 1:
        name = constant[0]
    if name is None:
        if needed:
            raise no_label(table.origin, free)
        return roles
    notes.append(f"column {name!r} was taken as the label")
    return replace(roles, label=(name,))


def _check_constant(table: Table, roles: Roles, groups: list[NDArray[np.intp]]) -> None:
    for name in roles.label:
        values = table.frame[name].to_numpy()
        for rows in groups:
            other = np.flatnonzero(values[rows] != values[rows[0]])
            if len(other) and not pd.isna(values[rows]).all():
                row = int(rows[other[0]])
                raise DataError(
                    f"{table.origin}: the label of one sequence changes.\n  {name!r} is "
                    f"{values[rows[0]]!r} at {table.at(int(rows[0]))} and {values[row]!r} at "
                    f"{table.at(row)}.\n  A sequence has one label; for one a step use "
                    "recurnn tag."
                )


def _labels(table: Table, roles: Roles) -> NDArray[Any] | None:
    """[N], or [N, numbers]; none is missing."""
    if not roles.label:
        return None
    found = []
    for name in roles.label:
        column = table.frame[name]
        if column.isna().any():
            at = table.at(int(column.isna().to_numpy().argmax()))
            raise DataError(
                f"{table.origin}: the label at {at} is missing (column {name!r}).\n"
                "  Leave that sequence out."
            )
        if len(roles.label) > 1 and not _is_numeric(column):
            raise DataError(f"{table.origin}: column {name!r} of the labels does not hold numbers.")
        found.append(column.to_numpy())
    return np.asarray(found[0]) if len(found) == 1 else np.stack(found, 1)


def _lists(column: pd.Series) -> bool:
    there = column.dropna()
    return len(there) > 0 and isinstance(there.iloc[0], list | tuple | np.ndarray)


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _plain(value: Any) -> Any:
    """A nested array of Arrow as an array of numbers, or a list of texts."""
    if isinstance(value, np.ndarray):
        return [_plain(x) for x in value] if value.dtype == object else value
    return value
