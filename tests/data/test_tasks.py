"""The long-lag tasks against their definitions, written down again one sequence at a time."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from recurnn.data.tasks import (
    TASKS,
    Adding,
    Adding1997,
    CopyMemory,
    EmbeddedReber,
    NoisyTwoSequence,
    Parity,
    TemporalOrder6a,
    TemporalOrder6b,
    task_of,
)
from recurnn.data.tasks.reber import spelled
from recurnn.data.tasks.task import Task

COUNT = 400
INNER = "B(?:TS*X(?:XT*VP)*(?:S|XT*VV)|PT*V(?:V|P(?:XT*VP)*(?:S|XT*VV)))E"
GRAMMAR = re.compile(f"B(?:T{INNER}T|P{INNER}P)E")
"""The embedded Reber grammar as a regular expression: not the automaton that draws."""


def rows(task: Task, count: int = COUNT, seed: int = 3) -> list[tuple[Tensor, Tensor]]:
    """Sequences [T_i, I] without what is past their end, and their targets."""
    inputs, target = task.draw(np.random.default_rng(seed), count)
    x, lengths = inputs if isinstance(inputs, tuple) else (inputs, None)
    steps = [x.shape[1]] * count if lengths is None else lengths.tolist()
    for row, length in zip(x, steps, strict=True):
        assert not row[length:].any(), "past the end there are zeros"
    assert max(steps) <= x.shape[1]
    return [(row[:n], y) for row, n, y in zip(x, steps, target, strict=True)]


def letters(x: Tensor, alphabet: str) -> str:
    assert (x.sum(1) == 1).all()
    assert ((x == 0) | (x == 1)).all()
    return "".join(alphabet[k] for k in x.argmax(1).tolist())


def naive_adding(x: Tensor, y: Tensor) -> None:
    marked = [t for t in range(len(x)) if x[t, 1] == 1]
    assert len(marked) == 2
    assert all(x[t, 1] == 0 for t in range(len(x)) if t not in marked)
    assert ((x[:, 0] >= 0) & (x[:, 0] < 1)).all()
    assert y.tolist() == [x[marked[0], 0] + x[marked[1], 0]]


def naive_adding_1997(x: Tensor, y: Tensor, T: int = 100) -> None:
    assert T <= len(x) <= T + T // 10
    assert x[0, 1] == x[-1, 1] == -1
    assert ((x[:, 0] >= -1) & (x[:, 0] <= 1)).all()
    total, marked = 0.0, []
    for t in range(1, len(x) - 1):
        if x[t, 1] == 1:
            total, marked = total + float(x[t, 0]), [*marked, t]
        else:
            assert x[t, 1] == 0
    assert len(marked) in (1, 2)
    assert marked[0] < 10 or len(marked) == 1
    assert marked[-1] < T // 2 - 1
    assert y.tolist() == pytest.approx([0.5 + total / 4], abs=1e-6)


def naive_order(x: Tensor, y: Tensor, places: int) -> None:
    word = letters(x, "abcdXYEB")
    assert 100 <= len(word) <= 110
    assert re.fullmatch(r"E[abcdXY]+B", word)
    found = [(t, s) for t, s in enumerate(word) if s in "XY"]
    between = {2: [(10, 20), (50, 60)], 3: [(10, 20), (33, 43), (66, 76)]}[places]
    assert len(found) == places
    assert all(low <= t <= high for (t, _), (low, high) in zip(found, between, strict=True))
    order = ["".join(w) for w in itertools.product("XY", repeat=places)]
    assert int(y) == order.index("".join(s for _, s in found))


def naive_copy(x: Tensor, y: Tensor) -> None:
    word = letters(x, "_12345678#")
    assert re.fullmatch(r"[1-8]{10}_{29}#{11}", word)
    assert "".join("_12345678"[k] for k in y.tolist()) == "_" * 40 + word[:10]


def naive_parity(x: Tensor, y: Tensor) -> None:
    assert 1 <= len(x) <= 50
    ones = sum(1 for value in x[:, 0].tolist() if value == 1)
    assert ones + sum(1 for value in x[:, 0].tolist() if value == -1) == len(x)
    assert int(y) == ones % 2


def naive_two_sequence(x: Tensor, y: Tensor) -> None:
    assert 100 <= len(x) <= 110
    assert x[:3, 0].tolist() == [{0: -1.0, 1: 1.0}[int(y)]] * 3
    assert not ((x[3:].abs() == 1).any())


def naive_reber(x: Tensor, y: Tensor) -> None:
    word = spelled(x, y)
    assert letters(x, "BTPSXVE") == word[:-1]
    assert GRAMMAR.fullmatch(word)


CHECKS: dict[str, Callable[[Tensor, Tensor], None]] = {
    "adding": naive_adding,
    "adding-1997": naive_adding_1997,
    "temporal-order-6a": lambda x, y: naive_order(x, y, 2),
    "temporal-order-6b": lambda x, y: naive_order(x, y, 3),
    "embedded-reber": naive_reber,
    "copy-memory": naive_copy,
    "parity": naive_parity,
    "noisy-two-sequence": naive_two_sequence,
}


@pytest.mark.parametrize("name", TASKS)
def test_every_sequence_is_what_the_paper_says(name: str) -> None:
    for x, y in rows(task_of(name)):
        CHECKS[name](x, y)


class _MarksOneStepLate(Adding):
    def draw(self, rng, count):  # type: ignore[no-untyped-def]
        x, y = super().draw(rng, count)
        x[..., 1] = x[..., 1].roll(1, 1)
        return x, y


class _SecondClassFirst(TemporalOrder6a):
    def draw(self, rng, count):  # type: ignore[no-untyped-def]
        x, y = super().draw(rng, count)
        return x, (y % 2) * 2 + y // 2


class _OtherOuterSymbol(EmbeddedReber):
    def draw(self, rng, count):  # type: ignore[no-untyped-def]
        (x, lengths), y = super().draw(rng, count)
        last = torch.arange(count), lengths - 2
        y[last] = 3 - y[last]  # T for P and P for T
        x[torch.arange(count), lengths - 1] = torch.nn.functional.one_hot(y[last], 7).float()
        return (x, lengths), y


class _RecallBackwards(CopyMemory):
    def draw(self, rng, count):  # type: ignore[no-untyped-def]
        x, y = super().draw(rng, count)
        return x, torch.cat([y[:, :-10], y[:, -10:].flip(1)], 1)


class _CountsPadding(Parity):
    def draw(self, rng, count):  # type: ignore[no-untyped-def]
        (x, lengths), y = super().draw(rng, count)
        return (x, lengths), (y + x.shape[1] - lengths) % 2


@pytest.mark.parametrize(
    "planted",
    [_MarksOneStepLate, _SecondClassFirst, _OtherOuterSymbol, _RecallBackwards, _CountsPadding],
)
def test_a_planted_mistake_is_seen(planted: type[Task]) -> None:
    def check() -> None:
        for x, y in rows(planted()):
            CHECKS[planted.name](x, y)

    with pytest.raises(AssertionError):
        check()


@pytest.mark.parametrize("name", TASKS)
def test_the_seed_decides_and_draws_go_on(name: str) -> None:
    task = task_of(name)
    first, again = (rows(task, 20, seed=7) for _ in range(2))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    rng = np.random.default_rng(7)
    one, two = (task.draw(rng, 20)[1] for _ in range(2))
    assert one.shape != two.shape or not torch.equal(one, two)


@pytest.mark.parametrize(
    ("kind", "length", "lengths"),
    [
        (Adding1997, 100, range(100, 111)),
        (TemporalOrder6a, 100, range(100, 111)),
        (TemporalOrder6b, 40, range(40, 45)),
        (NoisyTwoSequence, 100, range(100, 111)),
        (Parity, 50, range(1, 51)),
        (Parity, 7, range(1, 8)),
    ],
)
def test_lengths_are_spread_evenly_from_end_to_end(
    kind: type[Task], length: int, lengths: range
) -> None:
    seen = Counter(len(x) for x, _ in rows(kind(length), 4000))
    assert sorted(seen) == list(lengths)
    expected = 4000 / len(lengths)
    assert all(abs(n - expected) < 5 * expected**0.5 for n in seen.values())


def test_marks_and_symbols_are_spread_evenly() -> None:
    """Each pair of steps is marked as often as any other; every place and class is used."""
    pairs = Counter(tuple(x[:, 1].nonzero()[:, 0].tolist()) for x, _ in rows(Adding(5), 4000))
    assert len(pairs) == 10
    assert all(abs(n - 400) < 100 for n in pairs.values())
    drawn = rows(TemporalOrder6b(), 4000)
    places = [tuple(x[:, 4:6].sum(1).nonzero()[:, 0].tolist()) for x, _ in drawn]
    assert [(min(p), max(p)) for p in zip(*places, strict=True)] == [(10, 20), (33, 43), (66, 76)]
    classes = Counter(int(y) for _, y in drawn)
    assert sorted(classes) == list(range(8))
    assert all(abs(n - 500) < 110 for n in classes.values())


def test_the_first_ten_steps_are_marked_alike_in_the_form_of_1997() -> None:
    marked = [x[:, 1].eq(1).nonzero()[:, 0].tolist() for x, _ in rows(Adding1997(), 8000)]
    first = Counter(m[0] for m in marked if len(m) == 2)
    assert set(range(1, 10)) <= set(first)
    # With the first step (of ten) drawn, or drawn as the second (of 48 others): one mark remains.
    alone = sum(len(m) == 1 for m in marked) / 8000
    assert alone == pytest.approx(1 / 10 + 9 / 10 / 48, abs=0.015)
    assert max(m[-1] for m in marked) == 48


def test_noise_is_gaussian_of_variance_one_fifth() -> None:
    (x, lengths), _ = NoisyTwoSequence(1000).draw(np.random.default_rng(0), 100)
    noise = torch.cat([row[3:n, 0] for row, n in zip(x, lengths.tolist(), strict=True)])
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.var()) == pytest.approx(0.2, abs=0.005)
    assert float((noise.abs() < 0.2**0.5).float().mean()) == pytest.approx(0.6827, abs=0.01)


@cache
def language(longest: int) -> dict[str, Fraction]:
    """The strings up to a length, by trying letters, and how likely each is."""

    def ways(prefix: str) -> list[str]:
        return [s for s in "BTPSXVE" if any(w.startswith(prefix + s) for w in words)]

    inner = re.compile(INNER)
    short = longest - 4
    shorts = [
        "B" + "".join(w) + "E"
        for n in range(3, short - 1)
        for w in itertools.product("TPSXV", repeat=n)
    ]
    words = [f"B{o}{w}{o}E" for w in shorts if inner.fullmatch(w) for o in "TP"]
    return {w: Fraction(1) for w in words}


def chance_of(word: str) -> Fraction:
    """Each choice is one half; there is one where the grammar leaves two ways."""
    choices = 1  # the outer T or P
    inside = word[2:-2]
    choices += 1  # the inner T or P
    for prefix_end in range(2, len(inside) - 1):
        choices += len({s for s in "TPSXV" if leads_on(inside[:prefix_end] + s)}) == 2
    return Fraction(1, 2**choices)


@cache
def leads_on(prefix: str) -> bool:
    """Whether some string of the inner grammar begins so; endings of up to four letters."""
    endings = ("".join(w) for n in range(5) for w in itertools.product("TPSXV", repeat=n))
    return any(re.fullmatch(INNER, f"{prefix}{w}E") for w in endings)


def test_every_short_string_of_the_grammar_comes_as_often_as_it_should() -> None:
    words = list(language(12))
    assert len(words) == 2 * len({w[2:-2] for w in words})
    count = 20_000
    seen = Counter(spelled(x, y) for x, y in rows(EmbeddedReber(), count))
    for word in words:
        expected = float(chance_of(word)) * count
        assert abs(seen[word] - expected) < 5 * expected**0.5 + 3, word
    assert {w for w in seen if len(w) <= 12} <= set(words)
    assert max(map(len, seen)) > 30
