"""Processes that want the same kernel: one builds it, and no one waits for ever."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from children import child
from recurnn.compiler import build, turns

TEXT = 'extern "C" int lanes() { return 23; }\n'
HOLDS = """
import importlib.util, os, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("turns", sys.argv[3])  # alone: torch takes seconds
turns = importlib.util.module_from_spec(spec)
spec.loader.exec_module(turns)
with turns.turn(Path(sys.argv[1]), lambda: False):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
    os._exit(0)  # a process that ends without letting go
"""
BUILDS = """
import sys, time
from recurnn.compiler import build
compile = build.subprocess.run
def run(command, **how):
    if "-shared" in command:
        print("held", flush=True)
        time.sleep(float(sys.argv[2]))
    return compile(command, **how)
build.subprocess.run = run
build.load('extern "C" int lanes() { return 23; }\\n', "float", "Toy")
"""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the kernel will lie."""
    monkeypatch.setenv("RECURNN_CACHE", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(build, "_compile", lambda text, dtype, path: None)
        patch.setattr(build.ctypes, "CDLL", Path)
        return build.load(TEXT, "float", "Toy")  # type: ignore[return-value]


@contextmanager
def holder(target: Path, seconds: float, program: str = HOLDS) -> Iterator[Any]:
    """A process that has the lock, and ends after so many seconds."""
    command = [sys.executable, "-c", program, str(target), str(seconds), str(turns.__file__)]
    with child(command) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def loaded(caplog: pytest.LogCaptureFixture) -> tuple[float, list[str]]:
    """How long the kernel takes to come, and what is said meanwhile."""
    begin = time.monotonic()
    with caplog.at_level(logging.WARNING, "recurnn"):
        assert build.load(TEXT, "float", "Toy").lanes() == 23
    return time.monotonic() - begin, [r.message for r in caplog.records]


def test_who_waits_says_once_for_what_and_for_whom(
    target: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(turns, "TOLD_AFTER", 0.3)
    with holder(target, 3.0) as process:
        said = loaded(caplog)[1]
    (line,) = said
    pattern = rf"waiting for {re.escape(target.name)}, which process {process.pid} on \S+ builds"
    assert re.fullmatch(pattern, line)
    assert {p.suffix for p in target.parent.iterdir()} == {".so", ".cpp", ".sha256"}


def test_a_short_wait_is_not_told(target: Path, caplog: pytest.LogCaptureFixture) -> None:
    with holder(target, 0.5):
        assert loaded(caplog)[1] == []


def test_one_that_does_not_go_on_is_not_waited_for_for_ever(
    target: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(turns, "TOLD_AFTER", 0.2)
    monkeypatch.setattr(turns, "PATIENCE", 1.0)
    with holder(target, 500) as process:
        took, said = loaded(caplog)
        assert process.poll() is None
    assert 1.0 <= took < 60
    assert len(said) == 2
    who = rf"process {process.pid} on \S+"
    assert re.fullmatch(
        rf"{who} has not built {re.escape(target.name)} in 1 s; it is built here too", said[1]
    )
    assert build._is_whole(target)
    assert not list(target.parent.glob(".build-*"))


def test_the_lock_of_a_process_that_was_killed_is_free(
    target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with holder(target, 500) as process:
        threading.Timer(0.5, lambda: os.kill(process.pid, signal.SIGKILL)).start()
        took, said = loaded(caplog)
    assert took < 60  # of five minutes' patience
    assert said == []


def test_what_another_has_built_is_taken(
    target: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = subprocess.run

    def watched(command: list[str], **how: Any) -> Any:
        assert "-shared" not in command, "it is built twice"
        return run(command, **how)

    with holder(target, 1.0, BUILDS) as process:
        monkeypatch.setattr(build.subprocess, "run", watched)
        loaded(caplog)
        assert process.wait(60) == 0
    assert not target.with_suffix(".lock").exists()


def test_without_locks_each_builds_its_own(
    target: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(turns, "locks", None)
    with holder(target, 500):
        took, said = loaded(caplog)
    assert took < 60
    assert said == []
