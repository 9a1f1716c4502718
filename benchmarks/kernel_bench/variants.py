"""The variants table: what a cell costs that torch has no layer for."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

import recurnn
from kernel_bench import ours
from kernel_bench.agreement import Disagreement, agree
from kernel_bench.own_cell import TwoTimes
from kernel_bench.shapes import Shape
from kernel_bench.timing import Run, Time, once, timed
from recurnn import cells

SHAPE: Shape = (100, 32, 64, 128)


def calm_layernorm(input_size: int, hidden_size: int) -> cells.Cell:
    """The layer-normalised cell with small recurrent gains.

    With gains of one at random weights it doubles a difference every few steps, so that the
    rounding of any two computations, is far apart after a hundred.
    """
    return cells.LayerNormLSTM(input_size, hidden_size, init={"beta_*": 0.5})


def projected(input_size: int, hidden_size: int) -> cells.Cell:
    return cells.ProjectedLSTM(input_size, hidden_size, proj_size=hidden_size // 2)


PLAIN: dict[str, Callable[[int, int], cells.Cell]] = {"lstm": cells.LSTM, "gru": cells.GRU}
VARIANTS: dict[str, tuple[Callable[[int, int], cells.Cell], str]] = {
    "peephole LSTM": (cells.PeepholeLSTM, "lstm"),
    "coupled LSTM": (cells.CoupledLSTM, "lstm"),
    "layer-normalised LSTM": (calm_layernorm, "lstm"),
    "projected LSTM, P = 64": (projected, "lstm"),
    "reset-before GRU": (cells.ResetBeforeGRU, "gru"),
    "a user's cell": (TwoTimes, "gru"),
}
"""Name to the cell and its plain relative."""


@dataclass(frozen=True)
class Variant:
    """Times by engine: ours, plain (its plain relative, ours), torch (the same), loop, compiled.

    `first` has the seconds before the first trained step: cold, with an empty cache folder; warm,
    with the kernel in it; compiled, by torch.compile.
    """

    name: str
    relative: str
    forward: dict[str, Time]
    train: dict[str, Time]
    first: dict[str, float]


class Loop(nn.Module):
    """A Python loop over the step, in torch's operations alone."""

    def __init__(self, cell: cells.Cell) -> None:
        super().__init__()
        self.cell = cell

    def step(self, x: Tensor, states: list[Tensor]) -> list[Tensor]:
        """The new states, in the cell's order."""
        values = self.cell.step(self.cell.bind(), x, *states)
        return [values[name] for name in self.cell.states]

    def forward(self, x: Tensor) -> tuple[Tensor]:
        sizes = [self.cell.sizes[letter] for letter in self.cell.states.values()]
        states = [x.new_zeros(x.shape[1], size) for size in sizes]
        output = list(self.cell.states).index(self.cell.output)
        outputs = []
        for x_t in x:
            states = self.step(x_t, states)
            outputs.append(states[output])
        return (torch.stack(outputs),)


class Traced(Loop):
    """The same loop with the step as a graph of tensors, for torch.compile.

    It does not take the step as it is, since `W @ x` is a method of a class of ours.
    """

    def __init__(self, cell: cells.Cell) -> None:
        super().__init__(cell)
        self.names = [name for name, _ in cell.named_parameters()]
        count = len(self.names)

        def step(*tensors: Tensor) -> list[Tensor]:
            p = cell.bind(dict(zip(self.names, tensors[:count], strict=True)))
            values = cell.step(p, *tensors[count:])
            return [values[name] for name in cell.states]

        _, B, I, _ = SHAPE  # noqa: E741 - the letters of the design
        states = [torch.zeros(B, cell.sizes[letter]) for letter in cell.states.values()]
        self.graph = make_fx(step)(*cell.parameters(), torch.zeros(B, I), *states)

    def step(self, x: Tensor, states: list[Tensor]) -> list[Tensor]:
        return self.graph(*self.cell.parameters(), x, *states)


