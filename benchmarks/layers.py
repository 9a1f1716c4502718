"""What the options of a layer cost, and a padded batch of short and long rows.

    python benchmarks/layers.py [--only options ragged] [--cells lstm gru] [--options zoneout ...]
        [--shape 100 64 128 128] [--runs 5] [--write-docs]

Two parts:

- options: the LSTM and the GRU with each option beside the same layer without it (at most 1.3
  times its time is the aim), beside torch's plain layer, and beside Keras on its torch backend
  where Keras has the option;
- ragged: rows of T/10 to T real steps. Time over the share of real steps of the whole batch's
  time (at most 1.25 is the aim), beside torch's packed sequence, packing and padding included.

Every case is first checked: against the reference engine with the same random masks, against
torch where it has the layer, and Keras against ours; and is not timed if it does not agree.
Medians; what is compared is timed in turn, and ratios are taken round by round. A slice that is
run alone replaces its rows in benchmarks/results/layers.json; --write-docs writes what is there
into docs/layers.md.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from kernel_bench.machine import machine
from kernel_bench.shapes import GATES, letters
from kernel_bench.tables import renewed
from layer_bench import options, ragged, shown
from layer_bench.options import BY_TORCH, OPTIONS, Cost
from layer_bench.results import RAGGED, SHAPE, documented, keep

DOCS = Path(__file__).parent.parent / "docs" / "layers.md"


def main() -> None:
    chosen = arguments()
    print(f"{machine()}; load average before: {os.getloadavg()[0]:.1f} (idle: 0)", flush=True)
    if "options" in chosen.only:
        costs = []
        for cell in chosen.cells or ("lstm", "gru"):
            for name in chosen.options or OPTIONS:
                costs.append(options.measure(cell, name, tuple(chosen.shape), chosen.runs))
                print(said(costs[-1]), flush=True)
        print(f"\nT, B, I, H = {letters(chosen.shape)}\n\n{shown.costs(costs)}", flush=True)
        keep("options", costs)
    if "ragged" in chosen.only:
        shapes = RAGGED if tuple(chosen.shape) == SHAPE else (tuple(chosen.shape),)
        rows = [
            ragged.measure(cell, shape, chosen.runs)
            for cell in chosen.cells or GATES
            for shape in shapes
        ]
        print(f"\n{shown.ragged_table(rows)}")
        keep("ragged", rows)
    if chosen.write_docs:
        DOCS.write_text(
            renewed(DOCS.read_text(encoding="utf-8"), documented(), shown.MARKS), "utf-8"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What the options of a layer cost.")
    parts = ("options", "ragged")
    parser.add_argument("--only", nargs="*", default=parts, choices=parts, help="parts to run")
    parser.add_argument("--cells", nargs="+", choices=GATES)
    parser.add_argument("--options", nargs="+", choices=OPTIONS)
    parser.add_argument("--shape", nargs=4, type=int, default=SHAPE, metavar=tuple("TBIH"))
    parser.add_argument("--runs", type=int, default=5, help="blocks of calls of each layer")
    parser.add_argument("--write-docs", action="store_true", help="renew the table in docs/")
    found = parser.parse_args()
    if found.runs < 1 or min(found.shape) < 1 or found.shape[0] < 10:
        parser.error("--runs and sizes must be at least 1, T at least 10")
    return found


def said(cost: Cost) -> str:
    """One case, as soon as it is measured."""
    parts = [
        f"{kind} {cost.times(kind)['ours'].median:8.2f} ms"
        + ("" if cost.name in BY_TORCH else f" × {cost.times(kind)['without'].median:.2f}")
        for kind in ("forward", "train")
    ]
    return f"{cost.cell:6}{cost.name:26}{', '.join(parts)}"


if __name__ == "__main__":
    main()
