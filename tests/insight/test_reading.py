"""Units that follow something, features of texts and times, and the figures of what is read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from recurnn import Subject, cells, insight, nn
from recurnn.insight import figures
from recurnn.insight.reading import followed, readings


class Follows(cells.Cell):
    """Unit 0 is column 0 of x, unit 1 its opposite, unit 2 counts the steps, 3 to 5 are noise."""

    weights = {"W": "H I"}

    def step(self, p, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        seen = p.W @ x
        count = h[:, 2:3] + 1
        return {"h": torch.cat([seen[:, :2], count, seen[:, 3:]], dim=1)}


def layer(x: Tensor) -> insight.Layer:
    cell = Follows(4, 6)
    with torch.no_grad():
        cell.W.zero_()
        cell.W[0, 0], cell.W[1, 0] = 1.0, -1.0
        cell.W[3, 1] = cell.W[4, 2] = cell.W[5, 3] = 1.0
    module = nn.Recurrent(cell, batch_first=True)
    with insight.Record(module, states=True, norms=False) as record:
        module(x)
    return record["Recurrent"]


def test_the_units_that_follow_are_found_best_first_with_their_sign():
    x = torch.randn(3, 200, 4)
    noise = np.random.default_rng(1).normal(size=(3, 200)) * 0.5
    features = {"seen": x[..., 0].numpy() + noise, "time": np.arange(200.0)}
    table = insight.tracking(layer(x), features)
    first = table.iloc[0]
    assert (first["feature"], first["of"], first["unit"]) == ("time", "h", 2)
    assert first["correlation"] == pytest.approx(1.0)
    seen = table[table["feature"] == "seen"].iloc[:2]
    assert sorted(seen["unit"]) == [0, 1]
    want = np.corrcoef((x[..., 0].numpy() + noise).ravel(), x[..., 0].numpy().ravel())[0, 1]
    found = dict(zip(seen["unit"], seen["correlation"], strict=True))
    assert found[0] == pytest.approx(want, rel=1e-4)
    assert found[1] == pytest.approx(-want, rel=1e-4)
    rest = table[(table["feature"] == "seen") & ~table["unit"].isin([0, 1])]
    assert rest["correlation"].abs().max() < table["chance"].max() < 0.2


def test_a_cycle_is_followed_whatever_its_phase():
    t = np.arange(24 * 14)
    times = pd.date_range("2024-01-01", periods=len(t), freq="h")
    x = torch.randn(1, len(t), 4)
    x[0, :, 0] = torch.from_numpy(np.cos(2 * np.pi * (t - 5) / 24))
    x[0, :, 1] = torch.from_numpy(np.sin(2 * np.pi * (t + 30) / 168))
    found = insight.time_features(times)
    assert list(found) == ["hour of day", "day of week", "day of year", "weekend"]
    table = insight.tracking(layer(x), {k: found[k] for k in ("hour of day", "day of week")})
    best = table.groupby("feature", sort=False).first()
    assert best.loc["hour of day", "correlation"] == pytest.approx(1.0)
    assert best.loc["hour of day", "unit"] in (0, 1)
    assert best.loc["day of week", "unit"] == 3
    assert best.loc["day of week", "correlation"] > 0.95


def test_padding_and_a_start_can_be_left_out():
    x = torch.randn(2, 50, 4)
    feature = x[..., 0].numpy().copy()
    feature[:, :10] = 100.0
    table = insight.tracking(layer(x), {"seen": feature}, skip=10)
    assert abs(table["correlation"].iloc[0]) == pytest.approx(1.0)
    feature[0, 20] = np.nan
    table = insight.tracking(layer(x), {"seen": feature}, skip=10)
    assert abs(table["correlation"].iloc[0]) == pytest.approx(1.0)


def test_features_of_a_text():
    text = 'A (b [c]) "d e"\nf 7'
    found = insight.text_features(text)
    assert found["inside brackets"].tolist() == [0, 0, 1, 1, 1, 2, 2, 1] + [0] * 11
    assert found["inside quotes"][text.index("d")] == 1
    assert found["inside quotes"][text.index("f")] == 0
    assert found["position in line"][text.index("f")] == 0
    assert found["position in line"][text.index("\n")] == 15
    assert found["capital"].tolist() == [1] + [0] * 18
    assert found["digit"].tolist() == [0] * 18 + [1]
    assert insight.text_features(")(")["inside brackets"].tolist() == [0, 1]


def test_a_text_is_laid_out_in_lines():
    text = "ab\ncd" * 3
    figure = figures.text_figure(text, np.linspace(-1, 1, 15), name="unit 3", width=6)
    assert figure.text == [list("ab⏎cda"), list("b⏎cdab"), ["⏎", "c", "d", "", "", ""]]
    assert figure.values.shape == (3, 6)
    assert np.isnan(figure.values[2, 3:]).all()
    assert figure.signed
    assert figure.limits == (-1.0, 1.0)
    gate = figures.text_figure(["one", "word"], [0.2, 0.9])
    assert not gate.signed
    assert gate.limits == (0.0, 1.0)


def test_gates_lie_under_the_curve_that_they_read():
    module = nn.Recurrent(cells.GRU(6, 3), batch_first=True)
    series = torch.randn(2, 24, 3)
    with insight.Record(module, gates=True, norms=False) as record:
        module(series.reshape(2, 12, 6))  # two steps at once
    figure = figures.series_figure(series[1, :, 0], record["Recurrent"], "z", row=1)
    above, below = figure.panels
    np.testing.assert_allclose(
        above.lines["series"][1], series[1, :, 0].reshape(12, 2).mean(1), rtol=1e-6
    )
    want = module(series.reshape(2, 12, 6), return_gates=True).gates["z"][1]
    np.testing.assert_allclose(below.z, want.detach().T, rtol=1e-6)


def test_attention_shows_the_words():
    weights = np.array([[0.9, 0.1, 0.0], [0.0, 0.3, 0.7]])
    figure = figures.attention_figure(weights, ["I", "am", "here"], ["je", "suis"])
    table = figure.frame
    assert list(table.columns[1:]) == ["I", "am", "here"]
    assert table.iloc[:, 0].tolist() == ["je", "suis"]
    assert table.loc[1, "here"] == pytest.approx(0.7)


class Reader(torch.nn.Module):
    """Tokens to log p of the next, by an embedding and a GRU."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(size, 5)
        self.rnn = nn.Recurrent(cells.GRU(5, 7), batch_first=True, engine="reference")
        self.head = torch.nn.Linear(7, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embedding(x)).output)


