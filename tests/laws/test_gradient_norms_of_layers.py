"""The norms of dL/dstate through layers within layers: against autograd through a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
from problems import KINDS, normal
from recurnn import GradientNorms, nn
from tolerance import agree

T, B, H = 6, 4, 5
F64 = torch.float64
LENGTHS = torch.tensor([6, 2, 0, 5])
Step = Callable[..., tuple[Tensor, ...]]
Every = list[tuple[Tensor, ...]]


def cell_of(name: str, size: int) -> recurnn.cells.Cell:
    torch.manual_seed(len(name) + size)
    return KINDS[name].make(size, H)


def step_of(layer: Any, d: int = 0) -> tuple[Step, int]:
    """One step of a layer written out, and the number of its states."""
    if isinstance(layer, nn.Recurrent):
        cell = layer.cell

        def of_cell(x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
            values = cell(x, *states)
            return tuple(values[k] for k in cell.states)

        return of_cell, len(cell.states)
    end = "_l0_reverse" if d else "_l0"
    W, U, b, a = (
        getattr(layer, f"{k}{end}") for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )

    def step(x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = (x @ W.T + h @ U.T + a + b).chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    return step, 2


def by_hand(
    layer: Any, x: Tensor, ends: Tensor, *, back: bool = False, d: int = 0
) -> tuple[Tensor, tuple[Tensor, ...], Every]:
    """Outputs, last states, and the states at every step, whose gradients are kept."""
    step, count = step_of(layer, d)
    last: tuple[Tensor, ...] = (x.new_zeros(x.shape[1], H),) * count
    every: Every = [()] * len(x)
    outputs = [x[0, :, :0]] * len(x)
    for t in reversed(range(len(x))) if back else range(len(x)):
        every[t] = step(x[t], *last)
        for s in every[t]:
            s.retain_grad()
        real = (t < ends).unsqueeze(1)
        outputs[t] = torch.where(real, every[t][0], 0)
        last = tuple(torch.where(real, s, old) for s, old in zip(every[t], last, strict=True))
    return torch.stack(outputs), last, every


def wanted(every: Every) -> dict[str, Tensor]:
    names = ("h", "c")[: len(every[0])]
    return {
        k: torch.stack([s[n].new_zeros(B) if s[n].grad is None else s[n].grad.norm(dim=-1)  # type: ignore[union-attr]
                        for s in every])
        for n, k in enumerate(names)
    }  # fmt: skip


def compare(found: Sequence[GradientNorms], every: Sequence[Every]) -> None:
    for mine, states in zip(found, every, strict=True):
        want = wanted(states)
        assert mine.states == tuple(want)
        agree({k: mine[k] for k in want}, want, terms=300)
        assert (mine["h"] > 0).any()


def loss(y: Tensor, *last: Tensor) -> Tensor:
    """All of the output counts, each number otherwise, and the last states."""
    weight = normal(*y.shape, seed=9).detach()
    return (weight * y).sum() + sum((s.square().sum() for s in last), y.new_zeros(()))


def turned(x: Tensor, ends: Tensor) -> Tensor:
    """Each row's real steps the other way round."""
    x = x.clone()
    for b, n in enumerate(ends.tolist()):
        x[:n, b] = x[:n, b].flip(0)
    return x


def two() -> tuple[GradientNorms, GradientNorms]:
    return GradientNorms(), GradientNorms()


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_of_both_directions_of_a_cell(engine: str, lengths: Tensor | None) -> None:
    layer = nn.Bidirectional(
        nn.Recurrent(cell_of("lstm", 3), engine=engine),
        nn.Recurrent(cell_of("gru", 3), engine=engine, reverse=True),
        merge="mul",
    )
    x, found = normal(T, B, 3, seed=1), two()
    result = layer(x, lengths=lengths, gradient_norms=found)
    loss(result.output, *result.state[0].values(), *result.state[1].values()).backward()
    ends = torch.full((B,), T) if lengths is None else lengths
    a, last_a, every_a = by_hand(layer.forward_layer, x, ends)
    b, last_b, every_b = by_hand(layer.backward_layer, x, ends, back=True)
    loss(a * b, *last_a, *last_b).backward()
    compare(found, [every_a, every_b])


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_of_a_layer_that_is_given_its_steps_the_other_way_round(lengths: Tensor | None) -> None:
    """A drop-in has no way back of its own: its norms come back to the steps of x."""
    torch.manual_seed(3)
    layer = nn.Bidirectional(nn.LSTM(3, H, dtype=F64))
    x, found = normal(T, B, 3, seed=1), two()
    y = layer(x, lengths=lengths, gradient_norms=(found[0], [found[1]])).output
    loss(y).backward()
    ends = torch.full((B,), T) if lengths is None else lengths
    a, _, every_a = by_hand(layer.forward_layer, x, ends)
    b, _, every_b = by_hand(layer.backward_layer, x, ends, back=True)
    loss(torch.cat([a, b], dim=-1)).backward()
    compare(found, [every_a, every_b])


