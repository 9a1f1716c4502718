"""Mistakes planted in the compiler, each of which the comparison with the reference must refuse.

The generated text is changed before it is compiled, or the plan before it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

import recurnn
from kernels import compare
from problems import KINDS
from recurnn.compiler import differentiate, engine, kernel
from rows import Problem

Change = Callable[[str], str]
LSTM = Problem("lstm", T=4, B=3, H=9, I=2)
WIDE = Problem("lstm", T=4, B=3, H=9 + 8 * 8, I=2)  # more than one panel of any machine


@pytest.fixture(autouse=True)
def _no_kernel_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, empty in (("_kernels", {}), ("_numbers", {})):
        monkeypatch.setattr(engine, name, empty)


def part(text: str, kind: str, change: Change) -> str:
    """Change one kernel of the text: forward, inference or backward."""
    begin = text.index(f"namespace {kind}_kernel {{")
    end = text.index(f"// namespace {kind}_kernel\n", begin)
    changed = change(text[begin:end])
    assert changed != text[begin:end], "the mistake was not planted"
    return text[:begin] + changed + text[end:]


def replaced(pattern: str, by: str, count: int = 1) -> Change:
    return lambda text: re.sub(pattern, by, text, count=count)


def times_zero(stream: str) -> Change:
    """What is read from a stream counts for nothing."""
    return replaced(rf"load\(row\[m_\]\.p\[{stream}\]", f"0 * load(row[m_].p[{stream}]")


def gates_swapped(text: str) -> str:
    """The body takes the product of f for i and that of i for f."""
    first, second = re.findall(r"(product0\[\(m_ \* 4 \+ [01]\) \* N \+ n_\])", text)[:2]
    return text.replace(first, "@").replace(second, first).replace("@", second)


TEXTS: dict[str, tuple[str, Change, Problem]] = {
    "gates swapped": ("forward", gates_swapped, LSTM),
    "tanh for sigmoid": ("forward", replaced(r"sigmoid\(", "tanh("), LSTM),
    "last panel skipped": (
        "forward",
        replaced(r"(if \(left <= 0)\)", r"\1 || (panel > 0 && left <= U * LANES))"),
        WIDE,
    ),
    "last unit skipped": ("forward", replaced(r"if \(left <= 0\)", "if (left <= 1)", 9), LSTM),
    "carry dropped": ("backward", times_zero("carry_c"), LSTM),
    "seed dropped": ("backward", times_zero("seed_f"), LSTM),
    "old state for new": ("backward", replaced(r"p\[new_c\]", "p[old_c]"), LSTM),
    "first state's gradient without the product": (
        "backward", replaced(r"carry \+ \w+, left\)", "carry, left)"), LSTM,
    ),
}  # fmt: skip


FAST = ("gates swapped", "last panel skipped", "carry dropped")


@pytest.mark.parametrize(
    "name", [pytest.param(k, marks=() if k in FAST else pytest.mark.slow) for k in TEXTS]
)
def test_a_mistake_in_the_generated_text_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, change, problem = TEXTS[name]
    load = kernel.load
    planted: list[str] = []

    def wrong(text: str, dtype: str, called: str) -> Any:
        planted.append(name)
        return load(part(text, kind, change), dtype, f"Planted{called}")

    monkeypatch.setattr(kernel, "load", wrong)
    with pytest.raises(AssertionError, match="more than"):
        compare(problem)
    assert planted


def test_the_right_text_is_accepted() -> None:
    compare(LSTM)
    compare(WIDE)


def dz_forgotten(back: differentiate.Backward) -> None:
    """dL/dU_f misses its product."""
    back.outer["U_f"] = [(g, v) for g, v in back.outer["U_f"] if v.op == "x"]


def product_forgotten(back: differentiate.Backward) -> None:
    """What comes back through U_o is left out."""
    back.past["h"] = [(m, g) for m, g in back.past["h"] if m != "U_o"]


def wrong_matrix(back: differentiate.Backward) -> None:
    turned = {"U_i": "U_f", "U_f": "U_i"}
    back.past["h"] = [(turned.get(m, m), g) for m, g in back.past["h"]]


def vector_of_another(back: differentiate.Backward) -> None:
    back.vectors["b_i"], back.vectors["b_o"] = back.vectors["b_o"], back.vectors["b_i"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "mistake", [dz_forgotten, product_forgotten, wrong_matrix, vector_of_another]
)
def test_a_mistake_in_the_derivative_is_refused(
    mistake: Callable[[differentiate.Backward], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = kernel.differentiate

    def wrong(*args: Any) -> differentiate.Backward:
        back = right(*args)
        mistake(back)
        return back

    monkeypatch.setattr(kernel, "differentiate", wrong)
    with pytest.raises(AssertionError, match="more than"):
        compare(LSTM)


def test_a_kernel_that_silently_does_not_run_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`compare` asks for the kernel by name, so that the reference is never held against itself."""

    def fails(*args: Any) -> Any:
        raise recurnn.compiler.Unsupported("no kernel today")

    monkeypatch.setattr(kernel, "load", fails)
    with pytest.raises(recurnn.errors.EngineError, match="no kernel today"):
        compare(LSTM)
    cell = KINDS["lstm"].make()
    x = torch.randn(2, 1, 3, dtype=torch.float64)
    assert recurnn.scan(cell, x).output.shape == (2, 1, 4)
