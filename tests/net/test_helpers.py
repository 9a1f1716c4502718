"""Each comparison helper refuses a wrong answer, however small or well hidden."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gradients import with_gradients
from problems import normal
from tolerance import agree, identical, tolerance

F32, F64 = torch.float32, torch.float64


def pair() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    want = {"y": normal(4, 3, seed=1).detach(), "d W": normal(3, 2, seed=2).detach()}
    return {k: v.clone() for k, v in want.items()}, want


def test_equal_tensors_are_accepted() -> None:
    got, want = pair()
    agree(got, want, terms=1)
    identical(got, want)
    got["y"][3, 2] *= 1 + 1e-15
    agree(got, want, terms=1)


@pytest.mark.parametrize("compare", [lambda g, w: agree(g, w, terms=100), identical])
@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, 1e-9])
def test_one_wrong_number_at_the_last_place_is_refused(compare: object, value: float) -> None:
    got, want = pair()
    got["y"][3, 2] = want["y"][3, 2] + 1e-9 if value == 1e-9 else value
    with pytest.raises(AssertionError, match=r"^y\[3, 2\]: .*; 1 of 12 are more than"):
        compare(got, want)  # type: ignore[operator]


@pytest.mark.parametrize("compare", [lambda g, w: agree(g, w, terms=100), identical])
def test_what_is_not_comparable_is_refused(compare: object) -> None:
    for change, text in (
        (lambda got: got.pop("d W"), "names: "),
        (lambda got: got.update(z=got["y"]), "names: "),
        (lambda got: got.update(y=got["y"].T), "y: torch.Size"),
        (lambda got: got.update(y=got["y"][:, :1]), "y: torch.Size"),
        (lambda got: got.update(y=got["y"].float()), "y: torch.float32, want torch.float64"),
    ):
        got, want = pair()
        change(got)
        with pytest.raises(AssertionError, match=f"^{text}"):
            compare(got, want)  # type: ignore[operator]
    with pytest.raises(AssertionError, match=r"^nothing to compare"):
        compare({}, {})  # type: ignore[operator]


def test_nan_on_both_sides_is_refused() -> None:
    for bad in (math.nan, math.inf):
        got, want = pair()
        got["y"][0, 0] = want["y"][0, 0] = bad
        with pytest.raises(AssertionError, match=r"^y\["):
            agree(got, want, terms=1)
    got["y"][0, 0] = want["y"][0, 0] = math.nan
    with pytest.raises(AssertionError, match=r"^y\["):
        identical(got, want)


def test_identical_refuses_one_bit() -> None:
    got, want = pair()
    got["y"][0, 0] = torch.nextafter(want["y"][0, 0], torch.tensor(9.0, dtype=F64))
    with pytest.raises(AssertionError, match=r"^y\[0, 0\]"):
        identical(got, want)


def test_the_tolerance_is_rounding() -> None:
    # the promise to torch's users: 1e-10 in float64, whatever the test suite's longest chain
    assert tolerance(F64, 20_000, 10.0) < 1e-10
    assert tolerance(F32, 100, 1.0) < 1.1e-5
    assert tolerance(F64, 100, 1.0) == pytest.approx(8 * 2.0**-52 * 11)
    assert tolerance(F64, 1, 0.0) == 8 * 2.0**-52


def test_the_tolerance_leaves_room_for_rounding_and_no_more() -> None:
    """Sums in float32, in two orders, differ by less; a term left out differs by more."""
    values = normal(200, 4096, seed=3).detach()
    exact, rounded = values.sum(1), values.float().cumsum(1)[:, -1].double()
    scale = exact.abs().max().item()
    assert (exact - rounded).abs().max() < tolerance(F32, 4096, scale)
    assert (values[:, 17].abs() > tolerance(F32, 4096, scale)).float().mean() > 0.95


def test_gradients_are_of_everything_and_tell_transposed_outputs_apart() -> None:
    W, x = normal(3, 3, seed=1), normal(3, 3, seed=2)
    inputs = {"W": W, "x": x}
    want = with_gradients({"y": W @ x}, inputs)
    assert set(want) == {"y", "d W", "d x"}
    agree(with_gradients({"y": W @ x}, inputs), want, terms=3)
    for wrong in (W.detach() @ x, W @ x.detach(), W @ x + (W - W.detach())):
        with pytest.raises(AssertionError, match=r"^d "):
            agree(with_gradients({"y": wrong}, inputs), want, terms=3)
