"""How every scan inside a model can be seen from outside: the recorder that is on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from recurnn.cells import Cell
from recurnn.compiler import Bound
from recurnn.errors import ConfigError
from recurnn.norms import GradientNorms


@dataclass
class Seen:
    """One scan, as a recorder has seen it.

    Attributes:
        cell: the cell.
        reverse: whether it ran from the last step to the first.
        lengths: real steps of each row, [B], or None.
        x: its input, [T, B, I].
        weights: by name, or as a binding.
        values: states and gates at every step by name, [T, B, its size], as far as wanted.
        norms: filled by the backward pass, if wanted.
    """

    cell: Cell
    reverse: bool
    lengths: Tensor | None
    x: Tensor
    weights: Mapping[str, Tensor] | Bound
    values: dict[str, Tensor] = field(default_factory=dict)
    norms: GradientNorms | None = None

    @property
    def steps(self) -> int:
        """T."""
        return int(self.x.shape[0])

    @property
    def rows(self) -> int:
        """B."""
        return int(self.x.shape[1])


class Recorder(Protocol):
    """What `recurnn.scan` asks, and tells, while the recorder is on."""

    states: bool
    gates: bool
    norms: bool

    def saw(self, scan: Seen) -> None:
        """A scan has run forward."""


_now: tuple[Recorder, int] | None = None


def recorder() -> Recorder | None:
    """The recorder that is on in this thread, or None."""
    if _now is None:
        return None
    if torch.compiler.is_compiling():
        raise ConfigError(
            "recorder: torch.compile cannot be looked into.\n  Record the model itself."
        )
    return _now[0] if _now[1] == threading.get_ident() else None


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Turn a recorder on, in this thread; one within another takes its place for that while."""
    global _now
    before, _now = _now, (recorder, threading.get_ident())
    try:
        yield
    finally:
        _now = before
