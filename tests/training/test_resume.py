"""Stopped anywhere and taken up again, a run ends in the same bits; of another run it says so."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import recurnn
from children import child, ended
from recurnn.data import Streams, Windows
from recurnn.errors import CheckpointError, ConfigError
from recurnn.training import Averaging, Plan, Run, Saves, Update, Watch, fit

N = 400


class Reader(nn.Module):
    """A stream's network, with dropout, so that random numbers matter."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = recurnn.nn.LSTM(1, 6)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(6, 1)

    def forward(self, x: Tensor, state=None, reset=None):
        h, state = self.rnn(x, state, reset=reset)
        return self.head(self.dropout(h)), state


class Windowed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.reader = Reader()
        self.norm = nn.BatchNorm1d(1)  # buffers, one of whole numbers

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.reader(x.transpose(0, 1))[0][-1])[:, None]


def series() -> Tensor:
    g = torch.Generator().manual_seed(5)
    return torch.sin(torch.arange(N) / 7)[:, None] + 0.1 * torch.randn(N, 1, generator=g)


def job(kind: str):
    """Network, training part and validation part."""
    torch.manual_seed(1)
    y = series()
    if kind == "stream":
        whole = Streams(y[:-1], y[1:], batch_size=3, starts=[0, 50, 211])
        return Reader(), whole, Streams(y[300:-1], y[301:], batch_size=1)
    windows = Windows([y], [y], context=8, horizon=1, ranges=[(0, 300)])
    return Windowed(), windows, windows.restrict([(300, N)])


class StopAt(Watch):
    def __init__(self, update: int) -> None:
        self.at = update

    def update(self, run: Run, update: Update) -> None:
        if update.number == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def weights(net: nn.Module) -> list[Tensor]:
    return [v.clone() for v in net.state_dict().values()]


PLANS = {
    "adam": {"epochs": 3, "learning_rate": 0.01, "schedule": "cosine", "k1": 7, "k2": 18},
    "momentum, summed batches": {
        "optimizer": "sgd", "optimizer_options": {"momentum": 0.9}, "batch_size": 16, "epochs": 3,
        "learning_rate": 0.05, "accumulate": 3, "k1": 9,
    },
    "averaged": {"optimizer": "asgd", "batch_size": 64, "epochs": 3, "learning_rate": 0.1,
                 "k1": 21, "k2": 40},
    "averaged from an epoch on": {
        "optimizer": "sgd", "batch_size": 64, "epochs": 4, "learning_rate": 0.1, "k1": 21,
        "averaging": Averaging(1),
    },
}  # fmt: skip


def plan_of(name: str, kind: str) -> Plan:
    """The plan, without what the kind of data has no use for."""
    unused = ("batch_size",) if kind == "stream" else ("k1", "k2")
    given = {"batch_size": 32} | PLANS[name]
    return Plan(**{k: v for k, v in given.items() if k not in unused})


