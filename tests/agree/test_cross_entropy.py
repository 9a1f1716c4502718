"""The output layer beside torch's, on the same weights: every loss and every gradient."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gradients import with_gradients
from kernels import threads
from output_layers import Case, by_us, planted
from problems import normal
from recurnn import nn
from recurnn.nn import linear_cross_entropy
from tolerance import agree, identical

F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16
ENGINES = ("cpu", "reference")


CASES = [
    Case(),
    Case(reduction="sum", bias=False),
    Case(reduction="none"),
    Case(reduction="none", ignored=(0, 3), bias=False),
    Case(N=30, ignored=(1, 2, 29)),
    Case(N=1, H=1, V=1),
    Case(N=5, H=1, V=2, reduction="sum"),
    Case(N=6, H=32, V=128, dtype=F32),  # whole vectors and panels of any machine
    Case(N=13, H=64, V=256, dtype=F32),
    Case(N=13, H=63, V=257, dtype=F32),
    Case(N=13, H=65, V=1031, dtype=F32, ignored=(12,)),
    Case(N=40, H=130, V=600, dtype=F32, rows=9),  # five groups
    Case(N=40, H=130, V=600, rows=7, ignored=(0, 8, 9, 10, 11, 12, 13, 14, 39)),
    Case(N=40, H=20, V=600, rows=7, reduction="none", dtype=F32),
    Case(N=12, H=33, V=65, contiguous=False, dtype=F32),
    Case(N=0),
]


def by_torch(case: Case, inputs: dict[str, Tensor], target: Tensor) -> dict[str, Tensor]:
    logits = F.linear(inputs["h"], inputs["weight"], inputs.get("bias"))
    loss = F.cross_entropy(logits, target, reduction=case.reduction)
    return with_gradients({"loss": loss}, inputs)


def compare(case: Case, engine: str = "cpu") -> None:
    inputs, target = case.inputs(), case.target()
    got, want = by_us(case, inputs, target, engine), by_torch(case, inputs, target)
    agree(got, want, terms=max(1, case.V + case.H + case.N))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", [c for c in CASES if c.N], ids=str)
def test_every_loss_and_gradient_is_torchs(case: Case, engine: str) -> None:
    compare(case, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_rows(engine: str) -> None:
    case = Case(N=0, reduction="sum")
    found = by_us(case, case.inputs(), case.target(), engine)
    identical(found, {k: torch.zeros_like(v) for k, v in found.items()})
    mean = linear_cross_entropy(torch.zeros(0, 3), torch.ones(5, 3), torch.zeros(0).long())
    assert mean.isnan()


@pytest.mark.parametrize("engine", ENGINES)
def test_no_rows_that_count(engine: str) -> None:
    case = Case(N=3, ignored=(0, 1, 2), reduction="sum")
    found = by_us(case, case.inputs(), case.target(), engine)
    identical(found, {k: torch.zeros_like(v) for k, v in found.items()})


@pytest.mark.parametrize("engine", ENGINES)
def test_gradients_of_some_inputs_only(engine: str) -> None:
    case = Case(N=9, H=70, V=90)
    want = by_torch(case, case.inputs(), case.target())
    for free in ({"h"}, {"weight"}, {"bias"}, {"h", "bias"}):
        inputs = {k: v.detach().requires_grad_(k in free) for k, v in case.inputs().items()}
        loss = linear_cross_entropy(
            inputs["h"], inputs["weight"], case.target(), inputs["bias"], engine=engine
        )
        found = with_gradients({"loss": loss}, {k: inputs[k] for k in free})
        agree(found, {k: want[k] for k in found}, terms=case.V + case.H + case.N)


def test_losses_of_each_row_come_besides() -> None:
    case = Case(N=12, ignored=(5,))
    inputs, target = case.inputs(), case.target().view(4, 3)
    h = inputs["h"].view(4, 3, -1)
    want = F.cross_entropy(
        F.linear(inputs["h"], inputs["weight"], inputs["bias"]), case.target(), reduction="none"
    ).view(4, 3)
    for reduction, total in (("mean", want.sum() / 11), ("sum", want.sum()), ("none", want)):
        loss, losses = linear_cross_entropy(
            h, inputs["weight"], target, inputs["bias"], reduction=reduction, return_losses=True
        )
        agree({"loss": loss, "losses": losses}, {"loss": total, "losses": want}, terms=100)
        assert not losses.requires_grad
        assert loss.requires_grad
    with torch.no_grad():
        alone = linear_cross_entropy(h, inputs["weight"], target, inputs["bias"])
    agree({"loss": alone}, {"loss": want.sum() / 11}, terms=100)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_any_number_of_threads_gives_the_same_bits(reduction: str) -> None:
    case = Case(N=41, H=70, V=1500, dtype=F32, rows=17, ignored=(7,), reduction=reduction)
    results = []
    for n in (1, 2, 3, 5):
        with threads(n):
            results.append(by_us(case, case.inputs(), case.target(), "cpu"))
    for other in results[1:]:
        identical(other, results[0])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_row_that_does_not_count_acts_on_nothing(engine: str) -> None:
    case = Case(N=9, ignored=(2, 8), dtype=F32)
    run = partial(by_us, case, target=case.target(), engine=engine)
    clean, dirty = case.inputs(), case.inputs()
    with torch.no_grad():
        dirty["h"][[2, 8]] = 1e30
    got, want = run(dirty), run(clean)
    assert not got["d h"][[2, 8]].any()
    identical(got, want)


def test_large_logits_do_not_overflow() -> None:
    h, weight = torch.tensor([[300.0, -300.0]]), torch.tensor([[1.0, 0], [0, 1.0], [0.5, 0.5]])
    for target, want in ((0, 0.0), (1, 600.0), (2, 300.0)):
        loss = linear_cross_entropy(h, weight, torch.tensor([target]), engine="cpu")
        assert loss.item() == want


def test_a_kept_graph_gives_the_same_gradient_again() -> None:
    case = Case(N=9, H=20, V=50)
    inputs = case.inputs()
    loss = linear_cross_entropy(inputs["h"], inputs["weight"], case.target(), inputs["bias"])
    first = torch.autograd.grad(3 * loss, list(inputs.values()), retain_graph=True)
    again = torch.autograd.grad(loss, list(inputs.values()))
    agree(
        dict(zip(inputs, first, strict=True)),
        {k: 3 * g for k, g in zip(inputs, again, strict=True)},
        terms=1,
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_bfloat16(engine: str) -> None:
    case = Case(N=20, H=40, V=300, dtype=BF16)
    inputs, target = case.inputs(), case.target()
    wide = {k: v.detach().float().requires_grad_() for k, v in inputs.items()}
    got, want = by_us(case, inputs, target, engine), by_torch(case, wide, target)
    assert got["loss"].dtype == F32
    assert got["d weight"].dtype == BF16
    # Held to the rounding of bfloat16, not of float32.
    rounded = {k: v.bfloat16() for k, v in want.items()}
    agree({k: v.bfloat16() for k, v in got.items()}, rounded, terms=1)


def test_torch_func_and_autocast() -> None:
    case = Case(N=6)
    inputs, target = case.inputs(), case.target()

    def loss(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return linear_cross_entropy(h, weight, target, bias)

    slopes = torch.func.grad(loss, argnums=(0, 1, 2))(*(v.detach() for v in inputs.values()))
    plain = F.cross_entropy(F.linear(*inputs.values()), target)
    want = torch.autograd.grad(plain, list(inputs.values()))
    agree(dict(zip(inputs, slopes, strict=True)), dict(zip(inputs, want, strict=True)), terms=100)
    half = inputs["h"].detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):  # all is done in the type of the weights
        cast = linear_cross_entropy(half, inputs["weight"], target, inputs["bias"])
    exact = F.cross_entropy(F.linear(half.double(), inputs["weight"], inputs["bias"]), target)
    agree({"loss": cast}, {"loss": exact}, terms=100)


def test_the_module_has_linears_weights_and_ties() -> None:
    torch.manual_seed(3)
    ours = nn.LinearCrossEntropy(6, 40, dtype=F64)
    torch.manual_seed(3)
    theirs = torch.nn.Linear(6, 40, dtype=F64)
    identical(dict(ours.state_dict()), dict(theirs.state_dict()))
    h, target = normal(5, 6, seed=1, dtype=F64), torch.tensor([3, 39, 0, -1, 7])
    ours.ignore_index = -1
    want = F.cross_entropy(theirs(h), target, ignore_index=-1)
    agree({"loss": ours(h, target), "logits": ours.logits(h)},
          {"loss": want, "logits": theirs(h)}, terms=50)  # fmt: skip
    embedding = torch.nn.Embedding(40, 6, dtype=F64)
    tied = nn.LinearCrossEntropy(6, 40, bias=False, tied=embedding.weight)
    assert [name for name, _ in tied.named_parameters()] == ["weight"]
    tied(embedding(torch.tensor([1, 2])), torch.tensor([2, 3])).backward()
    plain = F.cross_entropy(
        F.linear(embedding(torch.tensor([1, 2])), embedding.weight), torch.tensor([2, 3])
    )
    expected = torch.autograd.grad(plain, embedding.weight)[0]
    agree({"d": embedding.weight.grad}, {"d": expected}, terms=50)
    assert str(tied) == "LinearCrossEntropy(6, 40, bias=False)"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_all_logits_are_never_held() -> None:
    # All logits would be 120 MB, and torch holds them three times.
    program = """
