"""A training epoch as a whole: recurnn beside a plain PyTorch script and Keras on two backends.

The textbook's network (LSTM of 50, LSTM of 200, dropout .2 after each, one output) on its
windows of the electricity load: 11,960 windows of 5 steps, batches of 512, RMSprop, the
gradient clipped at norm 1. An epoch is data, forward, backward, clip, optimizer and the progress
bar of each. Every engine runs in a process of its own, round after round in turn; the first epoch
(compiling, warming up) is told apart. The last lines set the epoch of `recurnn.training.fit`
beside the same steps written bare.

    RECURNN_DATA=... python benchmarks/training.py [--epochs 8] [--rounds 3]
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from kernel_bench.machine import machine
from recurnn.cli.options import PRESETS
from recurnn.cli.progress import TrainingProgress
from recurnn.data import Windows, read_series
from recurnn.models.forecast_network import ForecastNetwork
from recurnn.models.forecast_options import ForecastOptions
from recurnn.models.preparation import prepare
from recurnn.training import Epoch, Plan, Run, Watch, fit

FILE = Path("elec_load") / "elec_load.csv.xz"
BATCH, RATE, CLIP = 512, 1e-3, 1.0
ENGINES = {
    "recurnn": "recurnn.training.fit",
    "torch": "plain PyTorch script (DataLoader)",
    "torch, by index": "the same, batches by index",
    "keras torch": "Keras, torch backend",
    "keras jax": "Keras, jax backend",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8, help="of each run, the first aside")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=[*ENGINES, "overhead"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not os.environ.get("RECURNN_DATA"):
        sys.exit(f"Set RECURNN_DATA to the folder that holds {FILE}.")
    if arguments.one:
        print(json.dumps(RUNS[arguments.one](arguments.epochs)))
        return
    print(machine())
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ENGINES if there(name)}
    for _ in range(arguments.rounds):
        for name in found:
            found[name].append(child(name, arguments.epochs))
    show(found)
    runs = [child("overhead", arguments.epochs) for _ in range(arguments.rounds)]
    bare, whole = (statistics.median(s for r in runs for s in r[k]) for k in ("bare", "fit"))
    print(
        f"\nfit {whole:.4f} s an epoch, its steps written bare {bare:.4f} s: "
        f"{whole / bare - 1:+.1%} for the loop (aim: under 5 %)"
    )


def there(name: str) -> bool:
    modules = {"keras torch": ["keras"], "keras jax": ["keras", "jax"]}.get(name, [])
    return all(importlib.util.find_spec(m) for m in modules)


def child(name: str, epochs: int) -> dict[str, Any]:
    """Run one engine in a process of its own."""
    environment = dict(os.environ)
    if name.startswith("keras"):
        environment |= {"KERAS_BACKEND": name.split()[1], "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, __file__, "--one", name, "--epochs", str(epochs)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def show(found: dict[str, list[dict[str, Any]]]) -> None:
    """The table: seconds an epoch, quartiles, the first epoch, and ratios to recurnn."""
    ours = statistics.median(s for run in found["recurnn"] for s in run["epochs"])
    print(f"\n{'':38}{'s/epoch':>9}{'quartiles':>16}{'first':>8}{'of ours':>9}{'loss':>10}")
    for name, title in ENGINES.items():
        if name not in found:
            print(f"{title:38}{'-':>9}")
            continue
        seconds = [s for run in found[name] for s in run["epochs"]]
        low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
        first = statistics.median(run["first"] for run in found[name])
        loss = statistics.mean(run["loss"] for run in found[name])
        print(
            f"{title:38}{middle:9.3f}{f'{low:.3f}-{high:.3f}':>16}{first:8.2f}"
            f"{middle / ours:9.2f}{loss:10.5f}"
        )
    print("Aims: PyTorch 2, Keras on torch 3, Keras on jax 2.")


def windows() -> Windows:
    """The textbook's training windows."""
    settings = {k: v for k, v in PRESETS["textbook"].items() if k != "first"}
    data = read_series(Path(os.environ["RECURNN_DATA"]) / FILE, first=PRESETS["textbook"]["first"])
    return prepare(data, ForecastOptions(**settings)).train


def arrays() -> tuple[Tensor, Tensor]:
    data = windows()
    x, y = data.batch(torch.arange(len(data)))
    return x, y[:, 0]


