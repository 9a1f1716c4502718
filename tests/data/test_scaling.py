"""Scaling: exact values, there and back, and through JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recurnn.data import Scaler

TRAINING = [np.array([[1.0, 10.0], [2.0, 30.0], [6.0, 20.0]]), np.array([[0.0, -1.0], [4.0, 7.0]])]


def test_standard_per_series_and_column():
    scaler = Scaler.fit(TRAINING, kind="standard")
    assert np.allclose(scaler.shift, [[3, 20], [2, 3]])
    assert np.allclose(scaler.scale, [[np.sqrt(14 / 3), np.sqrt(200 / 3)], [2, 4]])


def test_minmax_and_none_and_a_pair():
    values = np.array([[3.5, 15.0]])
    assert Scaler.fit(TRAINING, kind="minmax").transform(values).tolist() == [[0.5, 0.25]]
    assert Scaler.fit(TRAINING, kind="none").transform(values).tolist() == [[3.5, 15.0]]
    assert Scaler.fit(TRAINING, kind=(1.5, 4.0)).transform(values).tolist() == [[0.5, 3.375]]


def test_a_batch_of_windows_of_different_series():
    scaler = Scaler.fit(TRAINING, kind="minmax")
    x = torch.tensor([[[6.0, 30.0], [1.0, 10.0]], [[4.0, 7.0], [2.0, 1.0]]])
    scaled = scaler.transform(x, series=torch.tensor([0, 1]))
    assert scaled.dtype == torch.float32
    assert scaled.tolist() == [[[1, 1], [0, 0]], [[1, 1], [0.5, 0.25]]]
    assert torch.allclose(scaler.inverse(scaled, series=torch.tensor([0, 1])), x)


numbers = st.floats(-1e6, 1e6)


@given(
    arrays(np.float64, (7, 2), elements=numbers, unique=True),
    arrays(np.float64, (4, 2), elements=numbers),
    st.sampled_from(["standard", "minmax", "none", (2.5, -3.0)]),
)
def test_inverse_undoes_transform(training, values, kind):
    scaler = Scaler.fit([training], kind=kind)
    if (scaler.scale.__abs__() < 1e-3).any():
        return  # rounding is relative to the scale
    back = scaler.inverse(scaler.transform(values))
    assert np.allclose(back, values, rtol=1e-9, atol=1e-6)
    saved = Scaler.from_dict(json.loads(json.dumps(scaler.to_dict())))
    assert np.array_equal(saved.shift, scaler.shift)
    assert np.array_equal(saved.scale, scaler.scale)


def test_fits_what_it_is_given_only():
    x = np.arange(10.0)[:, None]
    scaler = Scaler.fit([x[:4]], kind="minmax")
    assert scaler.transform(x)[-1, 0] == pytest.approx(3.0)
