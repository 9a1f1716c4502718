"""Files that are there whole or not at all.

What is written goes under a temporary name in the same folder, is flushed to the disk, and only
then takes its place: a program that is killed, or a machine that loses its power, leaves the old
file or the new one, never half of one.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from io import FileIO
from pathlib import Path

PART = ".part"
_BLOCK = 1 << 20
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_NO_FOLDER_SYNC = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}


def beside(path: Path) -> Path:
    """A free, hidden name in the same folder, for what will become `path`."""
    return path.with_name(f".{path.name}-{secrets.token_hex(4)}{PART}")


def leftovers(folder: Path, name: str) -> list[Path]:
    """What killed writers of files called `name` (a pattern) left in a folder."""
    return sorted(folder.glob(f".{name}-*{PART}"))


@contextmanager
def replacing(path: Path) -> Iterator[FileIO]:
    """A file to write that takes the place of `path` when the block ends well.

    After an error or Ctrl-C nothing of it is left, and `path` is as it was.

    Raises:
        OSError: the disk refuses.
    """
    part = beside(path)
    try:
        with FileIO(part, "x") as file:
            yield file
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    sync(path.parent)


def write_all(file: FileIO, data: bytes | memoryview) -> None:
    """Write every byte: a raw file may take only some of them at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def write(path: Path, data: bytes) -> None:
    """Write a file where nobody looks for it yet, and have it on the disk.

    Raises:
        OSError: the disk refuses.
    """
    with FileIO(path, "w") as file:
        write_all(file, data)
        os.fsync(file.fileno())


def read_into(file: FileIO, data: memoryview) -> bool:
    """Fill the buffer from the file; False where the file ends before."""
    rest = data
    while rest:
        count = file.readinto(rest)
        if not count:
            return False
        rest = rest[count:]
    return True


def link(source: Path, target: Path) -> None:
    """Make `target`, in the same folder, the same file as `source`, or a copy of it.

    The copy is for file systems without hard links.

    Raises:
        OSError: the disk refuses.
    """
    part = beside(target)
    try:
        os.link(source, part)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(source, target)
        return
    try:
        os.replace(part, target)
    finally:
        # Between two names of one file a rename does nothing, and both stay.
        part.unlink(missing_ok=True)
    sync(target.parent)


def _copy(source: Path, target: Path) -> None:
    with FileIO(source) as old, replacing(target) as new:
        while block := old.read(_BLOCK):
            write_all(new, block)


def sync(folder: Path) -> None:
    """Have the names in a folder on the disk too, where the system can do that."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def written_by() -> str:
    """The version of recurnn, for files to tell who wrote them."""
    try:
        return version("recurnn")
    except PackageNotFoundError:
        return "not installed"
