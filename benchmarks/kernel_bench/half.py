"""The table of autocast to bfloat16: ours and torch's layers, in float32 and under it.

How far a result is from float32 is the largest difference beside the largest number, of the
output and of all gradients, the worst of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kernel_bench import ours
from kernel_bench.shapes import Shape, letters
from kernel_bench.timing import Run, Time, timed

ENGINES, KINDS = ("recurnn", "torch"), ("float32", "bfloat16")
ORDER = [f"{engine} {kind}" for engine in ENGINES for kind in KINDS]
CHOSEN: list[Shape] = [(20, 20, 200, 200), (100, 64, 128, 128), (100, 32, 256, 256),
                       (64, 128, 512, 512), (35, 20, 650, 650)]  # fmt: skip


@dataclass(frozen=True)
class Half:
    """Milliseconds of a training step by engine and precision, and how far from float32."""

    cell: str
    shape: Shape
    times: dict[str, Time]
    apart: dict[str, float]


def measure(cell: str, shape: Shape, rounds: int) -> Half:
    """One layer, forward and backward."""
    x, dy = ours.data(shape)
    layers = dict(zip(ENGINES, ours.layers(cell, shape), strict=True))

    def run(layer: nn.Module, *, half: bool) -> Run:
        return lambda: step(layer, x, dy, half=half)

    runs = {
        f"{engine} {kind}": run(layer, half=kind == "bfloat16")
        for engine, layer in layers.items()
        for kind in KINDS
    }
    want = step(layers["torch"], x, dy, half=False)
    apart = {engine: far(step(layer, x, dy, half=True), want) for engine, layer in layers.items()}
    return Half(cell, shape, timed(runs, rounds), apart)


def step(layer: nn.Module, x: Tensor, dy: Tensor, *, half: bool) -> list[Tensor]:
    """The output, and the gradients of input and weights."""
    given = x.detach().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        y = layer(given)[0]
    y = y.float()
    return [y.detach(), *torch.autograd.grad(y, [given, *layer.parameters()], dy)]


def far(got: Sequence[Tensor], want: Sequence[Tensor]) -> float:
    """The largest difference of any pair, beside the largest number of it."""
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(got, want, strict=True))


def shown(rows: Sequence[Half]) -> str:
    """The table."""
    columns = ("ours", "autocast", "torch", "autocast", "× ours", "× torch", "× its autocast")
    text = [f"{'cell':6}{'T, B, I, H':20}" + "".join(f"{c:>{max(9, len(c) + 2)}}" for c in columns)
            + "   off by, ours and torch's"]  # fmt: skip
    for row in rows:
        mine, half, theirs, its_half = (row.times[name].median for name in ORDER)
        text.append(
            f"{row.cell:6}{letters(row.shape):20}{mine:9.2f}{half:10.2f}{theirs:9.2f}"
            f"{its_half:10.2f}{mine / half:9.2f}{theirs / half:9.2f}{its_half / half:16.2f}   "
            + " ".join(f"{row.apart[e]:.2%}" for e in ENGINES)
        )
    return "\n".join(text)
