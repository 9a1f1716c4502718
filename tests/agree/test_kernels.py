"""The compiled kernel against the reference: every value and every gradient of every cell."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from kernels import CPU, REFERENCE, compare, tame
from problems import CORE, KINDS, ZOO, normal, states_of
from recurnn import nn
from rows import Problem, Scan
from tolerance import agree

NINE = [
    "elman", "jordan-2", "lstm", "peephole-lstm", "coupled-lstm", "projected-lstm",
    "layernorm-lstm", "gru", "reset-before-gru",
]  # fmt: skip
F32 = torch.float32
RESETS = ((0, 0), (3, 0), (2, 1), (3, 1), (5, 4))
AGAIN: Any = {"reset_state": True, "reverse": True}
AGAIN_FORWARD: Any = {"reset_state": True, "resets": RESETS}

PLAIN = [
    Problem("elman", T=63, B=5, H=33, I=3),
    Problem("jordan-2", T=63, B=2, H=17, I=4),
    Problem("lstm", T=63, B=5, H=17, I=2),
    Problem("peephole-lstm", T=2, B=13, H=64, I=5),
    Problem("coupled-lstm", T=7, B=50, H=7, I=3),
    Problem("projected-lstm", T=8, B=5, H=33, I=6),
    Problem("layernorm-lstm", T=9, B=5, H=130, I=3),
    Problem("gru", T=2, B=50, H=130, I=17),
    Problem("reset-before-gru", T=63, B=2, H=16, I=9),
]
FRAMES = [
    Problem("elman", T=6, B=5, H=130, I=7, resets=RESETS, reset_state=True),
    Problem("jordan-2", T=6, B=5, H=8, I=2, lengths=(4, 0, 6, 1, 6), resets=RESETS, reverse=True),
    Problem("lstm", T=6, B=13, H=16, I=5, lengths=(0, 6, 3, 3, 1, 0, 5, 6, 2, 4, 6, 1, 0)),
    Problem("lstm", T=6, B=5, H=8, I=33, lengths=(4, 6, 1, 0, 5), resets=RESETS, reverse=True),
    Problem("lstm", T=6, B=5, H=9, I=2, lengths=(4, 6, 1, 0, 5), resets=RESETS, **AGAIN),
    Problem("peephole-lstm", T=6, B=5, H=17, I=3, resets=RESETS, **AGAIN),
    Problem("coupled-lstm", T=6, B=5, H=33, I=8, lengths=(0, 0, 0, 0, 0), resets=RESETS),
    Problem("projected-lstm", T=6, B=5, H=16, I=3, lengths=(6, 2, 0, 1, 6), resets=RESETS),
    Problem("projected-lstm", T=6, B=5, H=16, I=3, lengths=(6, 2, 0, 4, 6), **AGAIN_FORWARD),
    Problem("layernorm-lstm", T=6, B=5, H=7, I=4, lengths=(6, 2, 0, 1, 6), reverse=True),
    Problem("gru", T=6, B=5, H=33, I=2, lengths=(3, 6, 0, 6, 6), resets=RESETS),
    Problem("reset-before-gru", T=6, B=5, H=8, I=5, lengths=(3, 6, 0, 6, 6), resets=RESETS),
    Problem("reset-before-gru", T=6, B=5, H=17, I=5, resets=RESETS, reverse=True),
    Problem("reset-before-gru", T=6, B=5, H=17, I=5, **AGAIN_FORWARD),
    Problem("lstm", T=6, B=15, H=257, I=256, **AGAIN_FORWARD),  # threads share its units
]
ODD = [
    Problem("lstm", T=1, B=1, H=1, I=1),
    Problem("gru", T=0, B=5, H=7, I=3),
    Problem("lstm", T=0, B=2, lengths=(0, 0), reverse=True),
    Problem("layernorm-lstm", T=3, B=0, H=8, I=2),
    Problem("projected-lstm", T=2, B=1, H=1, I=7),
    Problem("peephole-lstm", T=63, B=1, H=1, I=2),
]
SINGLE = [
    Problem("lstm", T=63, B=13, H=33, I=7, dtype=F32),
    Problem("lstm", T=6, B=5, H=130, I=3, dtype=F32, lengths=(4, 6, 1, 0, 5), resets=RESETS),
    Problem("lstm", T=6, B=5, H=16, I=3, dtype=F32, lengths=(4, 6, 1, 0, 5), reverse=True),
]
OTHERS = [  # each a kernel more to compile
    Problem("gru", T=63, B=5, H=64, I=17, dtype=F32),
    Problem("gru", T=5, B=2, H=17, I=3, bias=False, lengths=(5, 3)),
]


@pytest.mark.parametrize("problem", PLAIN + FRAMES + ODD + SINGLE, ids=str)
def test_kernel_is_reference(problem: Problem) -> None:
    compare(problem)


@pytest.mark.slow
@pytest.mark.parametrize("problem", OTHERS, ids=str)
def test_more_kernels_are_the_reference(problem: Problem) -> None:
    compare(problem)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CORE)
@pytest.mark.parametrize("dtype", [F32, torch.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
def test_every_kind_type_and_bias(kind: str, dtype: torch.dtype, bias: bool) -> None:
    shared: dict[str, Any] = {"T": 6, "B": 5, "dtype": dtype, "bias": bias}
    compare(Problem(kind, H=17, I=9, lengths=(4, 6, 1, 0, 5), resets=RESETS, **shared))
    compare(Problem(kind, H=130, I=3, reverse=True, **shared))


QUICK = ("antisymmetric-rnn", "fast-grnn", "rhn-1")  # a transpose, one number, x in one layer
EVERY = [
    pytest.param(
        Problem(kind, T=6, B=5, H=17, I=4, lengths=(4, 6, 1, 0, 5), resets=RESETS),
        id=kind,
        marks=() if kind in QUICK else pytest.mark.slow,
    )
    for kind in ZOO
    if kind != "slstm"
]


@pytest.mark.parametrize("problem", EVERY)
def test_every_cell_of_the_zoo_has_a_kernel_and_it_is_the_reference(problem: Problem) -> None:
    compare(problem)


def test_slstm_with_its_output_alone() -> None:
    # Asked for all states and gates too, its backward would take more arrays than a kernel has.
    cell = tame(KINDS["slstm"].make(4, 17))
    x, start = normal(6, 5, 4, seed=1), states_of(cell, 5, seed=2)
    reset = torch.zeros(6, 5, dtype=torch.bool)
    reset[2, 1] = True

    def make(run: Scan) -> dict[str, Tensor]:
        result = run(cell, x, start, lengths=[4, 6, 1, 0, 5], reset=reset)
        return {"y": result.output, **result.state}

    both(make, {"x": x, **start, **dict(cell.named_parameters())})


# One thing at a time. What is wanted is always all states and gates, so that the kernels above
# serve here too.


def problem(kind: str, T: int = 5, B: int = 4, I: int = 3, H: int = 9) -> Any:  # noqa: E741
    cell = tame(KINDS[kind].make(I, H))
    return cell, normal(T, B, I, seed=1), states_of(cell, B, seed=2)


def full(run: Scan, *args: Any, **options: Any) -> recurnn.ScanResult:
    return run(*args, return_states="all", return_gates=True, **options)


def both(make: Any, inputs: dict[str, Tensor]) -> None:
    """Assert that what `make` builds of the kernel and of the reference is one and the same."""
    got, want = (with_gradients(make(run), inputs) for run in (CPU, REFERENCE))
    agree(got, want, terms=200)
    assert any(v.any() for k, v in want.items() if k.startswith("d "))


@pytest.mark.parametrize("kind", NINE)
def test_gradient_through_one_result_alone(kind: str) -> None:
    cell, x, start = problem(kind)
    inputs = {"x": x, **start, **dict(cell.named_parameters())}
    for name in cell.states:
        both(lambda run, name=name: {"last": full(run, cell, x, start).state[name]}, inputs)
        both(lambda run, name=name: {"all": full(run, cell, x, start).states[name]}, inputs)
    for name in cell.gates:
        both(lambda run, name=name: {"gate": full(run, cell, x, start).gates[name]}, inputs)
    both(lambda run: {"mid": full(run, cell, x, start).output[2, 1:3, 1]}, inputs)


@pytest.mark.parametrize("kind", ["lstm", "gru", "elman"])
def test_input_that_is_not_contiguous(kind: str) -> None:
    cell, _, start = problem(kind)
    wide = normal(4, 5, 6, seed=5)  # batch first, every second column
    tall = {k: normal(s.shape[1], 4, seed=6) for k, s in start.items()}
    for cut in (
        lambda: wide.transpose(0, 1)[..., ::2],
        lambda: wide.transpose(0, 1)[..., :3],
        lambda: wide[:, :1, :3].transpose(0, 1).expand(5, 4, 3),
        lambda: wide[1:2, :1, 1:4].expand(5, 4, 3),
        lambda: wide[..., :3].transpose(0, 1).flip(0),
    ):

        def make(run: Scan, cut: Any = cut) -> dict[str, Tensor]:
            result = full(run, cell, cut(), {k: s.T for k, s in tall.items()})
            return {"y": result.output, **result.state}

        both(make, {"wide": wide, **tall, **dict(cell.named_parameters())})


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_weights_that_are_slices_of_one_matrix(kind: str) -> None:
    cell, x, start = problem(kind)
    gates = len(cell.gates)
    W, U = normal(gates * 9, 2 * 3, seed=7), normal(9, gates * 9, seed=8)
    one, vector = normal(1, seed=9), normal(2 * 9, seed=10)

    def weights() -> dict[str, Tensor]:
        found = {}
        for n, gate in enumerate(cell.gates):
            found[f"W_{gate}"] = W[n * 9 : (n + 1) * 9, ::2]  # every second column
            found[f"U_{gate}"] = (0.3 * U)[:, n * 9 : (n + 1) * 9].T  # transposed
            found[f"b_{gate}"] = one.expand(9) if n else vector[::2]
        return found | ({"b_u": vector[:9]} if kind == "gru" else {})

    def make(run: Scan) -> dict[str, Tensor]:
        return {"y": full(run, cell, x, start, parameters=weights()).output}

    both(make, {"W": W, "U": U, "one": one, "vector": vector, "x": x, **start})


@pytest.mark.parametrize("wants", ["x", "h", "c", "W_i", "U_f", "b_o"])
def test_gradient_for_one_input_alone(wants: str) -> None:
    cell, x, start = problem("lstm")
    held = {"x": x, **start, **dict(cell.named_parameters())}
    given = {k: v.detach().requires_grad_(k == wants) for k, v in held.items()}

    def make(run: Scan) -> dict[str, Tensor]:
        weights = {k: given[k] for k, _ in cell.named_parameters()}
        state = {k: given[k] for k in start}
        result = full(run, cell, given["x"], state, parameters=weights)
        return {"y": result.output, **result.state}

    both(make, {wants: given[wants]})


def test_the_same_tensor_as_input_state_and_weight() -> None:
    cell = tame(KINDS["elman"].make(4, 4))
    square = normal(4, 4, seed=3)

    def make(run: Scan) -> dict[str, Tensor]:
        weights = {"W": square, "U": square, "b": square[0]}
        result = full(run, cell, square.unsqueeze(0), square, parameters=weights)
        return {"y": result.output, "h": result.state["h"]}

    both(make, {"square": square})


def test_batch_first_layer_on_the_kernel() -> None:
    cell, x, start = problem("peephole-lstm")
    turned = x.detach().transpose(0, 1).contiguous().requires_grad_()
    want = full(REFERENCE, cell, x, start, lengths=[5, 2, 0, 4], reverse=True)
    layer = nn.Recurrent(cell, batch_first=True, reverse=True, engine="cpu")
    got = layer(turned, start, lengths=[5, 2, 0, 4], return_states="all", return_gates=True)
    inputs = dict(start) | dict(cell.named_parameters())
    a = with_gradients({"y": got.output.transpose(0, 1), **got.state}, inputs | {"x": turned})
    b = with_gradients({"y": want.output, **want.state}, inputs | {"x": x})
    a["d x"] = a["d x"].transpose(0, 1)
    agree(a, b, terms=200)


@pytest.mark.parametrize("kind", NINE)
def test_derivatives_of_the_kernel_are_those_of_finite_differences(kind: str) -> None:
    cell = KINDS[kind].make(2, 2)
    names = [name for name, _ in cell.named_parameters()]
    weights = [weight.detach().clone().requires_grad_() for weight in cell.parameters()]
    start = states_of(cell, 2, seed=2)
    reset = torch.tensor([[False, False], [True, False], [False, False]])

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        state = rest[: len(start)]
        given = dict(zip(names, rest[len(start) :], strict=True))
        result = full(
            CPU, cell, x, state, lengths=torch.tensor([3, 2]), reset=reset, parameters=given
        )
        assert result.gates is not None
        return (result.output, *result.state.values(), *result.gates.values())

    inputs = (normal(3, 2, 2, seed=1), *start.values(), *weights)
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    if kind in ("gru", "peephole-lstm"):
        assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)