@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_of_a_stack(engine: str) -> None:
    torch.manual_seed(4)
    layers = [
        nn.Bidirectional(nn.Recurrent(cell_of("lstm", 3), engine=engine), merge="sum"),
        torch.nn.Linear(H, 3, dtype=F64),
        nn.LSTM(3, H, bidirectional=True, batch_first=True, dtype=F64),
        torch.nn.Tanh(),
    ]
    stack = nn.Stack(*layers, batch_first=True)
    x, lower, upper = normal(B, T, 3, seed=1), two(), two()
    y = stack(x, lengths=LENGTHS, gradient_norms=[lower, None, list(upper), None]).output
    loss(y.transpose(0, 1)).backward()
    first: Any = stack.layers[0]
    steps = x.transpose(0, 1)
    a, _, every_a = by_hand(first.forward_layer, steps, LENGTHS)
    b, _, every_b = by_hand(first.backward_layer, steps, LENGTHS, back=True)
    between = stack.layers[1](a + b)
    c, _, every_c = by_hand(layers[2], between, LENGTHS)
    d, _, every_d = by_hand(layers[2], between, LENGTHS, back=True, d=1)
    loss(torch.tanh(torch.cat([c, d], dim=-1))).backward()
    compare([*lower, *upper], [every_a, every_b, every_c, every_d])


def test_of_a_bidirectional_layer_within_one_that_runs_back() -> None:
    """Turned round twice, by the inner layer and by the outer one."""
    torch.manual_seed(5)
    inner = nn.Bidirectional(nn.LSTM(3, H, dtype=F64))
    outer = nn.Bidirectional(nn.Stack(inner))
    x, found = normal(T, B, 3, seed=1), two()
    y = outer(x, lengths=LENGTHS, gradient_norms=(None, [found])).output
    loss(y).backward()
    there: Any = outer.backward_layer
    pair = there.layers[0]
    back = turned(x, LENGTHS)
    a, _, every_a = by_hand(pair.forward_layer, back, LENGTHS)
    b, _, every_b = by_hand(pair.backward_layer, back, LENGTHS, back=True)
    weight = normal(T, B, 4 * H, seed=9).detach()
    (weight[..., 2 * H :] * turned(torch.cat([a, b], dim=-1), LENGTHS)).sum().backward()
    for mine, every in zip(found, (every_a, every_b), strict=True):
        want = {k: turned(v, LENGTHS) for k, v in wanted(every).items()}
        agree({k: mine[k] for k in want}, want, terms=300)


@pytest.mark.parametrize("kind", ["bidirectional", "stack", "images"])
def test_they_stand_at_the_steps_of_a_mask_with_gaps(kind: str) -> None:
    torch.manual_seed(6)
    layer: Any = nn.Bidirectional(
        nn.LSTM(3, H, dtype=F64), nn.LSTM(3, H, dtype=F64, batch_first=True)
    )
    size: tuple[int, ...] = (3,)
    if kind == "stack":
        layer = nn.Stack(torch.nn.Linear(3, 3, dtype=F64), layer)
    if kind == "images":
        layer, size = nn.Bidirectional(nn.ConvLSTM(3, 2, dimensions=1, dtype=F64)), (3, 7)
    x, mask = normal(T, B, *size, seed=1), torch.ones(T, B, dtype=torch.bool)
    mask[1, 0] = mask[0, 1] = mask[4, 1] = mask[5, 2] = False
    found, want = two(), two()
    form: Any = (lambda pair: [None, pair]) if kind == "stack" else tuple
    layer(x, mask=mask, gradient_norms=form(found)).output.square().sum().backward()
    for b in range(B):
        layer(x[mask[:, b], b : b + 1], gradient_norms=form(want)).output.square().sum().backward()
        for mine, other in zip(found, want, strict=True):
            assert torch.equal(mine["h"] > 0, mask)
            for k in "hc":
                agree({k: mine[k][mask[:, b], b]}, {k: other[k][:, 0]}, terms=100)


