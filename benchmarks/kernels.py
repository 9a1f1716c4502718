"""The compiled kernels beside their peers, on the shapes where recurrent networks are used.

    python benchmarks/kernels.py [--only main variants busy memory half] [--cells lstm gru elman]
        [--shapes 0 9 "512, 512"] [--runs 7] [--compile] [--write-readme]

Five parts:

- main: ten shapes, forward, and forward plus backward to inputs and weights (train), beside
  torch, jax (``jit`` of ``lax.scan``, the input product hoisted by hand) and, forward,
  onnxruntime;
- variants: cells that torch has no layer for, beside their plain relatives and a Python loop;
- busy: the LSTM with one busy process a core beside it;
- memory: the peak of one training step;
- half: a training step under autocast to bfloat16, beside torch's.

Every case of the first two is first checked against torch, outputs and gradients, and is not
timed if it does not agree. Medians in milliseconds; ours is called slower or faster than a peer
only where the quartiles of the two do not overlap. A peer that is not installed is a dash:
``pip install '.[bench]'``. Every engine has as many threads as torch, jax those of the machine.
The figures are also written to benchmarks/results/kernels.json, each part with its machine.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from kernel_bench import busy, half, memory, tables, variants
from kernel_bench.cases import case
from kernel_bench.machine import fma_peak, machine
from kernel_bench.shapes import GATES, SHAPES, Shape, picked
from kernel_bench.summary import losses_in_words, summary

PARTS = ("main", "variants", "busy", "memory", "half")
RESULTS = Path(__file__).parent / "results" / "kernels.json"
README = Path(__file__).parent.parent / "README.md"


def main() -> None:
    options = arguments()
    shapes = picked(options.shapes)
    whole = "main" in options.only and shapes == SHAPES and set(options.cells) == set(GATES)
    if options.write_readme and not whole:
        raise SystemExit("--write-readme needs the main part, all cells and all shapes.")
    print(f"{machine()}; load average before: {os.getloadavg()[0]:.1f} (idle: 0)", flush=True)
    if "main" in options.only:
        part_main(options, shapes)
    if "variants" in options.only:
        part_variants(options)
    if "busy" in options.only:
        part_busy(shapes)
    if "memory" in options.only:
        part_memory(options, shapes)
    if "half" in options.only:
        part_half(options)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kernels beside their peers.")
    parser.add_argument("--only", nargs="+", default=PARTS, choices=PARTS, help="parts to run")
    parser.add_argument("--cells", nargs="+", default=["lstm", "gru", "elman"], choices=GATES)
    parser.add_argument("--shapes", nargs="+", help="indices from 0, or parts of 'T, B, I, H'")
    parser.add_argument("--runs", type=int, default=7, help="blocks of calls of each engine")
    parser.add_argument("--compile", action="store_true",
                        help="variants: torch.compile too, minutes a cell")  # fmt: skip
    parser.add_argument("--write-readme", action="store_true", help="renew the README's table")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    return options


def part_main(options: argparse.Namespace, shapes: list[Shape]) -> None:
    peak = fma_peak(torch.get_num_threads())
    print(f"\nPeak of multiply-adds: {f'{peak:.0f} GFLOP/s' if peak else tables.DASH}\n")
    print(tables.head())
    rows = []
    for cell in options.cells:
        for shape in shapes:
            rows.append(case(cell, shape, options.runs))
            print(tables.lines(rows[-1], peak), flush=True)
        print(summary(cell, rows), flush=True)
    print(losses_in_words(rows))
    keep("main", peak=peak, rows=[asdict(row) for row in rows])
    if options.write_readme:
        text = tables.block(rows, options.cells, peak, machine())
        README.write_text(tables.renewed(README.read_text(encoding="utf-8"), text), "utf-8")


def part_variants(options: argparse.Namespace) -> None:
    print("\nVariants, forward / train in ms at T 100, B 32, I 64, H 128", flush=True)
    rows = [variants.measure(name, options.runs, compiled=options.compile)
            for name in variants.VARIANTS]  # fmt: skip
    print(variants.shown(rows))
    keep("variants", shape=variants.SHAPE, rows=[asdict(row) for row in rows])


def part_busy(shapes: list[Shape]) -> None:
    print("\nLSTM beside one busy process a core", flush=True)
    rows = busy.measure(shapes)
    print(busy.shown(rows))
    keep("busy", rows=[asdict(row) for row in rows])


def part_memory(options: argparse.Namespace, shapes: list[Shape]) -> None:
    print("\nAdditional memory at the peak of one training step", flush=True)
    rows = [memory.measure(cell, shape) for cell in options.cells for shape in shapes]
    if "lstm" in options.cells and shapes == SHAPES:
        rows.append(memory.measure("lstm", memory.LONG))
    print(memory.shown(rows))
    keep("memory", rows=[asdict(row) for row in rows])


def part_half(options: argparse.Namespace) -> None:
    print("\nA training step under autocast to bfloat16, ms", flush=True)
    rows = [half.measure(cell, shape, options.runs)
            for cell in options.cells for shape in half.CHOSEN]  # fmt: skip
    print(half.shown(rows))
    keep("half", rows=[asdict(row) for row in rows])


def keep(part: str, **found: Any) -> None:
    """Put a part among the results; the others stay as they are."""
    RESULTS.parent.mkdir(exist_ok=True)
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results = {name: before[name] for name in PARTS if name in before}
    results[part] = {"machine": machine(), **found}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
