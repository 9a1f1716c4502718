"""Fetch one large file over HTTP so that a cut connection costs only what was not yet sent.

The bytes go to ``NAME.part``; beside it ``NAME.part.json`` notes which version of the file they
belong to (ETag, Last-Modified). Only a file that is complete and has passed its check gets its
name.
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from recurnn.errors import DataError

__all__ = ["Check", "Report", "download"]

Report = Callable[[str, int, int | None], None]
"""Called with the stage, the bytes done so far, and the bytes in all where they are known."""

Check = Callable[[Path], None]
"""Raises :class:`DataError` when the file is not what it should be."""

BLOCK = 1 << 16  # bytes


def download(
    url: str,
    to: Path,
    *,
    check: Check | None = None,
    report: Report | None = None,
    advice: str = "",
    timeout: float = 30.0,
    attempts: int = 5,
    wait: float = 1.0,
) -> Path:
    """Fetch ``url`` to the file ``to``, going on where an earlier call was cut off.

    A cut connection is taken up again up to ``attempts`` times; what has come stays on disk, so a
    later call resumes too. The whole file is fetched anew when the server ignores ranges or has
    another version of the file by now.

    Args:
        url: an ``http`` or ``https`` address.
        to: where the complete file goes; its folder is made when missing.
        check: looks at the complete file before it gets its name. A server that marks its files
            with neither ETag nor Last-Modified is resumed only when there is a check, because
            nothing else would notice two versions in one file.
        report: told of every block that came, with stage ``"download"``.
        advice: last line of each error: what else the user can do.
        timeout: seconds without an answer or a byte after which the connection counts as cut.
        attempts: connections in all.
        wait: seconds before the second connection; doubled before each further one.

    Returns:
        ``to``. A file that is already there is left as it is.

    Raises:
        DataError: no connection, a refusal, a connection cut too often, a disk that cannot be
            written, or a file that fails its check.
    """
    if to.exists():
        return to
    part = _Part(to)
    for attempt in range(attempts):
        if attempt:
            time.sleep(wait * 2 ** (attempt - 1))
        try:
            total = _transfer(
                url, part, unmarked=check is not None, report=report, advice=advice, timeout=timeout
            )
        except _CutError as error:
            cut = error
            continue
        break
    else:
        raise DataError(
            f"{to.name}: the connection to {urlsplit(url).hostname} was cut {attempts} times.\n"
            f"  The last time: {cut}. {part.kept()}{_last(advice)}"
        )
    if check is not None:
        _checked(part, check, total=total, advice=advice)
    with _writing(to):
        os.replace(part.file, to)
        part.note.unlink(missing_ok=True)
    return to


class _CutError(DataError):
    """The connection brought no whole file; caught here, and tried again."""


class _writing:  # noqa: N801 - reads as a verb in a with statement
    """Turns what the disk refuses into an error in the user's words."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise DataError(
                f"{self.path}: cannot be written.\n  {error.strerror or error}."
                "\n  Free some space there, or name another folder."
            ) from error


