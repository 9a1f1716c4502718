"""Processes that a test starts, none of which outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


@contextmanager
def child(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A process with one thread; after the block it and its own children are dead and reaped.

    Without that one that is given up, after a timeout say, would warn whichever test is running
    when its `Popen` is collected.
    """
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # all of them have ended
                os.killpg(process.pid, signal.SIGKILL)


def ended(process: subprocess.Popen[str], *, within: float) -> tuple[int, str, str]:
    """Exit status, output and errors of a process that has to end within so many seconds."""
    try:
        out, errors = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, errors = process.communicate()
        raise AssertionError(
            f"{process.args} had not ended after {within} s.\n{out[-3000:]}{errors[-3000:]}"
        ) from None
    return process.returncode, out, errors
