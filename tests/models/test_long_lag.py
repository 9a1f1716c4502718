"""What a cell learns of a long-lag task: the network, what it is fed, how it is scored."""

from __future__ import annotations

import math
import os
import signal

import numpy as np
import pytest
import torch
from torch import Tensor

from recurnn import scan
from recurnn.cells import CELLS
from recurnn.data.tasks import Adding, EmbeddedReber, NoisyTwoSequence, TemporalOrder6a, task_of
from recurnn.models import long_lag
from recurnn.models.long_lag import Endless, HeldOut, Learned, TaskNetwork, learn_task
from recurnn.models.long_lag_aims import AIMS, Aim, mean_sequences
from recurnn.models.long_lag_settings import KEEPS, SETTINGS, Settings, settings_of, start_of
from recurnn.training import Run, Update, Watch

FEW = Settings(hidden_size=8, batch_size=20, check=200, sequences=600)


@pytest.mark.parametrize("task", [TemporalOrder6a(), EmbeddedReber()])
def test_the_answer_of_a_row_is_that_of_the_row_alone(task):
    (x, lengths), _ = task.draw(np.random.default_rng(3), 6)
    torch.manual_seed(0)
    network = TaskNetwork(task, "lstm", 5)
    whole = network(x, lengths)
    assert len(set(lengths.tolist())) > 2
    for row, length in enumerate(lengths.tolist()):
        alone = network(x[row : row + 1, :length])[0]
        together = whole[row, :length] if task.every_step else whole[row]
        assert torch.allclose(alone, together, atol=1e-6)


def test_the_answer_is_a_linear_map_of_the_last_output():
    torch.manual_seed(0)
    network, x = TaskNetwork(Adding(9), "gru", 5), torch.randn(4, 9, 2)
    last = network.layer(x).output[:, -1]
    assert torch.equal(network(x), last @ network.head.weight.T + network.head.bias)


def drawn(feed: Endless, batches: int, size: int) -> Tensor:
    """As `fit` asks for them: by numbers in an order of its own, again and again the same ones."""
    order = torch.Generator().manual_seed(0)
    numbers = [torch.randperm(len(feed), generator=order)[:size] for _ in range(batches)]
    return torch.cat([feed.batch(index)[0] for index in numbers])


def test_no_sequence_comes_twice_and_the_seed_decides_them():
    x = drawn(Endless(Adding(7), 5, 40), 60, 7)  # several blocks, of which 7 is no divisor
    assert len(x.flatten(1).unique(dim=0)) == 420
    assert torch.equal(x, drawn(Endless(Adding(7), 5, 40), 60, 7))
    assert not torch.equal(x, drawn(Endless(Adding(7), 6, 40), 60, 7))


def test_processes_that_ask_for_other_numbers_get_other_sequences():
    first, second = (Endless(Adding(7), 5, 40).batch(torch.tensor(i))[0] for i in ([3, 1], [8, 2]))
    assert not torch.equal(first, second)


def test_a_batch_is_cut_to_its_longest():
    feed, held = Endless(EmbeddedReber(), 1, 40), HeldOut(EmbeddedReber(), 1)
    for (x, lengths), y in (feed.batch(torch.arange(3)), held.batch(torch.tensor([5, 250, 7]))):
        assert x.shape[1] == y.shape[1] == lengths.max()
    (x, lengths), y = held.batch(torch.tensor([5, 250, 7]))
    again, target = EmbeddedReber().draw(np.random.default_rng(1), 256)
    assert torch.equal(lengths, again[1][[5, 250, 7]])
    assert torch.equal(y, target[[5, 250, 7], : lengths.max()])


def test_an_easy_task_is_solved_and_training_ends_there():
    task = NoisyTwoSequence(6)
    learned = learn_task(task, "gru", seed=1, settings=FEW)
    assert (learned.solved, learned.score, learned.diverged) == (True, 1.0, None)
    assert learned.sequences == 200 * (len(learned.curve) - 1) <= 600
    assert [task.solved(score) for score in learned.curve] == [False] * (len(learned.curve) - 1) + [
        True
    ]
    assert learned.fresh > 0.9
    again = learn_task(task, "gru", seed=1, settings=FEW)
    assert again.curve == learned.curve
    assert learn_task(task, "gru", seed=2, settings=FEW).curve != learned.curve


def test_the_score_is_the_tasks_own_on_sequences_that_nobody_trained_on(monkeypatch):
    trained: list[Tensor] = []
    draw = Adding.draw

    def noted(self, rng, count):
        x, y = draw(self, rng, count)
        trained.append(x)
        return x, y

    monkeypatch.setattr(Adding, "draw", noted)
    monkeypatch.setattr(Adding, "held_out", 300)
    learned = learn_task(Adding(8), "lstm", settings=FEW)
    rows = torch.cat(trained).flatten(1)  # of training, held out, and the others
    assert len(rows.unique(dim=0)) == len(rows) >= 600 + 300 + 300
    assert not learned.solved
    assert learned.sequences == 600
    assert learned.score == min(learned.curve)
    # Sums of two numbers: who says nothing of them is off by 1/6 in the mean of the squares.
    assert 0.02 < learned.score < 1 / 6 + 0.03
    assert learned.fresh == pytest.approx(learned.score, rel=0.3)


