"""A small file in the archive's format, and a server on this machine that serves it."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd

from recurnn.data.uci_archive import Archive

CLIENTS = ("MT_001", "MT_002", "MT_003", "MT_250")
# Two stretches, like the archive's own stamps: one with the March clock change, one with October's.
TIMES = pd.DatetimeIndex(
    [
        *pd.date_range("2013-03-30 22:15", "2013-03-31 04:00", freq="15min"),
        *pd.date_range("2013-10-26 22:15", "2013-10-27 04:00", freq="15min"),
    ]
)
LATE = {"MT_002": 5, "MT_250": 30}  # leading zeros


def values() -> np.ndarray:
    """kW [rows, clients]: irregular, with digits that need every bit of a double."""
    table = np.random.default_rng(7).gamma(2.0, 60.0, size=(len(TIMES), len(CLIENTS)))
    table[:, 2] = np.round(table[:, 2])  # whole numbers are written without a comma
    for client, zeros in LATE.items():
        table[:zeros, CLIENTS.index(client)] = 0.0
    skipped = [f"2013-03-31 01:{minute}:00" for minute in ("00", "15", "30", "45")]
    table[TIMES.isin(pd.to_datetime(skipped))] = 0.0
    table[TIMES.isin(pd.to_datetime([s.replace("03-31", "10-27") for s in skipped]))] *= 2.0
    return table


def text(table: np.ndarray | None = None, *, clients: tuple[str, ...] = CLIENTS) -> str:
    """The table as the archive writes it: semicolons, decimal commas, quoted stamps."""
    table = values() if table is None else table
    lines = [";".join(['""', *(f'"{client}"' for client in clients)])]
    for stamp, row in zip(TIMES, table, strict=False):
        cells = (str(int(v)) if v == int(v) else repr(float(v)).replace(".", ",") for v in row)
        lines.append(";".join([f'"{stamp:%Y-%m-%d %H:%M:%S}"', *cells]))
    return "\n".join(lines) + "\n"


def write_zip(file: Path, body: str | None = None, *, member: str = "LD2011_2014.txt") -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr(member, text() if body is None else body)
        zipped.writestr(f"__MACOSX/._{member}", "x")
    return file


def small(url: str = "http://127.0.0.1:9/small.zip") -> Archive:
    return Archive(url=url, member="LD2011_2014.txt", clients=CLIENTS, rows=len(TIMES))


@dataclass
class Served:
    """What the server gives, how it misbehaves, and what it was asked."""

    content: bytes
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    length: bool = True
    ignore_if_range: bool = False  # a careless server: splices two versions
    cuts: list[int] = field(default_factory=list)  # bytes after which the next answers break off
    status: int | None = None
    url: str = ""
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)  # Range, If-Range
    sent: list[int] = field(default_factory=list)  # status of each answer


@contextmanager
def serving(content: bytes, **how: object) -> Iterator[Served]:
    served = Served(content, **how)  # type: ignore[arg-type]

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted, if_range = self.headers["Range"], self.headers["If-Range"]
            served.asked.append((wanted, if_range))
            same = served.ignore_if_range or if_range in (None, served.etag, served.modified)
            status, start, size = 200, 0, len(served.content)
            if served.status is not None:
                status = served.status
            elif wanted and served.ranges and same:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                status = 206 if start < size else 416
            body = served.content[start:] if status in (200, 206) else b""
            served.sent.append(status)
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            if status == 416:
                self.send_header("Content-Range", f"bytes */{size}")
            if served.length:
                self.send_header("Content-Length", str(len(body)))
            for name, mark in (("ETag", served.etag), ("Last-Modified", served.modified)):
                if mark:
                    self.send_header(name, mark)
            self.end_headers()
            self.wfile.write(body[: served.cuts.pop(0)] if served.cuts else body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/small.zip"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
