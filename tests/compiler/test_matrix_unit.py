"""Whether there is a matrix unit that this process may use."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from recurnn.compiler import build


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    build.matrix_unit.cache_clear()
    yield
    build.matrix_unit.cache_clear()


@pytest.mark.parametrize(
    ("platform", "flags", "denied", "there"),
    [("linux", "flags : avx512f amx_bf16", 0, True), ("linux", "flags : avx512f", 0, False),
     ("linux", "flags : amx_bf16", -1, False), ("darwin", "flags : amx_bf16", 0, False)],
)  # fmt: skip
def test_it_needs_the_processor_and_the_system(
    monkeypatch: pytest.MonkeyPatch, platform: str, flags: str, denied: int, *, there: bool
) -> None:
    system = SimpleNamespace(syscall=lambda *_: denied)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(build, "processor_flags", lambda: flags)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: system)
    assert build.matrix_unit() is there
