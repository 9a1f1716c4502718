"""Truncated backpropagation: each window's gradient is autograd's over the same window."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import recurnn
from recurnn.data import Streams, open_array
from recurnn.errors import ConfigError
from recurnn.training import Plan, Run, Update, Watch, evaluate, fit
from recurnn.training.feeds import Streamed

N, LANES = 65, 3
STARTS = [0, 9, 22, 40]


class Net(nn.Module):
    def __init__(self, *, resets: bool, kind: str = "LSTM") -> None:
        super().__init__()
        torch.manual_seed(2)
        self.rnn = (getattr(recurnn.nn, kind) if resets else getattr(nn, kind))(2, 5)
        self.head = nn.Linear(5, 1)


class Plain(Net):
    """As a user has it: states in, states out, and no word of resets."""

    def forward(self, x: Tensor, state=None):
        h, state = self.rnn(x, state)
        return self.head(h), state


class WithResets(Net):
    def forward(self, x: Tensor, state=None, reset=None):
        h, state = self.rnn(x, state, reset=reset)
        return self.head(h), state


class Gradients(Watch):
    def __init__(self) -> None:
        self.found: list[list[Tensor]] = []

    def gradients(self, run: Run) -> None:
        self.found.append([p.grad.clone() for p in run.weights])


def data() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(3)
    return torch.randn(N, 2, generator=g), torch.randn(N, 1, generator=g)


def by_hand(net: nn.Module, k1: int, k2: int) -> list[tuple[Tensor, ...]]:
    """The gradient of every window, its state computed step by step from the very beginning."""
    x, y = data()
    length = N // LANES
    lanes = [x[b * length : (b + 1) * length] for b in range(LANES)]
    x3 = torch.stack(lanes, 1)
    y3 = torch.stack([y[b * length : (b + 1) * length] for b in range(LANES)], 1)
    starts = torch.zeros(length, LANES, dtype=torch.bool)
    for s in STARTS:
        starts[s % length, s // length] = True

    def run(begin: int, end: int, state):
        outputs = []
        for t in range(begin, end):
            if state is not None:
                keep = (~starts[t]).float()[:, None]
                state = tuple(s * keep for s in state) if isinstance(state, tuple) else state * keep
            h, state = net.rnn(x3[t : t + 1], state)
            outputs.append(net.head(h))
        return torch.cat(outputs), state

    found = []
    for first in range(0, length, k1):
        end, begin = min(first + k1, length), max(0, first + k1 - k2)
        with torch.no_grad():
            state = run(0, begin, None)[1] if begin else None
        output, _ = run(begin, end, state)
        loss = (output[first - begin :] - y3[first:end]).square().mean()
        found.append(torch.autograd.grad(loss, list(net.parameters())))
    return found


@pytest.mark.parametrize(("k1", "k2"), [(4, 4), (4, 7), (4, 8), (3, 10), (5, 21), (21, 21), (1, 6)])
@pytest.mark.parametrize("net", [Plain, WithResets])
def test_the_gradient_of_each_window_is_autograds(net, k1, k2):
    x, y = data()
    model, watch = net(resets=net is WithResets), Gradients()
    expected = by_hand(net(resets=net is WithResets), k1, k2)
    # A learning rate too small to change a weight: every window sees the same network.
    plan = Plan(optimizer="sgd", learning_rate=1e-30, clip=None, epochs=1, k1=k1, k2=k2)
    fit(model, Streams(x, y, batch_size=LANES, starts=STARTS), None, plan, watch=watch)
    assert len(watch.found) == len(expected)
    for ours, theirs in zip(watch.found, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["RNN", "GRU"])
def test_a_state_of_one_tensor_is_carried_too(kind):
    x, y = data()
    model, watch = Plain(resets=False, kind=kind), Gradients()
    expected = by_hand(Plain(resets=False, kind=kind), 6, 11)
    plan = Plan(optimizer="sgd", learning_rate=1e-30, clip=None, epochs=1, k1=6, k2=11)
    fit(model, Streams(x, y, batch_size=LANES, starts=STARTS), None, plan, watch=watch)
    for ours, theirs in zip(watch.found, expected, strict=True):
        assert all(
            torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(ours, theirs, strict=True)
        )


def test_the_epochs_loss_is_the_mean_over_all_steps():
    x, y = data()
    streams = Streams(x, y, batch_size=LANES)
    # 21 steps a lane in windows of 4: the last has one step, and counts as one.
    plan = Plan(optimizer="sgd", learning_rate=1e-30, epochs=1, k1=4)
    history = fit(Plain(resets=False), streams, streams, plan)
    assert history.epochs[1].loss == pytest.approx(history.epochs[1].validation_loss, rel=1e-5)


def test_evaluation_carries_the_state_whatever_the_chunk():
    x, y = data()
    streams = Streams(x, y, batch_size=1, starts=STARTS)
    net = WithResets(resets=True)
    whole, parts = (evaluate(net, streams, batch_size=k)["loss"] for k in (N, 7))
    assert whole == pytest.approx(parts, rel=1e-5)


def resident() -> float:
    """MiB that this process holds."""
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it is Linux that tells")
def test_the_memory_is_that_of_a_window_whatever_the_length(tmp_path):
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (2_000_000, 4))
    x[:] = np.arange(1000, dtype=np.float32).reshape(-1, 4).repeat(8_000, 0) / 1000
    x.flush()
    del x

    class Held(Watch):
        def __init__(self) -> None:
            self.seen: list[float] = []

        def update(self, run: Run, update: Update) -> None:
            self.seen.append(resident())

    class Next(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = recurnn.nn.GRU(4, 4)

        def forward(self, x: Tensor, state=None):
            return self.rnn(x, state)

    watch = Held()
    stream = Streams(open_array(tmp_path / "x.npy"), batch_size=100)
    fit(Next(), stream, None, Plan(epochs=1, k1=200), watch=watch)
    assert len(watch.seen) == 100
    # The file is 31 MiB, a window .3; allocators round up.
    assert max(watch.seen) - watch.seen[9] < 6


def test_a_window_longer_than_the_data_is_refused():
    x, y = data()
    with pytest.raises(ConfigError) as caught:
        fit(Plain(resets=False), Streams(x, y, batch_size=3), None, Plan(k1=5, k2=22))
    assert str(caught.value) == (
        "k2 is 22, longer than the data.\n"
        "  A lane of the stream has 21 steps: 3 lanes read it side by side.\n"
        "  Give a smaller k1 and k2, fewer lanes, or more data."
    )


def test_k1_above_k2_is_refused():
    with pytest.raises(ConfigError) as caught:
        Plan(k1=8, k2=7)
    assert str(caught.value) == (
        "k1 is 8, more than k2, which is 7.\n"
        "  The weights are updated every k1 steps and the gradient goes back k2 steps: with a "
        "smaller k2 some steps would never be learned from.\n  Give a k2 of at least k1."
    )


def test_a_process_without_a_lane_counts_nothing():
    feed = Streamed(Streams(torch.arange(21), batch_size=2), 4, 4)
    batches = [feed.batch(4, rank, 3) for rank in range(3)]
    assert [b.count for b in batches] == [0, 4, 4]
    assert [b.inputs.shape for b in batches] == [(4, 1)] * 3
    assert [b.inputs[0, 0].item() for b in batches[1:]] == [4, 14]
