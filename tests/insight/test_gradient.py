"""The gradient through time: autograd's norms, known rates, and what counts as a lag."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor

from estimates import linear
from problems import KINDS, normal
from recurnn import Subject, cells, insight, nn
from recurnn.insight.comparison import LastStep
from recurnn.insight.decay import fit_decay
from tolerance import agree, identical


@pytest.mark.parametrize("radius", [0.6, 0.9, 1.0, 1.08])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_rate_of_a_linear_network_is_its_spectral_radius(radius, seed):
    layer = linear(radius, seed)
    subject = Subject(layer, torch.randn(6, 250, 2), torch.randn(6, 250, 24))
    (flow,) = insight.gradient_flow(subject).values()
    assert flow.decay.rate == pytest.approx(radius, rel=0.01)
    if radius < 1:
        assert flow.decay.half_life == pytest.approx(np.log(0.5) / np.log(radius), rel=0.1)
        at = int(flow.decay.steps_until(0.01))
        assert flow.decay.left_after(at) <= 0.01 < flow.decay.left_after(at - 1)


def norms_by_hand(cell: cells.Cell, x: Tensor) -> dict[str, Tensor]:
    """‖dL/dstate‖ of L = Σ h_T², with the step called in a loop and every gradient kept."""
    state = {k: x.new_zeros(x.shape[1], cell.sizes[n]) for k, n in cell.states.items()}
    every = []
    for row in x:
        values = cell(row, *state.values())
        state = {k: values[k] for k in state}
        for s in state.values():
            if s.requires_grad:  # a state that only counts steps has no gradient
                s.retain_grad()
        every.append(state)
    every[-1][cell.output].square().sum().backward()
    zero = {k: torch.zeros_like(s) for k, s in state.items()}
    return {
        k: torch.stack([(zero[k] if s[k].grad is None else s[k].grad).norm(dim=-1) for s in every])
        for k in state
    }


@pytest.mark.parametrize("kind", KINDS)
def test_norms_are_autograds_for_every_cell(kind):
    cell = KINDS[kind].make(3, 4)
    x = normal(7, 3, 3, seed=4)
    layer = nn.Recurrent(cell, engine="reference")
    y = torch.zeros(3, cell.output_size, dtype=torch.float64)
    subject = Subject(Last(layer), x, y, "mse", batch_first=False)
    with insight.Record(subject.module) as record:
        (subject.losses() * cell.output_size).sum().backward()
    (got,) = record
    agree(got.norms, norms_by_hand(cell, x), terms=300)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_kernels_give_the_same_norms_for_every_cell(kind, kernels):
    cell = KINDS[kind].make(3, 4)
    x = normal(7, 3, 3, seed=4)
    found = []
    for engine in ("auto", "reference"):
        with insight.Record(nn.Recurrent(cell, engine=engine)) as record:
            record.module(x).output[-1].square().sum().backward()
        found.append(next(iter(record)).norms)
    agree(*found, terms=300)


class Last(torch.nn.Module):
    """The output of a layer at the last step."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        found = self.layer(x) if lengths is None else self.layer(x, lengths=lengths)
        return found[0][-1]


LAYERS = {
    "drop-in": lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True),
    "stack": lambda: nn.Stack(nn.GRU(3, 8), torch.nn.Tanh(), nn.Recurrent(cells.LSTM(8, 4))),
    "bidirectional": lambda: nn.Bidirectional(nn.Recurrent(cells.LSTM(3, 4))),
    "carried": lambda: nn.LSTM(3, 4, initial="learned", connections="residual", num_layers=2),
}
NAMES = {
    "drop-in": ["layer.l0", "layer.l0_reverse", "layer.l1", "layer.l1_reverse"],
    "stack": ["layer.layers.0", "layer.layers.2"],
    "bidirectional": ["layer.forward_layer", "layer.backward_layer"],
    "carried": ["layer.l0", "layer.l1"],
}


def test_kernels_of_a_drop_in_are_seen(kernels):
    layer = nn.LSTM(3, 4, num_layers=2).double()
    x = normal(6, 2, 3, seed=1)
    _, _, want = layer(x, return_states="all", return_gates=True)
    with insight.Record(layer, states=True, gates=True) as record:
        layer(x)[0][-1].square().sum().backward()
    for k, result in enumerate(want):
        agree(record[f"LSTM.l{k}"].values, result.states | result.gates, terms=100)
    cell, bound = layer.chain()[1]
    alone = nn.Recurrent(cells.LSTM(4, 4).double(), engine="reference")
    for name, weight in bound.binding.weights(bound.tensors, cell.shapes()).items():
        getattr(alone.cell, name).data = weight.detach().clone()
    with insight.Record(alone) as upper:
        alone(want[0].output.detach()).output[-1].square().sum().backward()
    agree(record["LSTM.l1"].norms, upper["Recurrent"].norms, terms=100)


