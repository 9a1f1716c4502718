"""The small network of Zaremba et al. 2014, trained by recurnn and by a plain PyTorch script.

A million tokens, a vocabulary of ten thousand, two LSTM layers of 200 units, chunks of 20 steps in
20 lanes, 13 epochs. The text is the source of Python's own standard library, by words; so there is
nothing to fetch. Both begin with the same weights and see the same chunks in the same order: they
must come to the same perplexity. Each runs in a process of its own.

    python benchmarks/zaremba.py [--epochs 13]
    python benchmarks/zaremba.py --updates 300  # the speed alone
    python benchmarks/zaremba.py --precision bfloat16  # ours; of --updates torch's too
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernel_bench.machine import machine
from recurnn.data import Streams
from recurnn.data.text import Corpus, fit_tokenizer, python_library
from recurnn.models.language import RECIPES, LanguageOptions
from recurnn.models.language.feeding import stream
from recurnn.models.language.network import LeftNetwork, network
from recurnn.training import Epoch, Run, Supervised, Update, Watch, fit

TRAIN, HELD = 929_000, 71_000
ENGINES = ("recurnn", "torch")
PRECISIONS = ("float32", "bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=13)
    parser.add_argument("--updates", type=int, help="stop after so many")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--one", choices=ENGINES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    epochs, updates, precision = arguments.epochs, arguments.updates, arguments.precision
    if arguments.one:
        print(json.dumps(RUNS[arguments.one](epochs, updates, precision)))
        return
    print(machine())
    cases = [("recurnn", precision), ("torch", "float32")]
    if precision != "float32" and updates is not None:  # its perplexity is of no interest
        cases.append(("torch", precision))
    found = {case: child(*case, epochs, updates) for case in cases}
    print(f"\n{'':20}{'minutes':>9}{'tokens/s':>10}{'loss':>8}   perplexity, held out, by epoch")
    for case, run in found.items():
        shown = " ".join(f"{p:.1f}" for p in run["perplexity"])
        print(
            f"{', '.join(case):20}{run['seconds'] / 60:9.2f}{rate(run):10,.0f}"
            f"{run['loss'] / run['tokens']:8.4f}   {shown}"
        )
    ours, theirs = found[cases[0]], found[cases[1]]
    print(f"\nrecurnn is ×{rate(ours) / rate(theirs):.2f} as fast as torch in float32 (aim: 1.5)")
    for case in cases[2:]:
        print(f"and ×{rate(ours) / rate(found[case]):.2f} as fast as torch in {case[1]}")
    if ours["perplexity"]:
        apart = ours["perplexity"][-1] / theirs["perplexity"][-1] - 1
        print(
            f"its perplexity is {apart:+.2%} (aim: within 1 %), after {ours['seconds'] / 60:.1f} "
            "minutes (aim: 15 for 13 epochs)"
        )


def rate(run: dict[str, Any]) -> float:
    """Tokens a second."""
    return float(run["tokens"] / run["seconds"])


def child(name: str, precision: str, epochs: int, updates: int | None) -> dict[str, Any]:
    more = [] if updates is None else ["--updates", str(updates)]
    done = subprocess.run(
        [sys.executable, __file__, "--one", name, "--precision", precision,
         "--epochs", str(epochs), *more],
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{name} failed")
    return json.loads(done.stdout.splitlines()[-1])


def options(precision: str = "float32") -> LanguageOptions:
    """Of the recipe, with the epochs left open."""
    return LanguageOptions(**RECIPES["zaremba-small"] | {"epochs": None}, precision=precision)


def streams() -> tuple[Streams, Streams, int]:
    """Training and held-out part as lanes, and V."""
    text = "\n".join(python_library())
    o = options()
    tokenizer = fit_tokenizer("words", [text], size=o.vocabulary)
    tokens = Corpus.encode([text], tokenizer, ends=False).tokens[: TRAIN + HELD]
    parts = (Corpus.of(part, size=tokenizer.size) for part in np.split(tokens, [TRAIN]))
    train, held = (stream(part, o.batch_size, o.steps, "one") for part in parts)
    return train, held, tokenizer.size


class Watched(Watch):
    """Tokens, their loss while training, and perplexities; ends a run that is to be short."""

    def __init__(self, updates: int | None) -> None:
        self.updates, self.began = updates, 0.0
        self.found: dict[str, Any] = {"seconds": 0.0, "tokens": 0.0, "loss": 0.0, "perplexity": []}

    def update(self, run: Run, update: Update) -> bool:
        self.found["tokens"] += update.count
        self.found["loss"] += update.count * update.loss
        return update.number == self.updates

    def epoch(self, run: Run, epoch: Epoch, *, best: bool) -> None:
        if not epoch.number:  # validated before training, which the script beside does not do
            self.began = time.perf_counter()
        else:
            assert epoch.validation_loss is not None
            self.found["perplexity"].append(math.exp(epoch.validation_loss))
            print(f"recurnn, epoch {epoch.number}: {epoch.seconds:.1f} s", file=sys.stderr)


def ours(epochs: int, updates: int | None, precision: str) -> dict[str, Any]:
    train, held, V = streams()
    module, watch = network(options(), V), Watched(updates)
    fit(module, train, held, options(precision).plan(epochs), watch=watch,
        objective=Supervised(module.loss))  # fmt: skip
    watch.found["seconds"] = time.perf_counter() - watch.began
    return watch.found


class Plain(nn.Module):
    """The same network as a PyTorch user writes it, beginning with the same weights."""

    def __init__(self, ours: LeftNetwork, V: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, 200)
        self.lstm = nn.LSTM(200, 200, 2)
        self.head = nn.Linear(200, V)
        softmax: Any = ours.tokens.softmax
        with torch.no_grad():
            self.embedding.weight.copy_(ours.tokens.embedding.weight)
            self.head.weight.copy_(softmax.weight)
            self.head.bias.copy_(softmax.bias)
            for k, layer in enumerate(ours.reader.layers):
                for name, letter in (("weight_ih", "W"), ("weight_hh", "U"), ("bias_ih", "b")):
                    gates = [getattr(layer.cell, f"{letter}_{gate}") for gate in "ifgo"]
                    getattr(self.lstm, f"{name}_l{k}").copy_(torch.cat(gates))
                bias = getattr(self.lstm, f"bias_hh_l{k}")
                bias.zero_()
                bias.requires_grad_(requires_grad=False)  # one bias, as ours

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        h, state = self.lstm(self.embedding(x), state)
        return self.head(h), state


def plain(epochs: int, updates: int | None, precision: str) -> dict[str, Any]:
    train, held, V = streams()
    o = options()
    module = network(o, V)
    assert isinstance(module, LeftNetwork)
    net = Plain(module, V)
    weights = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=o.learning_rate)
    found: dict[str, Any] = {"seconds": 0.0, "tokens": 0, "loss": 0.0, "perplexity": []}
    half = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    began = time.perf_counter()
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        rate = o.learning_rate * o.decay ** max(0, epoch - o.decay_after)
        for group in optimizer.param_groups:
            group["lr"] = rate
        net.train()
        state = None
        for n, begin in enumerate(range(0, train.length, o.steps), start=1):
            x, y, _ = train.chunk(begin, min(begin + o.steps, train.length))
            if state is not None:
                state = tuple(s.detach() for s in state)
            with half:
                scores, state = net(x, state)
                loss = F.cross_entropy(scores.flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, o.clip)
            optimizer.step()
            found["tokens"] += y.numel()
            found["loss"] += y.numel() * loss.item()
            if n == updates:
                found["seconds"] = time.perf_counter() - began
                return found
        with half:
            found["perplexity"].append(math.exp(evaluate(net, held)))
        print(f"torch, epoch {epoch}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    found["seconds"] = time.perf_counter() - began
    return found


@torch.inference_mode()
def evaluate(net: Plain, held: Streams) -> float:
    net.eval()
    total, count, state = 0.0, 0, None
    for begin in range(0, held.length, 50):
        x, y, _ = held.chunk(begin, min(begin + 50, held.length))
        scores, state = net(x, state)
        total += float(F.cross_entropy(scores.flatten(0, 1), y.flatten(), reduction="sum"))
        count += y.numel()
    return total / count


RUNS = {"recurnn": ours, "torch": plain}


if __name__ == "__main__":
    main()
