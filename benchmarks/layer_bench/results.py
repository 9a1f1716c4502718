"""What has been measured: in a file to which slices add up, and as docs/layers.md has it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kernel_bench.machine import machine
from kernel_bench.shapes import GATES, Shape, letters
from kernel_bench.timing import Time
from layer_bench import shown
from layer_bench.options import OPTIONS, Cost
from layer_bench.ragged import Ragged

SHAPE: Shape = (100, 64, 128, 128)
RAGGED: tuple[Shape, ...] = (SHAPE, (100, 32, 256, 256))
RESULTS = Path(__file__).parents[1] / "results" / "layers.json"


def keep(part: str, rows: Sequence[Cost | Ragged]) -> None:
    """Put the rows of a part among the results; those of other cases and shapes stay."""
    RESULTS.parent.mkdir(exist_ok=True)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found = {key(row): row for row in results.get(part, {}).get("rows", [])}
    found |= {key(row): row for row in map(asdict, rows)}
    results[part] = {"machine": machine(), "rows": list(found.values())}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a row is of."""
    return row["cell"], row.get("name"), tuple(row["shape"])


def documented() -> str:
    """What stands between the marks in docs/layers.md: all results at the usual shapes.

    Raises:
        SystemExit: there are results of some cases only.
    """
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found: dict[str, list[Any]] = {}
    for part, kind in (("options", Cost), ("ragged", Ragged)):
        rows = {key(row): row for row in results.get(part, {}).get("rows", [])}
        wanted = (
            [(c, name, SHAPE) for c in ("lstm", "gru") for name in OPTIONS]
            if part == "options"
            else [(c, None, shape) for c in GATES for shape in RAGGED]
        )
        if missing := [w for w in wanted if w not in rows]:
            raise SystemExit(f"not written, for these are not measured: {missing}")
        found[part] = [kind(**restored(rows[w])) for w in wanted]
    return (
        f"T, B, I, H = {letters(SHAPE)}; medians, of ratios with their quartiles.\n\n"
        f"{shown.costs(found['options'])}\n\nRows of T/10 to T real steps:\n\n"
        f"{shown.ragged_table(found['ragged'])}\n\n{results['options']['machine']}; "
        "`python benchmarks/layers.py --write-docs`."
    )


def restored(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the results as the arguments of its class."""
    times = {k: {n: Time(**t) for n, t in row[k].items()} for k in ("forward", "train")}
    return row | {"shape": tuple(row["shape"])} | times