def test_the_same_weights_whatever_the_generator_was_at(monkeypatch):
    seen = []
    monkeypatch.setattr(long_lag, "fit", lambda network, *_, **__: seen.append(network) or 1 / 0)
    for at in (1, 2):
        torch.manual_seed(at)
        with pytest.raises(ZeroDivisionError):
            learn_task(Adding(5), "lstm", seed=4, settings=FEW)
        assert torch.initial_seed() == at
    first, second = (n.state_dict() for n in seen)
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_a_run_that_diverges_says_so():
    learned = learn_task(
        Adding(30), "elman", settings=Settings(learning_rate=1e30, sequences=300, check=100)
    )
    assert "is no longer" in learned.diverged
    assert not learned.solved
    assert math.isnan(learned.score)
    assert math.isnan(learned.fresh)


def test_ctrl_c_ends_it():
    class Stop(Watch):
        def update(self, run: Run, update: Update) -> None:
            if update.number == 12:
                os.kill(os.getpid(), signal.SIGINT)

    learned = learn_task(Adding(8), "lstm", settings=FEW, watch=[Stop()])
    assert (learned.interrupted, learned.solved, learned.sequences) == (True, False, 200)


def drift(name: str, *, flipped: bool) -> float:
    """How much of its memory a cell loses in twenty steps without input, at its start."""
    torch.manual_seed(1)
    size = {"proj_size": 8} if name == "projected-lstm" else {}
    cell = CELLS[name](3, 16, init=start_of(Adding(2000), name, Settings()), **size)
    with torch.no_grad():
        for bias in KEEPS[name] if flipped else ():
            getattr(cell, bias).neg_()
        before = scan(cell, torch.randn(20, 50, 3)).state
        after = scan(cell, torch.zeros(20, 50, 3), state=before).state
    what = "c" if "c" in cell.states else "h"
    return float((after[what] - before[what]).norm() / before[what].norm())


@pytest.mark.parametrize("name", [name for name, biases in KEEPS.items() if biases])
def test_the_start_lets_a_cell_keep_its_state(name):
    assert drift(name, flipped=False) < 0.75 * drift(name, flipped=True)


def test_every_task_has_settings_and_long_ones_more_sequences():
    assert all(settings_of(task_of(name), "gru") == s for name, s in SETTINGS.items())
    assert settings_of(Adding(600), "lstm").sequences == 100_000
    assert settings_of(Adding(600), "elman").learning_rate == pytest.approx(0.001)


def learned(*sequences: int, score: float = 0.0, solved: bool = True) -> list[Learned]:
    return [
        Learned("adding", "lstm", 0, solved, n, score, score, (score,), 1, 0.0) for n in sequences
    ]


@pytest.mark.parametrize(
    ("aim", "runs", "met", "text"),
    [
        ({"most": 900}, learned(300, 899), True, "< 900"),
        ({"most": 900}, learned(300, 900), False, "< 900"),
        ({"most": 900}, learned(300) + learned(300, solved=False), False, "< 900"),
        ({"mean": 5000}, learned(1000, 8998), True, "mean < 5,000"),
        ({"mean": 5000}, learned(1000, 9000), False, "mean < 5,000"),
        ({"mean": 5000}, learned(10) + learned(20, solved=False), False, "mean < 5,000"),
        ({"unsolved": 0.15}, learned(9, score=0.16, solved=False), True, "stays > 0.15"),
        ({"unsolved": 0.15}, learned(9, score=0.14, solved=False), False, "stays > 0.15"),
        ({"unsolved": 0.15}, learned(9, score=math.nan, solved=False), False, "stays > 0.15"),
        ({}, learned(9), None, "–"),
    ],
)
def test_an_aim_is_met_by_every_network_or_not_at_all(aim, runs, met, text):
    aim = Aim("adding", 100, "lstm", len(runs), **aim)
    assert aim.met(runs) is met
    assert str(aim) == text


def test_the_mean_is_over_those_that_solved_it():
    assert mean_sequences(learned(10, 30) + learned(1000, solved=False)) == 20


def test_the_benchmark_has_every_task_and_its_aims_are_within_reach():
    assert {aim.task for aim in AIMS} == set(SETTINGS)
    for aim in AIMS:
        settings = settings_of(aim.of(), aim.cell)
        assert settings.sequences % settings.check == 0
        assert aim.most is None or settings.sequences >= aim.most
