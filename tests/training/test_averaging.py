"""Weights averaged over updates: the mean is validated and kept, training goes on without it."""

import pytest
import torch

from problems_of_training import Pairs, line, linear
from recurnn.errors import ConfigError
from recurnn.training import Averaging, Plan, Run, Update, Watch, fit, mean_loss

SGD = {"optimizer": "sgd", "learning_rate": 0.05, "batch_size": 8, "clip": None, "patience": None}


class Weights(Watch):
    """The weights after every update, by the epoch they belong to."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, torch.Tensor]] = []

    def update(self, run: Run, update: Update) -> None:
        self.seen.append((update.epoch, run.module.weight.detach().clone()))


def test_the_mean_over_the_updates_since_it_began_is_kept():
    net, watch = linear(), Weights()
    history = fit(
        net, line(0), None, Plan(epochs=5, averaging=Averaging(after=2), **SGD), watch=watch
    )
    counted = torch.stack([w for epoch, w in watch.seen if epoch > 2])
    assert history.averaged_since == 2
    assert len(counted) == 3 * 8
    torch.testing.assert_close(net.weight.detach(), counted.mean(0), rtol=1e-6, atol=1e-7)


def test_training_itself_is_the_same_with_and_without():
    seen = []
    for averaging in (None, Averaging(after=1)):
        watch = Weights()
        fit(linear(), line(0), line(1), Plan(epochs=4, averaging=averaging, **SGD), watch=watch)
        seen.append(watch.seen)
    assert all(i == j and torch.equal(a, b) for (i, a), (j, b) in zip(*seen, strict=True))


def test_the_mean_is_what_is_validated_and_it_is_better_than_a_noisy_walk():
    train, validation = line(0, noise=2.0), line(1)
    plan = {**SGD, "learning_rate": 0.3, "epochs": 30}
    plain = fit(linear(), train, validation, Plan(**plan))
    history = fit(net := linear(), train, validation, Plan(averaging=Averaging(after=10), **plan))
    walk, mean = ([e.validation_loss for e in h.epochs[-10:]] for h in (plain, history))
    assert max(mean) < sum(walk) / 10
    assert max(mean) - min(mean) < 0.3 * (max(walk) - min(walk))
    assert history.epochs[history.best].validation_loss == mean_loss(net, validation)
    # Until it begins, nothing differs.
    before = [e.validation_loss for e in plain.epochs[:11]]
    assert [e.validation_loss for e in history.epochs[:11]] == before


def test_it_begins_when_the_loss_is_worse_than_the_best_of_long_ago():
    how = Averaging(interval=3)
    losses = [5.0, 4.0, 3.0, 3.5, 3.6, 3.7, 3.1]
    # Only when three epochs lie between is the 3.0 what counts.
    assert [how.begins(k, losses[: k + 1]) for k in range(7)] == [False] * 6 + [True]
    # A rise at the very beginning, with nothing to compare with yet.
    assert not how.begins(2, [1.0, 2.0, 3.0])


def test_it_begins_in_a_run_where_the_validation_loss_rises():
    # A small validation part, and so large steps that its loss goes up and down.
    train, validation = line(0, noise=2.0), line(1, 4)
    plan = Plan(epochs=40, averaging=Averaging(interval=2), **(SGD | {"learning_rate": 0.3}))
    history = fit(linear(), train, validation, plan)
    losses = [e.validation_loss for e in history.epochs]
    first = next(k for k in range(3, 41) if losses[k] > min(losses[: k - 2]))
    assert history.averaged_since == first


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"after": -1}, "averaging: after is -1; expected a whole number of at least 0."),
        ({"interval": 0}, "averaging: interval is 0; expected a whole number of at least 1."),
        ({"after": 1.5}, "averaging: after is 1.5; expected a whole number of at least 0."),
    ],
)
def test_messages(options, text):
    with pytest.raises(ConfigError) as caught:
        Averaging(**options)
    assert str(caught.value) == text


def test_what_waits_for_a_validation_loss_needs_one():
    data: Pairs = line(0)
    with pytest.raises(ConfigError) as caught:
        fit(linear(), data, None, Plan(averaging=Averaging(), **SGD))
    assert str(caught.value) == (
        "averaging waits for the validation loss to rise, but there is no validation part.\n"
        "  Give one, or the epoch after which averaging begins: Averaging(after=...)."
    )