@dataclass(frozen=True)
class _Part:
    """The bytes that have come so far, and the note that says of which version they are."""

    whole: Path

    @property
    def file(self) -> Path:
        return self.whole.with_name(self.whole.name + ".part")

    @property
    def note(self) -> Path:
        return self.whole.with_name(self.whole.name + ".part.json")

    def size(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    def marks(self) -> dict[str, str]:
        """ETag, Last-Modified and address of these bytes, as far as they are known."""
        try:
            marks = json.loads(self.note.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):  # a note cut short is no note
            return {}
        return {str(k): str(v) for k, v in marks.items()} if isinstance(marks, dict) else {}

    def begin(self, marks: dict[str, str]) -> None:
        """Empty the part and note to which version the coming bytes belong."""
        with _writing(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_bytes(b"")  # before the note: old bytes never meet a new note
            self.note.write_text(json.dumps(marks), encoding="utf-8")

    def remove(self) -> None:
        self.file.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def kept(self) -> str:
        size = self.size()
        return f"The {size:,} bytes that came are kept in {self.file}." if size else ""


def _transfer(
    url: str, part: _Part, *, unmarked: bool, report: Report | None, advice: str, timeout: float
) -> int | None:
    """One connection: ask for what is missing, append it, and return the length where known."""
    have, marks = part.size(), part.marks()
    known = marks.get("url") == url
    validator = _validator(marks)
    if not known or not (validator or unmarked):
        have = 0
    headers = {"User-Agent": "recurnn"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    try:
        request = urllib.request.Request(url, headers=headers)
        response: HTTPResponse = urllib.request.urlopen(request, timeout=timeout)
    except HTTPError as refusal:
        with refusal:
            if refusal.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
                if _content_range(refusal.headers)[1] == have:
                    return have  # nothing is missing; the last call ended between byte and rename
                part.remove()
                raise _CutError(f"the server has fewer than {have:,} bytes") from refusal
            raise _refused(url, refusal, advice) from refusal
    except (OSError, HTTPException) as cause:
        raise _unreachable(url, cause, part, advice) from cause
    with response:
        sent = _marks(url, response.headers)
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            start, total = _content_range(response.headers)
            if not have or start != have or _differ(marks, sent):
                part.remove()  # the next attempt begins anew
                raise _CutError("the server sent a part that does not fit the one that is here")
        else:  # the server ignores ranges, or has another version: it sends all of it
            have, total = 0, _length(response.headers)
            part.begin(sent)
        return _append(response, part, start=have, total=total, report=report)


def _append(
    response: HTTPResponse, part: _Part, *, start: int, total: int | None, report: Report | None
) -> int | None:
    """Write the body after the ``start`` bytes that are there; return the length where known."""
    done = start
    with _writing(part.file), part.file.open("ab") as file:
        while block := _block(response):
            file.write(block)
            done += len(block)
            if report is not None:
                report("download", done, total)
    if total is not None and done != total:
        raise _CutError(f"{done:,} of {total:,} bytes came")
    return total


def _block(response: HTTPResponse) -> bytes:
    try:
        return response.read1(BLOCK)
    except (OSError, HTTPException) as cause:
        raise _CutError(str(cause) or type(cause).__name__) from cause


def _checked(part: _Part, check: Check, *, total: int | None, advice: str) -> None:
    try:
        check(part.file)
    except DataError as cause:
        # Where no length was announced the file may just be cut: its bytes are worth keeping, and
        # the server settles at the next call whether there are more.
        if total is not None:
            part.remove()
        fate = part.kept() or "It has been removed."
        raise DataError(
            f"{part.whole.name}: what the server sent is damaged or incomplete.\n"
            f"  {cause}\n  {fate} Run the command again.{_last(advice)}"
        ) from cause


def _marks(url: str, headers: Message) -> dict[str, str]:
    marks = {"url": url, "etag": headers["ETag"], "last_modified": headers["Last-Modified"]}
    return {name: value for name, value in marks.items() if value}


def _validator(marks: dict[str, str]) -> str | None:
    """What If-Range may carry: a strong ETag, else the date (RFC 9110, 13.1.5)."""
    etag = marks.get("etag")
    return etag if etag and not etag.startswith("W/") else marks.get("last_modified")


def _differ(old: dict[str, str], new: dict[str, str]) -> bool:
    """Whether a mark that both versions carry is not the same."""
    return any(old[name] != new[name] for name in old.keys() & new.keys())


def _content_range(headers: Message) -> tuple[int | None, int | None]:
    """First byte and full length from ``bytes 5-9/10``, ``bytes 5-9/*`` or ``bytes */10``."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers["Content-Range"] or "")
    if found is None:
        return None, None
    first, total = found.groups()
    return int(first) if first else None, None if total == "*" else int(total)


def _length(headers: Message) -> int | None:
    length = headers["Content-Length"]
    return int(length) if length and length.isdecimal() else None


def _last(advice: str) -> str:
    return f"\n  {advice}" if advice else ""


def _refused(url: str, refusal: HTTPError, advice: str) -> DataError:
    return DataError(
        f"{urlsplit(url).hostname} does not give the file.\n"
        f"  Asked for {url}; the answer was {refusal.code} {refusal.reason}.{_last(advice)}"
    )


def _unreachable(url: str, cause: OSError | HTTPException, part: _Part, advice: str) -> DataError:
    reason = cause.reason if isinstance(cause, URLError) else cause
    kept = part.kept()
    return DataError(
        f"No connection to {urlsplit(url).hostname}: is there a network?\n"
        f"  Tried {url}; {reason or type(cause).__name__}."
        f"{' ' + kept if kept else ''}{_last(advice)}"
    )
