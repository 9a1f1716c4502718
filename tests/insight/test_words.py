"""How what was found is said: the pace of a gradient, and results as a notebook shows them."""

from __future__ import annotations

import numpy as np
import torch

from recurnn import Subject, insight, nn
from recurnn.insight.advice import pace
from recurnn.insight.decay import fit_decay


def test_what_is_gone_after_a_step_is_not_called_level():
    gone, level = fit_decay(np.array([2.0, 0.0, 0.0])), fit_decay(np.ones(9))
    assert gone.gone
    assert gone.half_life == 0
    assert pace(gone) == "is gone after a single step"
    assert not level.gone
    assert level.half_life == np.inf
    assert pace(level) == "neither falls nor grows"
    assert not fit_decay(np.array([2.0])).gone  # there is no step to lose it over


def test_the_rate_of_the_end_and_where_one_percent_is_left_do_not_contradict():
    curve = np.concatenate([0.4 ** np.arange(6), 0.4**5 * 0.8 ** np.arange(1, 20)])
    assert pace(fit_decay(curve)) == "is down to 1 % after 6 steps and in the end halves every 3.1"
    assert pace(fit_decay(1 / curve)) == "in the end doubles every 3.1 steps"


def test_results_are_shown_in_a_few_words():
    network = nn.Stack(nn.LSTM(3, 8), torch.nn.Linear(8, 1))
    subject = Subject(network, torch.randn(40, 4, 3), torch.randn(40, 4, 1), batch_first=False)
    found = insight.inspect(subject, experiments=False)
    assert repr(found) == found.summary()
    report = found.gates["layers.0"]
    for one in (found.flows["layers.0"], report, report["f"]):
        assert "\n" not in repr(one)
        assert len(repr(one)) < 100
    assert repr(report) == "<GateReport of layers.0: h, c, i, f, g, o; f keeps c>"
