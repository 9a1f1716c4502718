"""The benchmark of unequal lengths: what it trains on and what it counts. No times."""

from __future__ import annotations

import numpy as np
import pytest

import lengths
from kernel_bench.timing import Time


def test_the_lengths_are_those_of_the_aim() -> None:
    found = lengths.unequal()
    assert (len(found), found.min(), found.max()) == (lengths.N, 10, 2000)
    assert np.median(found) < 0.5 * found.mean()


def test_padding_is_counted() -> None:
    assert lengths.padded(np.array([1, 9, 9, 1]), 2, pool=100) == 1.0
    assert lengths.padded(np.array([2, 4, 6]), 3, pool=100) == 18 / 12
    assert lengths.padded(np.array([1, 9] * 40), 4, pool=1) > 1.3


def test_batches_of_a_training_waste_little() -> None:
    assert lengths.padded(lengths.unequal(), 16, pool=100) < 1.1


@pytest.mark.parametrize("case", lengths.CASES, ids=lambda case: case.name)
def test_every_model_is_trained_on_both(case: lengths.Case) -> None:
    mine, times = lengths.compared(case, np.array([2, 3, 4, 7] * 5), rounds=1)
    assert isinstance(mine, Time)
    assert mine.median > 0
    assert times.median > 0