import resource, torch, recurnn
from recurnn.nn import linear_cross_entropy
h, w = torch.randn(3000, 4, requires_grad=True), torch.randn(10000, 4, requires_grad=True)
linear_cross_entropy(h[:9], w, torch.zeros(9).long()).backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for reduction in ("mean", "none"):
    linear_cross_entropy(h, w, torch.arange(3000), reduction=reduction).sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) < 40_000  # kilobytes


SLOW = pytest.mark.slow  # each is a compilation; three are enough to see that they bite
PLANTED = [
    ("g.logit(i, o.target[r]) -= sum;", "", Case()),
    ("to[o.H - p * PANEL] = f;", "to[o.H - p * PANEL] = 1;", Case()),
    ("word == 0, depth,", "word == 0, depth - 1,", Case(V=600)),
    *(
        pytest.param(*mistake, marks=SLOW)
        for mistake in (
            ("g.logit(i, o.target[r]) -= sum;", "g.logit(i, 0) -= sum;", Case()),
            ("acc[m * N + n] + bias[n];", "acc[m * N + n];", Case(V=64)),
            ("bias[n][k] = lowest[0];", "bias[n][k] = 0;", Case(V=69)),
            ("f = o.scale[r] / sum;", "f = o.scale[0] / sum;", Case(N=9, reduction="none")),
            ("word == 0, depth,", "true, depth,", Case(V=600)),
            ("run(g, team, member, done > 0);", "run(g, team, member, false);", Case(N=20, rows=6)),
            ("c.row[c.n] = r;", "c.row[c.n] = c.n;", Case(ignored=(1,))),
        )
    ),
]


@pytest.mark.parametrize(("line", "by", "case"), PLANTED)
def test_a_planted_mistake_is_seen(line: str, by: str, case: Case) -> None:
    with planted(line, by), pytest.raises(AssertionError, match=r"loss|d (h|weight|bias)"):
        compare(case)
