"""The drop-in layers under torch.compile, parametrizations, pruning, double backward and masks."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrizations, prune

import recurnn
from gradients import with_gradients
from layers import Case
from problems import normal
from tolerance import agree, identical

F64 = torch.float64


class Model(torch.nn.Module):
    """Two layers with dropout between them, and a head."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.body = getattr(recurnn.nn, name)(3, 8, 2, dropout=0.5, bidirectional=True, dtype=F64)
        self.head = torch.nn.Linear(16, 1, dtype=F64)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        y: Tensor = self.head(self.body(x, lengths=lengths)[0])
        return y


@pytest.fixture(autouse=True)
def _fresh_dynamo() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_torch_compile_takes_a_model_whole(name: str) -> None:
    model, x = Model(name), normal(5, 4, 3, seed=1)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert not torch.equal(compiled(x), compiled(x))  # dropout changes from call to call
    model.eval()
    inputs = {"x": x} | dict(model.named_parameters())
    for lengths in (None, torch.tensor([5, 0, 3, 2])):
        got = with_gradients({"y": compiled(x, lengths)}, inputs)
        agree(got, with_gradients({"y": model(x, lengths)}, inputs), terms=300)


@pytest.mark.slow  # inductor has C++ compiled
@pytest.mark.parametrize("name", ["GRU", "LSTM"])
def test_inductor_takes_a_model_whole(name: str) -> None:
    """The default backend: dropout changes from call to call, and its gradient is its own."""
    model, x = Model(name), normal(5, 4, 3, seed=1)
    compiled = torch.compile(model, fullgraph=True)
    assert not torch.equal(compiled(x), compiled(x))
    inputs = {"x": x} | dict(model.named_parameters())
    for draw in range(2):
        torch.manual_seed(draw)
        y = compiled(x)
        slopes = torch.autograd.grad(y.sum(), list(inputs.values()))
        with torch.no_grad():
            nudged, step = x.clone(), torch.randn_like(x)
            nudged += 1e-6 * step
            torch.manual_seed(draw)  # the same mask
            difference = (compiled(nudged) - y).sum() / 1e-6
        assert float(difference) == pytest.approx(float((slopes[0] * step).sum()), rel=1e-3)
    model.eval()
    for lengths in (None, torch.tensor([5, 0, 3, 2])):
        got = with_gradients({"y": compiled(x, lengths)}, inputs)
        agree(got, with_gradients({"y": model(x, lengths)}, inputs), terms=300)


def test_torch_compile_takes_the_output_layer() -> None:
    layer = recurnn.nn.LinearCrossEntropy(5, 30, dtype=F64)
    h, target = normal(6, 5, seed=1), torch.tensor([29, 0, 3, -100, 7, 7])
    inputs = {"h": h} | dict(layer.named_parameters())
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    got = with_gradients({"loss": compiled(h, target)}, inputs)
    agree(got, with_gradients({"loss": layer(h, target)}, inputs), terms=100)


@pytest.mark.parametrize(
    ("options", "draws"),
    [
        ({"zoneout": 0.3}, True),
        ({"state_dropout": 0.5, "input_dropout": 0.2, "weight_dropout": 0.2}, True),
        ({"initial": "learned", "layer_norm": True, "merge": "sum", "bidirectional": True}, False),
        ({"activation": "softsign", "connections": "dense"}, False),
    ],
    ids=str,
)
def test_options_beyond_torch_compile_whole(options: dict[str, Any], draws: bool) -> None:
    layer, x = recurnn.nn.LSTM(3, 4, 2, dtype=F64, **options), normal(5, 2, 3, seed=1)
    run = torch.compile(lambda x: layer(x)[0], fullgraph=True, backend="aot_eager")
    assert torch.equal(run(x), run(x)) != draws
    layer.eval()
    inputs = {"x": x} | dict(layer.named_parameters())
    got = with_gradients({"y": run(x)}, inputs)
    agree(got, with_gradients({"y": layer(x)[0]}, inputs), terms=300)


def test_layers_of_cells_compile_whole() -> None:
    cell = recurnn.cells.MGU(3, 4, dtype=F64)
    layer = recurnn.nn.Recurrent(cell, zoneout=0.3, weight_dropout=0.2)
    stack = recurnn.nn.Stack(recurnn.nn.Bidirectional(layer), torch.nn.Linear(8, 2, dtype=F64))
    run = torch.compile(lambda x: stack(x).output, fullgraph=True, backend="aot_eager")
    x = normal(5, 2, 3, seed=1)
    assert not torch.equal(run(x), run(x))
    stack.eval()
    agree({"y": run(x)}, {"y": stack(x).output}, terms=100)


def test_one_step_and_a_mask_compile_whole() -> None:
    step = recurnn.nn.LSTMCell(3, 4, dtype=F64)
    x = normal(4, 3, seed=2)
    got = torch.compile(step, fullgraph=True, backend="aot_eager")(x)
    identical({"h": got[0].detach()}, {"h": step(x)[0].detach()})
    layer = recurnn.nn.GRU(3, 4, dtype=F64)
    x, mask = normal(6, 4, 3, seed=3), torch.rand(6, 4) > 0.4
    run = torch.compile(lambda x, m: layer(x, mask=m)[0], fullgraph=True, backend="aot_eager")
    agree({"y": run(x, mask)}, {"y": layer(x, mask=mask)[0]}, terms=50)


def spectral(layer: Any) -> None:
    torch.manual_seed(4)
    parametrizations.orthogonal(layer, "weight_hh_l0")


