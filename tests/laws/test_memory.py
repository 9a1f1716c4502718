"""With little memory: the same numbers, and no more kept than promised."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
import rows
from gradients import with_gradients
from kernels import CPU, REFERENCE, compare, tame, terms
from problems import KINDS, normal, states_of
from recurnn import compiler, nn
from recurnn.compiler import segments as module
from rows import Problem
from tolerance import agree, identical

LOW = partial(CPU, memory="low")
SLOW = partial(REFERENCE, memory="low")
RESETS = ((0, 0), (3, 0), (2, 1), (3, 1), (6, 1), (5, 4), (9, 2), (4, 1), (8, 1), (4, 0), (8, 4))
LENGTHS = (4, 10, 1, 0, 9)
PROBLEMS = [
    Problem("lstm", T=10, B=5, H=17, I=3),
    Problem("lstm", T=63, B=2, H=7, I=3, reverse=True),
    Problem("lstm", T=10, B=5, H=17, I=3, lengths=LENGTHS, resets=RESETS),
    Problem("lstm", T=10, B=5, H=17, I=3, lengths=LENGTHS, resets=RESETS, reverse=True),
    Problem("reset-before-gru", T=10, B=5, H=8, I=5, resets=RESETS, reverse=True),
    Problem("gru", T=10, B=5, H=8, I=5, lengths=(0, 0, 0, 0, 0), resets=RESETS),
    Problem("lstm", T=2, B=3, H=7, resets=((1, 0),), reverse=True),
    Problem("lstm", T=1, B=1, H=1),
    Problem("lstm", T=0, B=2, H=7),
    Problem("lstm", T=5, B=0, H=7),
    Problem("lstm", T=10, B=5, H=17, I=3, dtype=torch.float32, lengths=LENGTHS, resets=RESETS),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_little_memory_is_the_same_scan(problem: Problem) -> None:
    cell, x, start, options = problem.build()
    tame(cell)
    high, low = (rows.everything(cell, x, start, options, run) for run in (CPU, LOW))
    values = [k for k in high if not k.startswith("d ")]
    identical({k: low[k] for k in values}, {k: high[k] for k in values})
    agree(low, high, terms=terms(problem, cell))


@pytest.mark.parametrize("problem", PROBLEMS[2:], ids=str)
def test_little_memory_on_the_reference(problem: Problem) -> None:
    compare(problem, SLOW)


def test_resets_to_given_states_with_little_memory() -> None:
    for reverse in (False, True):
        shared: dict[str, Any] = {"T": 10, "B": 5, "resets": RESETS, "reset_state": True}
        problem = Problem("gru", lengths=LENGTHS, reverse=reverse, **shared)
        rows.compare(problem, partial(recurnn.scan, memory="low"))


def problem(T: int = 9, B: int = 3) -> tuple[Any, Tensor, dict[str, Tensor]]:
    cell = tame(KINDS["lstm"].make(5, 16))
    return cell, normal(T, B, 5, seed=1), states_of(cell, B, seed=2)


def test_one_result_alone_and_one_gradient_alone() -> None:
    cell, x, start = problem()
    for pick in (
        lambda r: r.output[4, 1],
        lambda r: r.state["c"],
        lambda r: r.output[-1],
    ):
        for wants in ({"x": x}, {"c": start["c"]}, {"U_f": cell.U_f}):
            found = [with_gradients({"y": pick(run(cell, x, start))}, wants) for run in (LOW, CPU)]
            agree(*found, terms=200)


def test_second_derivatives_and_a_second_backward() -> None:
    found = []
    for run in (LOW, REFERENCE):
        cell, x, start = problem()
        loss = run(cell, x, start).output.square().sum()
        (first,) = torch.autograd.grad(loss, x, create_graph=True)
        (again,) = torch.autograd.grad(loss, x, retain_graph=True)
        agree({"d": again}, {"d": first}, terms=200)
        wants = {"x": x, **start} | dict(cell.named_parameters())
        found.append(with_gradients({"p": first.square().sum()}, wants))
    agree(*found, terms=200)


def test_in_bfloat16_the_states_between_segments_are_not_rounded() -> None:
    cell = KINDS["lstm"].make(5, 16, dtype=torch.bfloat16)
    x = normal(20, 3, 5, seed=1, dtype=torch.bfloat16)
    wants = {"x": x} | dict(cell.named_parameters())
    low, high = (with_gradients({"y": run(cell, x).output}, wants) for run in (LOW, CPU))
    identical({"y": low["y"]}, {"y": high["y"]})
    agree(low, high, terms=200)


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
def test_compiled_by_torch_it_is_the_same() -> None:
    cell, x, _ = problem()
    layer = nn.Recurrent(cell, memory="low", engine="cpu")
    compiled = torch.compile(lambda x: layer(x).output, backend="aot_eager", fullgraph=True)
    wants = {"x": x} | dict(cell.named_parameters())
    got, want = (with_gradients({"y": f(x)}, wants) for f in (compiled, lambda x: layer(x).output))
    agree(got, want, terms=200)


def kept(run: Callable[[], Tensor], *known: Tensor) -> int:
    """Bytes that a graph keeps, beside what `known` lies in."""
    storages = {t.untyped_storage().data_ptr() for t in known}
    sizes: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in storages:
            sizes[storage.data_ptr()] = storage.nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        run()
    return sum(sizes.values())


@pytest.mark.parametrize("engine", ["cpu", "reference"])
def test_what_is_kept_grows_with_the_root_of_the_steps(engine: str) -> None:
    T, B, H = 400, 4, 16
    cell = KINDS["lstm"].make(5, H)
    x = normal(T, B, 5, seed=1)

    def run(memory: Any) -> Tensor:
        return recurnn.scan(cell, x, memory=memory, engine=engine).output

    known = [x, *cell.parameters()]
    high, low = (kept(partial(run, memory), *known) for memory in ("high", "low"))
    state = 8 * B * H
    assert high >= 5 * T * state  # h, c and the gates
    assert low <= 19 * 2 * state + 8 * B * H * 2  # h and c between 20 segments, and zeros before
    if engine == "cpu":
        assert low == 19 * 2 * state


def test_the_backward_pass_holds_one_segment_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    T, B, H = 400, 2, 16
    cell, x = KINDS["lstm"].make(5, H), normal(T, B, 5, seed=1)
    steps = []
    forward = module.forward

    def watched(c: compiler.Compiled, given: compiler.Given, *, keep: bool) -> Any:
        steps.append((len(given.x), keep))
        return forward(c, given, keep=keep)

    monkeypatch.setattr(module, "forward", watched)
    LOW(cell, x).output.sum().backward()
    assert steps == [(20, False)] * 20 + [(20, True)] * 20


def test_without_gradients_nothing_is_run_by_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "segments_of", None)
    cell, x, start = problem()
    with torch.no_grad():
        LOW(cell, x, start)


# What the comparison must notice


def broken_starts(self: Any, states: Any, restarts: Any) -> list[Tensor | None]:
    return list(states)


PLANTED = {
    "a reset between segments is not seen": lambda m: m.setattr(
        module.Segment, "starts", broken_starts
    ),
    "a state's gradient is not handed on": lambda m: m.setattr(
        module._Total, "add", _without(module._Total.add)
    ),
    "each segment has every row": lambda m: m.setattr(module, "segments_of", _unclipped),
}


def _without(add: Any) -> Any:
    return lambda self, *args: [None for _ in add(self, *args)]


def _unclipped(*args: Any, _real: Any = module.segments_of, **options: Any) -> Any:
    return (s._replace(lengths=None) for s in _real(*args, **options))


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_mistake_is_noticed(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTED[mistake](monkeypatch)
    with pytest.raises(AssertionError):
        test_little_memory_is_the_same_scan(PROBLEMS[3])


def test_a_drop_in_with_little_memory_is_the_same_layer() -> None:
    made = {}
    for memory in ("high", "low"):
        torch.manual_seed(1)
        made[memory] = nn.LSTM(5, 16, 2, bidirectional=True, memory=memory, dtype=torch.float64)
    x = normal(100, 4, 5, seed=1)
    results = []
    for layer in made.values():
        y, (h, c) = layer(x, lengths=[100, 3, 64, 0])
        results.append(with_gradients({"y": y, "h": h, "c": c},
                                      {"x": x} | dict(layer.named_parameters())))  # fmt: skip
    high, low = results
    identical({k: low[k] for k in "yhc"}, {k: high[k] for k in "yhc"})
    agree(low, high, terms=4000)

    def run(memory: str) -> Tensor:
        layer: Any = made[memory]
        y: Tensor = layer(x)[0]
        return y

    high_bytes, low_bytes = (
        kept(partial(run, memory), x, *made[memory].parameters()) for memory in made
    )
    assert low_bytes < high_bytes / 2  # what is left is the input of the second layer
    assert "memory='low'" in repr(made["low"])
    back = nn.convert(torch.nn.Sequential(made["low"]), to="torch")
    assert type(back[0]) is torch.nn.LSTM
