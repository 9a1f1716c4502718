"""The kernel benchmark: it refuses wrong numbers and says of right ones what is so. No times."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import recurnn
from kernel_bench import busy, cases, machine, memory, ours, tables, timing
from kernel_bench.agreement import Disagreement, agree
from kernel_bench.jax_peer import jax_peer, jax_results
from kernel_bench.onnx_peer import onnx_peer, onnx_results
from kernel_bench.shapes import GATES, SHAPES, flops, picked
from kernel_bench.summary import (
    LAYER,
    ONE_STEP,
    OURS,
    Row,
    losses,
    losses_in_words,
    of_torch,
    ratio,
    summary,
    verdict,
)
from kernel_bench.timing import Time
from recurnn.compiler import Unsupported, build

SMALL = (4, 3, 5, 7)


def near(median: float, share: float = 0.02) -> Time:
    return Time(median, median * (1 - share), median * (1 + share))


@pytest.fixture
def untimed(monkeypatch) -> None:
    """Every engine takes a millisecond."""
    monkeypatch.setattr(cases, "timed", lambda runs, rounds: {name: near(1.0) for name in runs})
    for peer in ("jax_peer", "onnx_peer"):
        monkeypatch.setattr(cases, peer, lambda *arguments: None)


def rows() -> list[Row]:
    """Two shapes of two cells: one loss, one level, the rest won."""
    won = {OURS: near(1.0), "torch": near(2.0), "jax": near(3.0)}
    lost = {OURS: near(4.0), "torch": near(5.0), "jax": near(2.0), "onnxruntime": near(3.0)}
    level = {OURS: near(1.03), "torch": near(1.0)}
    step = {OURS: near(0.01), LAYER: near(0.2), "torch": near(0.09), ONE_STEP: near(0.04)}
    first, last = SHAPES[0], SHAPES[-1]
    return [
        Row("lstm", first, flops("lstm", first), won, lost),
        Row("lstm", last, flops("lstm", last), step, won),
        Row("gru", first, flops("gru", first), level, won),
        Row("gru", last, flops("gru", last), won, won),
    ]


# Agreement


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (lambda r: r["dx"].view(-1)[-1].add_(1e-3), "dx is off by 0.001"),
        (lambda r: r["y"].view(-1)[0].fill_(float("nan")), "y is off by nan"),
        (lambda r: r.pop("dbias_hh_l0"), "has"),
        (lambda r: r.update(y=r["y"][:, :-1]), "y is [4, 2, 7], expected [4, 3, 7]"),
    ],
    ids=["a number", "nan", "a missing gradient", "a shape"],
)
def test_agreement_refuses_what_is_planted(plant, says: str) -> None:
    _, layer = ours.layers("gru", SMALL)
    want = ours.results(layer, *ours.data(SMALL))
    got = {name: value.detach().clone() for name, value in want.items()}
    agree(got, want, SMALL)
    plant(got)
    with pytest.raises(Disagreement) as caught:
        agree(got, want, SMALL)
    assert says in str(caught.value)


def test_agreement_of_nothing_is_refused() -> None:
    with pytest.raises(Disagreement):
        agree({}, {}, SMALL)


@pytest.mark.parametrize("cell", GATES)
def test_a_case_that_agrees_has_ours_and_torch(cell: str, untimed) -> None:
    row = cases.case(cell, SMALL, rounds=1)
    assert set(row.forward) == set(row.train) == {OURS, "torch"}
    assert row.flops == 2 * 4 * 3 * GATES[cell] * 7 * (5 + 7)


def test_our_own_wrong_numbers_end_the_run(monkeypatch, untimed) -> None:
    layers = ours.layers("lstm", SMALL)
    with torch.no_grad():
        layers[0].weight_hh_l0[0, 1] += 0.01
    monkeypatch.setattr(ours, "layers", lambda cell, shape: layers)
    with pytest.raises(SystemExit, match="not timed: lstm 4, 3, 5, 7: "):
        cases.case("lstm", SMALL, rounds=1)


def test_a_peer_with_wrong_numbers_is_not_timed(monkeypatch, untimed) -> None:
    said: list[str] = []
    monkeypatch.setattr(cases, "jax_peer", lambda *arguments: (lambda: None, lambda: None))
    monkeypatch.setattr(cases, "jax_results", lambda *arguments: {"y": torch.zeros(4, 3, 7)})
    row = cases.case("elman", SMALL, rounds=1, say=said.append)
    assert "jax" not in row.forward | row.train
    assert said[0].startswith("jax not timed: elman 4, 3, 5, 7: y is off by ")


@pytest.mark.parametrize("cell", GATES)
def test_the_peers_compute_the_same(cell: str) -> None:
    _, layer = ours.layers(cell, SMALL)
    x, dy = ours.data(SMALL)
    want = ours.results(layer, x, dy)
    jax, onnx = jax_peer(cell, layer, x, dy), onnx_peer(cell, layer, x)
    if jax is None and onnx is None:
        pytest.skip("neither jax nor onnxruntime is installed")
    if jax:
        agree(jax_results(layer, jax), want, SMALL)
    if onnx:
        agree(onnx_results(onnx), {"y": want["y"]}, SMALL)


# One step


def stepper(error: float):
    """A stand-in for recurnn's: one step from zeros, off by `error`."""

    def make(layer, batch_size):
        return lambda x: layer(x.unsqueeze(0))[0][0] + error

    return make


