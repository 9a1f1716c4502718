"""Writing a character at a time: tokens a second beside torch's layers, on the same weights.

Two LSTM layers of 512 units, an output layer over 67 tokens, one text (B = 1), every token drawn
from the softmax. What is timed is what a user calls: `recurnn.LanguageModel.stream`, text handed
out as it comes, beside the loop that a PyTorch user writes around `torch.nn.LSTM`, or around
`torch.nn.LSTMCell`, which is faster for a step. First all must write the same likeliest text. The
engines run in blocks in turn.

    python benchmarks/generation.py [--tokens 400] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import string
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from kernel_bench.machine import machine
from recurnn.baselines import Sampling
from recurnn.data.text import END, UNKNOWN, CharacterTokenizer
from recurnn.models.language import LanguageOptions
from recurnn.models.language.network import LeftNetwork, network
from recurnn.models.language.writing import write

UNITS, LAYERS, AIM = 512, 2, 3.0
Writes = Callable[[int, Sampling], str]
LIKELIEST, DRAWN = Sampling(top_k=1), Sampling()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokens", type=int, default=400, help="of each text")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(machine())
    tokenizer = CharacterTokenizer(string.printable[:65])
    options = LanguageOptions(hidden_size=UNITS, num_layers=LAYERS, embedding_size=UNITS)
    module = network(options, tokenizer.size).eval()
    assert isinstance(module, LeftNetwork)
    engines = {
        "recurnn.LanguageModel.stream": ours(module, tokenizer),
        "torch.nn.LSTM": theirs(module, tokenizer, as_layer(module)),
        "torch.nn.LSTMCell": theirs(module, tokenizer, as_cells(module)),
    }
    texts = {name: run(60, LIKELIEST) for name, run in engines.items()}
    assert len(set(texts.values())) == 1, f"they do not write the same: {texts}"
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(arguments.rounds):
        for name, run in engines.items():
            run(20, DRAWN)
            began = time.perf_counter()
            run(arguments.tokens, DRAWN)
            seconds[name].append(time.perf_counter() - began)
    best = statistics.median(seconds["recurnn.LanguageModel.stream"])
    print(f"\n{LAYERS} LSTM layers of {UNITS} units, B = 1, {torch.get_num_threads()} threads")
    print(f"{'':32}{'tokens/s':>10}{'ours is':>10}")
    for name, all_ in seconds.items():
        middle = statistics.median(all_)
        print(f"{name:32}{arguments.tokens / middle:10,.0f}{f'×{middle / best:.2f}':>10}")
    print(f"Aim: at least {AIM:g} times torch.")


def ours(module: LeftNetwork, tokenizer: CharacterTokenizer) -> Writes:
    def run(count: int, how: Sampling) -> str:
        pieces = write(module, tokenizer, "", length=count, sampling=how, ends=False)
        return "".join(piece for (piece,) in pieces)

    return run


Step = Callable[[Tensor, object], tuple[Tensor, object]]


def theirs(module: LeftNetwork, tokenizer: CharacterTokenizer, step: Step) -> Writes:
    """The usual loop: embed, step, scores, softmax, draw, decode."""
    embedding, output = module.tokens.embedding, module.tokens.softmax

    @torch.inference_mode()
    def run(count: int, how: Sampling) -> str:
        token, state, text = torch.tensor([END]), None, []
        for _ in range(count):
            h, state = step(embedding(token), state)
            scores = output.logits(h)
            scores[:, [UNKNOWN, END]] = -torch.inf
            share = torch.softmax(scores, -1)
            token = share.argmax(-1) if how is LIKELIEST else torch.multinomial(share, 1)[:, 0]
            text.append(tokenizer.decode([int(token)]))
        return "".join(text)

    return run


def stacked(cell: nn.Module) -> dict[str, Tensor]:
    """The weights of an LSTM cell under torch's names, its gates in torch's order."""
    rows = {k: [getattr(cell, f"{k}_{gate}").detach() for gate in "ifgo"] for k in "WUb"}
    bias = torch.cat(rows["b"])
    return {
        "weight_ih": torch.cat(rows["W"]), "weight_hh": torch.cat(rows["U"]), "bias_ih": bias,
        "bias_hh": torch.zeros_like(bias),
    }  # fmt: skip


def as_layer(module: LeftNetwork) -> Step:
    layer = nn.LSTM(UNITS, UNITS, LAYERS)
    layer.load_state_dict(
        {
            f"{name}_l{k}": weight
            for k, one in enumerate(module.reader.layers)
            for name, weight in stacked(one.cell).items()
        }
    )

    def step(x: Tensor, state: object) -> tuple[Tensor, object]:
        y, state = layer(x[None], state)
        return y[0], state

    return step


def as_cells(module: LeftNetwork) -> Step:
    cells = [nn.LSTMCell(UNITS, UNITS) for _ in range(LAYERS)]
    for cell, one in zip(cells, module.reader.layers, strict=True):
        cell.load_state_dict(stacked(one.cell))

    def step(x: Tensor, state: object) -> tuple[Tensor, object]:
        states = list(state) if isinstance(state, list) else [None] * LAYERS
        for k, cell in enumerate(cells):
            states[k] = cell(x, states[k])
            x = states[k][0]
        return x, states

    return step


if __name__ == "__main__":
    main()