@pytest.mark.parametrize("kind", ["stream", "windows"])
@pytest.mark.parametrize("name", PLANS)
def test_stopped_twice_and_taken_up_it_ends_in_the_same_bits(kind, name, tmp_path):
    plan = plan_of(name, kind)
    net, train, validation = job(kind)
    whole = fit(net, train, validation, plan)
    expected = weights(net)
    total = whole.updates
    for stop in (total // 4, total // 2 + 1):
        net, train, validation = job(kind)
        history = fit(
            net, train, validation, plan, watch=StopAt(stop),
            saves=Saves(tmp_path / "c", resume=True),
        )  # fmt: skip
        assert history.interrupted
        assert history.updates == stop
    net, train, validation = job(kind)
    torch.rand(17)  # whatever the generator's state is, the saved one counts
    history = fit(net, train, validation, plan, saves=Saves(tmp_path / "c", resume=True))
    assert history.resumed == total // 2 + 1
    assert not history.interrupted
    assert all(torch.equal(a, b) for a, b in zip(weights(net), expected, strict=True))
    assert [e.validation_loss for e in history.epochs] == [e.validation_loss for e in whole.epochs]
    assert [e.loss for e in history.epochs[1:]] == [e.loss for e in whole.epochs[1:]]
    assert history.best == whole.best


class Twice(Watch):
    """Ctrl-C, and again before the update is made."""

    def __init__(self, update: int) -> None:
        self.at = update

    def gradients(self, run: Run) -> None:
        if run.history.updates == self.at:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the second Ctrl-C breaks off at once")


def test_a_second_ctrl_c_breaks_off_and_half_an_update_is_never_saved(tmp_path):
    net, train, validation = job("stream")
    whole = fit(net, train, validation, plan_of("adam", "stream"))
    expected = weights(net)
    net, train, validation = job("stream")
    history = fit(
        net, train, validation, plan_of("adam", "stream"), watch=Twice(25), saves=Saves(tmp_path, 4)
    )
    assert history.interrupted
    assert sorted(p.name for p in tmp_path.glob("checkpoint-*"))[-1].endswith("24.safetensors")
    net, train, validation = job("stream")
    history = fit(
        net, train, validation, plan_of("adam", "stream"), saves=Saves(tmp_path, 4, resume=True)
    )
    assert (history.resumed, history.updates) == (24, whole.updates)
    assert all(torch.equal(a, b) for a, b in zip(weights(net), expected, strict=True))


def test_the_best_weights_survive_even_when_the_best_epoch_was_before_the_stop(tmp_path):
    # So large a learning rate that the first epochs are the best.
    plan = Plan(learning_rate=0.3, epochs=8, batch_size=32, clip=None, patience=None)
    net, train, validation = job("windows")
    whole = fit(net, train, validation, plan)
    assert 0 < whole.best < 7
    expected = weights(net)
    net, train, validation = job("windows")
    stop = whole.updates - 3
    fit(net, train, validation, plan, watch=StopAt(stop), saves=Saves(tmp_path, resume=True))
    net, train, validation = job("windows")
    history = fit(net, train, validation, plan, saves=Saves(tmp_path, resume=True))
    assert history.resumed == stop
    assert all(torch.equal(a, b) for a, b in zip(weights(net), expected, strict=True))


def test_more_epochs_go_on_from_the_last(tmp_path):
    net, train, _ = job("windows")
    fit(net, train, None, Plan(epochs=4, batch_size=64))
    expected = weights(net)
    for epochs in (1, 4):
        net, train, _ = job("windows")
        fit(
            net, train, None, Plan(epochs=epochs, batch_size=64),
            saves=Saves(tmp_path, resume=True),
        )  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(weights(net), expected, strict=True))


def test_fewer_epochs_than_are_done_are_refused(tmp_path):
    net, train, _ = job("windows")
    fit(net, train, None, Plan(epochs=2), saves=Saves(tmp_path))
    before = weights(net := job("windows")[0])
    with pytest.raises(CheckpointError) as caught:
        fit(net, train, None, Plan(epochs=1), saves=Saves(tmp_path, resume=True))
    assert str(caught.value) == (
        f"{tmp_path} holds checkpoints of a run that is further than this one is to go.\n"
        "  It is in epoch 2; epochs is 1.\n"
        "  Nothing was trained. Give epochs of at least 2, or another folder."
    )
    assert all(torch.equal(a, b) for a, b in zip(weights(net), before, strict=True))
    history = fit(net, train, None, Plan(epochs=2), saves=Saves(tmp_path, resume=True))
    assert (history.epochs[-1].number, history.resumed) == (2, history.updates)


def test_a_run_that_lost_patience_goes_on_where_there_is_more(tmp_path):
    def run(patience: int, saves: Saves | None = None, watch: Watch | None = None):
        net, train, validation = job("windows")
        plan = Plan(learning_rate=0.3, epochs=8, batch_size=32, clip=None, patience=patience)
        history = fit(net, train, validation, plan, saves=saves, watch=watch)
        return history, weights(net)

    saves = Saves(tmp_path, resume=True)
    stopped = run(1, saves)[0]
    assert stopped.stopped_early
    assert stopped.epochs[-1].number < 7
    assert run(1, saves)[0].updates == stopped.updates  # as before: no epoch more
    history, found = run(7, saves)
    assert history.epochs[-1].number == 8
    assert all(torch.equal(a, b) for a, b in zip(found, run(7)[1], strict=True))
    # Stopped within the last epoch that patience allows, it ends that one first.
    saves = Saves(tmp_path / "b", resume=True)
    assert run(1, saves, StopAt(stopped.updates - 2))[0].interrupted
    assert run(1, saves)[0].updates == stopped.updates


