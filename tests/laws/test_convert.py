"""`convert`: the same model with other layers, and back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import recurnn
from gradients import with_gradients
from problems import normal
from recurnn.nn import convert
from tolerance import agree

F64 = torch.float64


class Model(nn.Module):
    """A model with every kind of recurrent layer, one of them in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTM(3, 6, 2, dropout=0.2, proj_size=4, batch_first=True)
        self.inner = nn.Sequential(nn.Linear(4, 5), nn.Tanh())
        self.both = nn.ModuleList([nn.GRU(5, 4, bidirectional=True), nn.RNN(8, 5, bias=False)])
        self.again = self.both[1]
        self.step = nn.RNNCell(5, 3, nonlinearity="relu")
        self.steps = nn.ModuleDict({"lstm": nn.LSTMCell(3, 2), "gru": nn.GRUCell(2, 2)})
        self.none = None

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(self.first(x)[0])
        y = self.both[1](self.both[0](y)[0])[0]
        y = self.again(torch.cat([y, y[..., :3]], -1))[0]
        y = self.steps["lstm"](self.step(y[-1]))[0]
        found: Tensor = self.steps["gru"](y)
        return found


def outcome(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    return with_gradients({"y": model(x)}, {"x": x} | dict(model.named_parameters()))


def kinds(model: nn.Module) -> set[str]:
    return {type(m).__module__.split(".")[0] for m in model.modules() if hasattr(m, "hidden_size")}


def test_there_and_back() -> None:
    torch.manual_seed(2)
    model, x = Model().double().eval(), normal(4, 3, 3, seed=1)
    want, text = outcome(model, x), repr(model)
    parameters, keys = dict(model.named_parameters()), list(model.state_dict())
    assert convert(model) is model
    assert kinds(model) == {"recurnn"}
    assert model.again is model.both[1]
    assert repr(model) == text
    assert not model.first.training
    assert all(w is parameters[k] for k, w in model.named_parameters())
    assert list(model.state_dict()) == keys
    agree(outcome(model, x), want, terms=300)
    assert convert(model, to="torch") is model
    assert kinds(model) == {"torch"}
    assert all(w is parameters[k] for k, w in model.named_parameters())
    agree(outcome(model, x), want, terms=300)


def test_a_layer_itself() -> None:
    layer = nn.LSTM(3, 4)
    ours = convert(layer)
    assert type(ours) is recurnn.nn.LSTM
    assert ours.weight_ih_l0 is layer.weight_ih_l0


def test_an_optimizer_goes_on() -> None:
    model = nn.Sequential(nn.LSTM(3, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model[0].weight_hh_l0.detach().clone()
    convert(model)
    model(torch.randn(5, 2, 3))[0].sum().backward()
    optimizer.step()
    assert not torch.equal(model[0].weight_hh_l0, before)


def test_hooks_are_kept() -> None:
    seen: list[str] = []
    layer = nn.GRU(3, 4)
    layer.register_forward_hook(lambda m, a, y: seen.append(type(m).__module__))
    convert(nn.Sequential(layer))[0](torch.randn(2, 1, 3))
    assert seen == ["recurnn.nn.dropin"]


def test_pruned_and_parametrized_layers_stay_so() -> None:
    torch.manual_seed(3)
    layer = nn.LSTM(3, 4, dtype=F64)
    prune.random_unstructured(layer, "weight_hh_l0", amount=0.5)
    other = nn.GRU(3, 4, dtype=F64)
    parametrizations.weight_norm(other, "weight_ih_l0")
    model, x = nn.ModuleList([layer, other]), normal(5, 2, 3, seed=3)
    want = {str(n): m(x)[0] for n, m in enumerate(model)}
    convert(model)
    assert isinstance(model[1], recurnn.nn.GRU)
    assert parametrize.is_parametrized(model[1], "weight_ih_l0")
    agree({str(n): m(x)[0] for n, m in enumerate(model)}, want, terms=50)
    convert(model, to="torch")
    agree({str(n): m(x)[0] for n, m in enumerate(model)}, want, terms=50)


def test_a_subclass_stays() -> None:
    class Own(nn.LSTM):
        def forward(self, *args: Any) -> Any:
            return "own"

    model = convert(nn.Sequential(Own(3, 4)))
    assert type(model[0]) is Own


def test_another_direction_is_refused() -> None:
    with pytest.raises(recurnn.errors.ConfigError) as caught:
        convert(nn.Sequential(), to="keras")  # type: ignore[arg-type]
    assert str(caught.value) == "convert: to: there is no 'keras'.\n  Known: recurnn, torch."
