"""The output layer under autocast: products of what is rounded to bfloat16, in float32.

The judge is float64 on the rounded numbers, and what it allows is counted element by element:
half a unit in the last place of bfloat16 for each factor that is rounded on the way, times what
was multiplied; float32's for what is summed. The tolerance of other tests, which goes by the
largest number of a tensor, would let a missing term pass.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from gradients import with_gradients
from kernels import threads
from output_layers import Case, by_us, planted
from problems import normal
from recurnn.compiler import output_layer as module
from recurnn.errors import ShapeError
from recurnn.nn import linear_cross_entropy
from tolerance import agree, identical

F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16
HALF_UNIT, EPS = 2.0**-8, 2.0**-23
LARGE, SMALL = 1.0, 0.1
"""Of weights: with which a row's reference is its greatest logit, or 0."""

CASES = [
    Case(dtype=F32),
    Case(dtype=F32, reduction="sum", bias=False, size=SMALL),
    Case(dtype=F32, reduction="none", size=SMALL),
    Case(dtype=F32, reduction="none", ignored=(0, 3), bias=False),
    Case(N=30, dtype=F32, ignored=(1, 2, 29), size=SMALL),
    Case(N=1, H=1, V=1, dtype=F32),
    Case(N=1, H=33, V=31, dtype=F32),
    Case(N=5, H=1, V=2, dtype=F32, reduction="sum"),
    Case(N=32, H=32, V=256, dtype=F32, size=SMALL),  # whole blocks, pieces and tiles
    Case(N=64, H=64, V=512, dtype=F32),
    Case(N=33, H=63, V=257, dtype=F32, size=SMALL),  # one more and one less
    Case(N=31, H=31, V=33, dtype=F32, size=SMALL),
    Case(N=17, H=16, V=16, dtype=F32, size=SMALL),  # a half block
    Case(N=17, H=17, V=17, dtype=F32),
    Case(N=13, H=65, V=1031, dtype=F32, ignored=(12,), size=SMALL),
    Case(N=40, H=130, V=600, dtype=F32, rows=9),  # five groups
    Case(N=40, H=130, V=600, dtype=F32, rows=7, ignored=(0, *range(8, 15), 39), size=SMALL),
    Case(N=40, H=20, V=600, dtype=F32, rows=7, reduction="none"),
    Case(N=12, H=33, V=65, dtype=F32, contiguous=False, size=SMALL),
]


@pytest.fixture
def matrix_unit() -> None:
    """What the test is about is there."""
    if module._library(BF16) is module._library(F32):
        pytest.skip("the processor has no matrix unit for bfloat16, or the system denies its use")


def under_autocast(case: Case, inputs: dict[str, Tensor], target: Tensor) -> dict[str, Tensor]:
    with torch.autocast("cpu", BF16):
        return by_us(case, inputs, target)


