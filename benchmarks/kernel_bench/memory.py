"""The memory table: what one training step needs beside its weights, input and dL/dy.

Each figure is from a fresh process. A step on a tiny layer of the same cell first loads the
kernels and the libraries. Then the process's mark of its highest resident memory is set back
(`/proc/self/clear_refs`) and one step is made; the figure is the new mark (`VmHWM`) less what was
resident before. Where the mark cannot be set back, it is the growth of `ru_maxrss`, which misses
what fits below an earlier peak.
"""

from __future__ import annotations

import inspect
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

import recurnn
from kernel_bench import ours
from kernel_bench.shapes import LAYERS, Shape, letters
from kernel_bench.timing import once
from recurnn import cells

LONG: Shape = (10_000, 8, 64, 256)
TINY: Shape = (2, 1, 2, 3)
CELLS: dict[str, Callable[[int, int], cells.Cell]] = {
    "elman": cells.Elman, "gru": cells.GRU, "lstm": cells.LSTM,
}  # fmt: skip
LIMIT = 300  # seconds a process may take
LOW = "recurnn, memory=low"


@dataclass(frozen=True)
class Memory:
    """Additional mebibytes at the peak and milliseconds of one training step of each engine."""

    cell: str
    shape: Shape
    method: str
    mebibytes: dict[str, float]
    milliseconds: dict[str, float]


def has_low() -> bool:
    """Whether recurnn can train with less memory than keeping every step takes."""
    return "memory" in inspect.signature(recurnn.nn.Recurrent.__init__).parameters


def layer(engine: str, cell: str, shape: Shape) -> nn.Module:
    """The layer that is trained."""
    I, H = shape[2:]  # noqa: E741 - the letters of the design
    if engine == "torch":
        return getattr(nn, LAYERS[cell])(I, H)
    if engine == LOW:
        options: dict[str, Any] = {"memory": "low"}
        return recurnn.nn.Recurrent(CELLS[cell](I, H), engine="cpu", **options)
    return getattr(recurnn.nn, LAYERS[cell])(I, H)


def measure(cell: str, shape: Shape) -> Memory:
    """Ours and torch on one shape; on the long one with memory="low" too, if it is there."""
    engines = ["recurnn", "torch"]
    if shape == LONG and has_low():
        engines.append(LOW)
    found = {engine: _in_a_process(engine, cell, shape) for engine in engines}
    return Memory(
        cell, shape, found["recurnn"]["method"],
        {k: v["mebibytes"] for k, v in found.items()},
        {k: v["milliseconds"] for k, v in found.items()},
    )  # fmt: skip


def _in_a_process(engine: str, cell: str, shape: Shape) -> dict[str, Any]:
    here = str(Path(__file__).parent.parent)
    paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "kernel_bench.memory", engine, cell, *map(str, shape)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True, text=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{engine} {cell} {letters(shape)} ended:\n{done.stderr[-1000:]}")
    return json.loads(done.stdout)


def main() -> None:
    """In a process of its own: one engine, one shape, as JSON."""
    engine, cell, *sizes = sys.argv[1:]
    shape: Shape = tuple(map(int, sizes))  # type: ignore[assignment]
    small, (x, dy) = layer(engine, cell, TINY), ours.data(TINY)
    ours.gradients(small, x, dy)
    measured, (x, dy) = layer(engine, cell, shape), ours.data(shape)
    method, before = _set_back()
    milliseconds = once(lambda: ours.gradients(measured, x, dy))
    mebibytes = (_peak(method) - before) / 1024
    print(json.dumps({"method": method, "mebibytes": mebibytes, "milliseconds": milliseconds}))


def _set_back() -> tuple[str, int]:
    """Forget earlier peaks, where that can be done; the method and the kilobytes before."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return "VmHWM", _status("VmRSS")
    except (OSError, KeyError):
        return "ru_maxrss", _peak("ru_maxrss")


def _peak(method: str) -> int:
    """Kilobytes at the peak."""
    if method == "VmHWM":
        return _status("VmHWM")
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest // 1024 if sys.platform == "darwin" else highest


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(values[name].split()[0])


def shown(rows: list[Memory]) -> str:
    """The table."""
    text = [f"{'cell':6}{'T, B, I, H':22}{'recurnn MiB':>12}{'torch MiB':>12}{'× torch':>9}"
            f"   by {', '.join(sorted({row.method for row in rows}))}"]  # fmt: skip
    for row in rows:
        mine, theirs = row.mebibytes["recurnn"], row.mebibytes["torch"]
        share = f"{mine / theirs:9.2f}" if theirs else f"{'–':>9}"
        text.append(f"{row.cell:6}{letters(row.shape):22}{mine:12.1f}{theirs:12.1f}{share}")
        if row.shape == LONG:
            times = ", ".join(f"{k} {v / 1e3:.2f} s" for k, v in row.milliseconds.items())
            low = f"{row.mebibytes[LOW]:.1f} MiB" if LOW in row.mebibytes else "–"
            text.append(f"{'':6}with memory=low {low}; the step takes: {times}")
    return "\n".join(text)


if __name__ == "__main__":
    main()