class Times(Watch):
    """Seconds of every epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.loss = 0.0

    def epoch(self, run: Run, epoch: Epoch, *, best: bool) -> None:
        if epoch.number:
            self.seconds.append(epoch.seconds)
            self.loss = epoch.loss


def result(seconds: list[float], loss: float) -> dict[str, Any]:
    return {"first": seconds[0], "epochs": seconds[1:], "loss": loss}


def network() -> ForecastNetwork:
    torch.manual_seed(0)
    return ForecastNetwork(
        context=5, features=1, columns=1, horizon=1, hidden_sizes=(50, 200), dropout=0.2,
        skip=False, relative=False,
    )  # fmt: skip


def plan(epochs: int) -> Plan:
    return Plan(
        optimizer="rmsprop", learning_rate=RATE, batch_size=BATCH, epochs=epochs, clip=CLIP,
        patience=None,
    )  # fmt: skip


def ours(epochs: int) -> dict[str, Any]:
    times, bar = Times(), TrainingProgress(Console(file=io.StringIO(), force_terminal=True))
    fit(network(), windows(), None, plan(1 + epochs), watch=[times, bar])
    return result(times.seconds, times.loss)


class TorchNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTM(1, 50, batch_first=True)
        self.second = nn.LSTM(50, 200, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(200, 1)

    def forward(self, x: Tensor) -> Tensor:
        z = self.dropout(self.first(x)[0])
        z = self.dropout(self.second(z)[0])
        return self.head(z[:, -1])


def plain(epochs: int, *, loader: bool) -> dict[str, Any]:
    """The script that a PyTorch user writes, with a bar of the same make."""
    from torch.utils.data import DataLoader, TensorDataset
    from tqdm import tqdm

    torch.manual_seed(0)
    x, y = arrays()
    net = TorchNetwork()
    optimizer = torch.optim.RMSprop(net.parameters(), lr=RATE)
    data = DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True)
    seconds = []
    for _ in range(1 + epochs):
        began, total = time.perf_counter(), 0.0
        batches = data if loader else [(x[i], y[i]) for i in torch.randperm(len(x)).split(BATCH)]
        with tqdm(batches, file=io.StringIO()) as bar:
            for xb, yb in bar:
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(net(xb), yb)
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), CLIP)
                optimizer.step()
                total += loss.item() * len(xb)
                bar.set_postfix(loss=loss.item(), refresh=False)
        seconds.append(time.perf_counter() - began)
    return result(seconds, total / len(x))


def keras(epochs: int) -> dict[str, Any]:
    import keras as k

    k.utils.set_random_seed(0)
    x, y = (a.numpy() for a in arrays())
    net = k.Sequential(
        [
            k.Input((5, 1)),
            k.layers.LSTM(50, return_sequences=True),
            k.layers.Dropout(0.2),
            k.layers.LSTM(200),
            k.layers.Dropout(0.2),
            k.layers.Dense(1),
        ]
    )
    net.compile(loss="mse", optimizer=k.optimizers.RMSprop(RATE, global_clipnorm=CLIP))
    seconds: list[float] = []

    class Clock(k.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds.append(time.perf_counter() - self.began)

    stdout, sys.stdout = sys.stdout, io.StringIO()
    try:
        history = net.fit(x, y, batch_size=BATCH, epochs=1 + epochs, callbacks=[Clock()])
    finally:
        sys.stdout = stdout
    return result(seconds, float(np.asarray(history.history["loss"])[-1]))


def overhead(epochs: int) -> dict[str, Any]:
    """Epochs of `fit` and of its bare steps, in turn in one process."""
    data = windows()
    net = network()
    optimizer = torch.optim.RMSprop(net.parameters(), lr=RATE)
    weights = list(net.parameters())
    net.train()

    def bare() -> float:
        began = time.perf_counter()
        for index in torch.randperm(len(data)).split(BATCH):
            x, y = data.batch(index)
            optimizer.zero_grad(set_to_none=True)
            loss = nn.functional.mse_loss(net(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(weights, CLIP)
            optimizer.step()
        return time.perf_counter() - began

    def whole() -> float:
        times, bar = Times(), TrainingProgress(Console(file=io.StringIO(), force_terminal=True))
        fit(net, data, None, plan(1), watch=[times, bar])
        net.train()
        return times.seconds[0]

    bare(), whole()
    found = [(bare(), whole()) for _ in range(epochs)]
    return {"bare": [b for b, _ in found], "fit": [w for _, w in found]}


RUNS: dict[str, Callable[[int], dict[str, Any]]] = {
    "recurnn": ours,
    "torch": lambda epochs: plain(epochs, loader=True),
    "torch, by index": lambda epochs: plain(epochs, loader=False),
    "keras torch": keras,
    "keras jax": keras,
    "overhead": overhead,
}


if __name__ == "__main__":
    main()
