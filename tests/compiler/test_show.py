"""`recurnn show` and `recurnn.explain`: the stages and the choice of engine, as text."""

from __future__ import annotations

import re

import pytest
import torch
from typer.testing import CliRunner

import recurnn
from problems import KINDS
from recurnn import cells, compiler
from recurnn.cli import app, main
from recurnn.cli.cells import example
from recurnn.compiler import kernel
from recurnn.compiler.cpp_text import runtime
from recurnn.compiler.show import STAGES
from recurnn.errors import ConfigError

TRACE = """\
i = sigmoid(W_i @ x + U_i @ old h + b_i)
f = sigmoid(W_f @ x + U_f @ old h + b_f)
g = tanh(W_g @ x + U_g @ old h + b_g)
o = sigmoid(W_o @ x + U_o @ old h + b_o)
c = f * old c + i * g
h = o * tanh(c)
"""
STAGE = """\
hoisted, many steps at once:
    one product: W @ x
phase 1:
    for each unit of H:
        one product: U @ old y
        h = tanh(W @ x + U @ old y + b)
        h → saved
phase 2:
    for each unit of O:
        one product: V @ h
        y = V @ h + b_y
        y → new_y
"""
BACKWARD = """\
phase 1:
    for each unit of H:
        one product: past h
        dz = (given h + carried h + past h) * (1 - h * h)
        dz → dz
past h = Uᵀ @ dz of the later step
after the loop, summed over steps and rows:
    dL/dU = Σ dz ⊗ old h
    dL/dW = Σ dz ⊗ x
    dL/db = Σ dz
saved by the forward pass: nothing but the states
"""


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["show", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_stages_by_their_text() -> None:
    assert shown("lstm") == shown("lstm", "--stage", "trace") == TRACE
    assert shown("jordan", "--stage", "stages") == STAGE
    assert shown("elman", "--stage", "backward") == BACKWARD


@pytest.mark.parametrize("name", cells.CELLS)
def test_every_stage_of_every_cell_is_shown(name: str) -> None:
    texts = [shown(name, "--stage", stage) for stage in STAGES]
    assert len(set(texts)) == len(STAGES)
    trace, stages, backward, kernel = texts
    cell = example(name)
    for value in (*cell.states, *cell.gates):
        assert f"\n{value} = " in f"\n{trace}"
        assert f" {value} = " in stages
        assert re.search(f"V {value}_* = ", kernel)  # `n` and `n_` are words of the frame: n__
    for weight in cell.weights:
        assert f"dL/d{weight} = Σ" in backward
    for kind in ("forward", "inference", "backward"):
        assert kernel.count(f'extern "C" void {kind}(const Call* c, void* const* address)') == 1
    assert "broadcast(T a)" not in kernel  # the headers are not in it


def test_the_kernel_that_is_shown_is_the_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        """Instead of a compiled one: only the text counts here."""

        def lanes(self) -> int:
            return 4

        def outer_width(self) -> int:
            return 1

    built: dict[str, str] = {}

    def load(text: str, dtype: str, name: str) -> Library:
        built[name] = text
        return Library()

    monkeypatch.setattr(kernel, "load", load)
    cell = KINDS["gru"].make()
    made = kernel.Kernel(cell, torch.float64, ("h",))
    made.library("forward")
    kinds = ["forward", "inference", "backward"]
    assert sorted(built) == sorted(f"GRU-{kind}" for kind in kinds)
    texts = [built[f"GRU-{kind}"].removeprefix(runtime() + "\n") for kind in kinds]
    assert "\n".join(texts) == compiler.show(cell, "kernel")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["lstn"], "error: cell: there is no 'lstn'.\n"),
        (["lstm", "--stage", "kernal"], "error: stage: there is no 'kernal'.\n"),
    ],
)
def test_an_unknown_name_is_an_error(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["show", *arguments])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(text)
    nearest = {"lstn": "lstm", "kernal": "kernel"}[arguments[-1]]
    assert error.endswith(f"Did you mean '{nearest}'?\n")


EXPLAINED = """\
ProjectedLSTM, I=3, H=4, P=2, float64 on cpu: the compiled kernel runs.
  Ahead of the loop: W_i @ x, W_f @ x, W_g @ x, W_o @ x.
  A step has 2 phases forward and 2 phases backward.
  Kept for the backward pass, for each step and row: 8 · (P + 5 H) bytes, of h, c, i, f, g, o.
  Threads: up to 1 (torch.get_num_threads()), which share the rows, or the units of a large
  step of few rows; the same bits for any number."""


@pytest.fixture
def compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything compiles, in no time."""
    monkeypatch.setattr(compiler, "prepare", lambda *_, **__: 0)


def test_explain_by_its_text(compiles: None) -> None:
    assert recurnn.explain(KINDS["projected-lstm"].make()) == EXPLAINED
    norm = recurnn.explain(KINDS["layernorm-lstm"].make())
    assert "8 · (10 H + 4) bytes, of h, c and 12 values without a name." in norm
    assert "which share the rows; the same bits" in norm


def test_explain_of_layers(compiles: None) -> None:
    gru = recurnn.nn.GRU(3, 4, dtype=torch.float64)
    cell = cells.GRU(3, 4, dtype=torch.float64)
    layer = recurnn.nn.Recurrent(cell)
    assert recurnn.explain(gru) == recurnn.explain(cell) == recurnn.explain(layer)
    for drop_in in (
        recurnn.nn.RNN(3, 4, nonlinearity="relu", dtype=torch.float64),
        recurnn.nn.LSTM(3, 4, dtype=torch.float64),
        recurnn.nn.LSTM(3, 4, proj_size=2, dtype=torch.float64),
    ):
        assert "the compiled kernel runs" in recurnn.explain(drop_in)


class Erfinv(cells.Cell):
    """A function that the compiler does not know."""

    weights = {"W": "H I"}

    def step(self, p: cells.Weights, x: torch.Tensor, h: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"h": torch.erfinv(p.W @ x + h)}


def test_explain_says_why_the_reference_runs() -> None:
    slow = recurnn.nn.Recurrent(cells.GRU(3, 4), engine="reference")
    assert recurnn.explain(slow) == (
        "GRU, I=3, H=4, float32 on cpu: the reference runs.\n"
        "  the layer was made with engine='reference'."
    )
    assert recurnn.explain(Erfinv(3, 4)) == (
        "Erfinv, I=3, H=4, float32 on cpu: the reference runs.\n  the step uses erfinv."
    )
    half = cells.GRU(3, 4, dtype=torch.float16)
    assert recurnn.explain(half).endswith("runs.\n  there is no kernel for torch.float16.")


def test_explain_of_something_else_is_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        recurnn.explain(torch.nn.LSTM(3, 4))
    assert str(caught.value) == (
        "explain: a LSTM has no cell.\n"
        "  Expected a cell, a recurnn.nn.Recurrent, or a recurnn.nn.RNN, GRU or LSTM."
    )
