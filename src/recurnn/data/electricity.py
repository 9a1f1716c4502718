"""The UCI archive ElectricityLoadDiagrams20112014 as one CSV or Parquet file.

370 clients of a Portuguese supplier, 2011 to 2014, kW in every quarter of an hour. A. Trindade,
2015, doi 10.24432/C58C86, CC BY 4.0. What the values are, and where they mislead:

* A time stamp is the end of its quarter hour, in Portuguese local time: the first is 2011-01-01
  00:15:00, the last 2015-01-01 00:00:00, and every day has 96.
* Clients that started later are zero until then. ``trim`` takes these zeros away.
* Clock change. In March the stamps 01:00, 01:15, 01:30 and 01:45 of one Sunday never were on a
  clock, and the archive holds zeros, or nearly zeros, there; in October the same four stamps come
  twice and hold the sum of both. ``clock_change="keep"``, the default, leaves both as they are in
  the archive; ``"nan"`` marks the four in March as missing, whatever they hold. October is left.
* ``hourly`` is the mean power (kW) of the four quarter hours that end within the hour, stamped
  with the hour's end; an hour of which a quarter is missing is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from recurnn.data.download import Report
from recurnn.data.uci_archive import UCI, Archive, choose_clients, read_clients
from recurnn.data.writing import Append, open_table
from recurnn.errors import DataError, one_of

__all__ = ["CLOCK_CHANGE", "Written", "hourly_means", "march_hour", "write_electricity"]

CLOCK_CHANGE = ("keep", "nan")


@dataclass(kw_only=True)
class Written:
    """What :func:`write_electricity` wrote."""

    out: Path
    clients: tuple[str, ...]
    rows: int = 0
    first: pd.Timestamp | None = None
    last: pd.Timestamp | None = None
    marked: int = 0
    """Values in the March hour that were marked as missing, all clients together."""
    late: dict[str, pd.Timestamp | None] = field(default_factory=dict)
    """Clients that begin with zeros, and the stamp of their first other value (None: all zero)."""


def write_electricity(
    out: Path,
    clients: Sequence[str],
    *,
    file: Path,
    archive: Archive = UCI,
    hourly: bool = False,
    long: bool = False,
    trim: bool = False,
    clock_change: str = "keep",
    kind: str | None = None,
    overwrite: bool = False,
    report: Report | None = None,
) -> Written:
    """Write the clients asked for to one CSV or Parquet file; the module's text has the policies.

    Args:
        out: the file to write, ``.csv`` or ``.parquet``.
        clients: their names, in the order of the columns (or of the blocks of rows).
        file: the archive, see :func:`fetch_archive`.
        archive: what the archive has to hold.
        hourly: means over hours instead of quarter hours.
        long: columns ``unique_id, ds, y``, client after client, instead of ``time`` and a column
            for each client.
        trim: a client's leading zeros become missing values, or no rows at all when ``long``.
        clock_change: ``"keep"`` or ``"nan"``.
        kind: ``"csv"`` or ``"parquet"`` where the ending of ``out`` does not tell.
        overwrite: whether ``out`` may be replaced.
        report: told of the bytes read, with stage ``"read"``.

    Raises:
        ConfigError: an option that there is not.
        DataError: an unknown client, a target that cannot be written, or a damaged archive.
    """
    clients = choose_clients(clients, archive=archive)
    if clock_change not in CLOCK_CHANGE:
        raise one_of("clock-change", clock_change, CLOCK_CHANGE)
    written = Written(out=out, clients=clients)
    pieces = read_clients(file, clients, archive=archive, report=report)
    pieces = _without_traps(pieces, written, trim=trim, mark_march=clock_change == "nan")
    if hourly:
        pieces = hourly_means(pieces)
    with open_table(out, kind=kind, overwrite=overwrite) as (append, scratch):
        if long:
            _write_long(
                pieces, append, written, spool=scratch / "values", archive=archive, trim=trim
            )
        else:
            for piece in pieces:
                append(piece)
                _count(written, piece["time"], rows=len(piece))
        if not written.rows:
            raise DataError(
                f"{out}: nothing is left to write.\n"
                f"  {', '.join(clients)}: zero from beginning to end, and --trim takes zeros away."
            )
    return written


def _count(written: Written, times: pd.Series[pd.Timestamp], *, rows: int) -> None:
    first, last = times.iloc[0], times.iloc[-1]
    written.rows += rows
    written.first = first if written.first is None else min(first, written.first)
    written.last = last if written.last is None else max(last, written.last)


def _without_traps(
    pieces: Iterable[pd.DataFrame], written: Written, *, trim: bool, mark_march: bool
) -> Iterator[pd.DataFrame]:
    """Note where late clients begin, and make leading zeros and the March hour missing."""
    begun: npt.NDArray[np.bool_] = np.zeros(len(written.clients), dtype=bool)
    first_piece = True
    for piece in pieces:
        times, values = piece["time"], piece[list(written.clients)].to_numpy(copy=True)
        alive = np.logical_or.accumulate(np.vstack([begun, values != 0.0]), axis=0)[1:]
        for i in np.flatnonzero(~begun):
            if first_piece and not alive[0, i]:
                written.late[written.clients[i]] = None
            if written.clients[i] in written.late and alive[-1, i]:
                written.late[written.clients[i]] = times.iloc[int(alive[:, i].argmax())]
        begun, first_piece = alive[-1], False
        if trim:
            values[~alive] = np.nan
        if mark_march:
            march = march_hour(times)
            written.marked += int(np.isfinite(values[march]).sum())
            values[march] = np.nan
        frame = pd.DataFrame(values, columns=list(written.clients))
        frame.insert(0, "time", times)
        yield frame


def march_hour(times: pd.Series[pd.Timestamp]) -> npt.NDArray[np.bool_]:
    """Which stamps lie in the hour that the clock skips: last Sunday of March, 01:00 to 01:45.

    >>> stamps = ["2013-03-31 00:45", "2013-03-31 01:00", "2013-03-31 01:45", "2013-03-24 01:00"]
    >>> march_hour(pd.Series(pd.to_datetime(stamps))).tolist()
    [False, True, True, False]
    """
    part = times.dt
    last_sunday = (part.month == 3) & (part.day_of_week == 6) & (part.day > 31 - 7)
    return (last_sunday & (part.hour == 1)).to_numpy()


def hourly_means(pieces: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Means of the four quarter hours that end within an hour, stamped with the hour's end."""
    rest: pd.DataFrame | None = None
    for piece in pieces:
        frame = piece if rest is None else pd.concat([rest, piece], ignore_index=True)
        hour = frame["time"].dt.ceil("h")
        open_hour = hour == hour.iloc[-1]  # its other quarters may be in the next piece
        rest = frame[open_hour]
        if not open_hour.all():
            yield _means(frame[~open_hour])
    if rest is not None:
        yield _means(rest)


