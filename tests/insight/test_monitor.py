"""Looking on while a network trains: what is noted is right, and the training does not notice."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from recurnn import Subject, cells, insight, nn
from recurnn.insight.comparison import LastStep
from recurnn.training import Clip, Plan, Watch, fit
from tolerance import identical


class Data:
    """Noise, and its first number."""

    def __init__(self, rows: int = 60, steps: int = 15) -> None:
        self.x = torch.randn(rows, steps, 2, generator=torch.Generator().manual_seed(2))
        self.y = self.x[:, 0, :1]

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]


class Noisy(torch.nn.Module):
    """Everything that a second pass could disturb: dropout, running means, a carried state."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(2)
        self.rnn = nn.Recurrent(
            cells.LSTM(2, 6), batch_first=True, engine="reference", zoneout=0.1, input_dropout=0.1
        )
        self.drop, self.head = torch.nn.Dropout(0.3), torch.nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return self.head(self.drop(self.rnn(x).output[:, -1]))


PLAN = Plan(batch_size=12, epochs=3, learning_rate=1e-2, clip=0.3, patience=None)


def test_training_has_the_same_bits():
    states, losses = [], []
    for watch in (None, insight.Monitor(every=1, warn=False), insight.Monitor(every=3, warn=False)):
        torch.manual_seed(4)
        network = Noisy()
        history = fit(network, Data(), Data(20), PLAN, watch=watch)
        states.append(dict(network.state_dict()))
        losses.append([(e.loss, e.validation_loss) for e in history.epochs[1:]])
    identical(states[1], states[0])
    identical(states[2], states[0])
    assert losses[0] == losses[1] == losses[2]


class Spy(Watch):
    """Gradient norm, step and loss of every update, taken down by itself."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, float, float]] = []

    def gradients(self, run) -> None:
        self.norm = torch.cat([p.grad.flatten() for p in run.weights]).norm().item()
        self.before = [p.detach().clone() for p in run.weights]

    def update(self, run, update) -> None:
        ratios = [
            ((p.detach() - b).norm() / b.norm()).item()
            for p, b in zip(run.weights, self.before, strict=True)
        ]
        self.rows.append((update.loss, self.norm, float(np.sort(ratios)[(len(ratios) - 1) // 2]),
                          update.clipped["norm"]))  # fmt: skip


def test_what_is_noted_is_what_happened():
    torch.manual_seed(4)
    network = LastStep(cells.LSTM(2, 6), engine="reference")
    spy, monitor = Spy(), insight.Monitor(every=4, warn=False)
    fit(network, Data(), None, PLAN, watch=[spy, monitor])
    course = monitor.course
    assert course.column("step").tolist() == [1, 5, 9, 13]
    every = np.array(spy.rows)
    np.testing.assert_allclose(course.column("loss"), every[::4, 0], rtol=1e-6)
    np.testing.assert_allclose(course.column("gradient"), every[::4, 1], rtol=1e-5)
    np.testing.assert_allclose(course.column("update"), every[::4, 2], rtol=1e-4)
    hits = [every[0, 3], every[1:5, 3].mean(), every[5:9, 3].mean(), every[9:13, 3].mean()]
    np.testing.assert_allclose(course.column("clipped"), hits)
    assert 0 < course.clipped < 1
    assert course.clip == 0.3


def test_gradient_flow_and_saturation_are_those_of_the_rows():
    torch.manual_seed(4)
    network, data = LastStep(cells.LSTM(2, 6), engine="reference"), Data()
    subject = Subject(network, data.x[:5], data.y[:5])
    monitor = insight.Monitor(subject, every=100, rows=5, warn=False)
    plan = Plan(batch_size=60, epochs=1, patience=None)
    fit(network, data, None, plan, watch=monitor)  # one update: noted after it
    (row,) = monitor.course.rows
    flow = insight.gradient_flow(subject)["layer"]
    gates = insight.gate_reports(subject)["layer"].gates.values()
    assert row["left layer"] == pytest.approx(flow.decay.left_after(14), rel=1e-6)
    assert row["saturated layer"] == pytest.approx(np.mean([g.saturated for g in gates]))


def trained(cell: cells.Cell, **options: object) -> list[str]:
    torch.manual_seed(4)
    network = LastStep(cell, engine="reference")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(network, Data(60, 40), None, PLAN, watch=insight.Monitor(every=5, **options))
    return [str(w.message) for w in caught if w.category is insight.GradientWarning]


def large() -> cells.Cell:
    cell = cells.Elman(2, 12)
    with torch.no_grad():
        cell.U.mul_(6)
    return cell


def test_it_warns_once_of_each_kind():
    (text,) = trained(cells.Elman(2, 12), lag=39)
    assert text.startswith("layer: the gradient vanishes: ")
    assert text.endswith("recurnn.insight.inspect says more.")
    (text,) = trained(large())
    assert "the gradient explodes: " in text
    assert trained(cells.Elman(2, 12)) == []  # nobody said that the task goes so far back
    assert trained(cells.Elman(2, 12), lag=39, warn=False) == []


def test_what_it_cannot_run_it_leaves_out():
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x[:, 0])

    monitor = insight.Monitor(every=2)
    fit(Odd(), Data(), None, Plan(batch_size=20, epochs=1, clip=Clip(value=0.1)), watch=monitor)
    assert list(monitor.course.frame) == ["step", "loss", "gradient", "update"]


def test_a_validation_loss_is_noted_at_its_epoch():
    monitor = insight.Monitor(every=50, warn=False)
    network = LastStep(cells.GRU(2, 4), engine="reference")
    history = fit(network, Data(), Data(20), PLAN, watch=monitor)
    table = monitor.course.frame.dropna(subset=["validation"])
    assert table["step"].tolist() == [0, 5, 10, 15]
    assert table["validation"].tolist() == [e.validation_loss for e in history.epochs]
