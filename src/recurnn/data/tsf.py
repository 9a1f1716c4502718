"""The .tsf files of the Monash time series archive: one series a line, after ``@data``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from recurnn.data.tables import Table, opened, stem
from recurnn.errors import DataError

_FREQUENCY = {
    "4_seconds": "4s", "minutely": "min", "10_minutes": "10min", "15_minutes": "15min",
    "half_hourly": "30min", "hourly": "h", "daily": "D", "weekly": "W", "monthly": "MS",
    "quarterly": "QS", "yearly": "YS",
}  # fmt: skip


def read_tsf(path: Path) -> tuple[Table, str | None]:
    """A .tsf file as a long table (unique_id, ds, y), and its frequency.

    ``ds`` is absent where the file has no start times. Months, quarters and years are dated by
    their first day, whatever day of the month their start names.

    Raises:
        DataError: the file is not of this format.
    """
    attributes: list[str] = []
    frequency: str | None = None
    parts: list[pd.DataFrame] = []
    inside, alias = False, None
    for number, line in _lines(path):
        if not inside:
            word, _, rest = line.partition(" ")
            if word == "@attribute":
                attributes.append(rest.split()[0])
            elif word == "@frequency":
                frequency = rest.strip()
            inside = word == "@data"
            continue
        fields = line.split(":")
        if len(fields) != len(attributes) + 1:
            raise DataError(
                f"{path}: line {number} does not fit the header.\n"
                f"  It has {len(fields) - 1} fields before its values;"
                f" the header declares {len(attributes)}: {', '.join(attributes)}."
            )
        about = dict(zip(attributes, fields, strict=False))
        y = _values(path, number, fields[-1])
        part = pd.DataFrame({"unique_id": about.get("series_name", f"T{len(parts) + 1}"), "y": y})
        if "start_timestamp" in about and frequency is not None:
            start = _start(path, number, about["start_timestamp"])
            alias = _alias(path, frequency, start) if alias is None else alias
            if alias.startswith(("MS", "QS", "YS")):
                start = start.normalize().replace(day=1)
            part["ds"] = pd.date_range(start, periods=len(y), freq=alias)
        parts.append(part)
    if not parts:
        raise DataError(f"{path}: there are no series.\n  A .tsf file has them after a line @data.")
    frame = pd.concat(parts, ignore_index=True)
    return Table(frame, stem(path), str(path)), alias


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without comments (which are not always UTF-8) and blank lines."""
    with opened(path) as file:
        for number, raw in enumerate(file, start=1):
            if raw.strip() and not raw.startswith(b"#"):
                yield number, raw.decode("utf-8", errors="replace").strip()


def _values(path: Path, number: int, text: str) -> list[float]:
    values = []
    for word in text.split(","):
        try:
            values.append(np.nan if word.strip() == "?" else float(word))
        except ValueError:
            raise DataError(
                f"{path}: line {number} has text where a number belongs: {word!r}."
            ) from None
    return values


def _start(path: Path, number: int, text: str) -> pd.Timestamp:
    try:
        return pd.Timestamp(datetime.strptime(text, "%Y-%m-%d %H-%M-%S"))
    except ValueError:
        raise DataError(
            f"{path}: the start time on line {number} cannot be read.\n"
            f"  It is {text!r}; the format is 2012-01-01 00-00-00."
        ) from None


def _alias(path: Path, frequency: str, start: pd.Timestamp) -> str:
    if frequency not in _FREQUENCY:
        raise DataError(
            f"{path}: the frequency {frequency!r} is not known.\n  Known: {', '.join(_FREQUENCY)}."
        )
    alias = _FREQUENCY[frequency]
    if alias == "W":
        return f"W-{start.strftime('%a').upper()}"
    if alias in ("QS", "YS"):
        return f"{alias}-{start.strftime('%b').upper()}"
    return alias
