"""Mistakes planted in the compiler, each of which the comparison with the reference must refuse.

The text is changed before it is compiled, generated bodies and headers alike; or the derivative
before it is planned; or what the kernel is told of a call.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

import layers
import recurnn
from kernels import compare
from problems import KINDS
from recurnn.compiler import differentiate, engine, kernel
from recurnn.compiler.structures import NONE
from recurnn.compiler.sums import Sums
from rows import Problem

Change = Callable[[str], str]
LSTM = Problem("lstm", T=4, B=3, H=9, I=2)
WIDE = Problem("lstm", T=4, B=3, H=9 + 8 * 8, I=2)  # more than one panel of any machine
LONG = Problem("lstm", T=70, B=33, H=9, I=2)  # several chunks of weight gradients
CUT = Problem("lstm", T=9, B=3, H=9, I=2, resets=((5, 1),))
AGAIN = Problem("lstm", T=9, B=3, H=9, I=2, resets=((5, 1), (2, 1)), reset_state=True)
RAGGED = Problem("lstm", T=4, B=3, H=9, I=2, lengths=(2, 4, 3))


@pytest.fixture(autouse=True)
def _no_kernel_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, empty in (("_kernels", {}), ("_numbers", {})):
        monkeypatch.setattr(engine, name, empty)


def planted(text: str, change: Change) -> str:
    """The text with a mistake."""
    changed = change(text)
    assert changed != text, "the mistake was not planted"
    return changed


def generated(change: Change) -> Change:
    """Change what is generated, and leave the headers alone."""

    def only(text: str) -> str:
        begin = text.index("namespace { namespace ")
        return text[:begin] + change(text[begin:])

    return only


def replaced(pattern: str, by: str, count: int = 1) -> Change:
    return generated(lambda text: re.sub(pattern, by, text, count=count))


def in_header(line: str, by: str) -> Change:
    """Change one line of the headers, which must be there once."""

    def change(text: str) -> str:
        assert text.count(line) == 1, line
        return text.replace(line, by)

    return change


def times_zero(stream: str) -> Change:
    """What is read from a stream counts for nothing."""
    return replaced(rf"load\(at_{stream}\b", f"0 * load(at_{stream}")


def gates_swapped(text: str) -> str:
    """The body takes the product of f for i and that of i for f."""
    first, second = re.findall(r"(product0\[\(m_ \* 4 \+ [01]\) \* N \+ n_\])", text)[:2]
    return text.replace(first, "@").replace(second, first).replace("@", second)


UNIT = r"(left = size_H - unit;)"
TEXTS: dict[str, tuple[str, Change, Problem]] = {
    "gates swapped": ("forward", generated(gates_swapped), LSTM),
    "tanh for sigmoid": ("forward", replaced(r"sigmoid\(", "tanh("), LSTM),
    "last panel skipped": (
        "forward", replaced(UNIT, r"\1 if (panel > 0 && left <= U * LANES) continue;"), WIDE,
    ),
    "last unit skipped": ("forward", replaced(UNIT, r"\1 if (left <= 1) continue;", 9), LSTM),
    "carry dropped": ("backward", times_zero("carry_c"), LSTM),
    "seed dropped": ("backward", times_zero("seed_f"), LSTM),
    "old state for new": ("backward", replaced(r"load\(at_new_c\b", "load(at_old_c"), LSTM),
    "first state's gradient without the product": (
        "backward", replaced(r"(store\(at_first_h \+ unit), \w+,", r"\1, carry_h_,"), LSTM,
    ),
    "last chunk's weight sum skipped": (
        "backward", in_header("sums.add(k0, k1,", "if (k1 < call.T_) sums.add(k0, k1,"), LONG,
    ),
    "each chunk's weight sum begun anew": (
        "backward", in_header("begun = true;", "begun = false;"), LONG,
    ),
    "reset not cut on the fast path": (
        "forward", in_header("at_edge(c, r, t);", "t <= 0 || t + 1 >= r.length;"), CUT,
    ),
    "reset not cut on the fast path back": (
        "backward", in_header("at_edge(c, r, t);", "t <= 0 || t + 1 >= r.length;"), CUT,
    ),
    "order of the lengths ignored": (
        "forward", in_header("int at = order ? order[i] : (int)i,", "int at = (int)i,"), RAGGED,
    ),
    "order of the lengths ignored in the weight sums": (
        "backward", in_header("Span r = c.span(i);", "Span r = c.span(i); r.b = (int)i;"), RAGGED,
    ),
    "a reset starts from zeros": (
        "forward", in_header("return s.again ? s.again + r.b * s.again_row : (T*)c.zeros;",
                             "return (T*)c.zeros;"), AGAIN,
    ),
    "no gradient of the states of resets": (
        "backward", in_header("sum[k] += term[k];", ";"), AGAIN,
    ),
    "the gradient of the states of resets without the product": (
        "backward", in_header("locate_uncut(c, c.stream[j], row[i], next);",
                              "locate(c, c.stream[j], row[i], next);"), AGAIN,
    ),
    "padding not cleared": (
        "forward", in_header("if (part == 0) clear_padding<K>(c, rows.row, rows.n);", ""), RAGGED,
    ),
}  # fmt: skip


FAST = (
    "gates swapped", "last panel skipped", "carry dropped", "last chunk's weight sum skipped",
    "reset not cut on the fast path",
)  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(k, marks=() if k in FAST else pytest.mark.slow) for k in TEXTS]
)
def test_a_mistake_in_the_text_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, change, problem = TEXTS[name]
    load = kernel.load
    seen: list[str] = []

    def wrong(text: str, dtype: str, called: str) -> Any:
        if called.endswith(f"-{kind}"):
            seen.append(called)
            return load(planted(text, change), dtype, f"Planted{called}")
        return load(text, dtype, called)

    monkeypatch.setattr(kernel, "load", wrong)
    with pytest.raises(AssertionError, match="more than"):
        compare(problem)
    assert seen == [f"LSTM-{kind}"]


def test_the_right_text_is_accepted() -> None:
    for problem in (LSTM, WIDE, LONG, CUT, AGAIN, RAGGED):
        compare(problem)


def gate_forgotten(right: Any, name: str) -> Any:
    return None if name == "U_f" else right


def written_to_another(right: Any, name: str) -> Any:
    if name == "b_g":
        right.array -= 1
    return right


def second_place_forgotten(right: Any, name: str) -> Any:
    right.copy = NONE
    return right


@pytest.mark.parametrize(
    ("mistake", "check"),
    [
        (gate_forgotten, lambda: compare(LSTM)),
        (written_to_another, lambda: compare(LSTM)),
        (second_place_forgotten, lambda: layers.compare(layers.Case("LSTM"))),  # of two biases
    ],
    ids=["gate-forgotten", "written-to-another", "second-place-forgotten"],
)
def test_a_mistake_in_where_the_gradients_go_is_refused(
    mistake: Callable[[Any, str], Any], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Sums.place

    def wrong(self: Any, name: str, *, second: bool = False) -> Any:
        return mistake(right(self, name, second=second), name)

    # neither a layout from before, nor a wrong one left behind
    scan = importlib.import_module("recurnn.scan")
    monkeypatch.setattr(scan, "_prepare_bound", scan._prepare)
    check()
    monkeypatch.setattr(engine, "_numbers", {})
    monkeypatch.setattr(Sums, "place", wrong)
    with pytest.raises(AssertionError, match="more than"):
        check()


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
