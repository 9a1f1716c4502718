"""The cache of compiled kernels: built once, whole or not at all, and never a reason to fail."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import recurnn
from recurnn import cells
from recurnn.compiler import Unsupported, build

TEXT = 'extern "C" int lanes() { return 17; }\nextern "C" REAL half() { return REAL(0.5); }\n'
SLOW = """
import os, sys, time
from pathlib import Path
from recurnn.compiler import build
compile = build.subprocess.run
def run(command, **how):
    if "-shared" in command:
        Path(sys.argv[1], "building").touch()
        time.sleep(float(sys.argv[2]))
    return compile(command, **how)
build.subprocess.run = run
text = 'extern "C" int lanes() { return 17; }\\nextern "C" REAL half() { return REAL(0.5); }\\n'
print(build.load(text, "float", "Toy").lanes())
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECURNN_CACHE", str(tmp_path / "kernels"))
    return tmp_path / "kernels"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that built a library."""
    seen: list[list[str]] = []
    run = subprocess.run

    def watched(command: list[str], **how: Any) -> Any:
        if "-shared" in command:
            seen.append(command)
        return run(command, **how)

    monkeypatch.setattr(build.subprocess, "run", watched)
    return seen


def kernels(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.so"))


def start(cache: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, str(cache), str(seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def test_the_second_load_compiles_nothing(cache: Path, compilations: list[list[str]]) -> None:
    assert build.load(TEXT, "float", "Toy").lanes() == 17
    assert build.load(TEXT, "float", "Toy").lanes() == 17
    assert len(compilations) == 1
    (found,) = kernels(cache)
    assert found.name.startswith("Toy-float-")
    assert found.with_suffix(".cpp").read_text() == TEXT
    build.load(TEXT, "double", "Toy")  # another type
    build.load(TEXT + "// another text\n", "float", "Toy")
    assert len(compilations) == len(kernels(cache)) == 3
    assert {p.suffix for p in cache.iterdir()} == {
        ".so",
        ".cpp",
        ".sha256",
    }  # no folder is left behind


def damaged(library: Path, how: str) -> None:
    """Spoil a library in the cache."""
    whole = library.read_bytes()
    if how == "empty":
        library.write_bytes(b"")
    if how == "cut":
        library.write_bytes(whole[: len(whole) // 3])
    if how == "text":
        library.write_bytes(b"oh")
    if how == "one bit":
        at = whole.index(b"lanes")
        library.write_bytes(whole[:at] + b"m" + whole[at + 1 :])
    if how == "other library":
        source = library.parent / "other.cpp"
        source.write_text('extern "C" int something_else() { return 1; }')
        command = [build.compiler(), "-shared", "-fPIC", str(source), "-o", str(library)]
        subprocess.run(command, check=True)
    if how == "no hash":
        library.with_suffix(".sha256").unlink()


DAMAGES = ("empty", "cut", "text", "one bit", "other library", "no hash")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_kernel_is_built_anew(
    how: str, cache: Path, compilations: list[list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    lanes = 20 + DAMAGES.index(how)
    text = TEXT.replace("17", str(lanes))
    with pytest.MonkeyPatch.context() as patch:  # a library once loaded would stay as it was
        patch.setattr(build.ctypes, "CDLL", str)
        build.load(text, "float", "T")
    (found,) = kernels(cache)
    damaged(found, how)
    compilations.clear()
    with caplog.at_level(logging.WARNING, "recurnn"):
        assert build.load(text, "float", "T").lanes() == lanes
    assert len(compilations) == 1
    assert [r.message for r in caplog.records] == [
        f"the cached kernel {found.name} is damaged and is built anew"
    ]


def test_two_processes_build_at_once(cache: Path) -> None:
    cache.mkdir()
    both = [start(cache, 0.5) for _ in range(2)]
    for process in both:
        output, errors = process.communicate(timeout=100)
        assert (process.returncode, output) == (0, "17\n"), errors
    assert len(kernels(cache)) == 1


def test_a_process_killed_in_mid_build_leaves_a_working_cache(cache: Path) -> None:
    cache.mkdir()
    process = start(cache, 60)
    deadline = time.monotonic() + 60
    while not (cache / "building").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not kernels(cache)
    assert build.load(TEXT, "float", "Toy").lanes() == 17
    assert len(kernels(cache)) == 1


# What cannot be built runs on the reference, and says why


class Leaky(cells.Cell):
    """Like no other cell, so that no test has compiled it."""

    weights = {"W": "H I", "a": "H"}

    def step(self, p: cells.Weights, x: torch.Tensor, h: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"h": p.a * h + torch.tanh(p.W @ x)}


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    """Forget which compiler was found, before and after."""
    build.compiler.cache_clear()
    yield
    build.compiler.cache_clear()


def refused(reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """Assert that a new cell runs on the reference, with one line in the log."""
    cell_type = type("Leaky", (Leaky,), {"__doc__": Leaky.__doc__})
    cell, x = cell_type(3, 4), torch.randn(5, 2, 3)
    with caplog.at_level(logging.INFO, "recurnn"):
        got = recurnn.scan(cell, x).output
        recurnn.scan(cell, x)
        recurnn.scan(cell_type(2, 3), torch.randn(4, 1, 2))
    assert torch.equal(got, recurnn.scan(cell, x, engine="reference").output)
    assert [r.getMessage() for r in caplog.records] == [
        f"Leaky runs on the reference engine: {reason}"
    ]
    with pytest.raises(recurnn.errors.EngineError) as caught:
        recurnn.scan(cell, x, engine="cpu")
    assert str(caught.value) == (
        f"Leaky: the engine 'cpu' cannot run this.\n  {reason}.\n"
        "  Use engine='auto' or engine='reference'."
    )
    assert reason in recurnn.explain(cell)


def test_without_a_compiler_the_reference_runs(
    cache: Path,
    fresh_compiler: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    refused("there is no C++ compiler (g++, clang++ or the variable CXX)", caplog)


def test_a_compiler_that_is_named_and_is_not_there_is_not_replaced_by_another(
    cache: Path,
    fresh_compiler: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    refused("the C++ compiler that the variable CXX names is not there: no-such-compiler", caplog)


def test_a_cache_folder_that_cannot_be_written(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write_text("a file where the folder should be")  # holds for root too, unlike permissions
    reason = f"the cache folder cannot be written: [Errno 17] File exists: '{cache}'"
    refused(f"{reason} (RECURNN_CACHE names another one)", caplog)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_folder_without_permission(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache.mkdir(mode=0o555)
    with pytest.raises(Unsupported, match=r"the cache folder cannot be written: .*Permission"):
        build.load(TEXT, "float", "Toy")


def test_a_kernel_that_is_there_needs_no_write_access(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.load(TEXT, "float", "Toy")

    def never(*args: Any, **how: Any) -> Any:
        raise AssertionError("nothing is to be built")

    monkeypatch.setattr(build.tempfile, "mkdtemp", never)
    assert build.load(TEXT, "float", "Toy").lanes() == 17


def test_text_that_the_compiler_refuses_is_a_reason(cache: Path) -> None:
    with pytest.raises(Unsupported, match=r"the C\+\+ compiler failed: .*error: .*oh_no"):
        build.load("int f() { return oh_no; }\n", "float", "Toy")
    assert not list(cache.iterdir())


def test_a_compiler_that_cannot_be_started_is_a_reason(
    cache: Path, tmp_path: Path, fresh_compiler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken-cxx"
    broken.write_text("#!/bin/sh\necho this: fatal error: licence ran out >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(Unsupported, match=r"the C\+\+ compiler failed: this: fatal error: licence"):
        build.load(TEXT + "// for the broken compiler\n", "float", "Toy")
