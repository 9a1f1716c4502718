"""The training loop: what it minimises, when it stops, which weights it keeps."""

import math
from itertools import chain

import pytest
import torch
from torch import Tensor, nn

import recurnn
from problems_of_training import Pairs, line, linear
from recurnn.errors import ConfigError
from recurnn.training import (
    OPTIMIZERS,
    Epoch,
    History,
    Plan,
    Run,
    TrainingError,
    Update,
    Watch,
    fit,
    mean_loss,
)


class Recorder(Watch):
    def __init__(self) -> None:
        self.weights: dict[int, Tensor] = {}
        self.best: list[int] = []
        self.started: list[tuple[str, int, int]] = []
        self.batches: list[tuple[int, int, int]] = []
        self.history: History | None = None
        self.module: nn.Linear | None = None

    def start(self, run: Run) -> None:
        self.started.append((run.name, run.plan.epochs, run.batches))

    def update(self, run: Run, update: Update) -> None:
        self.batches.append((update.epoch, update.batch, int(update.count)))

    def epoch(self, run: Run, epoch: Epoch, *, best: bool) -> None:
        if best:
            self.best.append(epoch.number)
        if self.module is not None:
            self.weights[epoch.number] = self.module.weight.detach().clone()

    def end(self, run: Run) -> None:
        self.history = run.history


def test_sgd_without_shuffling_is_gradient_descent_by_hand():
    data, net = line(0, 8), linear()
    w, b = net.weight.detach().clone(), net.bias.detach().clone()
    plan = Plan(optimizer="sgd", learning_rate=0.1, batch_size=8, epochs=3, clip=None)
    history = fit(net, data, data, plan)
    losses = []
    for _ in range(3):
        error = data.x @ w.T + b - data.y  # [8, 1]
        losses.append(float(error.square().mean()))
        w = w - 0.1 * 2 * (error * data.x).mean(0, keepdim=True)
        b = b - 0.1 * 2 * error.mean(0)
    assert torch.allclose(net.weight, w, atol=1e-6)
    assert torch.allclose(net.bias, b, atol=1e-6)
    assert [e.loss for e in history.epochs[1:]] == pytest.approx(losses, rel=1e-5)
    # With the whole part in one batch, the loss before an epoch is the one after the last.
    assert [e.validation_loss for e in history.epochs[:3]] == pytest.approx(losses, rel=1e-5)


def test_clip_bounds_the_global_norm_of_the_step():
    data, net = line(0, 8), linear()
    before = torch.cat([p.detach().flatten().clone() for p in net.parameters()])
    fit(
        net, data, None, Plan(optimizer="sgd", learning_rate=1.0, batch_size=8, epochs=1, clip=0.01)
    )
    after = torch.cat([p.detach().flatten() for p in net.parameters()])
    assert float((after - before).norm()) == pytest.approx(0.01, rel=1e-3)


def test_mae_is_the_mean_absolute_error():
    data, net = line(2, 50), linear()
    with torch.no_grad():
        expected = float((net(data.x) - data.y).abs().mean())
    assert mean_loss(net, data, "mae") == pytest.approx(expected, rel=1e-5)


def test_every_window_once_an_epoch_in_another_order_each_time():
    seen: list[list[int]] = []

    class Counting(Pairs):
        def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
            seen.append(index.tolist())
            return super().batch(index)

    base = line(0, 10)
    fit(linear(), Counting(base.x, base.y), None, Plan(batch_size=4, epochs=2))
    assert [len(i) for i in seen] == [4, 4, 2] * 2
    first, second = (list(chain(*part)) for part in (seen[:3], seen[3:]))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_stops_after_patience_and_restores_the_best_weights():
    watch, net = Recorder(), linear()
    watch.module = net
    # So large a learning rate that the validation loss rises and falls.
    plan = Plan(optimizer="sgd", learning_rate=0.55, epochs=40, patience=3, batch_size=4, clip=None)
    history = fit(net, line(0, noise=1.0), line(5, noise=1.0), plan, watch=watch)
    losses = [e.validation_loss for e in history.epochs]
    assert history.best == min(range(len(losses)), key=lambda k: losses[k]) == watch.best[-1]
    assert history.stopped_early
    assert len(losses) - 1 == history.best + 3
    assert torch.equal(net.weight, watch.weights[history.best])
    assert not torch.equal(net.weight, watch.weights[len(losses) - 1])
    assert not net.training
    assert watch.history is history


def test_the_untrained_network_is_a_candidate():
    data, net = line(0), linear()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, -2.0, 0.5]]))
        net.bias.fill_(0.25)
    best = net.weight.detach().clone()
    noisy = line(7, noise=3.0)
    history = fit(net, noisy, data, Plan(learning_rate=0.1, epochs=5, patience=2))
    assert history.best == 0
    assert math.isnan(history.epochs[0].loss)
    assert torch.equal(net.weight, best)


def test_without_validation_the_last_weights_stay():
    watch, net = Recorder(), linear()
    watch.module = net
    history = fit(net, line(0), None, Plan(epochs=4), watch=watch)
    assert history.best == 4
    assert torch.equal(net.weight, watch.weights[4])
    assert [e.validation_loss for e in history.epochs] == [None] * 5