@pytest.mark.parametrize("cell", GATES)
def test_one_step_is_ours_by_the_stepper(cell: str, monkeypatch, untimed) -> None:
    monkeypatch.setattr(recurnn, "stepper", stepper(0.0), raising=False)
    row = cases.case(cell, (1, 1, 5, 7), rounds=1)
    assert set(row.forward) == {OURS, LAYER, "torch", ONE_STEP}
    assert set(row.train) == {OURS, "torch"}


def test_a_wrong_stepper_ends_the_run(monkeypatch, untimed) -> None:
    monkeypatch.setattr(recurnn, "stepper", stepper(1e-3), raising=False)
    with pytest.raises(SystemExit, match=r"not timed: recurnn\.stepper, gru: y is off"):
        cases.case("gru", (1, 1, 5, 7), rounds=1)


# Summary


def test_a_loss_is_counted_as_a_loss() -> None:
    lstm, *_ = rows()
    assert (verdict(lstm.forward), verdict(lstm.train)) == ("faster", "slower")
    assert ratio(lstm.train) == 0.5
    assert [(row.cell, row.shape, kind) for row, kind in losses(rows())] == [
        ("lstm", SHAPES[0], "train")
    ]
    assert losses_in_words(rows()) == (
        "Slower than the best peer: lstm train at 5, 512, 1, 50 (×0.50, jax)."
    )
    assert "nowhere beyond noise" in losses_in_words(rows()[1:])


def test_quartiles_that_overlap_are_level() -> None:
    assert verdict({OURS: Time(1.1, 1.0, 1.2), "torch": Time(0.9, 0.8, 1.0)}) == "level"
    assert verdict({OURS: Time(1.1, 1.01, 1.2), "torch": Time(0.9, 0.8, 1.0)}) == "slower"
    assert verdict({OURS: Time(0.9, 0.8, 1.0), "torch": Time(1.1, 1.0, 1.2)}) == "level"


def test_our_layer_is_no_peer_and_torchs_cell_is_one() -> None:
    step = rows()[1].forward
    assert ratio({**step, LAYER: near(0.001)}) == 4.0
    assert of_torch(step) == 4.0


def test_the_summary_counts() -> None:
    assert summary("gru", rows()) == (
        "gru: geometric means over 2 shapes: forward ×1.39 of torch and ×1.39 of the best peer, "
        "than which it is faster on 1, level on 1, slower on 0; train ×2.00 of torch and ×2.00 of "
        "the best peer, than which it is faster on 2, level on 0, slower on 0"
    )


# Tables


