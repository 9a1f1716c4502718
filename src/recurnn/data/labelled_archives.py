"""Archives of labelled sequences: ``.npz`` of numpy and ``.ts`` of sktime and UEA."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recurnn.data.labelled import LABEL_NAMES, Labelled, Roles, by_name, no_label, refuse_width
from recurnn.data.labelled_text import numbered_lines
from recurnn.data.sequence_inputs import ragged
from recurnn.errors import DataError, counted, one_of

_PART = re.compile(r"(train|test|val|valid|validation)_(.+)")
_SEQUENCES = ("x", "sequences", "inputs", "data", "frames", "values")
LENGTHS = ("len", "lens", "length", "lengths", "steps")
_LABELS = ("labels", "classes", "class_names", "target_names", "names")

Arrays = Mapping[str, NDArray[Any]]


def read_npz(path: Path, roles: Roles, *, needed: bool, by_step: bool = False) -> Labelled:
    """An archive of arrays, perhaps in parts: ``train_x``, ``train_y``, ``test_x``, …

    The sequences are [N, T], [N, T, C], or laid end to end, [sum of T, C], with their lengths [N];
    other arrays [N] are labels and columns. Whole numbers that have an array of names (``labels``
    for the label, ``speakers`` for ``speaker``) are read as those.

    Args:
        path: the file.
        roles: which arrays are what.
        needed: whether there must be labels.
        by_step: whether each step has a label: the labels are cut as the sequences are.

    Raises:
        DataError: it is no such archive, or the arrays do not fit together.
    """
    refuse_width(str(path), roles, "arrays, which say themselves what a step is")
    arrays = arrays_of(path)
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in arrays.items():
        found = _PART.fullmatch(key)
        part, name = found.groups() if found else ("", key)
        parts.setdefault(part, {})[name] = array
    names = parts.pop("", {}) if len(parts) > 1 else {}
    told = [
        _npz_part(path, part, own, names or own, roles, needed=needed, by_step=by_step)
        for part, own in parts.items()
    ]
    return _joined(told) if len(told) > 1 else told[0]


def arrays_of(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file, by name.

    Raises:
        DataError: it is no such file, or has arrays of objects.
    """
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise DataError(f"{path}: this is a single array, not an archive of arrays.")
        with file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: this is not a readable .npz file.\n  {error}") from error


def _npz_part(
    path: Path, part: str, arrays: Arrays, names: Arrays, roles: Roles, *, needed: bool,
    by_step: bool,
) -> Labelled:  # fmt: skip
    origin = f"{path}, {part}" if part else str(path)
    key = _sequence_key(origin, arrays, roles)
    x = arrays[key]
    lengths = by_name([k for k in arrays if k != key], LENGTHS)
    sequences = list(x) if lengths is None else _cut(origin, key, x, lengths, arrays[lengths])
    N = len(sequences)
    others = {k: v for k, v in arrays.items() if k not in (key, lengths) and v.ndim}
    count, dims = (len(x), 1 if lengths else 2) if by_step else (N, 1)
    columns = {k: _named(k, v, names) for k, v in others.items() if len(v) == count}
    free = [k for k, v in columns.items() if v.ndim == dims]
    label = _label(origin, free, columns, roles, needed=needed)
    values: list[Any] = [columns[k] for k in label]
    if by_step and lengths is not None:
        values = [ragged(_cut(origin, k, columns[k], lengths, arrays[lengths])) for k in label]
    rest = {k: columns[k] for k in free if k not in label and not by_step}
    note = f"sequences: {key!r}{f', lengths {lengths!r}' if lengths else ''}; label: " + (
        ", ".join(map(repr, label)) or "none"
    )
    return Labelled(
        sequences, None if not label else values[0] if len(values) == 1 else np.stack(values, 1),
        pd.DataFrame(rest, index=range(N)),
        [f"row {i}" for i in range(N)], origin,
        replace(roles, label=label, sequence=(key,)),
        np.full(N, part) if part else None, (note,),
    )  # fmt: skip


def _label(
    origin: str, free: list[str], columns: Arrays, roles: Roles, *, needed: bool
) -> tuple[str, ...]:
    """The arrays of the label; none where they are not needed and not there."""
    for name in roles.label:
        if name not in columns:
            if needed:
                raise one_of(f"{origin}: label", name, list(columns))
            return ()
    if roles.label:
        return roles.label
    found = by_name(free, LABEL_NAMES[:6]) or (free[0] if len(free) == 1 else None)
    if found is None and needed:
        raise no_label(origin, free)
    return () if found is None else (found,)


def _sequence_key(origin: str, arrays: Arrays, roles: Roles) -> str:
    if roles.sequence:
        if roles.sequence[0] not in arrays:
            raise one_of(f"{origin}: array", roles.sequence[0], list(arrays))
        return roles.sequence[0]
    numeric = [k for k, v in arrays.items() if v.dtype.kind in "iuf" and v.ndim]
    if not numeric:
        raise DataError(f"{origin}: no array holds numbers.\n  Arrays: {', '.join(arrays)}.")
    return by_name(numeric, _SEQUENCES) or max(numeric, key=lambda k: arrays[k].size)


