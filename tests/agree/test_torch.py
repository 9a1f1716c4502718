"""The drop-in layers against torch's: outputs, final states and all gradients."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import recurnn
from layers import F32, Case, compare
from problems import normal
from tolerance import agree, identical

CASES = [
    Case("RNN"),
    Case("RNN", nonlinearity="relu", L=2, T=9),
    Case("RNN", bias=False, bidirectional=True),
    Case("RNN", L=3, bidirectional=True, batch_first=True, H=4),
    Case("RNN", B=None, L=2),
    Case("RNN", B=None, batch_first=True, bidirectional=True, nonlinearity="relu"),
    Case("RNN", I=1, H=1, T=1, B=1),
    Case("RNN", dtype=F32, L=2, T=33, H=33),
    Case("RNN", state=False, contiguous=False),
    Case("GRU"),
    Case("GRU", L=2, bidirectional=True, T=8),
    Case("GRU", bias=False, L=2),
    Case("GRU", batch_first=True, state=False),
    Case("GRU", B=None),
    Case("GRU", T=1, bidirectional=True),
    Case("GRU", I=1, H=1, B=1),
    Case("GRU", dropout=0.5, L=3),
    Case("GRU", dtype=F32, T=63, H=8, I=33),
    Case("GRU", contiguous=False, batch_first=True, dtype=F32),
    Case("LSTM"),
    Case("LSTM", L=2, bidirectional=True, batch_first=True),
    Case("LSTM", bias=False, bidirectional=True),
    Case("LSTM", state=False, T=17),
    Case("LSTM", proj_size=3),
    Case("LSTM", proj_size=2, L=2, bidirectional=True, bias=False, B=2),
    Case("LSTM", proj_size=1, B=None, batch_first=True),
    Case("LSTM", B=None, L=2, bidirectional=True),
    Case("LSTM", T=1, B=1, H=1),
    Case("LSTM", dropout=0.3, L=2, contiguous=False),
    Case("LSTM", dtype=F32, L=2, T=33, H=16, B=5),
    Case("LSTM", dtype=F32, T=63, H=33, bidirectional=True),
    Case("LSTM", T=2, B=8, H=8, I=8),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer_is_torchs(case: Case) -> None:
    compare(case)


@pytest.mark.parametrize("case", [c for c in CASES if c.L > 1], ids=str)
def test_weights_start_as_torchs_and_go_both_ways(case: Case) -> None:
    ours, theirs = case.make(recurnn.nn), case.make(torch.nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    identical(ours.state_dict(), theirs.state_dict())  # the same draws from the same seed
    with torch.no_grad():
        for weight in ours.parameters():
            weight.add_(1)
    theirs.load_state_dict(ours.state_dict())
    identical(theirs.state_dict(), ours.state_dict())
    assert repr(ours) == repr(theirs)
    names = [[list(w.shape) for w in weights] for weights in theirs.all_weights]
    assert [[list(w.shape) for w in weights] for weights in ours.all_weights] == names


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_forward_pass_draws_no_random_numbers(kind: str) -> None:
    layer, x = Case(kind).make(recurnn.nn), Case(kind).inputs()["x"]
    before = torch.get_rng_state()
    layer(x)
    assert torch.equal(before, torch.get_rng_state())


def test_dropout_in_training_acts_between_layers_only() -> None:
    layer = Case("GRU", L=2, dropout=0.999).make(recurnn.nn)
    x = Case("GRU").inputs()["x"]
    still = layer(x)[1]
    moved = layer.train()(x)[1]
    identical({"first layer": moved[0]}, {"first layer": still[0]})
    assert not torch.equal(moved[1], still[1])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_an_empty_batch_and_an_empty_sequence(kind: str) -> None:
    layer = Case(kind, bidirectional=True).make(recurnn.nn)
    assert layer(torch.zeros(4, 0, 5, dtype=torch.float64))[0].shape == (4, 0, 14)
    assert layer(torch.zeros(0, 2, 5, dtype=torch.float64))[0].shape == (0, 2, 14)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_copies_pickles_and_functional_calls(kind: str) -> None:
    layer, x = Case(kind, L=2).make(recurnn.nn), normal(4, 3, 5, seed=1)
    want = {"y": layer(x)[0]}
    identical({"y": copy.deepcopy(layer)(x)[0]}, want)
    identical({"y": pickle.loads(pickle.dumps(layer))(x)[0]}, want)
    halved = {k: w * 0.5 for k, w in layer.named_parameters()}
    several = {k: torch.stack([w, halved[k]]) for k, w in layer.named_parameters()}

    def run(w: dict[str, torch.Tensor]) -> torch.Tensor:
        y: torch.Tensor = torch.func.functional_call(layer, w, (x,))[0]
        return y

    mapped = torch.func.vmap(run)(several)
    assert torch.allclose(mapped[0], want["y"], atol=1e-13, rtol=0)
    assert torch.allclose(mapped[1], run(halved), atol=1e-13, rtol=0)
    assert not torch.allclose(mapped[0], mapped[1], atol=1e-3)


@pytest.mark.parametrize("case", [CASES[1], CASES[10], CASES[20], CASES[24]], ids=str)
def test_what_runs_on_cuda_gives_the_same(case: Case) -> None:
    """Torch's own layer on the same weights; on a GPU that is cuDNN, here it is torch's CPU."""
    layer = case.make(recurnn.nn)
    layer.batch_first = False
    x = normal(case.T, 3, case.I, seed=1)
    states = tuple(normal(case.L * layer.directions, 3, n, seed=2) for n in layer.state_sizes)
    for state in (None, states):
        y, last = layer._torchs(x, None, state)
        hx = None if state is None else state if len(state) > 1 else state[0]
        want, end = layer(x, hx)
        end = end if isinstance(end, tuple) else (end,)
        named = {f"s{n}": s for n, s in enumerate(last)}
        agree({"y": y} | named, {"y": want} | dict(zip(named, end, strict=True)), terms=300)
    lengths = torch.tensor([case.T, 2, 1])
    data, sizes, *_ = torch.nn.utils.rnn.pack_padded_sequence(x, lengths)
    y, last = layer._torchs(data, sizes, states)
    want, end = layer(x, states if len(states) > 1 else states[0], lengths=lengths)
    packed = torch.nn.utils.rnn.pack_padded_sequence(want, lengths).data
    end = end if isinstance(end, tuple) else (end,)
    agree({"y": y, "h": last[0]}, {"y": packed, "h": end[0]}, terms=300)


@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell"])
def test_the_step_that_runs_on_cuda_gives_the_same(name: str) -> None:
    step, x = getattr(recurnn.nn, name)(3, 4, dtype=torch.float64), normal(2, 3, seed=1)
    state = tuple(normal(2, 4, seed=n) for n in range(2 if name == "LSTMCell" else 1))
    for given in (None, state):
        got, want = step._torchs(x, given), step._step(x, given)
        agree({"h": got[0], "last": got[-1]}, {"h": want[0], "last": want[-1]}, terms=50)
