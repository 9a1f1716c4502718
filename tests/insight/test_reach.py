"""How far back a model looks: models whose reach is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from recurnn import Subject, cells, insight, nn


class Sum(torch.nn.Module):
    """Says a weighted sum of what it saw some steps before the end: no memory beyond them."""

    def __init__(self, weights: dict[int, float]) -> None:
        super().__init__()
        self.weights = weights
        self.layer = nn.Recurrent(cells.GRU(2, 3), batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.layer(x)
        T = torch.full((len(x),), x.shape[1]) if lengths is None else lengths
        rows = torch.arange(len(x))
        parts = [w * x[rows, T - 1 - lag, 0] for lag, w in self.weights.items()]
        return torch.stack(parts).sum(0).unsqueeze(1)


def subject(lengths: Tensor | None = None) -> Subject:
    x = torch.randn(40, 12, 2)
    model = Sum({3: 2.0, 0: 1.0})
    with torch.no_grad():
        y = model(x, lengths)
    return Subject(model, x, y, lengths=lengths)


@pytest.mark.parametrize("how", ["hide", "exchange"])
@pytest.mark.parametrize("ragged", [False, True])
def test_occlusion_finds_the_steps_that_matter(how, ragged):
    s = subject(torch.arange(40) % 8 + 5 if ragged else None)
    table = insight.occlusion(s, how=how)
    changed = table.loc[table["change"] > 1e-6, "lag"].tolist()
    assert changed == [0, 3]
    assert table["loss"].iloc[3] > 2 * table["loss"].iloc[0] > 0
    if how == "hide" and not ragged:  # the share of each in the spread of 2 x₃ + x₀
        x = s.x[..., 0] - s.x[..., 0].mean()
        spread = float((2 * s.x[:, -4, 0] + s.x[:, -1, 0]).std(correction=0))
        hidden = float((2 * (s.x[:, -4, 0] - s.x[..., 0].mean())).square().mean().sqrt())
        assert table["change"].iloc[3] == pytest.approx(hidden / spread, rel=1e-4)
        assert x.shape == (40, 12)


def test_wide_steps_pass_over_nothing():
    model = Sum({41: 1.0})
    x = torch.randn(20, 200, 2)
    s = Subject(model, x, torch.zeros(20, 1))
    table = insight.occlusion(s)
    assert len(table) <= 60
    (lag,) = table.loc[table["change"] > 1e-6, "lag"]
    assert lag <= 41 < lag + 4


@pytest.mark.parametrize("ragged", [False, True])
def test_integrated_gradients_of_a_sum_are_its_parts(ragged):
    lengths = torch.arange(40) % 8 + 5 if ragged else None
    s = subject(lengths)
    table = insight.integrated_gradients(s, points=4)
    ends = torch.full((40,), 12) if lengths is None else lengths
    mean = s.x.mean(dim=(0, 1))[0]
    for lag, weight in ((0, 1.0), (3, 2.0)):
        parts = weight * (s.x[torch.arange(40), ends - 1 - lag, 0] - mean)
        assert table["contribution"].iloc[lag] == pytest.approx(float(parts.abs().mean()), rel=1e-4)
        assert table["signed"].iloc[lag] == pytest.approx(float(parts.mean()), abs=1e-5)
    assert table["contribution"].drop([0, 3]).max() < 1e-6
    assert table["unexplained"].max() < 1e-4


def test_contributions_explain_the_prediction():
    torch.manual_seed(3)
    model = nn.Stack(nn.GRU(2, 8), torch.nn.Linear(8, 1), batch_first=True)
    s = Subject(model, torch.randn(6, 15, 2), torch.randn(6, 15, 1))
    found, gap = insight.attributions(s, points=200)
    base = s.x.mean(dim=(0, 1), keepdim=True).expand_as(s.x)
    with torch.no_grad():
        way = model(s.x).output[:, -1, 0] - model(base).output[:, -1, 0]
    torch.testing.assert_close(found.sum(1), way, rtol=1e-3, atol=1e-4)
    assert gap < 1e-3


class Tokens(torch.nn.Module):
    """Numbers of tokens in, a score a step out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(7, 5)
        self.layer = nn.GRU(5, 6, batch_first=True)
        self.head = torch.nn.Linear(6, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.embedding(x))[0])


def test_tokens_are_exchanged_and_contribute_through_their_embedding():
    x, y = torch.randint(0, 7, (9, 11)), torch.randint(0, 7, (9, 11))
    s = Subject(Tokens(), x, y, "cross_entropy")
    assert insight.occlusion(s)["change"].iloc[0] > 0.1
    table = insight.integrated_gradients(s)
    assert table["unexplained"].max() < 0.05
    assert table["contribution"].iloc[0] > table["contribution"].iloc[8]
    (flow,) = insight.gradient_flow(s).values()
    assert flow.total.shape == (11, 9)


def test_loss_by_context_stops_falling_where_the_past_says_nothing():
    torch.manual_seed(1)
    s = subject()
    table = insight.loss_by_context(s, [1, 2, 3, 4, 8, 12])
    loss = table["loss"].to_numpy()
    np.testing.assert_allclose(loss[3:], 0, atol=1e-9)
    assert (loss[:3] > 0.5).all()
