"""A padded batch of rows of very different lengths, beside torch's packed sequence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from kernel_bench import ours
from kernel_bench.agreement import Disagreement, agree
from kernel_bench.shapes import Shape
from kernel_bench.timing import Run, Time, blocks, over, spread

LIMIT = 1.25
"""How much more than its share of real steps a batch may cost."""


@dataclass(frozen=True)
class Ragged:
    """Times by engine: ours and torch; and `ours, share`, `torch, share`.

    Those say how many times its share of real steps of the whole batch's time it takes.
    """

    cell: str
    shape: Shape
    share: float
    forward: dict[str, Time]
    train: dict[str, Time]

    def times(self, kind: str) -> dict[str, Time]:
        """The times of a pass: `"forward"` or `"train"`."""
        return self.forward if kind == "forward" else self.train

    def missed(self, kind: str) -> bool:
        """Whether ours costs more than it may."""
        return self.times(kind)["ours, share"].median > LIMIT


class Packed(nn.Module):
    """Torch's layer on a padded batch: packed, run, padded again."""

    def __init__(self, layer: nn.RNNBase, lengths: Tensor) -> None:
        super().__init__()
        self.layer, self.lengths = layer, lengths

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found, last = self.layer(pack_padded_sequence(x, self.lengths, enforce_sorted=False))
        return pad_packed_sequence(found, total_length=len(x))[0], last


class WithLengths(nn.Module):
    """Our layer on the same."""

    def __init__(self, layer: nn.RNNBase, lengths: Tensor) -> None:
        super().__init__()
        self.layer, self.lengths = layer, lengths

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.layer(x, lengths=self.lengths)
        return found


def measure(cell: str, shape: Shape, rounds: int) -> Ragged:
    """Check our padded batch against torch's packed one, then time both.

    Raises:
        SystemExit: our numbers are wrong.
    """
    T, B = shape[:2]
    layer, theirs = ours.layers(cell, shape)
    x, dy = ours.data(shape)
    generator = torch.Generator().manual_seed(4)
    lengths = torch.randint(T // 10, T + 1, (B,), generator=generator)
    layers = {"ours": WithLengths(layer, lengths), "torch": Packed(theirs, lengths)}
    try:
        agree(*(ours.results(layers[k], x, dy) for k in ("ours", "torch")), shape)
    except Disagreement as wrong:
        raise SystemExit(f"not timed: {cell}, ragged: {wrong}") from wrong
    layers |= {"ours, full": layer, "torch, full": theirs}
    share = float(lengths.sum()) / (T * B)
    train = _times({k: _train(one, x, dy) for k, one in layers.items()}, rounds, share)
    with torch.no_grad():
        forward = _times({k: _forward(one, x) for k, one in layers.items()}, rounds, share)
    return Ragged(cell, shape, share, forward, train)


def _times(runs: dict[str, Run], rounds: int, share: float) -> dict[str, Time]:
    medians = blocks(runs, rounds)
    found = {name: spread(medians[name]) for name in ("ours", "torch")}
    for name in ("ours", "torch"):
        due = [share * ms for ms in medians[f"{name}, full"]]
        found[f"{name}, share"] = over(medians[name], due)
    return found


def _forward(layer: nn.Module, x: Tensor) -> Run:
    return lambda: layer(x)


def _train(layer: nn.Module, x: Tensor, dy: Tensor) -> Run:
    return lambda: ours.gradients(layer, x, dy)