def weight_norm(layer: Any) -> None:
    parametrizations.weight_norm(layer, "weight_ih_l0")


def pruned(layer: Any) -> None:
    torch.manual_seed(4)
    prune.random_unstructured(layer, "weight_hh_l0", amount=0.5)


def tied(layer: Any) -> None:
    layer.weight_hh_l1 = layer.weight_hh_l0


CHANGES: list[Callable[[Any], None]] = [weight_norm, pruned, tied, spectral]


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
@pytest.mark.filterwarnings("ignore:.*not part of single contiguous chunk")
def test_changed_weights_act_as_in_torchs_layer(change: Callable[[Any], None]) -> None:
    case = Case("RNN", L=2, I=7)
    theirs, ours = case.make(torch.nn), case.make(recurnn.nn)
    ours.load_state_dict(theirs.state_dict())
    results, inputs = [], case.inputs()
    for layer in (ours, theirs):
        change(layer)
        y, h = layer(inputs["x"], inputs["h"])
        results.append(with_gradients({"y": y, "h": h}, inputs | dict(layer.named_parameters())))
    agree(*results, terms=300)


def test_double_backward() -> None:
    layer = recurnn.nn.LSTM(2, 3, 2, dtype=F64)
    weights = dict(layer.named_parameters())
    x = normal(3, 2, 2, seed=5)

    def run(x: Tensor, *w: Tensor) -> Tensor:
        given = dict(zip(weights, w, strict=True))
        y: Tensor = torch.func.functional_call(layer, given, (x,))[0]
        return y

    assert torch.autograd.gradgradcheck(run, (x, *weights.values()))


def test_a_changed_dropout_counts_from_the_next_call() -> None:
    layer = recurnn.nn.GRU(3, 4, 2, dropout=0.5)
    x = torch.randn(5, 2, 3)
    layer.dropout = 0.0
    assert torch.equal(layer(x)[0], layer(x)[0])
    layer.dropout = 0.5
    assert not torch.equal(layer(x)[0], layer(x)[0])


@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell"])
def test_one_step_is_copied_and_pickled(name: str) -> None:
    step, x = getattr(recurnn.nn, name)(3, 4), torch.randn(2, 3)
    for other in (copy.deepcopy(step), pickle.loads(pickle.dumps(step))):
        got, want = other(x), step(x)
        assert torch.equal(got[0], want[0])


# Masks and lengths


def in_padding(x: Tensor, mask: Tensor, value: float) -> Tensor:
    return torch.where(mask[..., None], x, value).detach().requires_grad_()


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_masked_step_is_as_if_it_were_not_there(name: str, batch_first: bool) -> None:
    layer = Case(name, L=2, bidirectional=True, batch_first=batch_first).make(recurnn.nn)
    x, mask = normal(6, 4, 5, seed=6), torch.rand(6, 4) > 0.4
    mask[:, 3], mask[:, 2] = False, torch.arange(6) < 3
    given = in_padding(x, mask, float("nan"))
    shown = (given.transpose(0, 1), mask.t()) if batch_first else (given, mask)
    y, last = layer(shown[0], mask=shown[1])
    y = y.transpose(0, 1) if batch_first else y
    last = last if isinstance(last, tuple) else (last,)
    slope = torch.autograd.grad(y.sum() + sum(s.sum() for s in last), given)[0]
    assert bool((slope[~mask] == 0).all())
    for b in range(4):
        row = x[:, b : b + 1][mask[:, b]]
        want_y, want = layer(row.transpose(0, 1) if batch_first else row)
        want_y = want_y.transpose(0, 1) if batch_first else want_y
        want = want if isinstance(want, tuple) else (want,)
        agree({"y": y[mask[:, b], b]}, {"y": want_y[:, 0]}, terms=200)
        assert not y[~mask[:, b], b].any()
        for got, s in zip(last, want, strict=True):
            agree({"last": got[:, b]}, {"last": s[:, 0]}, terms=200)


@pytest.mark.parametrize("name", ["GRU", "LSTM"])
def test_states_and_gates_of_every_layer_and_direction(name: str) -> None:
    layer = Case(name, L=2, bidirectional=True, batch_first=True).make(recurnn.nn)
    x, lengths = normal(3, 6, 5, seed=7), [6, 2, 4]
    y, last, seen = layer(x, lengths=lengths, return_states="all", return_gates=True)
    plain = layer(x, lengths=lengths)
    agree({"y": y}, {"y": plain[0]}, terms=100)
    assert len(seen) == 4
    h = last[0] if name == "LSTM" else last
    for n, result in enumerate(seen):
        assert set(result.gates) == set("ifgo" if name == "LSTM" else "rzn")
        states = result.states["h"]
        assert states.shape == (3, 6, 7)
        for b, length in enumerate(lengths):
            at = length - 1 if n % 2 == 0 else 0
            identical({"h": states[b, at].detach()}, {"h": h[n, b].detach()})
            assert not states[b, length:].any()
    identical({"y": torch.cat([seen[2].output, seen[3].output], -1)}, {"y": y})


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_a_reset_is_a_new_sequence(name: str) -> None:
    layer = Case(name, L=2, bidirectional=True).make(recurnn.nn)
    x = normal(6, 2, 5, seed=8)
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[4] = True
    y = layer(x, reset=reset)[0]
    agree({"y": y}, {"y": torch.cat([layer(x[:4])[0], layer(x[4:])[0]])}, terms=100)
    single = layer(x[:, 0], reset=reset[:, 0])[0]
    agree({"y": single}, {"y": y[:, 0]}, terms=100)
