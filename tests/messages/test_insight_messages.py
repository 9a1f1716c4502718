"""Every error of the insight tools, once."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import recurnn
from recurnn import Subject, cells, insight, nn
from recurnn.errors import RecurnnError
from recurnn.insight import figures
from recurnn.insight.comparison import compare
from recurnn.insight.figure import Lines
from recurnn.insight.page import Page
from recurnn.insight.reading import chosen_unit


def layer() -> nn.Recurrent:
    return nn.Recurrent(cells.GRU(2, 3), batch_first=True, engine="reference")


def spoilt() -> nn.Recurrent:
    module = layer()
    with torch.no_grad():
        module.cell.b_r[1] = torch.nan
    return module


def subject(**options: object) -> Subject:
    return Subject(layer(), torch.randn(4, 6, 2), torch.randn(4, 6, 3), **options)


def recorded() -> insight.Layer:
    with insight.Record(layer(), states=True, gates=True, norms=False) as record:
        record.module(torch.randn(4, 6, 2))
    return record["Recurrent"]


def torchs() -> torch.nn.Module:
    model = torch.nn.Sequential(torch.nn.LSTM(2, 3))
    model.forward = lambda x: model[0](x)[0]
    return model


X, Y = torch.randn(4, 6, 2), torch.randn(4, 6, 3)
CASES = {
    "a sequence of length one": (
        lambda: Subject(layer(), torch.randn(4, 1, 2), torch.randn(4, 1, 3)),
        "Subject: a sequence of 1 step has no past.\n  x is [4, 1, 2], that is [B, T, ...]; "
        "expected T of at least 2.",
    ),
    "x without steps": (
        lambda: Subject(layer(), torch.randn(4), Y),
        "Subject: x must have rows and steps.\n  x is [4]; expected [B, T, ...].",
    ),
    "rows that differ": (
        lambda: Subject(layer(), X, torch.randn(5, 7)),
        "Subject: x and y differ in their rows.\n  x is [4, 6, 2], that is [B, T, ...] with B = 4; "
        "y is [5, 7].",
    ),
    "an unknown loss": (
        lambda: subject(loss="mes"),
        "Subject: loss: there is no 'mes'.\n  Known: mse, mae, cross_entropy. Did you mean 'mse'?",
    ),
    "a lag of zero": (
        lambda: subject(lag=0), "Subject: lag is 0; expected steps back, at least 1.",
    ),
    "a lag that goes back beyond the rows": (
        lambda: subject(lag=6),
        "Subject: lag is 6, but the rows have 6 steps.\n  From the last of them it is 5 back to "
        "the first. Give that or less, or longer rows (of text: --steps).",
    ),
    "steps that are looked at, of other rows": (
        lambda: subject(at=torch.tensor([1, 2])),
        "Subject: at is [2].\n  Expected one step a row, [B] = [4], because x has so many rows.",
    ),
    "a step that a row has not": (
        lambda: subject(at=torch.tensor([1, 2, 4, 0]), lengths=torch.tensor([6, 6, 4, 1])),
        "Subject: row 2 has no step 4.\n  It has the steps 0 to 3.",
    ),
    "an input that is looked at elsewhere": (
        lambda: subject(at=torch.tensor([1, 2, 4, 0]), name="net").last_steps(3),
        "net: its input cannot be shortened.\n  What is looked at is not its last step.",
    ),
    "a loss that is one number": (
        lambda: subject(loss=torch.nn.functional.mse_loss).losses(),
        "Subject: the loss is [].\n  Expected one number a row, [B] = [4], or one a row and step, "
        "[4, 6]: a loss without a mean (reduction='none').",
    ),
    "a module that returns no tensor": (
        lambda: Subject(torch.nn.Sequential(), X, Y, shortens=False).predict(
            {"x": 1}  # type: ignore[arg-type]
        ),
        "Subject: the module returns a dict.\n  Expected a tensor, or a tuple that begins with "
        "one: wrap the module.",
    ),
    "an input that cannot be shortened": (
        lambda: subject(shortens=False, name="net").last_steps(3),
        "net: its input cannot be shortened.\n  It takes windows of one length.",
    ),
    "an input with rows of unequal length": (
        lambda: subject(lengths=torch.tensor([6, 5, 4, 3]), name="net").last_steps(3),
        "net: its input cannot be shortened.\n  Its rows differ in length.",
    ),
    "more steps than there are": (
        lambda: insight.sweep(subject(name="net"), [1, 6]),
        "net: the last 7 steps of its input are asked for.\n  Expected 2 to 6, for so many it has.",
    ),
    "a context that is longer than the input": (
        lambda: insight.loss_by_context(subject(name="net"), [2, 7]),
        "net: the last 7 steps of its input are asked for.\n  Expected 2 to 6, for so many it has.",
    ),
    "a target that would be stretched": (
        lambda: insight.gradient_flow(Subject(layer(), X, torch.randn(4, 6, 1))),
        "Subject: y does not fit what the module says.\n  y is [4, 6, 1]; expected [4, 6, 3], "
        "numbers as its predictions [4, 6, 3], because the loss is mse.",
    ),
    "classes of other steps": (
        lambda: Subject(layer(), X, torch.zeros(4, 5).long(), "cross_entropy").losses(),
        "Subject: y does not fit what the module says.\n  y is [4, 5]; expected [4, 6], a class "
        "for each of its predictions [4, 6, 3], because the loss is cross_entropy.",
    ),
    "an input that is no number": (
        lambda: insight.gradient_flow(Subject(layer(), X * torch.nan, Y, name="net")),
        "net: the gradient that reaches Recurrent is not a number, in no row.\n  Not finite: x, "
        "the loss.",
    ),
    "a weight that is no number": (
        lambda: insight.inspect(Subject(spoilt(), X, Y, name="net")),
        "net: the gradient that reaches Recurrent is not a number, in no row.\n  Not finite: the "
        "loss, cell.b_r.",
    ),
    "torch's own layers": (
        lambda: insight.gradient_flow(Subject(torchs(), X.transpose(0, 1), Y.transpose(0, 1),
                                              batch_first=False)),
        "No recurrent layer of recurnn has run in this Sequential.\n  It has layers of torch: "
        "recurnn.nn.convert(model) exchanges them.",
    ),
    "no recurrent layers": (
        lambda: insight.gradient_flow(Subject(torch.nn.Linear(2, 3), X, Y)),
        "No recurrent layer of recurnn has run in this Linear.\n  Expected layers of recurnn.nn, "
        "or modules that call recurnn.scan.",
    ),
    "nothing to train": (
        lambda: insight.gradient_flow(Subject(layer().requires_grad_(requires_grad=False), X, Y)),
        "The loss does not depend on any weight that is trained.\n  Expected parameters with "
        "requires_grad, and a loss of what they give.",
    ),
    "a step that is not there": (
        lambda: insight.gradient_flow(subject(), step=6), "step is 6; x has the steps 0 to 5.",
    ),
    "a layer that is not there": (
        lambda: insight.observe(subject())["rnn"],
        "layer: there is no 'rnn'.\n  Known: Recurrent.",
    ),
    "a gate that is not there": (
        lambda: insight.unit_values(recorded(), "f"),
        "Recurrent: state or gate: there is no 'f'.\n  Known: h, r, z, n.",
    ),
    "a unit that is not there": (
        lambda: insight.unit_values(recorded(), "z", 3),
        "Recurrent: z has no unit 3.\n  It has the units 0 to 2.",
    ),
    "a value of a report that is not there": (
        lambda: insight.gate_reports(subject())["Recurrent"]["c"],
        "Recurrent: state or gate: there is no 'c'.\n  Known: h, r, z, n.",
    ),
    "a row that is not there": (
        lambda: figures.unit_map(recorded(), "z", row=4),
        "Recurrent: no row 4.\n  It has the rows 0 to 3.",
    ),
    "a state of a flow that is not there": (
        lambda: insight.gradient_flow(subject())["Recurrent"].share("c"),
        "Recurrent: state: there is no 'c'.\n  Known: h.",
    ),
    "a series of fewer steps": (
        lambda: figures.series_figure(np.zeros(5), recorded(), "z"),
        "series_figure: the series has 5 values, Recurrent 6 steps.\n  Give one a step.",
    ),
    "a layer without gates": (
        lambda: figures.gate_histogram(elman()), "Recurrent has no gates between 0 and 1.",
    ),
    "a layer that no gate keeps": (
        lambda: figures.horizon_figure(elman()),
        "No gate of Recurrent keeps a state, so it implies no horizon.",
    ),
    "an unknown way to occlude": (
        lambda: insight.occlusion(subject(), how="remove"),
        "occlusion: how: there is no 'remove'.\n  Known: hide, exchange.",
    ),
    "hidden tokens": (
        lambda: insight.occlusion(tokens(), how="hide"),
        "occlusion: tokens cannot be hidden, for they have no mean.\n  Use how='exchange'.",
    ),
    "one row to exchange": (
        lambda: insight.occlusion(subject().first_rows(1), how="exchange"),
        "occlusion: one row has no other to exchange with.\n  Give more rows.",
    ),
    "tokens without an embedding": (
        lambda: insight.integrated_gradients(tokens()),
        "net: x holds tokens, and the module has no torch.nn.Embedding.\n  Contributions of tokens "
        "are computed in the space of one.",
    ),
    "more exponents than states": (
        lambda: insight.lyapunov(cells.GRU(2, 3), exponents=4),
        "lyapunov: exponents is 4.\n  Expected 1 to 3, for the states of the GRU have 3 numbers.",
    ),
    "no steps": (
        lambda: insight.lyapunov(cells.GRU(2, 3), exponents=1, steps=0),
        "lyapunov: steps is 0, transient 100; expected ≥ 1, ≥ 0.",
    ),
    "what is not one cell": (
        lambda: insight.lyapunov(nn.LSTM(2, 3, num_layers=2)),
        "A LSTM is not one cell.\n  Expected a cell, a recurnn.nn.Recurrent, a recurnn.nn.RNN, GRU "
        "or LSTM of one layer and one direction, or a layer of a Record.",
    ),
    "too many states for exact values": (
        lambda: insight.singular_values(cells.IndRNN(2, 5000)),
        "singular_values: 5000 states; 4096 at most, for they are exact.",
    ),
    "no features": (
        lambda: insight.tracking(recorded(), {}),
        "tracking: there are no features.\n  Give one value a step, by name.",
    ),
    "a feature of another length": (
        lambda: insight.tracking(recorded(), {"hour": np.zeros(7)}),
        "tracking: the feature 'hour' does not fit the layer.\n  It is [7]; expected [T] = [6] or "
        "[B, T] = [4, 6], or one dimension more for several columns.",
    ),
    "a name that was not recorded": (
        lambda: insight.tracking(recorded(), {"hour": np.zeros(6)}, names=["c"]),
        "Recurrent: state or gate: there is no 'c'.\n  Known: h, r, z, n.",
    ),
    "nothing recorded": (
        lambda: insight.tracking(plain(), {"hour": np.zeros(6)}),
        "Recurrent: neither states nor gates were recorded.\n  Make the record with states=True or "
        "gates=True.",
    ),
    "values that are not the tokens'": (
        lambda: figures.text_figure("abc", [1.0, 2.0]),
        "text_figure: 2 values for 3 tokens.\n  Give one a token.",
    ),
    "attention of other words": (
        lambda: figures.attention_figure(np.eye(2), ["a"], ["b", "c"]),
        "attention_figure: the weights are [2, 2].\n  Expected [target, source] = [2, 1], for "
        "there are so many words.",
    ),
    "a monitor that never looks": (
        lambda: insight.Monitor(every=0),
        "Monitor: every is 0, rows 8; expected whole numbers of at least 1.",
    ),
    "no cells": (
        lambda: compare([]), "compare: there are no cells.\n  Give one or more: elman lstm gru.",
    ),
    "an unknown start": (
        lambda: compare(["gru"], start="crono"),
        "compare: start: there is no 'crono'.\n  Known: chrono, cell. Did you mean 'chrono'?",
    ),
    "no updates": (
        lambda: compare(["gru"], updates=0),
        "compare: updates is 0; expected a whole number of at least 1.",
    ),
    "recurrent matrices times less than nothing": (
        lambda: compare(["gru"], recurrent_scale=-1.0),
        "compare: recurrent_scale is -1.0; expected a number of at least 0.",
    ),
    "a unit that is not one": (
        lambda: chosen_unit(insight.observe(subject()), "h[3"),
        "unit is 'h[3'.\n  Expected a state or gate and perhaps a unit of it: h[3], f, "
        "Recurrent:h[3].",
    ),
    "a unit of a layer that is not there": (
        lambda: chosen_unit(insight.observe(subject()), "rnn:h[3]"),
        "layer: there is no 'rnn'.\n  Known: Recurrent.",
    ),
    "too short to add": (
        lambda: compare(["gru"], steps=1), "The adding problem: 1 step; it needs at least 2.",
    ),
}  # fmt: skip


def elman() -> insight.GateReport:
    module = nn.Recurrent(cells.Elman(2, 3), batch_first=True, engine="reference")
    return insight.gate_reports(Subject(module, X, Y))["Recurrent"]


def tokens() -> Subject:
    class OneHot(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer()

        def forward(self, x):
            return self.layer(torch.nn.functional.one_hot(x, 2).float()).output

    x = torch.randint(0, 2, (4, 6))
    return Subject(OneHot(), x, x, "cross_entropy", name="net")


def plain() -> insight.Layer:
    with insight.Record(layer()) as record:
        record.module(X)
    return record["Recurrent"]


@pytest.mark.parametrize("name", CASES)
def test_the_text_of_an_error(name):
    run, text = CASES[name]
    with pytest.raises(RecurnnError) as caught:
        run()
    assert str(caught.value) == text


def test_without_plotly_the_extra_is_named(monkeypatch):
    for module in [m for m in sys.modules if m.split(".")[0] == "plotly"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "recurnn.insight.draw_plotly", raising=False)
    monkeypatch.delattr(insight, "draw_plotly", raising=False)
    monkeypatch.setitem(sys.modules, "plotly", None)
    figure = Lines("t", "x", "y", {"a": ([0], [1])})
    for run in (figure.plotly, lambda: Page("t")):
        with pytest.raises(recurnn.errors.ConfigError, match=r"pip install 'recurnn\[insight\]'"):
            run()
    assert figure.matplotlib() is not None


def test_files_that_cannot_be_written(tmp_path):
    figure = Lines("t", "x", "y", {"a": ([0], [1])})
    with pytest.raises(recurnn.errors.DataError, match="cannot be written: No such file"):
        figure.save(tmp_path / "no", "f")
    pytest.importorskip("plotly")
    page = Page("t")
    for place, text in (
        (tmp_path, "is a folder.\n  Give the name of a file to write."),
        (tmp_path / "no" / "r.html", "there is no folder"),
    ):
        with pytest.raises(recurnn.errors.DataError, match=text):
            page.write(place)
    page.write(tmp_path / "r.html")
    with pytest.raises(recurnn.errors.DataError, match=r"exists\.\n  Nothing was written"):
        page.write(tmp_path / "r.html")
    page.write(tmp_path / "r.html", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
