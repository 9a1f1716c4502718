"""``recurnn cells``: the built-in cells, what they cost, and their equations."""

from __future__ import annotations

import inspect
import statistics
import time
from collections import Counter
from typing import Annotated, Any

import torch
import typer
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from recurnn import compiler
from recurnn.cells import CELLS, LSTM, Cell
from recurnn.errors import one_of
from recurnn.scan import scan

STEPS, ROWS, INPUTS, UNITS, RUNS = 100, 32, 64, 128, 5
WIDE = 120  # columns of a terminal in which there is room for sentences


def cells(
    name: Annotated[
        str | None, typer.Argument(help="A cell; without one, all are listed.", show_default=False)
    ] = None,
    speed: Annotated[
        bool,
        typer.Option(
            "--speed",
            help=f"Time training too, beside the LSTM on this machine: T = {STEPS}, B = {ROWS}, "
            f"I = {INPUTS}, H = {UNITS}. The first time, every cell is compiled.",
        ),
    ] = False,
) -> None:
    """List the cells, or print the equations of one."""
    if name is not None and name not in CELLS:
        raise one_of("cell", name, CELLS)
    if name is not None:
        typer.echo(str(CELLS[name]))
        if speed:
            typer.echo(f"\n{_speed_is(beside_lstm(example(name, INPUTS, UNITS)))}")
        return
    console = Console()
    console.print(_table(speeds() if speed else {}, sentences=console.width >= WIDE))
    if speed:
        console.print(f"speed: how many times as fast as the LSTM; {_conditions()}", soft_wrap=True)
    typer.echo("recurnn cells NAME prints the equations of one.")


def example(name: str, inputs: int = 3, units: int = 4, **options: Any) -> Cell:
    """A built-in cell, with a value for what it asks for beyond I and H."""
    if name == "projected-lstm":
        options["proj_size"] = max(units // 2, 1)
    return CELLS[name](inputs, units, **options)


def parameters_per_unit(cell: Cell) -> str:
    """How many weights a cell has, divided by H, in the letters of its sizes.

    >>> parameters_per_unit(example("gru"))
    '3I + 3H + 4'
    >>> parameters_per_unit(example("fast-rnn"))
    'I + H + 1 + 2/H'
    """
    units: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for shape in (shape for k, shape in cell.weights.items() if k not in cell.constants):
        letters = [k for k in shape.split() if k in "IH" or (k != "1" and cell.sizes[k] > 1)]
        if "H" in letters:
            letters.remove("H")
            units["".join(sorted(letters, reverse=True))] += 1
        else:
            others["".join(sorted(letters, reverse=True))] += 1
    whole, rest = _sum(units), _sum(others)
    if not rest:
        return whole
    return f"{whole} + " + (f"({rest})/H" if "+" in rest else f"{rest}/H")


def _sum(terms: Counter[str]) -> str:
    def written(letters: str, count: int) -> str:
        letters = letters.replace("DD", "D²")
        return str(count) if not letters else letters if count == 1 else f"{count}{letters}"

    # The input's share first, then the state's, plain numbers last.
    order = sorted(terms, key=lambda k: (k == "", "IH".find(k[:1]) % 3, -len(k), k))
    return " + ".join(written(k, terms[k]) for k in order)


def engines(cell: Cell) -> str:
    """The engines that run a cell, found by planning its kernel without building it."""
    try:
        compiler.summary(cell)
    except compiler.Unsupported:
        return "reference"
    return "cpu, reference"


def _table(speed: dict[str, float], *, sentences: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("cell", no_wrap=True)
    table.add_column("weights a unit", min_width=11)
    table.add_column("gates")
    table.add_column("engines")
    if speed:
        table.add_column("speed", justify="right", no_wrap=True)
    if sentences:
        table.add_column("what it is")
    for name, kind in CELLS.items():
        cell = example(name, device="meta")
        first = (inspect.getdoc(kind) or "").splitlines()[0]
        row = [name, parameters_per_unit(cell), ", ".join(cell.gates) or "–", engines(cell)]
        row += [f"×{speed[name]:.2f}"] if speed else []
        table.add_row(*row, *([first] if sentences else []))
    return table


def speeds() -> dict[str, float]:
    """Each cell's speed as a multiple of the LSTM's, with a bar on standard error meanwhile."""
    shown = track(CELLS, "timing", console=Console(stderr=True), transient=True)
    return {name: beside_lstm(example(name, INPUTS, UNITS)) for name in shown}


def beside_lstm(cell: Cell) -> float:
    """How many times as fast as the LSTM a cell trains: median against median.

    The runs of both alternate, so that a drift of the machine's speed meets both.
    """
    both = (LSTM(INPUTS, UNITS), cell)
    x = torch.randn(STEPS, ROWS, INPUTS, requires_grad=True)
    seconds: tuple[list[float], list[float]] = ([], [])
    for run in range(RUNS + 1):
        for one, times in zip(both, seconds, strict=True):
            began = time.perf_counter()
            output = scan(one, x).output
            torch.autograd.grad(output, [x, *one.parameters()], torch.ones_like(output))
            if run:  # the first compiles
                times.append(time.perf_counter() - began)
    return statistics.median(seconds[0]) / statistics.median(seconds[1])


def _conditions() -> str:
    return (
        f"forward and backward, T = {STEPS}, B = {ROWS}, I = {INPUTS}, H = {UNITS}, float32, "
        f"{torch.get_num_threads()} threads, median of {RUNS}"
    )


def _speed_is(times: float) -> str:
    return f"×{times:.2f} the speed of the LSTM ({_conditions()})."