def _cut(
    origin: str, key: str, x: NDArray[Any], name: str, lengths: NDArray[Any]
) -> list[NDArray[Any]]:
    """Sequences that are laid end to end, apart."""
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or int(lengths.sum()) != len(x):
        raise DataError(
            f"{origin}: the lengths do not fit the sequences.\n"
            f"  {name!r} adds up to {lengths.sum()}; {key!r} has {counted(len(x), 'step')}."
        )
    return np.split(x, np.cumsum(lengths)[:-1])


def _named(key: str, values: NDArray[Any], names: Arrays) -> NDArray[Any]:
    """Numbers that stand for names as the names."""
    own = names.get(f"{key}s")
    if own is None and key.lower() in LABEL_NAMES[:6]:
        own = next((names[k] for k in _LABELS if k in names and k != key), None)
    if own is None or own.dtype.kind not in "US" or values.dtype.kind not in "iu":
        return values
    if values.min(initial=0) < 0 or values.max(initial=0) >= len(own):
        return values
    return np.asarray(own[values].astype(str))


def _joined(parts: list[Labelled]) -> Labelled:
    first = parts[0]
    labels = [p.labels for p in parts if p.labels is not None]
    count = {str(p.parts[0]): len(p) for p in parts if p.parts is not None}
    told = ", ".join(f"{name} ({n:,})" for name, n in count.items())
    return Labelled(
        [x for p in parts for x in p.sequences],
        np.concatenate(labels) if len(labels) == len(parts) else None,
        pd.concat([p.columns for p in parts], ignore_index=True),
        [f"{place} of {name}" for p, name in zip(parts, count, strict=True) for place in p.places],
        first.origin.rpartition(", ")[0], first.roles,
        np.concatenate([p.parts for p in parts if p.parts is not None]),
        (*first.notes, f"the file has its own parts: {told}"),
    )  # fmt: skip


def read_ts(path: Path, roles: Roles, *, needed: bool) -> Labelled:
    """A ``.ts`` file: after ``@data`` a sequence a line, its channels and its label apart by ``:``.

    Raises:
        DataError: a line does not fit the header, or holds what is not a number.
    """
    refuse_width(str(path), roles, "channels of its own, apart by colons")
    head: dict[str, str] = {}
    sequences, labels, places = list[Any](), list[str](), list[str]()
    inside = False
    for number, raw in numbered_lines(path):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if not inside:
            word, _, rest = line.lstrip("@").partition(" ")
            head[word.lower()] = rest.strip()
            inside = word.lower() == "data"
            if inside:
                _check_head(path, head, needed=needed)
            continue
        fields = line.split(":")
        if _has_label(head):
            labels.append(fields.pop().strip())
        sequences.append(_channels(path, number, fields, head))
        places.append(f"line {number}")
    if not sequences:
        raise DataError(f"{path}: there are no sequences.\n  A .ts file has them after @data.")
    target = head.get("targetlabel", "").lower().startswith("true")
    found = np.array(labels)
    if target:
        found = np.array([_target(path, p, t) for p, t in zip(places, labels, strict=True)])
    note = f"{head.get('problemname', path.stem)}: " + (
        "a number a sequence" if target else "a class a sequence" if labels else "no labels"
    )
    return Labelled(
        sequences, found if labels else None, pd.DataFrame(index=range(len(sequences))), places,
        str(path), roles, notes=(note,),
    )  # fmt: skip


def _check_head(path: Path, head: Mapping[str, str], *, needed: bool) -> None:
    if head.get("timestamps", "").lower() == "true":
        raise DataError(f"{path}: .ts files with time stamps cannot be read.")
    if needed and not _has_label(head):
        raise DataError(
            f"{path}: the sequences have no labels.\n  The header says neither @classLabel true "
            "nor @targetLabel true."
        )


def _has_label(head: Mapping[str, str]) -> bool:
    return any(head.get(k, "").lower().startswith("true") for k in ("classlabel", "targetlabel"))


def _channels(
    path: Path, number: int, fields: list[str], head: Mapping[str, str]
) -> NDArray[np.float32]:
    """[T, C]."""
    wanted = head.get("dimensions") or ("1" if head.get("univariate", "").lower() == "true" else "")
    if wanted and len(fields) != int(wanted):
        raise DataError(
            f"{path}: line {number} has {counted(len(fields), 'channel')}; the header says "
            f"{wanted}."
        )
    channels = []
    for field in fields:
        try:
            channels.append([np.nan if v.strip() == "?" else float(v) for v in field.split(",")])
        except ValueError as error:
            raise DataError(
                f"{path}: line {number} has text where a number belongs.\n  {error}"
            ) from error
    lengths = {len(c) for c in channels}
    if len(lengths) > 1:
        raise DataError(
            f"{path}: the channels on line {number} are of unequal length: "
            f"{', '.join(map(str, sorted(lengths)))} steps."
        )
    return np.array(channels, dtype=np.float32).T


def _target(path: Path, place: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{path}: the target on {place} is {text!r}, not a number.") from None
