"""Schedules: the factor on the learning rate at known places, and what reaches the optimizer."""

import math

import pytest
import torch
from torch import nn

from recurnn.training import SCHEDULES, Decay, Plan, Plateau, Position, Run, Update, Watch, fit
from recurnn.training.schedules import Warmup


def at(update: int = 0, epoch: int = 1, losses: tuple[float, ...] = ()) -> Position:
    return Position(update, 100, epoch, losses)


@pytest.mark.parametrize(
    ("schedule", "where", "factor"),
    [
        (SCHEDULES["constant"], at(99), 1.0),
        (SCHEDULES["cosine"], at(0), 1.0),
        (SCHEDULES["cosine"], at(25), (1 + math.sqrt(0.5)) / 2),
        (SCHEDULES["linear"], at(25), 0.75),
        (Decay(after=6, factor=0.5), at(epoch=6), 1.0),
        (Decay(after=6, factor=0.5), at(epoch=8), 0.25),
        (Plateau(0.1, patience=1), at(losses=(5.0, 4.0, 4.0)), 1.0),
        (Plateau(0.1, patience=1), at(losses=(5.0, 4.0, 4.0, 4.1)), 0.1),
        (Plateau(0.1, patience=0), at(losses=(5.0, 6.0, 7.0, 3.0, 2.0)), 0.01),
        (Plateau(0.1), at(losses=(5.0, math.nan)), 0.1),
        (Warmup(4), at(0), 0.25),
        (Warmup(4, then="linear"), at(1), 0.99 * 0.5),
        (Warmup(4, then="linear"), at(50), 0.5),
    ],
)
def test_the_factor(schedule, where, factor):
    assert schedule(where) == pytest.approx(factor)


class Pairs:
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return 8

    def batch(self, index):
        return self.x[index], self.x[index].sum(1, keepdim=True)


class Rates(Watch):
    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def update(self, run: Run, update: Update) -> None:
        self.seen.append([g["lr"] for g in run.optimizer.param_groups])


def test_each_group_keeps_its_own_rate_times_the_factor():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))

    def optimizer(weights):
        assert len(weights) == 4
        return torch.optim.SGD(
            [{"params": weights[:2], "lr": 0.1}, {"params": weights[2:], "lr": 0.01}]
        )

    watch = Rates()
    plan = Plan(optimizer=optimizer, schedule=Decay(1, 0.5), epochs=3, batch_size=4)
    fit(net, Pairs(), None, plan, watch=watch)
    factors = [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert watch.seen == [pytest.approx([0.1 * f, 0.01 * f]) for f in factors]


def test_a_function_of_ones_own_knows_where_it_stands():
    seen = []

    def schedule(where: Position) -> float:
        seen.append((where.update, where.updates, where.epoch, len(where.losses)))
        return 1.0

    fit(nn.Linear(2, 1), Pairs(), Pairs(), Plan(schedule=schedule, epochs=2, batch_size=3))
    assert seen == [(0, 6, 1, 1), (1, 6, 1, 1), (2, 6, 1, 1), (3, 6, 2, 2), (4, 6, 2, 2),
                    (5, 6, 2, 2)]  # fmt: skip
