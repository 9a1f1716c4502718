"""One process builds a kernel, and others that want the same one wait for it, but not for ever."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

locks: Any = None  # Windows has none: there each process builds its own
with suppress(ImportError):
    import fcntl as locks

TOLD_AFTER = 5.0  # seconds of waiting that are told of
PATIENCE = 300.0  # seconds after which a process builds for itself; the longest take a minute
LOOK = 0.1
log = logging.getLogger("recurnn")


@contextmanager
def turn(target: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """A block that one process at a time runs for a target; it asks anew whether to build at all.

    The lock lies beside the target and goes with its process, however that ends. A process that
    holds it and does not go on, stopped say, is waited for `PATIENCE` seconds; then this one runs
    the block beside it. So it does where the file system has no locks: the lock spares work, and
    what is built appears whole or not at all without it.

    Args:
        target: the file that the block makes.
        ready: whether it is there; no one waits any longer then.
    """
    lock = target.with_suffix(".lock")
    file = _opened(lock)
    try:
        mine = file is not None and _wait(file, lock, target, ready)
        try:
            yield
        finally:
            if mine:  # who waits has the same file open, and looks for the target first
                lock.unlink(missing_ok=True)
    finally:
        if file is not None:
            os.close(file)


def _opened(lock: Path) -> int | None:
    """The lock's file, or None where there is none to be had."""
    if locks is None:
        return None
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        return os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # who builds says what is wrong with the folder
        return None


def _wait(file: int, lock: Path, target: Path, ready: Callable[[], bool]) -> bool:
    """Until the lock is this process's (true), or there is no need to wait (false)."""
    begin, told = time.monotonic(), False
    while True:
        try:
            # Of a process, and not of the open file: a child that is forked does not hold it on.
            locks.lockf(file, locks.LOCK_EX | locks.LOCK_NB)
        except (BlockingIOError, PermissionError):
            pass
        except OSError:
            return False
        else:
            with suppress(OSError):
                os.truncate(file, 0)
                os.write(file, f"{os.getpid()} on {platform.node()}".encode())
            return True
        if ready():
            return False
        waited = time.monotonic() - begin
        if not told and waited >= TOLD_AFTER:
            log.warning("waiting for %s, which %s builds", target.name, _holder(lock))
            told = True
        if waited >= PATIENCE:
            log.warning(
                "%s has not built %s in %.0f s; it is built here too",
                _holder(lock), target.name, waited,
            )  # fmt: skip
            return False
        time.sleep(LOOK)


def _holder(lock: Path) -> str:
    """Who has the lock, in words."""
    with suppress(OSError, UnicodeDecodeError):
        if text := lock.read_text():
            return f"process {text}"
    return "another process"
