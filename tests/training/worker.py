"""What each process of `test_processes` runs: train, write the weights, die once if told to."""

import argparse
import os
import signal
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import recurnn
from recurnn.data import Sequences, Streams
from recurnn.training import Plan, Run, Saves, TrainingError, Update, Watch, fit


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.rnn = recurnn.nn.LSTM(1, 6)
        self.head = nn.Linear(6, 1)

    def forward(self, x: Tensor, state=None, reset=None):
        h, state = self.rnn(x, state, reset=reset)
        return self.head(h), state


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.rnn = recurnn.nn.GRU(2, 6, batch_first=True)
        self.head = nn.Linear(6, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.head(self.rnn(x, lengths=lengths)[0])


def stream_job():
    g = torch.Generator().manual_seed(5)
    y = torch.sin(torch.arange(400) / 7)[:, None] + 0.1 * torch.randn(400, 1, generator=g)
    train = Streams(y[:-1], y[1:], batch_size=3, starts=[0, 50, 211])  # lanes: one and two
    held = Streams(y[300:-1], y[301:], batch_size=2)
    return Reader(), train, held, Plan(epochs=3, k1=7, k2=18, learning_rate=0.01)


def tags_job():
    g = torch.Generator().manual_seed(5)
    lengths = torch.randint(1, 30, (43,), generator=g).tolist()
    x = [torch.randn(n, 2, generator=g) for n in lengths]
    y = [(a.sum(1) > 0).long() + (a[:, 0] > 1).long() for a in x]
    data = Sequences(x, y)
    # Batches of 8 of 43: the last has 3, so that the processes have one and two.
    plan = Plan(
        loss="cross_entropy", batch_size=8, epochs=3, accumulate=2, bucket=True,
        learning_rate=0.01, monitor="accuracy",
    )  # fmt: skip
    return Tagger(), data, data, plan


def bad_job():
    net, _, held, plan = stream_job()
    x = torch.linspace(0, 1, 400)[:, None]
    x[133 + 133 + 9] = torch.nan  # step 9 of lane 2, which is the other process's
    plan = replace(plan, k2=None, accumulate=3)
    return net, Streams(x[:-1], x[1:].nan_to_num(), batch_size=3), held, plan


JOBS = {"stream": stream_job, "tags": tags_job, "bad": bad_job}


class Die(Watch):
    """One of the workers dies once, in the midst of an epoch."""

    everywhere = True

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def update(self, run: Run, update: Update) -> None:
        if run.processes.rank == 1 and update.number == 6 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=list(JOBS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--saves", type=Path)
    parser.add_argument("--die", action="store_true")
    given = parser.parse_args()
    net, train, held, plan = JOBS[given.job]()
    if os.environ.get("RANK") == "1":  # the main process's weights are the ones that count
        nn.init.zeros_(net.head.weight)
    rank = os.environ.get("RANK", "0")
    try:
        history = fit(
            net, train, held, plan,
            watch=Die(given.out.with_suffix(".died")) if given.die else None,
            metrics=["accuracy"] if given.job == "tags" else (),
            saves=Saves(given.saves, every=4) if given.saves else None,
        )  # fmt: skip
    except TrainingError as error:
        given.out.with_suffix(f".{rank}").write_text(str(error))
        return
    told = {k: v.contiguous() for k, v in net.state_dict().items()}
    told["losses"] = torch.tensor([e.loss for e in history.epochs], dtype=torch.float64)
    told["validation"] = torch.tensor([e.validation_loss for e in history.epochs])
    save_file(told, given.out.with_suffix(f".{rank}"))


if __name__ == "__main__":
    main()
