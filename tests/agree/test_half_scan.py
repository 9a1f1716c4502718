"""Scans under autocast to bfloat16: products of what is rounded, on the matrix unit, as float32.

What is rounded is wrong by up to 2⁻⁹ of itself, and such errors partly cancel in a sum. A term of
such a sum that is missing, or one too many, is wrong by far more than `NEAR` allows.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from kernels import threads
from problems import KINDS, normal
from recurnn.cells import Cell
from recurnn.compiler import engine as module
from recurnn.compiler.build import matrix_unit
from tolerance import identical

F32, BF16 = torch.float32, torch.bfloat16
NEAR = 2.0**-6
FLOOR = 0.02
"""The largest error beside the largest number of a tensor, or `FLOOR`."""

needs_unit = pytest.mark.skipif(
    not matrix_unit(), reason="the processor has no matrix unit for bfloat16, or it may not be used"
)


def everything(
    cell: Cell, x: Tensor, *, half: bool, engine: str = "cpu", **options: Any
) -> dict[str, Tensor]:
    x = x.detach().clone().requires_grad_()
    with torch.autocast("cpu", BF16, enabled=half):
        result = recurnn.scan(cell, x, engine=engine, **options)
    outputs = {"y": result.output} | {f"last {k}": v for k, v in result.state.items()}
    return dict(with_gradients(outputs, {"x": x} | dict(cell.named_parameters())))


def near(got: dict[str, Tensor], want: dict[str, Tensor]) -> None:
    assert set(got) == set(want)
    wrong = {}
    for name, value in want.items():
        assert got[name].dtype == F32
        apart = (got[name] - value).abs().max() / value.abs().max().clamp(min=FLOOR)
        if not apart <= NEAR:
            wrong[name] = float(apart)
    assert not wrong


def made(kind: str, inputs: int, units: int) -> Cell:
    cell: Cell = KINDS[kind].make(inputs, units, dtype=F32)
    with torch.no_grad():  # about as large as those of a layer that is trained
        for weight in cell.parameters():
            if weight.dim() == 2:
                weight.div_(weight.shape[1] ** 0.25)
    return cell


SIZES = [  # T, B, I, H: on both sides of tiles of 16 rows and 16 columns, and of pieces of 32 of k
    (9, 1, 1, 7), (9, 3, 5, 16), (7, 16, 16, 15), (7, 17, 31, 17), (5, 33, 33, 32), (6, 40, 64, 33),
    (3, 15, 32, 63), (40, 7, 3, 64), (20, 20, 65, 200),
]  # fmt: skip


@needs_unit
@pytest.mark.parametrize("kind", ["elman", "lstm", "gru", "reset-before-gru"])
@pytest.mark.parametrize(("T", "B", "I", "H"), SIZES)
def test_of_every_size(kind: str, T: int, B: int, I: int, H: int) -> None:  # noqa: E741
    cell, x = made(kind, I, H), normal(T, B, I, seed=1, dtype=F32)
    found = everything(cell, x, half=True)
    near(found, everything(cell, x, half=False))
    with pytest.raises(AssertionError):  # something was rounded
        identical(found, everything(cell, x, half=False))


@needs_unit
@pytest.mark.parametrize(
    "kind",
    ["projected-lstm", "peephole-lstm", "layernorm-gru", "multiplicative-lstm", "nested-lstm",
     "working-memory-lstm"],
)  # fmt: skip
def test_of_other_cells(kind: str) -> None:
    cell, x = made(kind, 34, 50), normal(12, 18, 34, seed=1, dtype=F32)
    near(everything(cell, x, half=True), everything(cell, x, half=False))


@needs_unit
@pytest.mark.parametrize(
    "options",
    [{"lengths": [9, 3, 0, 9, 1]}, {"reverse": True}, {"memory": "low"},
     {"reset": torch.arange(45).view(9, 5) % 4 == 2}, {"clip_gradient": 0.2}],
    ids=lambda found: next(iter(found)),
)  # fmt: skip
def test_with_options(options: dict[str, Any]) -> None:
    cell, x = made("lstm", 20, 40), normal(9, 5, 20, seed=1, dtype=F32)
    near(everything(cell, x, half=True, **options), everything(cell, x, half=False, **options))


@needs_unit
def test_any_number_of_threads_gives_the_same_bits() -> None:
    cell, x = made("lstm", 70, 130), normal(30, 37, 70, seed=1, dtype=F32)
    results = []
    for n in (1, 2, 3, 5):
        with threads(n):
            results.append(everything(cell, x, half=True))
    for other in results[1:]:
        identical(other, results[0])


@needs_unit
def test_it_is_what_weights_of_bfloat16_compute() -> None:
    half = KINDS["gru"].make(33, 40, dtype=BF16)
    wide = KINDS["gru"].make(33, 40, dtype=F32)
    wide.load_state_dict({k: v.float() for k, v in half.state_dict().items()})
    x = normal(8, 19, 33, seed=1, dtype=BF16)
    want = recurnn.scan(half, x, engine="cpu").output
    with torch.autocast("cpu", BF16):
        found = recurnn.scan(wide, x.float(), engine="cpu").output
    identical({"y": found.bfloat16()}, {"y": want})


@needs_unit
def test_what_is_not_finite_stays_in_its_row() -> None:
    cell, x = made("lstm", 20, 40), normal(6, 18, 20, seed=1, dtype=F32)
    clean = everything(cell, x, half=True)
    spoilt = x.clone()
    spoilt[2, 3, 4] = float("nan")
    found = everything(cell, spoilt, half=True)
    rest = [b for b in range(18) if b != 3]
    for name in ("y", "d x"):
        identical({name: found[name][:, rest]}, {name: clean[name][:, rest]})
    assert found["y"][2:, 3].isnan().all()
    assert found["y"][:2, 3].isfinite().all()


@needs_unit
def test_a_second_derivative_is_that_of_float32() -> None:
    cell, x = made("elman", 4, 6), normal(3, 2, 4, seed=1, dtype=F32)
    found = []
    for half in (True, False):
        given = x.clone().requires_grad_()
        with torch.autocast("cpu", BF16, enabled=half):
            y = recurnn.scan(cell, given).output
        (slope,) = torch.autograd.grad(y.square().sum(), given, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), given)[0])
    near({"d": found[0]}, {"d": found[1]})


def test_without_a_matrix_unit_nothing_is_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "matrix_unit", lambda: False)
    cell, x = made("gru", 20, 40), normal(6, 5, 20, seed=1, dtype=F32)
    identical(everything(cell, x, half=True), everything(cell, x, half=False))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_types_are_what_they_are_without_autocast(dtype: torch.dtype) -> None:
    cell, x = made("gru", 20, 40), normal(6, 5, 20, seed=1, dtype=F32)
    if dtype == torch.float64:  # of the weights
        cell, x = cell.double(), x.double()
        identical(everything(cell, x, half=True), everything(cell, x, half=False))
        return
    plain = recurnn.scan(cell, x).output
    with torch.autocast("cpu", dtype):  # that autocast has
        identical({"y": recurnn.scan(cell, x).output}, {"y": plain})


def test_the_reference_rounds_nothing() -> None:
    cell, x = made("gru", 20, 40), normal(6, 5, 20, seed=1, dtype=F32)
    want = everything(cell, x, half=False, engine="reference")
    identical(everything(cell, x, half=True, engine="reference"), want)


@needs_unit
def test_layers_take_it_too() -> None:
    layer = recurnn.nn.LSTM(40, 50, num_layers=2, bidirectional=True)
    x = normal(9, 6, 40, seed=1, dtype=F32)
    plain = layer(x)[0]
    with torch.autocast("cpu", BF16):
        found = layer(x)[0]
    near({"y": found.detach()}, {"y": plain.detach()})
    assert not torch.equal(found, plain)