def test_ctrl_c_keeps_the_best_so_far():
    class Impatient(Recorder):
        def update(self, run: Run, update: Update) -> None:
            if (update.epoch, update.batch) == (3, 2):
                raise KeyboardInterrupt

    watch, net = Impatient(), linear()
    watch.module = net
    plan = Plan(learning_rate=0.01, epochs=10, batch_size=16)
    history = fit(net, line(0), line(3), plan, watch=watch)
    assert history.interrupted
    assert not history.stopped_early
    assert [e.number for e in history.epochs] == [0, 1, 2]
    assert history.best == 2
    assert torch.equal(net.weight, watch.weights[2])
    assert watch.history is history


def test_the_same_seed_gives_the_same_weights_and_leaves_the_generator_alone():
    torch.manual_seed(42)
    state = torch.get_rng_state()
    nets = []
    for seed in (3, 3, 4):
        net = nn.Sequential(linear(), nn.Dropout(0.5))
        torch.set_rng_state(state)
        fit(net, line(0), line(1), Plan(epochs=2, batch_size=8, seed=seed))
        assert torch.equal(torch.get_rng_state(), state)
        nets.append(net[0].weight)
    assert torch.equal(nets[0], nets[1])
    assert not torch.equal(nets[0], nets[2])


@pytest.mark.parametrize("kind", [recurnn.nn.LSTM, nn.LSTM])
def test_bfloat16_is_what_is_computed_with_and_not_what_is_kept(kind):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn = kind(1, 8, batch_first=True)
            self.head = nn.Linear(8, 1)
            self.seen: set[torch.dtype] = set()

        def forward(self, x: Tensor) -> Tensor:
            y = self.head(self.rnn(x[..., None])[0][:, -1])
            self.seen.add(y.dtype)
            return y

    nets = {name: Net() for name in ("float32", "bfloat16")}
    losses = {
        name: fit(net, line(0), None, Plan(epochs=3, learning_rate=0.01, precision=name))
        .epochs[-1].loss
        for name, net in nets.items()
    }  # fmt: skip
    assert [net.seen for net in nets.values()] == [{torch.float32}, {torch.bfloat16}]
    assert all(p.dtype == torch.float32 for p in nets["bfloat16"].parameters())
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.03)


def test_cosine_schedule_ends_near_zero():
    steps = []
    for schedule in ("constant", "cosine"):
        watch, net = Recorder(), linear()
        watch.module = net
        plan = Plan(learning_rate=0.01, epochs=10, schedule=schedule, patience=None, batch_size=16)
        fit(net, line(0, noise=1.0), None, plan, watch=watch)
        first = float((watch.weights[1] - watch.weights[0]).norm())
        steps.append((first, float((watch.weights[10] - watch.weights[9]).norm())))
    (_, constant), (first, cosine) = steps
    assert cosine < 0.1 * constant
    assert cosine < 0.1 * first


def test_frozen_weights_stay():
    net = nn.Sequential(linear(), nn.Linear(1, 1))
    net[0].requires_grad_(requires_grad=False)
    before = net[0].weight.clone()
    fit(net, line(0), line(1), Plan(epochs=2, learning_rate=0.1))
    assert torch.equal(net[0].weight, before)


def test_progress_is_told_in_full():
    watch = Recorder()
    fit(linear(), line(0, 10), None, Plan(epochs=2, batch_size=4), name="line", watch=watch)
    assert watch.started == [("line", 2, 3)]
    assert watch.batches == [(1, 1, 4), (1, 2, 4), (1, 3, 2), (2, 1, 4), (2, 2, 4), (2, 3, 2)]


def test_a_loss_that_is_not_a_number_names_the_epoch_and_what_to_try():
    data = line(0)
    plan = Plan(optimizer="sgd", learning_rate=1e18, epochs=9, clip=None, batch_size=64)
    with pytest.raises(TrainingError) as caught:
        fit(linear(), data, None, plan, name="LSTM")
    text = str(caught.value)
    assert text.startswith("LSTM: the loss is no longer a number.\n  The loss was inf in epoch 2, ")
    assert "batch 1 of 1, with sgd and learning rate 1e+18" in text
    assert text.endswith(
        "Try a smaller learning rate (learning_rate=1e+17), or clip the gradient (clip=1.0); "
        "check that the data are scaled."
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"loss": "mze"},
            "loss: there is no 'mze'.\n  Known: mse, mae, cross_entropy, binary_cross_entropy. "
            "Did you mean 'mse'?",
        ),
        (
            {"optimizer": "adamm"},
            f"optimizer: there is no 'adamm'.\n  Known: {', '.join(OPTIMIZERS)}. "
            "Did you mean 'adam'?",
        ),
        ({"batch_size": 0}, "batch_size is 0; expected a whole number of at least 1."),
        ({"epochs": 2.5}, "epochs is 2.5; expected a whole number of at least 0."),
        ({"learning_rate": -1}, "learning_rate is -1; expected a number above 0."),
        ({"clip": 0}, "clip is 0; expected a number above 0."),
    ],
)
def test_plan_errors(options, text):
    with pytest.raises(ConfigError) as caught:
        Plan(**options)
    assert str(caught.value) == text


def test_an_error_lets_the_watches_go_without_an_end():
    class Held(Recorder):
        let_go = False

        def broken(self, run: Run) -> None:
            self.let_go = True

    watch = Held()
    plan = Plan(optimizer="sgd", learning_rate=1e18, epochs=9, clip=None, batch_size=64)
    with pytest.raises(TrainingError):
        fit(linear(), line(0), None, plan, watch=watch)
    assert watch.let_go
    assert watch.history is None
