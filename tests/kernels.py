"""The compiled kernel beside the reference: every value and every gradient of one problem."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

import recurnn
import rows
from recurnn.cells import Cell
from rows import Problem

CPU = partial(recurnn.scan, engine="cpu")
REFERENCE = partial(recurnn.scan, engine="reference")


def tame(cell: Cell) -> Cell:
    """Smaller matrices, so that rounding does not grow along many steps of many units."""
    with torch.no_grad():
        for weight in cell.parameters():
            if weight.dim() == 2:
                weight.div_(weight.shape[1] ** 0.25)
    return cell


def terms(problem: Problem, cell: Cell) -> int:
    """As in `rows.compare`: products behind one number of a weight's gradient."""
    return max(1, problem.T * (problem.B + cell.input_size + cell.hidden_size))


def compare(problem: Problem, run: rows.Scan = CPU) -> None:
    """Assert that the kernel and the reference agree on every value and every gradient."""
    cell, x, start, options = problem.build()
    tame(cell)
    got = rows.everything(cell, x, start, options, run)
    want = rows.everything(cell, x, start, options, REFERENCE)
    rows.agree(got, want, terms=terms(problem, cell))


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run with n threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