def test_pythons_and_numpys_generators_are_saved_too(tmp_path):
    class Drawing(StopAt):
        def update(self, run: Run, update: Update) -> None:
            self.drawn = (random.random(), np.random.rand())
            super().update(run, update)

    def last(watch: Drawing, folder: Path) -> tuple[float, float]:
        net, train, _ = job("windows")
        fit(net, train, None, Plan(epochs=2, batch_size=64), watch=watch,
            saves=Saves(folder, resume=True))  # fmt: skip
        return watch.drawn

    before = random.getstate(), np.random.get_state()
    random.seed(3), np.random.seed(3)
    whole = last(Drawing(0), tmp_path / "a")
    random.seed(3), np.random.seed(3)
    last(Drawing(4), tmp_path / "b")
    random.seed(4), np.random.seed(4)
    assert last(Drawing(0), tmp_path / "b") == whole
    random.setstate(before[0]), np.random.set_state(before[1])


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from training.test_resume import Plan, Saves, fit, job, weights
import torch
net, train, validation = job("stream")
fit(net, train, validation, Plan(epochs=40, patience=None, k1=5, k2=11, learning_rate=0.003),
    saves=Saves({folder!r}, every=3, resume=True))
print("done", [hash(tuple(w.flatten().tolist())) for w in weights(net)])
"""


def start(folder: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    program = PROGRAM.format(tests=str(Path(__file__).parents[1]), folder=str(folder))
    return child([sys.executable, "-W", "error", "-c", program])


def last_words(folder: Path) -> str:
    """What a run into this folder that nobody stops prints at its end."""
    with start(folder) as process:
        status, out, errors = ended(process, within=180)
    assert status == 0, errors
    assert out.startswith("done"), errors
    return out


def await_checkpoint(process: subprocess.Popen[str], folder: Path) -> None:
    """Until the process has written a checkpoint, or has ended: its imports take seconds."""
    deadline = time.monotonic() + 120
    before = {p.name for p in folder.glob("checkpoint-*")}
    while process.poll() is None and time.monotonic() < deadline:
        if {p.name for p in folder.glob("checkpoint-*")} - before:
            break
        time.sleep(0.002)


def killed_and_resumed(folder: Path, kills: int, seed: int) -> str:
    rng = random.Random(seed)
    for kill in range(kills):
        with start(folder) as process:
            await_checkpoint(process, folder)
            time.sleep(rng.uniform(0, 0.15))
            process.kill()
        assert process.returncode == -signal.SIGKILL, f"it ended before kill {kill}"
    return last_words(folder)


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> str:
    """What a run that nobody disturbs ends with."""
    return last_words(tmp_path_factory.mktemp("whole"))


def test_killed_at_random_moments_it_ends_in_the_same_bits(tmp_path, expected):
    assert killed_and_resumed(tmp_path / "killed", 2, seed=0) == expected


@pytest.mark.slow
def test_killed_twenty_times_it_ends_in_the_same_bits(tmp_path, expected):
    assert killed_and_resumed(tmp_path / "killed", 20, seed=1) == expected


def test_sigterm_saves_and_exits_with_143(tmp_path, expected):
    with start(tmp_path) as process:
        await_checkpoint(process, tmp_path)
        process.terminate()
        assert ended(process, within=60) == (143, "", "")
    assert last_words(tmp_path) == expected


def test_checkpoints_are_not_gone_on_from_unasked(tmp_path):
    net, train, _ = job("windows")
    fit(net, train, None, Plan(epochs=1), saves=Saves(tmp_path))
    before = weights(net)
    with pytest.raises(CheckpointError) as caught:
        fit(net, train, None, Plan(epochs=1), saves=Saves(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path} already holds checkpoints.\n"
        "  Nothing was trained. Go on from them (resume=True, --resume), or give another folder."
    )
    assert all(torch.equal(a, b) for a, b in zip(weights(net), before, strict=True))


def other_model():
    net, train, validation = job("windows")
    net.reader.head = nn.Linear(6, 2)
    return net, train, validation, Plan(epochs=1)


def other_data():
    net, _, _ = job("windows")
    y = series()
    y[100] += 1e-3
    windows = Windows([y], [y], context=8, horizon=1, ranges=[(0, 300)])
    return net, windows.restrict([(0, 250)]), None, Plan(epochs=1)


def other_plan():
    return *job("windows"), Plan(epochs=1, learning_rate=0.5)


@pytest.mark.parametrize(
    ("other", "title", "field"),
    [
        (other_model, "model",
         "reader.head.weight is float32 [1, 6] there and float32 [2, 6] here."),
        (other_data, "data set", "size is 292 there and 242 here."),
        (other_plan, "plan", "learning_rate is 0.001 there and 0.5 here."),
    ],
)  # fmt: skip
def test_another_run_is_refused_and_the_field_named(other, title, field, tmp_path):
    net, train, validation = job("windows")
    fit(net, train, validation, Plan(epochs=1), saves=Saves(tmp_path))
    net, train, validation, plan = other()
    with pytest.raises(CheckpointError) as caught:
        fit(net, train, validation, plan, saves=Saves(tmp_path, resume=True))
    assert str(caught.value) == (
        f"{tmp_path} holds checkpoints of a run with another {title}.\n  {field}\n"
        "  Nothing was trained. Give what that run was given, or another folder."
    )


def of_groups(kind=torch.optim.Adam, **options):
    """A function that makes an optimizer of two groups of weights, under a name of its own."""

    def optimizer(weights):
        return kind([{"params": weights[:2]}, {"params": weights[2:], "lr": 0.5}], **options)

    return Plan(epochs=1, k1=50, optimizer=optimizer)


@pytest.mark.parametrize(
    ("plan", "field"),
    [
        (of_groups(lr=0.02), "lr of group 1 is 0.01 there and 0.02 here."),
        (of_groups(lr=torch.tensor(0.25)), "lr of group 1 is 0.01 there and 0.25 here."),
        (of_groups(lr=0.01, betas=(0.9, 0.99)),
         "betas of group 1 is [0.9, 0.999] there and [0.9, 0.99] here."),
        (of_groups(torch.optim.NAdam, lr=0.01), "kind is Adam there and NAdam here."),
    ],
)  # fmt: skip
def test_another_setting_of_an_optimizer_of_ones_own_is_refused(plan, field, tmp_path):
    net, train, _ = job("stream")
    fit(net, train, None, of_groups(lr=0.01), saves=Saves(tmp_path))
    net, train, _ = job("stream")
    with pytest.raises(CheckpointError) as caught:
        fit(net, train, None, plan, saves=Saves(tmp_path, resume=True))
    assert str(caught.value) == (
        f"{tmp_path} holds checkpoints of a run with another optimizer.\n  {field}\n"
        "  Nothing was trained. Give what that run was given, or another folder."
    )


def test_the_same_optimizer_of_ones_own_goes_on_in_the_same_bits(tmp_path):
    net, train, _ = job("stream")
    fit(net, train, None, of_groups(lr=0.01))
    expected = weights(net)
    for watch in (StopAt(2), None):
        net, train, _ = job("stream")
        fit(net, train, None, of_groups(lr=0.01), watch=watch, saves=Saves(tmp_path, resume=True))
    assert all(torch.equal(a, b) for a, b in zip(weights(net), expected, strict=True))


def test_data_of_the_same_size_with_another_number_is_other_data(tmp_path):
    net, train, _ = job("stream")
    fit(net, train, None, Plan(epochs=1), saves=Saves(tmp_path))
    y = series()
    y[0] += 1e-3
    changed = Streams(y[:-1], y[1:], batch_size=3, starts=[0, 50, 211])
    with pytest.raises(CheckpointError, match=r"another data set\.\n  sample is "):
        fit(job("stream")[0], changed, None, Plan(epochs=1), saves=Saves(tmp_path, resume=True))


def test_another_version_is_refused(tmp_path, monkeypatch):
    net, train, _ = job("windows")
    fit(net, train, None, Plan(epochs=1), saves=Saves(tmp_path))
    monkeypatch.setattr("recurnn.training.saves.written_by", lambda: "9.9")
    with pytest.raises(CheckpointError, match=r"written by .*; this is 9\.9, which may round"):
        fit(net, train, None, Plan(epochs=1), saves=Saves(tmp_path, resume=True))


def test_nothing_in_a_checkpoint_is_pickled(tmp_path):
    net, train, validation = job("stream")
    fit(net, train, validation, Plan(epochs=2, k1=9), saves=Saves(tmp_path))
    for file in tmp_path.glob("*.safetensors"):
        raw = file.read_bytes()
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        assert {"module/rnn.weight_ih_l0", "module/head.bias"} <= set(header)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"every": 0}, "saves: every is 0; expected a whole number of at least 1."),
        ({"keep": 0}, "saves: keep is 0; expected a whole number of at least 1."),
    ],
)
def test_messages_of_saves(options, text, tmp_path):
    with pytest.raises(ConfigError) as caught:
        Saves(tmp_path, **options)
    assert str(caught.value) == text
