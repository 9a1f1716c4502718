"""Verdicts name what is wrong, with the right number, and say nothing of what is right."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import verdicts as planted
from recurnn import Subject, cells, insight, nn
from recurnn.insight.advice import number
from recurnn.insight.comparison import Adding, LastStep
from recurnn.insight.verdicts import RULES, Verdict


def adding(cell: cells.Cell, steps: int = 200) -> insight.Inspection:
    data = Adding(steps, 16, seed=4)
    network = LastStep(cell, engine="reference")
    subject = Subject(network, data.x, data.y, lag=steps - 1)
    return insight.inspect(subject, experiments=False)


def names(found: insight.Inspection) -> list[str]:
    return [v.name for v in found.verdicts]


def test_a_plain_elman_cell_vanishes_with_the_right_order_of_the_lag():
    torch.manual_seed(0)
    cell = cells.Elman(2, 32)
    found = adding(cell)
    (verdict,) = found.verdicts
    assert verdict.name == "vanishes"
    radius = np.abs(np.linalg.eigvals(cell.U.detach().numpy())).max()
    one, halves = map(float, re.findall(
        r"down to 1 % after (\d+) steps and in the end halves every ([\d.]+);", verdict.text
    )[0])  # fmt: skip
    assert halves == pytest.approx(np.log(0.5) / np.log(radius), rel=0.25)
    assert one == pytest.approx(np.log(0.01) / np.log(radius), rel=0.35)
    assert "the task's lag is 199" in verdict.text
    assert any(f"spectral radius {number(radius)}," in a for a in verdict.advice)
    assert any("no gate of Elman keeps a state" in a for a in verdict.advice)


def test_scaled_up_weights_explode():
    torch.manual_seed(0)
    cell = cells.Elman(2, 32)
    with torch.no_grad():
        cell.U.mul_(6)
    found = adding(cell)
    assert names(found) == ["explodes"]
    assert "clipping" in found.verdicts[0].advice[0]
    radius = np.abs(np.linalg.eigvals(cell.U.detach().numpy())).max()
    assert f"spectral radius {number(radius)}." in " ".join(found.verdicts[0].advice)


def test_an_lstm_whose_forget_gate_is_open_does_not_vanish():
    torch.manual_seed(0)
    assert names(adding(cells.LSTM(2, 32, init={"b_f": 6.0}))) == []


def test_an_lstm_as_torch_starts_it_forgets_and_is_told_the_bias():
    torch.manual_seed(0)
    found = adding(cells.LSTM(2, 32))
    assert names(found) == ["vanishes", "forgets"]
    (advice,) = found.verdicts[0].advice
    assert advice.startswith(f"a start of b_f at {number(np.log(199))}")
    assert found.verdicts[1].advice == ()  # said already


@pytest.mark.slow
def test_a_trained_lstm_does_not_vanish():
    torch.manual_seed(0)
    network = LastStep(cells.LSTM(2, 32, init={"b_f": 5.0}))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for update in range(4000):
        data = Adding(200, 50, seed=10 + update)
        loss = (network(data.x) - data.y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if loss.item() < 0.005:
            break
    assert loss.item() < 0.01  # it has learned the task: guessing gives .167
    data = Adding(200, 16, seed=4)
    subject = Subject(network, data.x, data.y, lag=199)
    assert names(insight.inspect(subject, experiments=False)) == []


@pytest.mark.parametrize("case", planted.FAULTS, ids=lambda c: c.title)
def test_a_planted_fault_is_named(case):
    assert case.expected in names(planted.run(case))


@pytest.mark.parametrize("case", planted.HEALTHY, ids=lambda c: c.title)
def test_a_healthy_model_gets_no_verdict(case):
    found = planted.run(case)
    assert names(found) == []
    assert found.summary().startswith("Nothing wrong was found.")


def unstated(cell: cells.Cell, **options: object) -> insight.Inspection:
    data = Adding(60, 16, seed=4)
    network = LastStep(cell, engine="reference")
    subject = Subject(network, data.x, data.y, **options)
    return insight.inspect(subject, experiments=False)


@pytest.mark.parametrize("make", [lambda: cells.Elman(2, 16), lambda: cells.LSTM(2, 16)])
def test_where_no_lag_is_known_a_short_memory_is_told_and_not_judged(make):
    torch.manual_seed(0)
    found = unstated(make(), truncation=20)
    assert names(found) == []
    (layer, unknown) = found.facts
    decay = found.flows["layer"].decay
    assert f"steps and in the end halves every {number(decay.half_life)}; the input" in layer
    assert "the input has 60 steps, where" in layer
    assert unknown.startswith("How far back the task reaches is not known")
    assert found.summary().splitlines() == [
        "Nothing wrong was found.", f"  {layer}", f"  {unknown}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"step": k, "validation": v} for k, v in enumerate([2.5, 2.49, 2.6])],
         "the validation loss was 2.5 at first and at best 2.5"),
        ([{"step": k, "loss": 2.5 - k / 900} for k in range(20)], "the loss went from 2.5 to 2.5"),
        ([{"step": k, "validation": v} for k, v in enumerate([2.5, 2.0, 2.6])], ""),
        ([{"step": k, "loss": 2.5 - k / 90} for k in range(20)], ""),
        ([{"step": k, "loss": 2.5} for k in range(4)], ""),
    ],
)  # fmt: skip
def test_where_nothing_was_learned_a_short_memory_is_a_fault(rows, said):
    torch.manual_seed(0)
    course = insight.Course(rows)
    assert course.stuck == said
    elman = replace(unstated(cells.Elman(2, 16)), course=course)
    lstm = replace(unstated(cells.LSTM(2, 16)), course=course)
    assert names(elman) == (["vanishes"] if said else [])
    assert names(lstm) == (["vanishes", "forgets"] if said else [])
    if said:
        assert elman.verdicts[0].text.endswith(f"is left; {said}.")
        assert "the task reaches is not known: tell it as the lag" in elman.summary()
        assert elman.summary().count("in the end halves every") == 1  # in the verdict alone
        (advice,) = lstm.verdicts[0].advice
        assert "b_f at 4.1 (ln of 59; " in advice
        assert advice.endswith("the input has 60 steps.")
    else:
        assert "is not known, so that none of this is judged: tell" in elman.summary()


def test_where_a_simple_baseline_did_better_a_short_memory_is_a_fault():
    torch.manual_seed(0)
    (verdict,) = unstated(cells.Elman(2, 16), beaten_by="the 5-gram").verdicts
    assert verdict.name == "vanishes"
    assert verdict.text.endswith("is left; the 5-gram does better on held-out data.")


def test_truncation_is_judged_by_the_lag_alone():
    torch.manual_seed(0)
    assert names(unstated(cells.Elman(2, 16), truncation=20, beaten_by="x")) == ["vanishes"]
    assert "truncated" in names(unstated(cells.Elman(2, 16), truncation=20, lag=59))
    assert "truncated" not in names(unstated(cells.Elman(2, 16), truncation=20, lag=20))


def test_what_explodes_is_a_fault_whatever_the_lag():
    torch.manual_seed(0)
    cell = cells.Elman(2, 16)
    with torch.no_grad():
        cell.U.mul_(8)
    found = unstated(cell)
    assert names(found) == ["explodes"]
    assert "the gradient in the end doubles every" in found.verdicts[0].text


def test_facts_tell_how_far_back_the_model_looks():
    torch.manual_seed(0)
    found = unstated(cells.GRU(2, 8))
    occlusion = pd.DataFrame({"lag": range(9), "change": [0.5, 2, 1, 0, 0, 0.03, 0.01, 0, 0]})
    contexts = pd.DataFrame({"context": [1, 2, 4, 8, 9], "loss": [2.0, 1.001, 1.2, 1.009, 1.0]})
    told = replace(found, occlusion=occlusion, contexts=contexts).facts
    assert told[1] == (
        "Hiding the input of up to 5 steps back changes the prediction by more than 1 % of what "
        "hiding its most telling step does."
    )
    assert told[2] == "Given 8 of 9 steps the loss is within 1 % of 1, that of all."
    far = occlusion.assign(change=1.0)
    assert "up to 8 steps back, the whole input, changes" in replace(found, occlusion=far).facts[1]


def test_the_reverse_of_a_last_step_has_no_way_back_that_could_vanish():
    torch.manual_seed(0)
    model = nn.Stack(nn.GRU(2, 4, bidirectional=True), batch_first=True)
    x, y = torch.randn(3, 9, 2), torch.randn(3, 9, 8)
    found = insight.inspect(Subject(model, x, y, lag=8), experiments=False)
    assert [v.layer for v in found.verdicts if v.name == "vanishes"] in ([], ["layers.0.l0"])


def test_a_layer_that_is_not_used_is_named():
    class Unused(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(2, 4, batch_first=True), torch.nn.Linear(4, 1)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1].detach())

    subject = Subject(Unused(), torch.randn(3, 9, 2), torch.randn(3, 1))
    found = insight.inspect(subject, experiments=False)
    assert "unused" in names(found)
    assert "vanishes" not in names(found)


def test_a_layer_that_reads_several_steps_at_once_has_a_lag_of_its_own():
    class Patches(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.Recurrent(cells.Elman(8, 6), batch_first=True, engine="reference")

        def forward(self, x):
            return self.rnn(x.reshape(len(x), -1, 8)).output[:, -1]

    subject = Subject(Patches(), torch.randn(3, 80, 2), torch.randn(3, 6), lag=60)
    found = insight.inspect(subject, experiments=False)
    assert found.steps_of("rnn") == 20
    assert found.lag_of("rnn") == 15
    assert found.lag_in_words("rnn") == "the task's lag is 60, 20 of this layer"


def test_padding_is_not_judged_as_input():
    layer = nn.Recurrent(cells.GRU(2, 3), batch_first=True, engine="reference")
    x = torch.randn(3, 9, 2)
    x[1, 5:] = -300.0
    lengths = torch.tensor([9, 5, 9])
    for of, told in ((lengths, False), (None, True)):
        subject = Subject(layer, x, torch.randn(3, 9, 3), lengths=of)
        assert ("unscaled input" in names(insight.inspect(subject, experiments=False))) == told


def test_every_verdict_is_planted_or_tested_here():
    tested = {c.expected for c in planted.FAULTS} | {"unused", "forgets"}
    assert tested == set(RULES)


def test_a_verdict_prints_its_advice():
    shown = str(Verdict("explodes", "it grows.", ("clip it.", "shrink it."), "rnn"))
    assert shown == "rnn explodes: it grows.\n  try: clip it.\n  try: shrink it."


def test_clipping_is_judged_by_how_often_it_acts():
    subject = Subject(nn.Recurrent(cells.GRU(2, 3), batch_first=True, engine="reference"),
                      torch.randn(2, 5, 2), torch.randn(2, 5, 3))  # fmt: skip
    found = insight.inspect(subject, experiments=False)
    rows = [{"step": k, "loss": 1.0, "gradient": 2.0} for k in range(20)]
    for clip, told in ((1.0, True), (3.0, False)):
        judged = replace(found, course=insight.Course(rows, clip=clip))
        assert ("always clipped" in names(judged)) == told