def _means(frame: pd.DataFrame) -> pd.DataFrame:
    hours = frame.drop(columns="time").groupby(frame["time"].dt.ceil("h"))
    return hours.mean().where(hours.count() == 4).reset_index()


def _write_long(
    pieces: Iterable[pd.DataFrame],
    append: Append,
    written: Written,
    *,
    spool: Path,
    archive: Archive,
    trim: bool,
) -> None:
    """Client after client; the values wait in a file, because they come row by row."""
    shape = (len(written.clients), archive.rows + 1)
    values = np.memmap(spool, dtype=np.float64, mode="w+", shape=shape)
    stamps: list[pd.Series[pd.Timestamp]] = []
    filled = 0
    for piece in pieces:
        block = piece[list(written.clients)].to_numpy().T
        values[:, filled : filled + len(piece)] = block[:, : shape[1] - filled]
        filled += len(piece)
        stamps.append(piece["time"])
    times = pd.concat(stamps, ignore_index=True)
    for client, row in zip(written.clients, values, strict=True):
        y = np.array(row[:filled])
        present = np.flatnonzero(np.isfinite(y))
        start = 0 if not trim else int(present[0]) if len(present) else len(y)
        frame = pd.DataFrame({"unique_id": client, "ds": times[start:], "y": y[start:]})
        if len(frame):
            append(frame)
            _count(written, frame["ds"], rows=len(frame))
