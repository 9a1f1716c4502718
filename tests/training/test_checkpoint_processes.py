"""Checkpoints in processes of their own: killed while they save, and the memory at its peak."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def killed(folder: Path, *what: str) -> list[dict[str, Any]]:
    program = Path(__file__).with_name("killed_writers.py")
    run = [sys.executable, str(program), str(folder), *what]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=600)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_kill_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    every, random = killed(tmp_path, "every", "20")
    assert (every["wrong"], random["wrong"]) == ([], [])
    assert every["amid"] > 30  # each call of four saves to the system
    assert random["killed"] == 20


@pytest.mark.slow
def test_kills_at_many_random_moments_leave_whole_checkpoints(tmp_path: Path) -> None:
    (found,) = killed(tmp_path, "400")
    assert found["wrong"] == []
    assert found["amid"] > 200


MEMORY = """
import resource, sys, torch
from pathlib import Path
from recurnn import files
from recurnn.training import state_file

def status(field):
    text = Path("/proc/self/status").read_text()
    return int(text.split(field + ":")[1].split()[0]) / 1024

def grown(work):
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = status("VmRSS")
    kept = work()
    return status("VmHWM") - before

def write():
    with files.replacing(path) as file:
        state_file.Snapshot(state, update=1, best=False).write(file)

torch.set_num_threads(1)
path = Path(sys.argv[1])
write_ = {"a": torch.ones(10), "b": torch.ones(10, 2).T}
state = write_; write(); state_file.read(path)  # whatever is loaded at first use
state = {str(i): torch.ones(2_000, 2_000).T for i in range(4)}  # 15 MiB each
state["plain"] = torch.ones(4_000_000)
print(grown(write), grown(lambda: state_file.read(path)))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is Linux's")
def test_writing_copies_one_tensor_and_reading_takes_the_file(tmp_path: Path) -> None:
    run = [sys.executable, "-c", MEMORY, str(tmp_path / "a")]
    # What is freed goes back to the system at once: else the peak tells of malloc's habits.
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120, env=env)
    writing, reading = map(float, done.stdout.split())
    assert writing < 15.3 + 8
    assert 76 < reading < 76.3 + 8
