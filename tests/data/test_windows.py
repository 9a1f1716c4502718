"""Windows against naive slicing, and the textbook's protocol on the real load."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurnn.data import Scaler, Windows, read_series, split
from recurnn.errors import ConfigError


def naive(series, *, context, horizon, gap, ranges):
    """Every (x, y), by trying every end of every series."""
    found = []
    for s, (values, (start, end)) in enumerate(zip(series, ranges, strict=True)):
        for e in range(len(values)):
            targets = list(range(e + 1 + gap, e + 1 + gap + horizon))
            whole = e - context + 1 >= 0 and targets[-1] < len(values)
            if whole and all(start <= t < end for t in targets):
                found.append((s, e, values[e - context + 1 : e + 1], values[targets]))
    return found


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_windows_are_naive_slices(data):
    context, horizon = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    gap, S = data.draw(st.integers(0, 2)), data.draw(st.integers(1, 3))
    least = context + horizon + gap
    lengths = [data.draw(st.integers(least, least + 12)) for _ in range(S)]
    generator = torch.Generator().manual_seed(sum(lengths))
    series = [torch.randn(T, 3, generator=generator) for T in lengths]
    ranges = []
    for T in lengths:
        start = data.draw(st.integers(0, T))
        ranges.append((start, data.draw(st.integers(start, T))))
    expected = naive(series, context=context, horizon=horizon, gap=gap, ranges=ranges)
    if not expected:
        return
    windows = Windows(
        series,
        [s[:, 1:] for s in series],
        known=[s[:, :1] for s in series],
        context=context,
        horizon=horizon,
        gap=gap,
        ranges=ranges,
    )
    assert len(windows) == len(expected)
    index = torch.randperm(len(windows), generator=generator)
    x, y = windows.batch(index)
    future, (s, e) = windows.future(index), windows.where(index)
    for b, i in enumerate(index.tolist()):
        assert (int(s[b]), int(e[b])) == expected[i][:2]
        assert torch.equal(x[b], expected[i][2])
        assert torch.equal(y[b], expected[i][3][:, 1:])
        assert torch.equal(future[b], expected[i][3][:, :1])


def test_parts_share_memory_and_divide_all_windows():
    y = torch.arange(50.0)[:, None]
    parts = split(50, validation=8, test=0.2)
    train = Windows([y], [y], context=6, horizon=3, ranges=[parts.train])
    test = train.restrict([parts.test], part="test")
    assert (parts.train, parts.validation, parts.test) == ((0, 32), (32, 40), (40, 50))
    assert len(train) == 32 - 6 - 3 + 1
    assert len(test) == 10 - 3 + 1
    x, target = test.batch(torch.tensor([0]))
    # The inputs reach back into the part before, the targets do not.
    assert x[0, :, 0].tolist() == [34, 35, 36, 37, 38, 39]
    assert target[0, :, 0].tolist() == [40, 41, 42]
    assert test._inputs.data_ptr() == y.data_ptr()


def test_batches_are_fresh_memory():
    y = torch.arange(9.0)[:, None]
    windows = Windows([y], [y], context=2, horizon=1, ranges=[(0, 9)])
    windows.batch(torch.tensor([0]))[0].zero_()
    assert y[1] == 1


def test_a_view_of_a_larger_tensor_is_read_in_place():
    table = torch.randn(20, 4)
    y = table[5:, :]
    x, _ = Windows([y], [y], context=3, horizon=2, ranges=[(0, 15)]).batch(torch.tensor([4]))
    assert torch.equal(x[0], table[9:12])


@pytest.mark.parametrize("index", [[-1], [7]])
def test_numbers_outside_are_refused(index):
    y = torch.arange(9.0)[:, None]
    windows = Windows([y], [y], context=2, horizon=1, ranges=[(0, 9)])
    with pytest.raises(IndexError, match="0 to 6"):
        windows.batch(torch.tensor(index))


@pytest.mark.parametrize("size", [-1, 1.5, float("nan"), True])
def test_sizes_of_parts(size):
    with pytest.raises(ConfigError, match="the size of this part cannot be"):
        split(100, validation=size, test=1)


@pytest.fixture
def load() -> Path:
    folder = os.environ.get("RECURNN_DATA")
    if folder is None:
        pytest.skip("RECURNN_DATA is not set")
    return Path(folder) / "elec_load" / "elec_load.csv.xz"


@pytest.mark.data
def test_textbook_protocol(load):
    """Counts, first window, persistence and least squares as in the set's SOURCE.md."""
    found = read_series(load, first=14_006)
    values = found.series[0].values
    assert values.shape == (14_006, 1)
    scaled = torch.from_numpy(Scaler.fit([values], kind=(145.33, 338.21)).transform(values))
    parts = split(len(values), validation=1_040, test=1_000)
    train = Windows([scaled], [scaled], context=5, horizon=1, gap=1, ranges=[parts.train])
    validation, test = train.restrict([parts.validation]), train.restrict([parts.test])
    assert [len(w) for w in (train, validation, test)] == [11_960, 1_040, 1_000]
    x, y = train.batch(torch.tensor([0]))
    assert torch.equal(x[0], scaled[:5])
    assert torch.equal(y[0], scaled[6:7])

    def all_of(windows):
        x, y = windows.batch(torch.arange(len(windows)))
        return x[..., 0].numpy(), y[:, 0, 0].numpy()

    (x0, y0), (x1, y1) = all_of(train), all_of(test)
    weights = np.linalg.lstsq(np.c_[x0, np.ones(len(x0))], y0, rcond=None)[0]
    forecast = np.c_[x1, np.ones(len(x1))] @ weights
    assert np.mean((x1[:, -1] - y1) ** 2) == pytest.approx(0.001201, abs=5e-7)
    assert np.mean((forecast - y1) ** 2) == pytest.approx(0.001120, abs=5e-7)


@pytest.mark.data
def test_season_of_a_load_without_times(load):
    found = read_series(load)
    assert (found.season, found.frequency, found.columns) == (96, None, ("Load",))
    assert found.series[0].values.shape == (140_256, 1)
