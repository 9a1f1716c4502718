"""What `scan` means, said another way: one row after another, one sequence after another.

No masks: a row is cut into its sequences at the resets, each is run alone, step by step, on a
batch of one, and the pieces are laid side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from problems import KINDS, normal, states_of
from recurnn.cells import Cell
from recurnn.scan import ScanResult
from tolerance import agree

States = dict[str, Tensor]
Scan = Callable[..., ScanResult]


@dataclass(frozen=True)
class Problem:
    """One call of scan, in a line that can be pasted."""

    kind: str = "lstm"
    T: int = 6
    B: int = 3
    lengths: tuple[int, ...] | None = None
    resets: tuple[tuple[int, int], ...] | None = None
    """(t, b) where a new sequence begins."""
    reset_state: bool = False
    reverse: bool = False
    I: int = 3  # noqa: E741 - the field's own letter
    H: int = 4
    dtype: torch.dtype = torch.float64
    bias: bool = True
    cell: Cell | None = field(default=None, compare=False)

    def __str__(self) -> str:
        shown = {k: getattr(self, k) for k in self.__dataclass_fields__ if k != "cell"}
        other = {k: v for k, v in shown.items() if v != self.__dataclass_fields__[k].default}
        return " ".join(f"{k}={v}".replace(" ", "") for k, v in other.items()) or "default"

    def build(self) -> tuple[Cell, Tensor, States, dict[str, Any]]:
        """The cell, the input, the initial states and the options of scan."""
        cell = self.cell
        if cell is None:
            cell = KINDS[self.kind].make(self.I, self.H, dtype=self.dtype, bias=self.bias)
        x = normal(self.T, self.B, cell.input_size, seed=21, dtype=self.dtype)
        options: dict[str, Any] = {"reverse": self.reverse}
        if self.lengths is not None:
            options["lengths"] = torch.tensor(self.lengths, dtype=torch.int64)
        if self.resets is not None:
            options["reset"] = torch.zeros(self.T, self.B, dtype=torch.bool)
            for t, b in self.resets:
                options["reset"][t, b] = True
        if self.reset_state:
            options["reset_state"] = states_of(cell, self.B, seed=41)
        return cell, x, states_of(cell, self.B, seed=31), options


def everything(cell: Cell, x: Tensor, start: States, options: dict[str, Any], run: Scan) -> States:
    """All results of a scan and the gradients to input, states and every weight."""
    result = run(cell, x, start, **options, return_states="all", return_gates=True)
    assert result.states is not None
    assert result.gates is not None
    outputs = {"output": result.output}
    outputs |= {f"last {k}": v for k, v in result.state.items()}
    outputs |= {f"all {k}": v for k, v in result.states.items()}
    outputs |= {f"gate {k}": v for k, v in result.gates.items()}
    inputs = {"x": x} | {f"{k} before": v for k, v in start.items()} | dict(cell.named_parameters())
    again = options.get("reset_state") or {}
    return with_gradients(outputs, inputs | {f"{k} at reset": v for k, v in again.items()})


def compare(problem: Problem, scan: Scan = recurnn.scan) -> None:
    """Assert that scan and the rows agree on every value and every gradient."""
    cell, x, start, options = problem.build()
    got = everything(cell, x, start, options, scan)
    want = everything(cell, x, start, options, by_rows)
    # behind one number of a weight's gradient stand T·B products, each after a chain of T steps
    terms = max(1, problem.T * (problem.B + cell.input_size + cell.hidden_size))
    agree(got, want, terms=terms)


def by_rows(
    cell: Cell,
    x: Tensor,
    start: States,
    *,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    reset_state: States | None = None,
    reverse: bool = False,
    **_: object,
) -> ScanResult:
    """As `scan`, with all states and gates, a row at a time."""
    T, B, _size = x.shape
    if reset_state is None:
        reset_state = {k: torch.zeros_like(s) for k, s in start.items()}
    rows, lasts = [], []
    for b in range(B):
        length = T if lengths is None else int(lengths[b])
        first = {k: s[b : b + 1] for k, s in start.items()}
        fresh = {k: s[b : b + 1] for k, s in reset_state.items()}
        begins = [t for t in range(length) if reset is not None and bool(reset[t, b])]
        values, last = _row(cell, x[:length, b : b + 1], first, fresh, begins, reverse)
        rows.append(values)
        lasts.append(last)
    whole = {}
    example = cell(x.new_zeros(1, _size), *(s.new_zeros(1, s.shape[1]) for s in start.values()))
    for k in (*cell.states, *cell.gates):
        width = example[k].shape[1]
        padded = [_pad([v[k] for v in row], T, width, x.dtype) for row in rows]
        whole[k] = torch.stack(padded, dim=1) if B else x.new_zeros(T, 0, width)
    last = {k: torch.cat([row[k] for row in lasts]) if B else s for k, s in start.items()}
    return ScanResult(
        whole[cell.output],
        last,
        {k: whole[k] for k in cell.states},
        {k: whole[k] for k in cell.gates},
    )


def _row(
    cell: Cell, x: Tensor, first: States, fresh: States, begins: list[int], reverse: bool
) -> tuple[list[States], States]:
    """One row [length, 1, I]: everything at each of its steps, and its last states."""
    length = x.shape[0]
    cuts = [t for t in begins if t > 0]
    pieces = list(zip([0, *cuts], [*cuts, length], strict=True)) if length else []
    state = fresh if 0 in begins and not reverse else first
    values: list[States] = [{} for _ in range(length)]
    for n, (begin, end) in enumerate(reversed(pieces) if reverse else pieces):
        state = fresh if n else state
        for t in range(end - 1, begin - 1, -1) if reverse else range(begin, end):
            values[t] = cell(x[t], *state.values())
            state = {k: values[t][k] for k in state}
    return values, state


def _pad(parts: list[Tensor], T: int, width: int, dtype: torch.dtype) -> Tensor:
    return torch.cat([*parts, torch.zeros(T - len(parts), width, dtype=dtype)])
