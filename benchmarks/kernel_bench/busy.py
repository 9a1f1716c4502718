"""The busy-neighbour table: the same calls with one busy process a core beside them."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from kernel_bench import ours
from kernel_bench.burn import burn
from kernel_bench.shapes import SHAPES, Shape, letters
from kernel_bench.timing import Run, once

CHOSEN = [shape for shape in SHAPES if 90 <= shape[0] <= 110]
LIMIT = 5.0  # seconds of one engine's calls, beyond which no further one is begun
CALLS = 20


@dataclass(frozen=True)
class Busy:
    """Median milliseconds of a call with nothing beside it (quiet) and with neighbours (busy)."""

    shape: Shape
    kind: str
    engine: str
    quiet: float
    busy: float
    calls: int


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """That many busy processes, which end with the block, however it ends."""
    context = multiprocessing.get_context("spawn")
    events = [context.Event() for _ in range(count)]
    workers = [context.Process(target=burn, args=(os.getpid(), e), daemon=True) for e in events]
    try:
        for worker in workers:
            worker.start()
        for event in events:
            if not event.wait(60):
                raise SystemExit("a busy process did not start within a minute")
        yield
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.kill()
                worker.join()


def bounded(run: Run) -> tuple[float, int]:
    """The median milliseconds and the number of calls that the time allowed, at least one."""
    began = time.perf_counter()
    times = [once(run)]
    while len(times) <= CALLS and time.perf_counter() - began < LIMIT:
        times.append(once(run))
    kept = times[1:] or times  # the first one warms up
    return statistics.median(kept), len(kept)


def cases(shapes: list[Shape]) -> dict[tuple[Shape, str, str], Run]:
    """What is called, by shape, pass and engine."""
    found: dict[tuple[Shape, str, str], Run] = {}
    for shape in shapes:
        x, dy = ours.data(shape)
        for engine, layer in zip(("recurnn", "torch"), ours.layers("lstm", shape), strict=True):
            found[shape, "forward", engine] = lambda layer=layer, x=x: _forward(layer, x)
            found[shape, "train", engine] = lambda layer=layer, x=x, dy=dy: ours.gradients(
                layer, x, dy
            )
    return found


def _forward(layer: torch.nn.Module, x: torch.Tensor) -> None:
    with torch.no_grad():
        layer(x)


def measure(shapes: list[Shape]) -> list[Busy]:
    """The LSTM on those of the shapes that have about a hundred steps."""
    runs = cases([shape for shape in shapes if shape in CHOSEN])
    quiet = {key: bounded(run)[0] for key, run in runs.items()}
    with neighbours(os.cpu_count() or 1):
        busy = {key: bounded(run) for key, run in runs.items()}
    return [Busy(*key, quiet[key], *busy[key]) for key in runs]


def shown(rows: list[Busy]) -> str:
    """The table."""
    text = [f"{'T, B, I, H':20}{'pass':9}{'engine':9}{'quiet ms':>10}{'busy ms':>10}"
            f"{'×':>7}{'calls':>7}"]  # fmt: skip
    text += [
        f"{letters(r.shape):20}{r.kind:9}{r.engine:9}{r.quiet:10.2f}{r.busy:10.2f}"
        f"{r.busy / r.quiet:7.1f}{r.calls:7}"
        for r in rows
    ]
    return "\n".join(text)
