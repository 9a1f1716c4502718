"""What an option of a layer costs: the layer with it beside the layer without it.

Before it is timed, every case is run once more by the reference engine, with the same random
numbers, and must agree; plain layers must agree with torch's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import recurnn
from kernel_bench.agreement import Disagreement, agree
from kernel_bench.shapes import LAYERS, Shape
from kernel_bench.timing import Run, Time, blocks, over, spread, timed
from layer_bench.keras_peer import keras_runs
from recurnn.nn import scanned

LIMIT = 1.3
"""How many times the plain layer's time an option may cost."""


@dataclass(frozen=True)
class Option:
    """A layer, how it is called, and the layer that it is measured against.

    Attributes:
        made: options of the constructor.
        call: what the call takes beside x, of T and B.
        beside: the name of the case without the option.
    """

    made: Mapping[str, Any] = field(default_factory=dict)
    call: Callable[[int, int], dict[str, Tensor]] = lambda T, B: {}
    beside: str = "plain"


def _lengths(T: int, B: int) -> dict[str, Tensor]:
    """All steps but one are real, so that what is measured is the price of asking."""
    return {"lengths": torch.tensor([T - 1, *[T] * (B - 1)])}


def _mask(T: int, B: int) -> dict[str, Tensor]:
    """A twentieth of the steps is missing, anywhere in a row."""
    return {"mask": _drawn(T, B) > 0.05}


def _reset(T: int, B: int) -> dict[str, Tensor]:
    """A new sequence about every fifty steps."""
    return {"reset": _drawn(T, B) < 0.02}


def _drawn(T: int, B: int) -> Tensor:
    return torch.rand(T, B, generator=torch.Generator().manual_seed(2))


TWO, BOTH = {"num_layers": 2}, {"bidirectional": True}
OPTIONS: dict[str, Option] = {
    "plain": Option(),
    "state dropout": Option({"state_dropout": 0.2}),
    "input dropout": Option({"input_dropout": 0.2}),
    "zoneout": Option({"zoneout": 0.1}),
    "weight drop": Option({"weight_dropout": 0.2}),
    # With gains of one, random weights double a difference every few steps: not to be compared.
    "layer norm": Option({"layer_norm": True, "init": {"beta_*": 0.5}}),
    "lengths": Option(call=_lengths),
    "mask with gaps": Option(call=_mask),
    "reset": Option(call=_reset),
    "learned initial state": Option({"initial": "learned"}),
    "two directions, concat": Option(BOTH, beside="two directions, concat"),
    "two directions, sum": Option(BOTH | {"merge": "sum"}, beside="two directions, concat"),
    "two layers": Option(TWO, beside="two layers"),
    "two layers, residual": Option(TWO | {"connections": "residual"}, beside="two layers"),
}
BY_TORCH = [name for name, option in OPTIONS.items() if option.beside == name]
"""The cases that torch's layer has too."""


@dataclass(frozen=True)
class Cost:
    """Times of one case by engine: ours, torch (without the option), keras.

    And `without`, how many times ours without the option it takes.
    """

    cell: str
    name: str
    shape: Shape
    forward: dict[str, Time]
    train: dict[str, Time]

    def times(self, kind: str) -> dict[str, Time]:
        """The times of a pass: `"forward"` or `"train"`."""
        return self.forward if kind == "forward" else self.train

    def missed(self, kind: str) -> bool:
        """Whether the option costs more than it may."""
        return self.name not in BY_TORCH and self.times(kind)["without"].median > LIMIT


class Case:
    """One layer with an option, its input, and what is timed of it."""

    def __init__(self, cell: str, name: str, shape: Shape) -> None:
        T, B, I, H = shape  # noqa: E741 - the letters of the design
        self.cell, self.name, self.shape, option = cell, name, shape, OPTIONS[name]
        torch.manual_seed(0)
        self.layer = getattr(recurnn.nn, LAYERS[cell])(I, H, **option.made)
        self.how = option.call(T, B)
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(T, B, I, generator=generator)
        width = H * (2 if name == "two directions, concat" else 1)
        self.dy = torch.randn(T, B, width, generator=generator)

    def passes(self, layer: nn.Module, how: Mapping[str, Any] | None = None) -> dict[str, Run]:
        """The two passes that are timed: without gradients, and with all of them."""
        how = self.how if how is None else how

        def forward() -> Tensor:
            with torch.no_grad():
                y: Tensor = layer(self.x, **how)[0]
                return y

        def train() -> list[Tensor]:
            x = self.x.detach().requires_grad_()
            y = layer(x, **how)[0]
            return [y, *torch.autograd.grad(y, [x, *layer.parameters()], self.dy)]

        return {"forward": forward, "train": train}

    def results(self, layer: nn.Module) -> dict[str, Tensor]:
        """Everything that the case is compared by; random masks are the same at every call."""
        names = ["y", "dx", *(f"d{name}" for name, _ in layer.named_parameters())]
        runs = self.passes(layer)
        torch.manual_seed(3)
        found = dict(zip(names, runs["train"](), strict=True))
        torch.manual_seed(3)
        return found | {"y without gradients": runs["forward"]()}

    def torchs(self) -> nn.Module:
        """Torch's layer with the same weights."""
        theirs: nn.Module = getattr(nn, LAYERS[self.cell])(
            *self.shape[2:], **OPTIONS[self.name].made
        )
        theirs.load_state_dict(self.layer.state_dict())
        return theirs

    def check(self) -> None:
        """Refuse to go on if the numbers are not the reference's, and torch's.

        Raises:
            SystemExit: they are not.
        """
        got = self.results(self.layer)
        with by_reference():
            want = {"the reference": self.results(self.layer)}
        if self.name in BY_TORCH:
            want["torch"] = self.results(self.torchs())
        for whose, expected in want.items():
            try:
                agree(got, expected, self.shape)
            except Disagreement as wrong:
                raise SystemExit(
                    f"not timed: {self.cell}, {self.name}, against {whose}: {wrong}"
                ) from wrong


@contextmanager
def by_reference() -> Iterator[None]:
    """The drop-in layers run the plain loop, with the masks that they draw anyway."""
    right = scanned.scan
    scanned.scan = functools.partial(right, engine="reference")
    try:
        yield
    finally:
        scanned.scan = right


def measure(cell: str, name: str, shape: Shape, rounds: int) -> Cost:
    """Check one case, then time it, the layer without the option, torch's and Keras's in turn."""
    case = Case(cell, name, shape)
    case.check()
    plain = Case(cell, OPTIONS[name].beside, shape)
    found: dict[str, dict[str, Time]] = {}
    for kind in ("forward", "train"):
        runs = {"ours": case.passes(case.layer)[kind], "beside": plain.passes(plain.layer)[kind],
                "torch": plain.passes(plain.torchs())[kind]}  # fmt: skip
        medians = blocks(runs, rounds)
        found[kind] = {name: spread(medians[name]) for name in ("ours", "torch")}
        found[kind]["without"] = over(medians["ours"], medians["beside"])
    for kind, run in keras_runs(case).items():
        found[kind] |= timed({"keras": run}, min(rounds, 3))  # tens of times as long
    return Cost(cell, name, shape, found["forward"], found["train"])
