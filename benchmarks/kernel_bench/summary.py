"""What the times of the main table say: ratios, losses, geometric means."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kernel_bench.shapes import PASSES, Shape, letters
from kernel_bench.timing import Time

OURS = "recurnn"
LAYER = "recurnn's layer"
ONE_STEP = "torch's cell"
PEERS = ("torch", ONE_STEP, "jax", "onnxruntime")
Times = Mapping[str, Time]


@dataclass(frozen=True)
class Row:
    """One shape of one cell; the times of each engine by its name."""

    cell: str
    shape: Shape
    flops: int
    forward: Times
    train: Times

    def times(self, kind: str) -> Times:
        """The times of a pass: `"forward"` or `"train"`."""
        return self.forward if kind == "forward" else self.train

    def rate(self, kind: str) -> float:
        """Our GFLOP/s in the products."""
        return PASSES[kind] * self.flops / self.times(kind)[OURS].median / 1e6


def best_peer(times: Times) -> str:
    """The peer with the smallest median."""
    return min((name for name in times if name in PEERS), key=lambda name: times[name].median)


def ratio(times: Times) -> float:
    """How many times faster than the best peer; below 1, slower."""
    return times[best_peer(times)].median / times[OURS].median


def of_torch(times: Times) -> float:
    """How many times faster than torch, by the faster of torch's own two ways."""
    theirs = min(times[name].median for name in ("torch", ONE_STEP) if name in times)
    return theirs / times[OURS].median


def verdict(times: Times) -> str:
    """Against the best peer: faster or slower if the quartiles do not overlap, else level."""
    mine, theirs = times[OURS], times[best_peer(times)]
    if mine.low > theirs.high:
        return "slower"
    return "faster" if mine.high < theirs.low else "level"


def geometric(values: Iterable[float]) -> float:
    """The geometric mean."""
    return math.exp(statistics.mean(math.log(value) for value in values))


def losses(rows: Iterable[Row]) -> list[tuple[Row, str]]:
    """The rows and passes that are slower than the best peer."""
    return [(row, kind) for row in rows for kind in PASSES if verdict(row.times(kind)) == "slower"]


def summary(cell: str, rows: Iterable[Row]) -> str:
    """The means of a cell and on how many shapes it is faster, level and slower."""
    mine = [row for row in rows if row.cell == cell]
    parts = []
    for kind in PASSES:
        times = [row.times(kind) for row in mine]
        verdicts = [verdict(t) for t in times]
        counts = ", ".join(f"{word} on {verdicts.count(word)}"
                           for word in ("faster", "level", "slower"))  # fmt: skip
        parts.append(
            f"{kind} ×{geometric(map(of_torch, times)):.2f} of torch and "
            f"×{geometric(map(ratio, times)):.2f} of the best peer, than which it is {counts}"
        )
    return f"{cell}: geometric means over {len(mine)} shapes: {'; '.join(parts)}"


def losses_in_words(rows: Iterable[Row]) -> str:
    """Where ours is slower than the best peer, in one sentence."""
    lost = [
        f"{row.cell} {kind} at {letters(row.shape)} (×{ratio(row.times(kind)):.2f}, "
        f"{best_peer(row.times(kind))})"
        for row, kind in losses(rows)
    ]
    return f"Slower than the best peer: {'; '.join(lost)}." if lost else (
        "Slower than the best peer: nowhere beyond noise."
    )  # fmt: skip
