"""scan against the same thing said row by row: every value and every gradient."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from problems import CORE, KINDS, engine_of, normal, states_of
from recurnn import nn
from rows import Problem, compare
from tolerance import agree, identical

RAGGED = (4, 6, 1)
RESETS = ((0, 0), (3, 0), (2, 1), (3, 1), (5, 2))
"""At step 0; in the middle; two in a row; past the end of row 2 under RAGGED."""

EVERY_KIND = [Problem(kind, lengths=RAGGED, resets=RESETS, reset_state=True) for kind in KINDS]
EVERY_KIND_REVERSED = [Problem(kind, lengths=RAGGED, reverse=True) for kind in CORE]
COMBINED = [
    Problem(lengths=lengths, resets=resets, reset_state=start, reverse=reverse)
    for lengths in (None, RAGGED)
    for resets, start in ((None, False), (RESETS, False), (RESETS, True))
    for reverse in (False, True)
]
ODD = [
    Problem(T=1, B=1),
    Problem("gru", T=1, B=2, lengths=(0, 1), resets=((0, 0), (0, 1)), reset_state=True),
    Problem("gru", T=2, B=2, lengths=(0, 0), reverse=True),
    Problem("peephole-lstm", T=0, B=2),
    Problem("lstm", T=0, B=2, lengths=(0, 0), resets=(), reverse=True),
    Problem("reset-before-gru", T=4, B=0, lengths=(), resets=()),
    Problem("jordan-2", T=0, B=0),
    Problem("projected-lstm", T=5, H=1, I=1, B=1, lengths=(3,)),
    Problem("layernorm-lstm", T=5, H=33, I=2, B=2, bias=False),
    Problem("lstm", T=63, B=2, H=8, I=1, lengths=(63, 17), resets=((40, 0), (16, 1))),
    Problem("lstm", T=17, B=3, H=33, dtype=torch.float32, lengths=(17, 2, 9), reverse=True),
    Problem("gru", T=17, B=3, H=8, dtype=torch.float32, resets=((4, 1),)),
]


@pytest.mark.parametrize("problem", EVERY_KIND + EVERY_KIND_REVERSED + COMBINED + ODD, ids=str)
def test_scan_is_its_rows(problem: Problem) -> None:
    compare(problem)


@pytest.mark.parametrize("kind", CORE)
def test_derivatives_are_those_of_finite_differences(kind: str) -> None:
    cell = KINDS[kind].make(2, 2)
    names = [name for name, _ in cell.named_parameters()]
    weights = [weight.detach().clone().requires_grad_() for weight in cell.parameters()]
    start = states_of(cell, 2, seed=2)
    lengths = torch.tensor([3, 2])
    reset = torch.tensor([[False, False], [True, False], [False, False]])

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        state, given = rest[: len(start)], dict(zip(names, rest[len(start) :], strict=True))
        y, last, *_ = recurnn.scan(
            cell, x, state, lengths=lengths, reset=reset, parameters=given
        )  # fmt: skip
        return (y, *last.values())

    inputs = (normal(3, 2, 2, seed=1), *start.values(), *weights)
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


def test_initial_states_by_name_in_order_and_alone() -> None:
    cell = KINDS["lstm"].make()
    x, start = normal(3, 2, 3, seed=1), states_of(cell, 2, seed=2)
    want = recurnn.scan(cell, x, start).state
    identical(recurnn.scan(cell, x, [start["h"], start["c"]]).state, want)
    identical(recurnn.scan(cell, x, {"c": start["c"], "h": start["h"]}).state, want)
    gru = KINDS["gru"].make()
    want = recurnn.scan(gru, x, {"h": start["h"]}).state
    identical(recurnn.scan(gru, x, start["h"]).state, want)


def test_no_state_is_zeros_and_lengths_may_be_a_list() -> None:
    cell, x = KINDS["lstm"].make(), normal(4, 2, 3, seed=1)
    zeros = torch.zeros(2, 4, dtype=torch.float64)
    got = recurnn.scan(cell, x, lengths=[4, 2])
    want = recurnn.scan(cell, x, (zeros, zeros), lengths=torch.tensor([4, 2], dtype=torch.int32))
    identical({"y": got.output} | got.state, {"y": want.output} | want.state)
    assert recurnn.scan(cell, normal(4, 0, 3, seed=1), lengths=[]).output.shape == (4, 0, 4)


def test_only_what_is_asked_for_comes() -> None:
    cell, x = KINDS["lstm"].make(), normal(4, 2, 3, seed=1)
    bare = recurnn.scan(cell, x)
    assert bare.states is None
    assert bare.gates is None
    full = recurnn.scan(cell, x, return_states="all", return_gates=True)
    assert full.states is not None
    assert full.gates is not None
    assert list(full.states) == ["h", "c"]
    assert list(full.gates) == ["i", "f", "g", "o"]
    identical({"y": bare.output}, {"y": full.output})


def test_non_contiguous_input_and_states() -> None:
    cell = KINDS["gru"].make()
    wide, tall = normal(3, 5, 6, seed=1), normal(4, 3, seed=2)
    x, h = wide.transpose(0, 1)[..., ::2], tall.T
    assert not x.is_contiguous()
    got = recurnn.scan(cell, x, h)
    want = recurnn.scan(cell, x.contiguous(), h.contiguous())
    inputs = {"wide": wide, "tall": tall} | dict(cell.named_parameters())
    agree(
        with_gradients({"y": got.output, "h": got.state["h"]}, inputs),
        with_gradients({"y": want.output, "h": want.state["h"]}, inputs),
        terms=40,
    )


def test_given_parameters_take_the_place_of_the_cells_own() -> None:
    cell, other, x = KINDS["gru"].make(), KINDS["gru"].make(), normal(3, 2, 3, seed=1)
    given = {k: w * -0.5 for k, w in other.named_parameters()}
    got = recurnn.scan(cell, x, parameters=given).output
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(-0.5)
    identical({"y": got}, {"y": recurnn.scan(other, x).output})


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_survives_a_copy_a_pickle_and_its_state_dict(kind: str) -> None:
    layer = nn.Recurrent(KINDS[kind].make(), engine=engine_of(kind))
    x = normal(3, 2, 3, seed=1)
    want = {"y": layer(x).output}
    identical({"y": copy.deepcopy(layer)(x).output}, want)
    identical({"y": pickle.loads(pickle.dumps(layer))(x).output}, want)
    cell = KINDS[kind].cell(3, 4, dtype=torch.float64, **KINDS[kind].options)
    fresh = nn.Recurrent(cell, engine=engine_of(kind))
    fresh.load_state_dict(layer.state_dict())
    identical({"y": fresh(x).output}, want)


def test_torch_func_calls_maps_and_differentiates_a_layer() -> None:
    layer = nn.Recurrent(KINDS["peephole-lstm"].make(2, 3), reverse=True)
    x, lengths = normal(4, 2, 2, seed=1).detach(), torch.tensor([4, 2])
    weights = {k: w.detach() for k, w in layer.named_parameters()}
    several = {k: torch.stack([w, 0.5 * w, -w]) for k, w in weights.items()}

    def run(w: dict[str, Tensor], x: Tensor) -> Tensor:
        result: recurnn.ScanResult = torch.func.functional_call(
            layer, w, (x,), {"lengths": lengths}
        )
        return result.output

    mapped = torch.func.vmap(run, in_dims=(0, None))(several, x)
    for n, factor in enumerate((1.0, 0.5, -1.0)):
        alone = run({k: factor * w for k, w in weights.items()}, x)
        agree({"y": mapped[n]}, {"y": alone}, terms=20)
    jacobian = torch.func.jacrev(run)(weights, x)["cell.p_o"]
    small = 1e-6 * torch.eye(3, dtype=torch.float64)
    for k in range(3):
        up = run(weights | {"cell.p_o": weights["cell.p_o"] + small[k]}, x)
        down = run(weights | {"cell.p_o": weights["cell.p_o"] - small[k]}, x)
        assert torch.allclose(jacobian[..., k], (up - down) / 2e-6, atol=1e-9, rtol=0)
    assert jacobian[:2, 1].any()
    per_row = torch.func.vmap(torch.func.grad(lambda w, x: run(w, x).sum()), in_dims=(0, None))
    assert per_row(several, x)["cell.U_i"].shape == (3, 3, 3)


def test_recurrent_batch_first_is_time_first_turned_round() -> None:
    cell = KINDS["gru"].make()
    x, lengths = normal(5, 2, 3, seed=1), torch.tensor([5, 3])
    reset = torch.zeros(5, 2, dtype=torch.bool)
    reset[2, 0] = True
    how = {"lengths": lengths, "return_states": "all", "return_gates": True}
    a = recurnn.scan(cell, x, reset=reset, reverse=True, **how)
    plain = nn.Recurrent(cell, reverse=True)(x, reset=reset, **how)
    identical({"y": plain.output} | plain.state, {"y": a.output} | a.state)
    layer = nn.Recurrent(cell, reverse=True, batch_first=True)
    b = layer(x.transpose(0, 1), reset=reset.T, **how)
    got = {"y": b.output} | b.gates | {f"all {k}": v for k, v in b.states.items()}
    want = {"y": a.output} | a.gates | {f"all {k}": v for k, v in a.states.items()}
    identical({k: v.transpose(0, 1) for k, v in got.items()}, want)
    identical(b.state, a.state)
    assert "batch_first=True, reverse=True" in repr(layer)
