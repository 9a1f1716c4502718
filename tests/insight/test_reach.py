"""How far back a model looks: models whose reach is known."""

from __future__ import annotations

from dataclasses import replace

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


def test_padding_is_not_part_of_the_mean_that_hides():
    s = subject(torch.arange(40) % 8 + 5)
    x = s.x.clone()
    for row, length in enumerate(s.lengths.tolist()):
        x[row, length:] = 1000.0
    table = insight.occlusion(replace(s, x=x))
    np.testing.assert_allclose(table["change"], insight.occlusion(s)["change"], rtol=1e-5)


def test_what_is_exchanged_is_never_padding():
    x = torch.arange(1, 13).reshape(2, 6)
    s = Subject(nn.GRU(1, 1), x, x, lengths=torch.tensor([6, 4]))
    assert s.exchanged.tolist() == [[7, 8, 9, 10, 7, 8], [1, 2, 3, 4, 5, 6]]
    assert replace(s, others=x + 1).exchanged.tolist() == (x + 1).tolist()


class Beside(torch.nn.Module):
    """Says at each step what the input was two steps before it, and one after."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(1, 2, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.layer(x)
        return 3 * x.roll(2, 1) + x.roll(-1, 1)


@pytest.mark.parametrize("how", ["hide", "exchange"])
def test_steps_on_both_sides_of_the_one_that_is_looked_at(how):
    x, at = torch.randn(9, 12, 1), torch.tensor([2, 3, 4] * 3)
    s = Subject(Beside(), x, torch.zeros(9, 12, 1), at=at, lengths=at + 6)
    table = insight.occlusion(s, how=how)
    assert table["lag"].tolist() == list(range(-5, 5))
    assert table.loc[table["change"] > 1e-6, "lag"].tolist() == [-1, 2]
    parts = insight.integrated_gradients(s).set_index("lag")["contribution"]
    mean = s.real_of(x).mean()
    rows = torch.arange(9)
    for lag, weight in ((-1, 1.0), (2, 3.0)):
        want = (weight * (x[rows, at - lag, 0] - mean)).abs().mean()
        assert parts[lag] == pytest.approx(want.item(), rel=1e-4)
    assert parts.drop([-1, 2]).max() < 1e-6
    losses = insight.loss_by_context(s, [1, 2, 3])["loss"]
    assert losses[2] == pytest.approx(s.last_loss(s.losses()).mean().item(), rel=1e-5)
    shown = (x[rows, at + 1, 0] + 3 * mean).square().mean()  # of one step on either side
    assert losses[1] == pytest.approx(shown.item(), rel=1e-4)


def test_classes_are_attributed_by_the_likeliest_however_few():
    x = torch.randn(5, 7, 2)
    model = nn.Stack(nn.GRU(2, 8), torch.nn.Linear(8, 3), batch_first=True)
    s = Subject(model, x, torch.zeros(5, 7, dtype=torch.int64), "cross_entropy")
    total, _ = insight.attributions(s, points=100)
    with torch.no_grad():
        end, base = (model(v).output[:, -1] for v in (x, x.mean((0, 1)).expand_as(x)))
    best = end.argmax(-1, keepdim=True)
    way = [v.log_softmax(-1).gather(1, best) for v in (end, base)]
    torch.testing.assert_close(total.sum(1), (way[0] - way[1])[:, 0], rtol=1e-2, atol=1e-3)


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
    mean = torch.cat([row[:n, 0] for row, n in zip(s.x, ends.tolist(), strict=True)]).mean()
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
