"""bfloat16 kernels beside the plain loop in float32 on the same numbers, and kept scratch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from kernels import CPU, REFERENCE, tame
from problems import KINDS, normal
from recurnn.cells import Cell
from tolerance import agree, identical

HALF = torch.bfloat16


def everything(cell: Cell, x: Tensor, run: object, dtype: torch.dtype) -> dict[str, Tensor]:
    made = tame(type(cell)(cell.input_size, cell.hidden_size, dtype=dtype))
    made.load_state_dict(cell.state_dict())
    x = x.to(dtype).requires_grad_()
    result = run(made, x, lengths=[7, 3, 7, 5, 1, 0, 6])  # type: ignore[operator]
    outputs = {"y": result.output} | {f"last {k}": v for k, v in result.state.items()}
    return with_gradients(outputs, {"x": x} | dict(made.named_parameters()))


@pytest.mark.parametrize("kind", ["lstm", "gru", "reset-before-gru", "elman"])
def test_products_are_of_bfloat16_and_sums_are_not(kind: str) -> None:
    cell = tame(KINDS[kind].make(5, 33, dtype=HALF))  # odd depths: the last of a pair is alone
    x = normal(7, 7, 5, seed=1, dtype=HALF)
    got = everything(cell, x, CPU, HALF)
    want = everything(cell, x, REFERENCE, torch.float32)
    # As near as numbers rounded once: what is summed up in float32 does not grow with its terms.
    agree(got, {k: v.to(HALF) for k, v in want.items()}, terms=1)


def test_scratch_of_another_call_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)
    small, large = (recurnn.nn.LSTM(3, n) for n in (9, 70))
    x = torch.randn(11, 4, 3)

    def run(layer: torch.nn.Module) -> dict[str, Tensor]:
        given = x.clone().requires_grad_()
        return with_gradients({"y": layer(given)[0]}, {"x": given} | dict(layer.named_parameters()))

    first = run(small)
    run(large)
    recurnn.nn.GRU(3, 50)(x[:5] * float("inf"))
    identical(run(small), first)