@pytest.mark.parametrize("kind", LAYERS)
def test_every_layer_and_direction_is_seen_and_nothing_changes(kind):
    model = Last(LAYERS[kind]()).double()
    x = normal(6, 2, 3, seed=1)
    weights = list(model.parameters())
    plain = model(x)
    slopes = torch.autograd.grad(plain.sum(), weights, materialize_grads=True)
    with insight.Record(model, states=True, gates=True) as record:
        seen = model(x)
        again = torch.autograd.grad(seen.sum(), weights, materialize_grads=True)
    assert list(record.layers) == NAMES[kind]
    agree(
        {"y": seen} | {str(k): g for k, g in enumerate(again)},
        {"y": plain} | {str(k): g for k, g in enumerate(slopes)},
        terms=200,
    )
    for layer in record:
        assert set(layer.values) == {*layer.cell.states, *layer.cell.gates}
        for name, norms in layer.norms.items():
            assert norms.shape == layer.values[name].shape[:2] == (6, 2)
    # outside of the record nothing is noted any more
    calls = [len(layer.calls) for layer in record]
    model(x)
    assert [len(layer.calls) for layer in record] == calls
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not any("forward" in vars(m) for m in model.modules())


def test_values_are_those_that_the_layer_returns():
    layer = nn.LSTM(3, 4, num_layers=2)
    x = torch.randn(6, 2, 3)
    _, _, want = layer(x, return_states="all", return_gates=True)
    with insight.Record(layer, states=True, gates=True) as record:
        layer(x)
    for k, result in enumerate(want):
        identical(record[f"LSTM.l{k}"].values, result.states | result.gates)


def test_what_was_seen_is_forgotten_on_request_and_the_record_stays_on():
    layer, x = nn.GRU(3, 4).double(), normal(6, 2, 3, seed=1)
    with insight.Record(layer) as record:
        for part in (x[:4], x[4:]):
            record.clear()
            layer(part)[0][-1].sum().backward()
    with insight.Record(layer) as alone:
        layer(x[4:])[0][-1].sum().backward()
    assert record["GRU"].norms["h"].shape == (2, 2)
    identical(record["GRU"].norms, alone["GRU"].norms)


