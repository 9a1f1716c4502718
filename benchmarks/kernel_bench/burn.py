"""A busy process; a module of its own, so that it begins without loading torch."""

from __future__ import annotations

import os
from multiprocessing.synchronize import Event


def burn(parent: int, started: Event) -> None:
    """Keep a core busy for as long as the process that began this lives."""
    started.set()
    while os.getppid() == parent:
        for _ in range(100_000):
            pass