def expected(
    case: Case, inputs: dict[str, Tensor], target: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The values in float64, and how far from them each may be."""
    exact = {k: v.detach().double() for k, v in inputs.items()}
    h, weight = (inputs[k].detach().bfloat16().double() for k in ("h", "weight"))
    bias = exact.get("bias", torch.zeros(case.V, dtype=F64))
    logits = h @ weight.T + bias
    at, counts = target.clamp(min=0).unsqueeze(1), target >= 0
    losses = torch.where(counts, (logits.logsumexp(1) - logits.gather(1, at).squeeze(1)), 0)
    leaf = losses.clone().requires_grad_()
    total = {"sum": leaf.sum(), "mean": leaf.sum() / counts.sum(), "none": leaf}[case.reduction]
    found = with_gradients({"loss": total}, {"losses": leaf})
    scale = torch.where(counts, found.pop("d losses"), 0).unsqueeze(1)
    p = scale * logits.softmax(1)
    q = p.scatter_add(1, at, -scale)
    found |= {"d h": q @ weight, "d weight": q.T @ exact["h"]}
    # What summing a logit in float32 does to it, and so to the share of p that it changes.
    summed = 8 * EPS * case.H**0.5 * (1 + (h.abs() @ weight.abs().T + bias.abs()).amax(1))
    loose = summed.unsqueeze(1) * (p.abs() + q.abs()) + 8 * EPS * case.N**0.5 * q.abs()
    of_words = (2 * HALF_UNIT + HALF_UNIT**2) * q.abs() + loose  # e and f h, or f
    of_rows = HALF_UNIT * p.abs() + loose  # e alone: the target's part is a difference in float32
    each = torch.where(counts, summed, 0)
    allowed = {
        "loss": {"sum": each.sum(), "mean": each.sum() / counts.sum(), "none": each}[
            case.reduction
        ],
        "d h": of_rows @ weight.abs(),
        "d weight": of_words.T @ exact["h"].abs(),
    }
    if "bias" in inputs:
        found["d bias"], allowed["d bias"] = q.sum(0), of_words.sum(0)
    return found, allowed


def near(got: dict[str, Tensor], want: dict[str, Tensor], allowed: dict[str, Tensor]) -> None:
    """Assert that every element is as near as it has to be."""
    assert set(got) == set(want) == set(allowed)
    for name, value in want.items():
        assert got[name].dtype == F32
        assert got[name].shape == value.shape
        over = (got[name].double() - value).abs() / (allowed[name] + 1e-30)
        assert over.max() <= 1, f"{name}: {over.max():.3g} times what rounding explains"


def compare(case: Case) -> None:
    inputs, target = case.inputs(), case.target()
    near(under_autocast(case, inputs, target), *expected(case, inputs, target))


@pytest.mark.usefixtures("matrix_unit")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_loss_and_gradient_is_that_of_rounded_numbers(case: Case) -> None:
    compare(case)


@pytest.mark.usefixtures("matrix_unit")
def test_operands_are_rounded() -> None:
    case = Case(N=33, H=63, V=257, dtype=F32, reduction="none", size=SMALL)
    inputs, target = case.inputs(), case.target()
    plain = by_us(case, inputs, target)  # without autocast they are not
    want, allowed = expected(case, inputs, target)
    with pytest.raises(AssertionError, match="rounding explains"):
        near({"loss": plain["loss"]}, {"loss": want["loss"]}, {"loss": allowed["loss"]})


@pytest.mark.usefixtures("matrix_unit")
def test_weights_of_bfloat16_take_the_same_products() -> None:
    case = Case(N=20, H=40, V=300, dtype=BF16)
    inputs, target = case.inputs(), case.target()
    wide = {k: v.detach().float().requires_grad_() for k, v in inputs.items()}
    with torch.autocast("cpu", BF16):
        want = linear_cross_entropy(wide["h"], wide["weight"], target, wide["bias"], engine="cpu")
    got = linear_cross_entropy(inputs["h"], inputs["weight"], target, inputs["bias"], engine="cpu")
    identical({"loss": got}, {"loss": want})
    slopes = torch.autograd.grad(got, list(inputs.values()))
    wanted = torch.autograd.grad(want, list(wide.values()))
    identical(dict(zip(inputs, slopes, strict=True)),
              {k: v.bfloat16() for k, v in zip(inputs, wanted, strict=True)})  # fmt: skip


@pytest.mark.usefixtures("matrix_unit")
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_gradients_of_some_inputs_only(size: float) -> None:
    case = Case(N=9, H=70, V=90, dtype=F32, size=size)
    whole = under_autocast(case, case.inputs(), case.target())
    for free in ({"h"}, {"weight"}, {"bias"}, {"h", "bias"}, set()):
        inputs = {k: v.detach().requires_grad_(k in free) for k, v in case.inputs().items()}
        with torch.autocast("cpu", BF16):
            loss = linear_cross_entropy(
                inputs["h"], inputs["weight"], case.target(), inputs["bias"], engine="cpu"
            )
        found = with_gradients({"loss": loss}, {k: inputs[k] for k in free})
        identical(found, {k: whole[k] for k in found})


@pytest.mark.usefixtures("matrix_unit")
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_any_number_of_threads_gives_the_same_bits(reduction: str, size: float) -> None:
    case = Case(N=141, H=70, V=1500, dtype=F32, rows=47, ignored=(7,), reduction=reduction,
                size=size)  # fmt: skip
    results = []
    for n in (1, 2, 3, 5):
        with threads(n):
            results.append(under_autocast(case, case.inputs(), case.target()))
    for other in results[1:]:
        identical(other, results[0])


@pytest.mark.usefixtures("matrix_unit")
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_comes_through(bad: float) -> None:
    case = Case(N=40, H=20, V=70, dtype=F32, reduction="none", size=SMALL)
    clean = under_autocast(case, case.inputs(), case.target())
    inputs = case.inputs()
    inputs["h"].data[3, 2] = bad  # a row
    found = under_autocast(case, inputs, case.target())
    rest = [i for i in range(case.N) if i != 3]
    assert not found["loss"][3].isfinite()
    assert not found["d h"][3].isfinite().any()
    assert not found["d weight"].isfinite().any()
    for name in ("loss", "d h"):
        identical({name: found[name][rest]}, {name: clean[name][rest]})
    for name, at in (("weight", (5, 7)), ("bias", (5,))):
        inputs = case.inputs()
        inputs[name].data[at] = bad
        found = under_autocast(case, inputs, case.target())
        # A word with a logit of −∞ is one that does not come; a weight makes it +∞ in some row.
        of_others = found["loss"][case.target() != 5].isfinite().all()
        assert bool(of_others) == ((name, bad) == ("bias", -float("inf")))


@pytest.mark.usefixtures("matrix_unit")
def test_logits_far_from_zero() -> None:
    h, weight = torch.tensor([[300.0, -300.0]]), torch.tensor([[1.0, 0], [0, 1.0], [0.5, 0.5]])
    bias = torch.tensor([1e4, 1e4, 1e4])
    with torch.autocast("cpu", BF16):
        for target, want in ((0, 0.0), (1, 600.0), (2, 300.0)):
            for b in (None, bias, -bias):
                given = (h, weight, torch.tensor([target]), b)
                assert linear_cross_entropy(*given, engine="cpu").item() == want


@pytest.mark.usefixtures("matrix_unit")
def test_the_backward_pass_needs_no_autocast() -> None:
    case = Case(N=9, H=20, V=50, dtype=F32, reduction="none", size=SMALL)
    inputs, target = case.inputs(), case.target()
    with torch.autocast("cpu", BF16):
        loss = linear_cross_entropy(
            inputs["h"], inputs["weight"], target, inputs["bias"], reduction="none"
        )
    near(with_gradients({"loss": loss}, inputs), *expected(case, inputs, target))


@pytest.mark.usefixtures("matrix_unit")
def test_torchs_own_products_on_the_matrix_unit_in_between() -> None:
    case = Case(N=40, H=70, V=300, dtype=F32)
    a, b = (
        normal(300, 200, seed=5, dtype=BF16).detach(),
        normal(200, 90, seed=6, dtype=BF16).detach(),
    )
    want, product = under_autocast(case, case.inputs(), case.target()), a @ b
    for _ in range(3):
        identical({"product": a @ b}, {"product": product})
        identical(under_autocast(case, case.inputs(), case.target()), want)


@pytest.mark.usefixtures("matrix_unit")
def test_in_a_thread_of_ones_own() -> None:
    case = Case(N=40, H=70, V=300, dtype=F32)
    want, found = under_autocast(case, case.inputs(), case.target()), []

    def run() -> None:
        found.append(under_autocast(case, case.inputs(), case.target()))

    started = [threading.Thread(target=run) for _ in range(2)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert len(found) == 2
    for each in found:
        identical(each, want)


FORK = """
import os, signal, sys, torch
from recurnn.nn import linear_cross_entropy
torch.manual_seed(1)
torch.set_num_threads(2)
h, w = torch.randn(40, 30, requires_grad=True), torch.randn(300, 30, requires_grad=True)
y = torch.randint(300, (40,))
def run():
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(h, w, y, engine="cpu")
    return [loss.detach(), *torch.autograd.grad(loss, (h, w))]
def in_child(test):
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that waits for threads that it does not have
        os._exit(0 if test() else 7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
def same(want):
    return all(torch.equal(a, b) for a, b in zip(run(), want))
first = in_child(lambda: same(run()))  # by a process whose parent has not asked for the tiles
want = run()
sys.exit(first or in_child(lambda: same(want)) or not same(want))
"""


def test_a_fork_before_and_after_use_runs_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, (done.returncode, done.stderr)


# ---------------------------------------------------------------- where it is not so


def test_without_a_matrix_unit_products_are_of_float32() -> None:
    case = Case(N=13, H=33, V=65, dtype=F32)
    plain = by_us(case, case.inputs(), case.target())
    module._library.cache_clear()
    try:
        with mock.patch.object(module, "matrix_unit", return_value=False):
            identical(under_autocast(case, case.inputs(), case.target()), plain)
    finally:
        module._library.cache_clear()


def test_other_types_are_what_they_are_without_autocast() -> None:
    case = Case()
    plain = by_us(case, case.inputs(), case.target())
    identical(under_autocast(case, case.inputs(), case.target()), plain)
    case = replace(case, dtype=F32)
    plain = by_us(case, case.inputs(), case.target())
    with torch.autocast("cpu", torch.float16):
        identical(by_us(case, case.inputs(), case.target()), plain)


def test_the_reference_is_near() -> None:
    case = Case(N=20, H=40, V=300, dtype=F32, size=SMALL)
    with torch.autocast("cpu", BF16):
        found = by_us(case, case.inputs(), case.target(), "reference")
    want = by_us(case, case.inputs(), case.target(), "reference")
    agree(*({k: v.bfloat16() for k, v in each.items()} for each in (found, want)), terms=1)


def test_a_target_out_of_range_is_refused_as_ever() -> None:
    h, weight = torch.zeros(2, 3), torch.zeros(7, 3)
    message = "a target is out of range.\n  Targets go from 0 to 7; expected 0 to V − 1 = 6"
    with torch.autocast("cpu", BF16), pytest.raises(ShapeError, match=re.escape(message)):
        linear_cross_entropy(h, weight, torch.tensor([0, 7]))


# ---------------------------------------------------------------- mistakes

SLOW = pytest.mark.slow  # each is a compilation; three are enough to see that they bite
ODD = Case(N=33, H=63, V=257, dtype=F32, size=SMALL)
PLANTED: list[Any] = [
    # The last words that are no whole tile are left out; a tile is; a column stands beside.
    ("const bool tall = rows > LANES, wide = columns > LANES;",
     "const bool tall = rows > LANES, wide = columns > 2 * LANES;", ODD),
    ("w < o.V && w < word + WORDS; w += SIDE", "w + SIDE <= o.V && w < word + WORDS; w += SIDE",
     Case(N=7, H=9, V=70, dtype=F32, size=SMALL)),
    ("paired(o, word / SIDE, u), r.count(i)", "paired(o, word / SIDE, 0), r.count(i)", ODD),
    *(
        pytest.param(*mistake, marks=SLOW)
        for mistake in (
            ("n < pieces; n++, left += LEFT", "n < pieces - (pieces > 1); n++, left += LEFT", ODD),
            ("_tile_dpbf16ps(2, 5, 6);", "_tile_dpbf16ps(2, 4, 6);", ODD),
            ("number(g, REFERENCE, i) = near ? 0 : INFINITY;",
             "number(g, REFERENCE, i) = 0;", Case(N=40, H=130, V=600, dtype=F32, size=10.0)),
            ("word == 0, pieces, left", "true, pieces, left", Case(V=600, dtype=F32, size=SMALL)),
            ("after_rounding(load(weight + u, o.H - u))", "load(weight + u, o.H - u)",
             replace(ODD, V=2, size=LARGE)),
            ("[k] = half(less);", "[k] = half(less + sum);", ODD),
            ("if (left >= 0 && left < LANES) v[k][left] = f[k];",
             "if (left > 0 && left < LANES) v[k][left] = f[k];",
             Case(N=9, H=32, V=40, dtype=F32, size=SMALL)),
            ("store(scaled(g, unit / SIDE, i / 2) + 2 * n, in_pairs(v[0], v[1]));",
             "store(scaled(g, unit / SIDE, i / 2) + 2 * n, in_pairs(v[0], v[0]));", ODD),
            ("add, o.H - unit - n);", "false, o.H - unit - n);",
             Case(N=40, H=30, V=60, dtype=F32, rows=9, size=SMALL)),
        )
    ),
]  # fmt: skip


@pytest.mark.usefixtures("matrix_unit")
@pytest.mark.parametrize(("line", "by", "case"), PLANTED)
def test_a_planted_mistake_is_seen(line: str, by: str, case: Case) -> None:
    with planted(line, by), pytest.raises(AssertionError, match="what rounding explains"):
        compare(case)