def test_of_images() -> None:
    layer = nn.ConvLSTM(2, 3, dimensions=1, dtype=F64)
    x, found = normal(T, B, 2, 7, seed=1), GradientNorms()
    y = layer(x, lengths=LENGTHS, gradient_norms=found).output
    loss(y.flatten(2)).backward()
    last = (x.new_zeros(B, 3, 7),) * 2
    every: Every = []
    outputs = []
    for t in range(T):
        z = torch.conv1d(x[t], layer.weight_ih, layer.bias, padding=1)
        z = z + torch.conv1d(last[0], layer.weight_hh, padding=1)
        i, f, g, o = z.chunk(4, dim=1)
        c = f.sigmoid() * last[1] + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        every.append((h, c))
        for s in every[-1]:
            s.retain_grad()
        real = (t < LENGTHS).reshape(B, 1, 1)
        outputs.append(torch.where(real, h, 0))
        last = (torch.where(real, h, last[0]), torch.where(real, c, last[1]))
    loss(torch.stack(outputs).flatten(2)).backward()
    for n, k in enumerate("hc"):
        grads = [s[n].grad for s in every]
        want = torch.stack([g.flatten(1).norm(dim=-1) for g in grads if g is not None])
        agree({k: found[k][: len(want)]}, {k: want}, terms=200)
    assert (found["h"] > 0).sum() == LENGTHS.sum()


X = torch.zeros(4, 2, 3)
SAME = GradientNorms()
MESSAGES: list[tuple[Callable[[], object], str]] = [
    (
        lambda: nn.Bidirectional(nn.GRU(3, 4))(X, gradient_norms=GradientNorms()),
        "Bidirectional: gradient_norms is not a pair.\n  Expected those of the layer that runs "
        "forward, and those of the one that runs back: "
        "(recurnn.GradientNorms(), recurnn.GradientNorms()).",
    ),
    (
        lambda: nn.Bidirectional(nn.GRU(3, 4))(X, gradient_norms=(SAME, [SAME])),
        "Bidirectional: gradient_norms has the same GradientNorms twice.\n"
        "  Give each layer and direction one of its own.",
    ),
    (
        lambda: nn.Stack(nn.GRU(3, 4), nn.GRU(4, 4))(X, gradient_norms=[SAME]),
        "Stack: gradient_norms has 1 entries; expected one for each of the 2 layers, None for "
        "those without a state.",
    ),
    (
        lambda: nn.Stack(nn.GRU(3, 4))(X, gradient_norms=SAME),
        "Stack: gradient_norms is no list; expected one for each of the 1 layers, None for those "
        "without a state.",
    ),
    (
        lambda: nn.Stack(torch.nn.Linear(3, 4))(X, gradient_norms=[SAME]),
        "Stack: gradient_norms for layer 0, a Linear, which has no state.\n  Give None there.",
    ),
    (
        lambda: nn.Stack(nn.GRU(3, 4), nn.GRU(4, 4))(X, gradient_norms=[SAME, SAME]),
        "Stack: gradient_norms has the same GradientNorms twice.\n"
        "  Give each layer and direction one of its own.",
    ),
    (
        lambda: nn.ConvLSTM(3, 4, dimensions=1)(X.unsqueeze(-1), gradient_norms=3),  # type: ignore[arg-type]
        "ConvLSTM: gradient_norms is 3.\n"
        "  Expected a recurnn.GradientNorms(), which the backward pass fills.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), MESSAGES)
def test_what_is_not_of_the_layers_form_is_told(call: Callable[[], object], text: str) -> None:
    with pytest.raises(recurnn.errors.ConfigError) as caught:
        call()
    assert str(caught.value) == text
