"""The UCI archive ElectricityLoadDiagrams20112014: fetch it, check it, read it piece by piece."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from recurnn.data.download import Report, download
from recurnn.errors import ConfigError, DataError, nearest

__all__ = ["UCI", "Archive", "check_archive", "choose_clients", "fetch_archive", "read_clients"]

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True, kw_only=True)
class Archive:
    """Where the archive is, and what has to be in it."""

    url: str
    member: str
    clients: tuple[str, ...]
    rows: int

    @property
    def name(self) -> str:
        """The archive's own file name, the last part of its address."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def advice(self) -> str:
        """What to do without a network."""
        return f"Or fetch {self.url} by hand, on any machine, and give it with --archive FILE."


UCI = Archive(
    url="https://archive.ics.uci.edu/static/public/321/electricityloaddiagrams20112014.zip",
    member="LD2011_2014.txt",
    clients=tuple(f"MT_{number:03d}" for number in range(1, 371)),
    rows=140_256,
)


def choose_clients(asked: Iterable[str], *, archive: Archive = UCI) -> tuple[str, ...]:
    """The clients asked for, in that order, each once.

    Raises:
        ConfigError: none was asked for.
        DataError: one is not in the archive.

    >>> choose_clients(["MT_250", "MT_001", "MT_250"])
    ('MT_250', 'MT_001')
    """
    clients = tuple(dict.fromkeys(asked))
    if not clients:
        raise ConfigError(
            "clients: none was named.\n"
            f"  Expected some of {archive.clients[0]} to {archive.clients[-1]}, or --all."
        )
    for client in clients:
        if client not in archive.clients:
            raise DataError(
                f"clients: there is no {client!r} in the archive.\n"
                f"  It has {len(archive.clients)}, {archive.clients[0]} to {archive.clients[-1]}."
                f"{nearest(client, archive.clients)}"
            )
    return clients


def fetch_archive(cache: Path, *, archive: Archive = UCI, report: Report | None = None) -> Path:
    """The archive in the folder ``cache``, downloaded (or resumed) unless it is there, and checked.

    Raises:
        DataError: see :func:`recurnn.data.download.download` and :func:`check_archive`.
    """
    file = cache / archive.name
    if file.exists():
        check_archive(file, archive=archive, report=report)
        return file

    def check(part: Path) -> None:
        check_archive(part, archive=archive, report=report)

    return download(archive.url, file, check=check, report=report, advice=archive.advice)


def check_archive(file: Path, *, archive: Archive = UCI, report: Report | None = None) -> None:
    """Read the whole archive once: zip structure, CRC, and the header of the table.

    Raises:
        DataError: not a zip file, cut, damaged, another archive, or other columns.
    """
    with _member(file, archive) as (stream, size):
        header = stream.readline()
        while stream.read(1 << 20):  # the CRC is compared when the end is reached
            if report is not None:
                report("check", stream.tell(), size)
    columns = header.decode("utf-8", "replace").rstrip("\r\n").replace('"', "").split(";")
    expected = ["", *archive.clients]
    if columns != expected:
        pairs = zip(columns, expected, strict=False)
        at = next((i for i, (got, due) in enumerate(pairs) if got != due), None)
        where = (
            f"{len(columns)} columns; expected {len(expected)}: the time and one a client"
            if at is None
            else f"column {at + 1} is {columns[at][:40]!r}; expected {expected[at]!r}"
        )
        raise DataError(
            f"{file}: {archive.member} is not the table of the electricity archive.\n"
            f"  Its header: {where}.\n  Give the file from {archive.url}."
        )


@contextmanager
def _member(file: Path, archive: Archive) -> Iterator[tuple[IO[bytes], int]]:
    """The table inside the archive as a stream, and its length in bytes."""
    again = f"Delete it and run the command without --archive, or fetch {archive.url} again."
    try:
        with zipfile.ZipFile(file) as zipped:
            if archive.member not in zipped.namelist():
                held = ", ".join(zipped.namelist()[:5]) or "nothing"
                raise DataError(
                    f"{file}: is not the electricity archive.\n"
                    f"  It holds {held}; expected {archive.member}."
                    f"\n  Give the file from {archive.url}."
                )
            with zipped.open(archive.member) as stream:
                yield stream, zipped.getinfo(archive.member).file_size
    except (zipfile.BadZipFile, zlib.error, EOFError) as cause:
        with file.open("rb") as stream:
            is_zip = stream.read(4) == b"PK\x03\x04"
        raise DataError(
            f"{file}: the archive is cut or damaged.\n  {cause}.\n  {again}"
            if is_zip
            else f"{file}: is not a zip file.\n"
            f"  Expected the archive as it is downloaded, {archive.name}.\n  {again}"
        ) from cause
    except FileNotFoundError as cause:
        raise DataError(
            f"{file}: there is no such file.\n  Expected the archive {archive.name}."
            "\n  Without --archive it is downloaded."
        ) from cause
    except OSError as cause:
        raise DataError(f"{file}: cannot be read.\n  {cause.strerror or cause}.") from cause


