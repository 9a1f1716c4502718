"""Ctrl-C and SIGTERM while training: noted, and acted on between two updates."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Signals:
    """Notes signals instead of breaking off; a second Ctrl-C breaks off all the same.

    Args:
        terminate: whether SIGTERM is noted too: only where there is something to save.

    Attributes:
        received: number of the signal that came, or None.
    """

    def __init__(self, *, terminate: bool) -> None:
        self.received: int | None = None
        self._watched = [signal.SIGINT, signal.SIGTERM] if terminate else [signal.SIGINT]
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in self._watched:
                # Who has installed a handler of their own, or ignores the signal, meant it.
                if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
