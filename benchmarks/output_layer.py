"""The output layer over a large vocabulary, forward and backward, beside torch's.

    python benchmarks/output_layer.py

One batch of a language model: N rows of H units against a vocabulary of V, loss and all gradients,
as `recurnn.nn.linear_cross_entropy` and as ``F.cross_entropy(F.linear(...))``, each also under
autocast to bfloat16. Each shape is first checked for equal results, up to rounding. Memory is what
one step needs beside inputs and weights, the gradients included, each in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from kernel_bench import memory
from kernel_bench.machine import fma_peak, machine
from kernel_bench.timing import timed
from recurnn.nn import linear_cross_entropy

SHAPES = [(400, 200, 10_000), (700, 200, 10_000), (700, 650, 10_000), (700, 1500, 10_000),
          (700, 400, 33_278), (2240, 512, 6_000)]  # fmt: skip
TINY = (8, 4, 70)
ROUNDS = 7
Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def by_torch(h: Tensor, weight: Tensor, bias: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(h, weight, bias), target)


def by_us(h: Tensor, weight: Tensor, bias: Tensor, target: Tensor) -> Tensor:
    return linear_cross_entropy(h, weight, target, bias)


def by_us_in_torch(h: Tensor, weight: Tensor, bias: Tensor, target: Tensor) -> Tensor:
    return linear_cross_entropy(h, weight, target, bias, engine="reference")


def in_half(loss: Loss, *given: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return loss(*given)


ENGINES: dict[str, Loss] = {
    "recurnn": by_us, "torch, in pieces": by_us_in_torch, "torch": by_torch,
    "recurnn, bfloat16": partial(in_half, by_us), "torch, bfloat16": partial(in_half, by_torch),
}  # fmt: skip


def problem(N: int, H: int, V: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    h = torch.randn(N, H, generator=random)
    weight, bias = 0.05 * torch.randn(V, H, generator=random), torch.randn(V, generator=random)
    target = torch.randint(V, (N,), generator=random)
    return (*(t.requires_grad_() for t in (h, weight, bias)), target)


def gradients(loss: Loss, given: tuple[Tensor, Tensor, Tensor, Tensor]) -> list[Tensor]:
    value = loss(*given)
    return [value.detach(), *torch.autograd.grad(value, given[:3])]


def check(given: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    """Refuse to time what is not equal."""
    exact = gradients(by_torch, (*(t.detach().double().requires_grad_() for t in given[:3]),
                                 given[3]))  # fmt: skip
    for name, loss in ENGINES.items():
        for found, want in zip(gradients(loss, given), exact, strict=True):
            far = (found - want).abs().max() / want.abs().max()
            if not far < (0.02 if name.endswith("bfloat16") else 1e-4):
                raise SystemExit(f"{name}: a result is {far:.1e} from torch's in float64")


def mebibytes(engine: str, shape: tuple[int, int, int]) -> float:
    here = str(Path(__file__).parent)
    paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, __file__, engine, *map(str, shape)],
        env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(json.loads(done.stdout))


def in_a_process(engine: str, shape: tuple[int, ...]) -> None:
    """One step, its memory printed."""
    gradients(ENGINES[engine], problem(*TINY))
    given = problem(*shape)
    method, before = memory._set_back()
    gradients(ENGINES[engine], given)
    print(json.dumps((memory._peak(method) - before) / 1024))


def main() -> None:
    peak = fma_peak(torch.get_num_threads())
    print(machine(), "" if peak is None else f"; multiply-adds alone: {peak:.0f} GFLOP/s")
    print(f"{'N, H, V':20}{'':18}{'ms':>8}{'quartiles':>16}{'× torch':>9}{'GFLOP/s':>9}{'MiB':>8}")
    for shape in SHAPES:
        N, H, V = shape
        given = problem(*shape)
        check(given)
        runs = {name: partial(gradients, loss, given) for name, loss in ENGINES.items()}
        times = timed(runs, ROUNDS)
        for name, time in times.items():
            print(f"{f'{N}, {H}, {V}':20}{name:18}{time.median:8.1f}"
                  f"{f'{time.low:.1f}–{time.high:.1f}':>16}"
                  f"{times['torch'].median / time.median:9.2f}"
                  f"{6 * N * H * V / time.median / 1e6:9.0f}"
                  f"{mebibytes(name, shape):8.0f}")  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) > 1:
        in_a_process(sys.argv[1], tuple(map(int, sys.argv[2:])))
    else:
        main()