def test_the_readmes_block() -> None:
    text = tables.block(rows(), ["lstm", "gru"], 1000.0, "A machine")
    entries = [line for line in text.splitlines() if line.startswith("|")]
    assert entries == [
        "| T, B, I, H | lstm forward | lstm train | gru forward | gru train |",
        "|---|---|---|---|---|",
        "| 5, 512, 1, 50 | 1 ms, ×2.00 torch | **4 ms, ×0.50 jax** | 1.03 ms, ×0.97 torch "
        "| 1 ms, ×2.00 torch |",
        "| 1, 1, 64, 128 | 0.01 ms, ×4.00 torch's cell | 1 ms, ×2.00 torch | 1 ms, ×2.00 torch "
        "| 1 ms, ×2.00 torch |",
    ]
    assert "\nSlower than the best peer on 1 of 8, in bold; " in text
    assert all(f"- {summary(cell, rows())}.\n" in text for cell in ("lstm", "gru"))
    assert "lstm: ours by recurnn.stepper; the layer takes 0.200 ms; torch's cell" in text
    assert text.endswith(
        "A machine. The fastest of these makes 118 GFLOP/s; multiply-adds alone, 1000."
    )


def test_a_row_in_the_terminal() -> None:
    forward, train = tables.lines(rows()[0], 1000.0).splitlines()
    assert " ".join(forward.split()) == (
        "lstm 5, 512, 1, 50 forward 1.000 0.980–1.020 52.2 5% 2.000 3.000 – ×2.00 torch, faster"
    )
    assert train.split()[-3:] == ["×0.50", "jax,", "slower"]
    assert " – " in tables.lines(rows()[0], None).splitlines()[1], "no peak is a dash"


def test_only_what_is_between_the_marks_is_renewed() -> None:
    begin, end = tables.MARKS
    assert tables.renewed(f"a\n{begin}\nold\n{end}\nb", r"\1 new") == (
        f"a\n{begin}\n\\1 new\n{end}\nb"
    )
    with pytest.raises(SystemExit, match="lacks the marks"):
        tables.renewed("a", "new")


# The rest


def test_shapes_are_picked_by_index_and_by_part() -> None:
    assert picked(None) == SHAPES
    assert picked(["9", "512, 512", "0"]) == [SHAPES[0], SHAPES[5], SHAPES[9]]
    with pytest.raises(SystemExit, match="names none of these"):
        picked(["77, 77"])


def test_an_engine_has_its_calls_in_a_row(monkeypatch) -> None:
    monkeypatch.setattr(timing, "SETTLE", 0.0)
    monkeypatch.setattr(timing, "once", lambda run: run() or 10.0)  # three calls in 30 ms
    calls: list[str] = []
    times = timing.timed({k: lambda k=k: calls.append(k) for k in "ab"}, rounds=2)
    assert "".join(calls) == "ab" + ("a" + "aaa" + "b" + "bbb") * 2
    assert times["a"] == Time(10.0, 10.0, 10.0)
    assert timing.spread([4.0, 1.0, 2.0, 3.0, 9.0]) == Time(3.0, 2.0, 4.0)


def test_the_chains_of_the_peak_are_not_made_one() -> None:
    try:
        library = build.load(machine.PEAK, "float", "fma-peak")
    except Unsupported:
        pytest.skip("there is no C++ compiler")
    library.rounds.restype = machine.ctypes.c_float
    library.rounds.argtypes = [machine.ctypes.c_long, machine.ctypes.c_float]
    # Before the first round chain k is k × start, so their sum is that of 0 … 11 or 0 … 23.
    assert round(library.rounds(0, 1.0)) in (66, 276)
    # A step makes (1 − start) × chain + start of each.
    assert round(library.rounds(1, 0.5)) in (round(66 * 0.25 + 6), round(276 * 0.25 + 12))


PEAK = """
import torch
from kernel_bench import memory
torch.ones(2**25)  # 128 MiB that are gone before
method, before = memory._set_back()
kept = torch.ones(2**23)
print(method, round((memory._peak(method) - before) / 1024))
"""


def test_the_peak_of_memory_is_that_since_it_was_set_back() -> None:
    # In a process of its own: where much was freed before, 32 MiB may be had without growth.
    path = str(Path(memory.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", PEAK], env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    method, mebibytes = done.stdout.split()
    if method != "VmHWM":
        pytest.skip("here the mark of the highest memory cannot be set back")
    assert 32 <= int(mebibytes) < 48


def test_busy_neighbours_end_with_the_block() -> None:
    def leave() -> None:
        with busy.neighbours(1):
            assert len(multiprocessing.active_children()) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert not multiprocessing.active_children()