def read_clients(
    file: Path,
    clients: Sequence[str],
    *,
    archive: Archive = UCI,
    chunk_rows: int = 8192,
    report: Report | None = None,
) -> Iterator[pd.DataFrame]:
    """Read the archive piece by piece, as it is; memory holds one piece of the clients asked for.

    Args:
        file: the archive, a zip file.
        clients: names of columns; the pieces have them in this order.
        archive: what the file has to hold.
        chunk_rows: rows a piece.
        report: told of the bytes read, with stage ``"read"``.

    Yields:
        Frames with the column ``time`` (the end of the quarter hour) and one a client (kW).

    Raises:
        DataError: text or nothing where a number should be, times that do not rise, or another
            number of rows than the archive has.
    """
    rows, before = 0, pd.Timestamp(1900, 1, 1)
    with _member(file, archive) as (stream, size):
        for piece in _parsed(stream, clients, file=file, archive=archive, chunk_rows=chunk_rows):
            _check_piece(piece, file=file, rows=rows, before=before)
            rows, before = rows + len(piece), piece["time"].iloc[-1]
            if report is not None:
                report("read", stream.tell(), size)
            yield piece
    if rows != archive.rows:
        raise DataError(
            f"{file}: {archive.member} has {rows:,} rows.\n"
            f"  Expected {archive.rows:,}, every quarter hour of four years."
            f"\n  Fetch {archive.url} again."
        )


def _parsed(
    stream: IO[bytes], clients: Sequence[str], *, file: Path, archive: Archive, chunk_rows: int
) -> Iterator[pd.DataFrame]:
    """The pieces as pandas reads them, times still as text."""
    rows = 0
    try:
        pieces = pd.read_csv(
            stream,
            sep=";",
            decimal=",",
            header=0,
            names=["time", *archive.clients],
            usecols=["time", *clients],
            dtype={"time": str} | dict.fromkeys(clients, np.float64),
            chunksize=chunk_rows,
        )
        for piece in pieces:
            rows += len(piece)
            yield piece.reset_index(drop=True)[["time", *clients]]
    except ValueError as cause:  # text in a column of numbers, a row too long, no UTF-8
        raise DataError(
            f"{file}: the table cannot be read after row {rows:,}.\n  {cause}."
            f"\n  Fetch {archive.url} again."
        ) from cause


def _check_piece(piece: pd.DataFrame, *, file: Path, rows: int, before: pd.Timestamp) -> None:
    """Turn the times of a piece into time stamps, in place, and look for holes."""
    times = pd.to_datetime(piece["time"], format=TIME_FORMAT, errors="coerce")
    wrong = times.isna().to_numpy()
    if wrong.any():
        at = int(wrong.argmax())
        raise DataError(
            f"{file}: row {rows + at + 1} has no time.\n  Received {piece['time'].iloc[at]!r};"
            " expected something like '2011-01-01 00:15:00'."
        )
    falls = times.to_numpy() <= times.shift(1, fill_value=before).to_numpy()
    if falls.any():
        at = int(falls.argmax())
        raise DataError(
            f"{file}: the times do not rise at row {rows + at + 1}.\n"
            f"  {times.iloc[at]} comes after {times.iloc[at - 1] if at else before}."
        )
    piece["time"] = times
    holes = ~np.isfinite(piece.drop(columns="time").to_numpy())
    if holes.any():
        at, column = (int(i) for i in np.argwhere(holes)[0])
        raise DataError(
            f"{file}: row {rows + at + 1} has no value for {piece.columns[column + 1]}.\n"
            "  Expected a number of kW: the archive has no gaps."
        )