def test_a_forward_of_ones_own_comes_back_even_after_an_error():
    class Fails(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            if x.isnan().any():
                raise ValueError("no number")
            return self.rnn(x)[0]

    model, x = Fails(), torch.randn(5, 2, 3)
    own = model.rnn.forward = model.rnn.forward
    record = insight.Record(model)
    with record, pytest.raises(ValueError, match="no number"):
        model(x * torch.nan)
    assert vars(model.rnn)["forward"] is own
    assert "forward" not in vars(model)
    with record:  # again, and nothing is left from before
        assert "lengths" in inspect.signature(model.rnn.forward).parameters
        model(x)
    assert list(record.layers) == ["rnn"]


def test_a_copy_made_meanwhile_runs_by_itself_and_is_not_seen():
    model = nn.Stack(nn.GRU(3, 4), torch.nn.Linear(4, 1))
    own = model.layers[1].forward = functools.partial(torch.nn.Linear.forward, model.layers[1])
    x = torch.randn(5, 2, 3)
    with insight.Record(model) as record:
        made = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        expected = model(x).output
        assert all(torch.equal(m(x).output, expected) for m in made)
        assert all(inspect.ismethod(m.forward) for m in made)
        with torch.no_grad():
            for p in made[0].parameters():
                p.zero_()
        assert not made[0](x).output.any()
    assert [len(layer.calls) for layer in record] == [1]
    assert vars(model.layers[1])["forward"] is own


def test_a_module_that_stands_in_two_places_is_seen_once_in_a_call():
    shared = nn.GRU(3, 3)
    model = nn.Stack(shared, torch.nn.Tanh(), shared)
    with insight.Record(model) as record:
        model(torch.randn(5, 2, 3))
    (layer,) = record
    assert (layer.name, len(layer.calls)) == ("layers.0", 2)


def test_calls_of_one_layer_are_laid_end_to_end():
    layer, x = nn.GRU(3, 4).double(), normal(6, 2, 3, seed=1)
    with insight.Record(layer, states=True) as record:
        y, h = layer(x[:4])
        y, h = layer(x[4:], h)
        y[-1].sum().backward()
    with insight.Record(layer, states=True) as whole:
        layer(x)[0][-1].sum().backward()
    agree(record["GRU"].norms, whole["GRU"].norms, terms=100)
    agree(record["GRU"].values, whole["GRU"].values, terms=100)


def test_lags_count_from_the_last_real_step_of_each_row():
    layer = nn.Recurrent(cells.GRU(3, 4, dtype=torch.float64), batch_first=True)
    x, y = torch.randn(3, 9, 3).double(), torch.randn(3, 9, 4).double()
    lengths = torch.tensor([9, 4, 2])
    (flow,) = insight.gradient_flow(Subject(layer, x, y, lengths=lengths)).values()
    for row, length in enumerate(lengths.tolist()):
        alone = Subject(layer, x[row : row + 1, :length], y[row : row + 1, :length])
        (want,) = insight.gradient_flow(alone).values()
        got = flow.norms["h"][:, row]
        np.testing.assert_allclose(got[:length], want.norms["h"][:, 0], rtol=1e-9)
        assert np.isnan(got[length:]).all()


def test_the_loss_of_another_step_has_its_own_lags():
    layer = nn.Recurrent(cells.GRU(3, 4, dtype=torch.float64))
    x, y = normal(9, 2, 3, seed=1).detach(), normal(9, 2, 4, seed=2).detach()
    (flow,) = insight.gradient_flow(Subject(layer, x, y, batch_first=False), step=5).values()
    (want,) = insight.gradient_flow(Subject(layer, x[:6], y[:6], batch_first=False)).values()
    np.testing.assert_allclose(flow.norms["h"], want.norms["h"], rtol=1e-9)


def test_layers_that_run_backward_measure_the_distance_from_the_loss_too():
    model = nn.Stack(nn.RNN(3, 4, num_layers=2, bidirectional=True), batch_first=True)
    subject = Subject(model, torch.randn(4, 30, 3), torch.randn(4, 30, 8))
    flows = insight.gradient_flow(subject)
    for name in ("layers.0.l0", "layers.0.l0_reverse", "layers.0.l1"):
        curve = flows[name].decay.curve
        assert curve[0] == 1.0
        assert curve[20] < 1e-3, name
    # the upper layer's way back begins at the last step, whose state saw nothing before it
    assert not flows["layers.0.l1_reverse"].decay.curve[1:].any()


def test_a_step_in_the_middle_has_lags_on_both_sides():
    model = nn.Bidirectional(nn.Recurrent(cells.GRU(3, 4, dtype=torch.float64), batch_first=True))
    x, y = torch.randn(2, 9, 3).double(), torch.randn(2, 9, 8).double()
    at, lengths = torch.tensor([3, 2]), torch.tensor([9, 5])
    subject = Subject(model, x, y, at=at, lengths=lengths)
    flows = insight.gradient_flow(subject)
    with insight.Record(model) as record:
        losses = subject.losses_of(model(x, lengths=lengths).output)
        (losses[0, 3] + losses[1, 2]).backward()
    for name, side in (("forward_layer", -1), ("backward_layer", 1)):
        norms = record[name].norms["h"].numpy()
        got = flows[name].norms["h"]
        assert got.shape == (6, 2)
        for row in (0, 1):
            most = max(int(at[row]), int(lengths[row] - 1 - at[row]))
            for lag in range(most + 1):
                t = int(at[row]) + side * lag
                want = norms[t, row] if 0 <= t < lengths[row] else 0.0
                assert got[lag, row] == pytest.approx(want, rel=1e-9), (name, row, lag)
            assert np.isnan(got[most + 1 :, row]).all()
    # below another layer the gradient comes from both sides, and counts together
    deep = nn.Stack(nn.GRU(3, 4, num_layers=2, bidirectional=True), batch_first=True).double()
    subject = Subject(deep, x, y, at=at)
    (flow, *_) = insight.gradient_flow(subject).values()
    with insight.Record(deep) as record:
        losses = subject.losses_of(deep(x).output)
        (losses[0, 3] + losses[1, 2]).backward()
    norms = record["layers.0.l0"].norms["h"].numpy()
    assert flow.norms["h"][2, 0] == pytest.approx(np.hypot(norms[1, 0], norms[5, 0]), rel=1e-9)
    assert flow.norms["h"][5, 0] == pytest.approx(norms[8, 0], rel=1e-9)


def test_a_gradient_beyond_the_squares_of_its_type_is_still_measured():
    layer = linear(3.0, 1)
    x = torch.zeros(2, 60, 2)
    x[:, -1] = torch.randn(2, 2)  # so that the states themselves stay small
    (flow,) = insight.gradient_flow(Subject(layer, x, torch.randn(2, 60, 24))).values()
    assert np.isfinite(flow.total).all()
    assert flow.decay.left_after(59) > 1e24
    assert flow.decay.rate == pytest.approx(3.0, rel=0.01)


def test_rows_that_are_no_numbers_are_left_out_and_change_no_other():
    x, y = normal(4, 30, 2, seed=1).float(), normal(4, 1, seed=2).float()
    network = LastStep(cells.GRU(2, 5), engine="reference")
    whole = insight.gradient_flow(Subject(network, x[1:], y[1:]))["layer"]
    spoilt = torch.cat([torch.full_like(x[:1], torch.nan), x[1:]])
    found = insight.gradient_flow(Subject(network, spoilt, y))["layer"]
    assert np.isnan(found.total[:, 0]).all()
    np.testing.assert_allclose(found.total[:, 1:], whole.total, rtol=1e-5)
    assert found.decay.rate == pytest.approx(whole.decay.rate, rel=1e-5)


def test_what_sinks_below_the_type_goes_on_at_the_rate_and_a_cut_does_not():
    layer = linear(0.3, 1)
    subject = Subject(layer, torch.randn(2, 90, 2), torch.randn(2, 90, 24))
    (flow,) = insight.gradient_flow(subject).values()
    assert flow.decay.curve[80] == 0
    assert 1e-46 < flow.decay.left_after(80) < 1e-38
    cut = fit_decay(np.array([1.0, 0.9, 0.81, 0.729, 0.0, 0.0]), floor=1e-30)
    assert cut.left_after(5) == 0


def test_a_few_odd_lags_do_not_move_the_rate():
    curve = 0.9 ** np.arange(100)
    curve[::11] *= 50
    assert fit_decay(curve).rate == pytest.approx(0.9, rel=1e-3)
    assert fit_decay(2.0 ** np.arange(20)).doubling == pytest.approx(1.0)
    assert np.isnan(fit_decay(np.array([1.0])).rate)


def test_a_sweep_gives_each_lag_its_own_sequence():
    layer = linear(0.8, 3)
    subject = Subject(layer, torch.randn(4, 80, 2), torch.randn(4, 80, 24))
    table = insight.sweep(subject, [5, 40])
    assert table["lag"].tolist() == [5, 40]
    (flow,) = insight.gradient_flow(subject.last_steps(41)).values()
    assert table["left"].iloc[1] == pytest.approx(flow.decay.left_after(40))
    assert table["left"].iloc[1] < table["left"].iloc[0] / 100


def test_measuring_leaves_no_trace():
    model = torch.nn.ModuleDict(
        {
            "norm": torch.nn.BatchNorm1d(3),
            "rnn": nn.LSTM(3, 4, stateful=True, batch_first=True),
            "head": torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(4, 1)),
        }
    )
    model.forward = lambda x: model["head"](
        model["rnn"](model["norm"](x.transpose(1, 2)).transpose(1, 2))[0][:, -1]
    )
    model.train()
    x = torch.randn(2, 6, 3)
    model["rnn"](x)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    subject = Subject(model, x, torch.randn(2, 1), shortens=False)
    carried, random = model["rnn"]._carried, torch.get_rng_state()
    for _ in range(2):
        first = insight.gradient_flow(subject)["rnn"]
    insight.inspect(subject)
    identical(dict(model.state_dict()), before)
    assert model["rnn"]._carried is carried
    assert torch.equal(torch.get_rng_state(), random)
    assert model.training
    assert model["head"][0].training
    assert all(p.grad is None for p in model.parameters())
    np.testing.assert_array_equal(first.total, insight.gradient_flow(subject)["rnn"].total)


@pytest.mark.parametrize("whole", [True, False])
def test_what_was_compiled_before_is_recorded(kernels, whole):
    model, x = nn.Stack(nn.GRU(3, 4), torch.nn.Linear(4, 1)), torch.randn(5, 2, 3)
    compiled = torch.compile(model if whole else lambda x: model(x), backend="eager")
    plain = compiled(x).output
    with insight.Record(compiled if whole else model, states=True) as record:
        y = compiled(x).output
        y[-1].sum().backward()
    with insight.Record(model, states=True) as want:
        model(x).output[-1].sum().backward()
    identical({"y": y, "again": compiled(x).output}, {"y": plain, "again": plain})
    (layer,) = record
    assert layer.name == ("_orig_mod.layers.0" if whole else "layers.0")
    identical(layer.norms, want["layers.0"].norms)
    identical(layer.values, want["layers.0"].values)
