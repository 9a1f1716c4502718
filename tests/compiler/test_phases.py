"""What a phase computes, what is kept for the next, and sums over units without what can wait."""

from __future__ import annotations

import pytest
import torch

from graphs import evaluate
from problems import KINDS
from recurnn.cells import Elman
from recurnn.compiler.differentiate import Backward, differentiate
from recurnn.compiler.ops import Graph, Value
from recurnn.compiler.plan import plan_backward, plan_forward
from recurnn.compiler.plan_parts import Plan
from recurnn.compiler.row_sums import row_sum
from recurnn.compiler.trace import Step, trace


def planned(kind: str) -> tuple[Step, Backward, Plan]:
    step = trace(KINDS[kind].make())
    back = differentiate(step, ("h",))
    return step, back, plan_backward(step, back)


def test_the_gradient_of_a_norm_has_all_its_sums_in_one_phase() -> None:
    _, _, plan = planned("layernorm-lstm")
    sums = [[len(b.sums) for b in phase.bodies.values()] for phase in plan.phases]
    # of N(c): Σ g, Σ g c and the sum of c less its mean; of the products with x and with h alike
    assert sums == [[3], [6], [0]]


def test_what_a_later_phase_alone_needs_is_computed_there() -> None:
    step, _, plan = planned("layernorm-lstm")
    of = {k: [v in phase.bodies["H"].values for phase in plan.phases]
          for k, v in step.observed.items()}  # fmt: skip
    late = [False, True, False]
    assert of == {"i": late, "f": late, "g": late, "o": [True, False, False]}


def test_of_a_value_and_its_products_with_vectors_the_value_alone_is_kept() -> None:
    _, back, plan = planned("layernorm-lstm")
    kept = {v for v, places in plan.stores.items() if any(p.stream == "kept" for p in places)}
    bias = {back.vectors[f"b_{k}"] for k in "ifgo"}  # dL/dz of the gates
    assert bias < kept
    assert len(kept) == 5  # and what c already has of its gradient


def test_a_number_of_the_row_is_saved_rather_than_what_it_makes() -> None:
    _, back, _ = planned("layernorm-lstm")
    # 8 products less their means; of c, which is kept anyway, the mean; three deviations
    assert [v.width for v in back.saved].count("H") == 8
    assert [v.width for v in back.saved].count("1") == 4


def test_phases_without_products_take_rows_one_after_another() -> None:
    step, back, plan = planned("layernorm-lstm")
    forward = plan_forward(step, back.saved, ())
    assert [forward.by_row(k) for k in range(5)] == [False, True, True, True, True]
    assert [plan.by_row(k) for k in range(3)] == [False, True, True]
    assert not planned("lstm")[2].by_row(0)


def terms(G: Graph) -> dict[str, Value]:
    a, b, c = (G.make("state", width="H", data=k) for k in "abc")
    s, t = (G.make("state", width="1", data=k) for k in "st")
    spread = G.make("spread", t, width="H")
    return {
        "plain": a,
        "numbers": G.apply("add", G.apply("mul", s, a), G.apply("mul", G.apply("neg", b), spread)),
        "quotient": G.apply("div", G.apply("sub", a, G.apply("mul", 2.0, b)), s),
        "product": G.apply("mul", G.apply("mul", s, a), G.apply("mul", t, c)),
        "of ones": G.apply("add", spread, G.apply("mul", a, b)),
        "number": G.apply("mul", s, t),
        "shifted": G.apply("sub", a, s),
    }


@pytest.mark.parametrize("chosen", [*terms(Graph()), "all"])
def test_a_sum_over_units_without_the_factors_of_the_row_is_the_same(chosen: str) -> None:
    G = Graph()
    parts = [v for k, v in terms(G).items() if chosen in (k, "all")]
    found = row_sum(G, parts, set())
    leaves = {k: torch.randn(3, 5, dtype=torch.float64) for k in "abc"}
    leaves |= {k: torch.randn(3, 1, dtype=torch.float64) for k in "st"}
    value = evaluate(G, leaves, Elman(3, 5))
    want = sum(value[p] if p.width == "1" else value[p].expand(3, 5).sum(-1, keepdim=True)
               for p in parts)  # fmt: skip
    assert torch.allclose(value[found], want, rtol=1e-12, atol=1e-12)
    summed = {v.args[0] for v in G.values if v.op == "sum"}
    assert not any(a.width == "1" or a.op == "spread" for v in summed for a in v.args)