def reading_of(tokens: list[str]) -> insight.Inspection:
    torch.manual_seed(2)
    known = sorted(set(tokens))
    x = torch.tensor([[known.index(t) for t in tokens], [0] * len(tokens)])
    return insight.inspect(Subject(Reader(len(known)), x, x, "cross_entropy", labels=tokens))


def test_a_text_is_read_by_the_unit_that_follows_something_and_by_contribution():
    tokens = ["<end>", *'He said "Yes (7)" to it.'] * 2
    found = reading_of(tokens)
    table = followed(found, found.record["rnn"])
    text = "".join("\n" if len(t) > 1 else t for t in tokens)
    h = found.record["rnn"].values["h"][5:, 0].detach().numpy()
    spaces = insight.text_features(text)["space"][5:]
    row = table[(table["feature"] == "space") & (table["of"] == "h") & (table["unit"] == 2)]
    assert row["correlation"].item() == pytest.approx(np.corrcoef(h[:, 2], spaces)[0, 1], abs=1e-4)
    best = table.iloc[0]
    units, coloured, contributed = readings(found)
    assert isinstance(units, figures.Bars)
    values = found.record["rnn"].values[best["of"]][:, 0, int(best["unit"])].detach()
    np.testing.assert_allclose(coloured.values.reshape(-1)[:50], values, rtol=1e-6)
    assert coloured.title == f"Text by {best['of']}[{best['unit']}] of rnn"
    assert coloured.text[0][:4] == ["⏎", "H", "e", " "]
    np.testing.assert_allclose(
        contributed.values.reshape(-1)[:50], found.first_row, rtol=1e-5, atol=1e-7
    )
    want = insight.attributions(found.subject)[0][0]
    np.testing.assert_allclose(found.first_row, want, rtol=1e-4, atol=1e-6)


def test_words_are_coloured_by_the_units_asked_for():
    found = reading_of(["to", "be", "or", "not", "to", "be"])
    assert followed(found, found.record["rnn"]) is None
    one, gate, _ = readings(found, ["rnn:n[4]", "z"])
    layer = found.record["rnn"].values
    np.testing.assert_allclose(one.values.reshape(-1)[:6], layer["n"][:, 0, 4].detach(), rtol=1e-6)
    mean = layer["z"][:, 0].detach().mean(1)
    np.testing.assert_allclose(gate.values.reshape(-1)[:6], mean, rtol=1e-6)
    assert (one.title, gate.title) == ("Text by n[4] of rnn", "Text by z of rnn")


def test_a_series_stands_over_the_gate_that_keeps_and_its_times_are_followed():
    times = list(pd.date_range("2024-01-01", periods=48, freq="h"))
    x = torch.randn(2, 48, 2)
    module = nn.Stack(nn.Recurrent(cells.GRU(2, 4), engine="reference"), batch_first=True)
    subject = Subject(module, x, torch.randn(2, 48, 4), labels=times)
    found = insight.inspect(subject)
    assert set(followed(found, found.record["layers.0"])["feature"]) == {
        "hour of day", "day of week", "day of year",
    }  # fmt: skip
    _, panels = readings(found)
    above, below = panels.panels
    np.testing.assert_allclose(above.lines["series"][1], x[0, :, 0], rtol=1e-6)
    z = found.record["layers.0"].values["z"][:, 0].detach()
    np.testing.assert_allclose(below.z, z.T, rtol=1e-6)
    (one,) = list(readings(found, ["z[2]"]))[1:]
    np.testing.assert_allclose(one.panels[1].lines["z[2]"][1], z[:, 2], rtol=1e-6)