def measure(name: str, rounds: int, *, compiled: bool) -> Variant:
    """One variant: checked against the loop, then timed beside the others.

    Raises:
        SystemExit: its numbers are not the loop's.
    """
    make, relative = VARIANTS[name]
    _, _, I, H = SHAPE  # noqa: E741 - the letters of the design
    torch.manual_seed(0)
    cell = make(I, H)
    layers: dict[str, nn.Module] = {
        "ours": recurnn.nn.Recurrent(cell, engine="cpu"),
        "plain": recurnn.nn.Recurrent(PLAIN[relative](I, H), engine="cpu"),
        "torch": getattr(nn, relative.upper())(I, H),
        "loop": Loop(cell),
    }
    x = torch.randn(SHAPE[:3])
    dy = {k: torch.randn(SHAPE[:2] + layer(x)[0].shape[2:]) for k, layer in layers.items()}
    dy["loop"] = dy["ours"]
    want = ours.results(layers["loop"], x, dy["loop"])
    _agree(name, ours.results(layers["ours"], x, dy["ours"]), want)
    first = first_results(name)
    if compiled:
        layers["compiled"], dy["compiled"] = torch.compile(Traced(cell), fullgraph=True), dy["loop"]
        first["compiled"] = _compile(layers["compiled"], x, dy["compiled"])
        got = ours.gradients(layers["compiled"], x, dy["compiled"])
        _agree(f"{name} under torch.compile", dict(zip(want, got, strict=False)),
               dict(list(want.items())[: len(got)]))  # fmt: skip
    train = {k: _trained(layer, x, dy[k]) for k, layer in layers.items()}
    with torch.no_grad():
        forward = timed({k: _forward(layer, x) for k, layer in layers.items()}, rounds)
    return Variant(name, relative, forward, timed(train, rounds), first)


def _agree(name: str, got: dict[str, Tensor], want: dict[str, Tensor]) -> None:
    try:
        agree(got, want, SHAPE)
    except Disagreement as wrong:
        raise SystemExit(f"not timed: {name}: {wrong}") from wrong


def _forward(layer: nn.Module, x: Tensor) -> Run:
    return lambda: layer(x)


def _trained(layer: nn.Module, x: Tensor, dy: Tensor) -> Run:
    return lambda: ours.gradients(layer, x, dy)


def _compile(layer: nn.Module, x: Tensor, dy: Tensor) -> float:
    """Seconds of the first forward pass and the first training step together."""
    torch._dynamo.config.recompile_limit = 64  # one function serves many cells
    with torch.no_grad():
        seconds = once(_forward(layer, x)) / 1e3
    return seconds + once(_trained(layer, x, dy)) / 1e3


def first_results(name: str) -> dict[str, float]:
    """Seconds before the first trained step in a fresh process, cold and warm."""
    with tempfile.TemporaryDirectory(prefix="recurnn-cold-") as folder:
        return {kind: _first_result(name, folder) for kind in ("cold", "warm")}


def _first_result(name: str, folder: str) -> float:
    here = str(Path(__file__).parent.parent)
    paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "kernel_bench.variants", name],
        env=os.environ | {"RECURNN_CACHE": folder, "PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"the first result of {name} did not come:\n{done.stderr[-1000:]}")
    return float(done.stdout)


def main() -> None:
    """In a process of its own: the seconds of the first forward and backward pass."""
    make, _ = VARIANTS[sys.argv[1]]
    layer = recurnn.nn.Recurrent(make(*SHAPE[2:]), engine="cpu")
    x = torch.randn(SHAPE[:3])
    dy = torch.randn(*SHAPE[:2], layer.cell.output_size)
    # What torch itself loads at its first gradient is not ours.
    one = torch.ones(1, requires_grad=True)
    torch.autograd.grad(one * one, one, torch.ones(1))
    print(once(lambda: ours.gradients(layer, x, dy)) / 1e3)


def shown(rows: list[Variant]) -> str:
    """The table: forward / train, milliseconds."""
    columns = {"ours": "ours", "plain": "its plain one", "torch": "torch's plain",
               "loop": "Python loop", "compiled": "torch.compile"}  # fmt: skip
    text = [
        f"{'':24}" + "".join(f"{title:>17}" for title in columns.values())
        + f"{'× the plain one':>17}{'first result, s: cold':>23}{'warm':>7}{'compile':>9}"
    ]  # fmt: skip
    for row in rows:
        entries = "".join(f"{_pair(row, name):>17}" for name in columns)
        cost = [t["ours"].median / t["plain"].median for t in (row.forward, row.train)]
        compiled = f"{row.first['compiled']:.1f}" if "compiled" in row.first else "–"
        text.append(
            f"{row.name:24}{entries}{f'{cost[0]:.2f} / {cost[1]:.2f}':>17}"
            f"{row.first['cold']:23.1f}{row.first['warm']:7.2f}{compiled:>9}"
        )
    return "\n".join(text)


def _pair(row: Variant, name: str) -> str:
    if name not in row.forward:
        return "–"
    return f"{row.forward[name].median:.2f} / {row.train[name].median:.2f}"


if __name__ == "__main__":
    main()
