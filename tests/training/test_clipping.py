"""Clipping: what it leaves of a gradient, and how often it says that it bit."""

import math

import pytest
import torch
from torch import nn

from recurnn.errors import ConfigError
from recurnn.training import Clip, Plan, Run, Update, Watch, fit
from recurnn.training.clipping import Clipper, layers


def net_with(*gradients: list[float]) -> nn.Sequential:
    """Layers of one weight row each, with these gradients."""
    net = nn.Sequential(*(nn.Linear(len(g), 1, bias=False) for g in gradients))
    for layer, g in zip(net, gradients, strict=True):
        layer.weight.grad = torch.tensor([g])
    return net


def left(net: nn.Sequential) -> list[list[float]]:
    return [layer.weight.grad[0].tolist() for layer in net]


def test_by_value_each_component():
    net = net_with([3.0, -0.5, -7.0], [2.0])
    norm, hits = Clipper(net, Clip(value=2.0), measure=True)()
    assert left(net) == [[2.0, -0.5, -2.0], [2.0]]
    assert norm == pytest.approx(math.sqrt(9 + 0.25 + 49 + 4))
    assert hits == {"value": 2 / 4}


def test_by_global_norm():
    net = net_with([3.0], [4.0])
    assert Clipper(net, Clip(norm=2.5))() == (pytest.approx(5.0), {"norm": 1.0})
    assert left(net) == [[pytest.approx(1.5)], [pytest.approx(2.0)]]
    assert Clipper(net, Clip(norm=2.6))()[1] == {"norm": 0.0}


def test_by_the_norm_of_each_layer():
    net = net_with([3.0, 4.0], [0.1], [-2.0])
    assert Clipper(net, Clip(layer_norm=1.0))() == (None, {"layer_norm": pytest.approx(2 / 3)})
    assert left(net) == [
        [pytest.approx(0.6, rel=1e-5), pytest.approx(0.8, rel=1e-5)],
        [pytest.approx(0.1)],
        [pytest.approx(-1.0, rel=1e-5)],
    ]


def test_a_layers_weight_and_bias_are_clipped_together():
    net = nn.Linear(1, 1)
    net.weight.grad, net.bias.grad = torch.tensor([[3.0]]), torch.tensor([4.0])
    Clipper(net, Clip(layer_norm=1.0))()
    assert float(net.weight.grad) == pytest.approx(0.6, rel=1e-5)
    assert float(net.bias.grad) == pytest.approx(0.8, rel=1e-5)


def test_value_comes_before_the_norm():
    net = net_with([10.0], [1.0])
    norm, hits = Clipper(net, Clip(value=1.0, norm=1.0))()
    assert norm == pytest.approx(math.sqrt(101))
    assert left(net) == [[pytest.approx(math.sqrt(0.5), rel=1e-5)]] * 2
    assert hits == {"value": 0.5, "norm": 1.0}


def test_a_shared_weight_belongs_to_one_layer():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    assert [(name, len(own)) for name, own in layers(net).items()] == [("0", 2)]


def test_a_weight_without_a_gradient_is_no_matter():
    net = net_with([3.0], [4.0])
    net[1].weight.grad = None
    assert Clipper(net, Clip(norm=1.0, value=5.0, layer_norm=9.0))()[0] == pytest.approx(3.0)


class Hits(Watch):
    def __init__(self) -> None:
        self.updates: list[Update] = []

    def update(self, run: Run, update: Update) -> None:
        self.updates.append(update)


def test_hit_rates_reach_the_updates_and_the_epoch():
    class Pairs:
        x = torch.tensor([[0.001], [100.0], [0.001], [100.0]])

        def __len__(self) -> int:
            return 4

        def batch(self, index):
            return self.x[index], torch.zeros(len(index), 1)

    watch = Hits()
    net = nn.Linear(1, 1, bias=False)
    plan = Plan(batch_size=1, epochs=1, clip=1.0, optimizer="sgd", learning_rate=1e-12)
    history = fit(net, Pairs(), None, plan, watch=watch)
    assert sorted(u.clipped["norm"] for u in watch.updates) == [0.0, 0.0, 1.0, 1.0]
    assert [(u.norm > 1) == (u.clipped["norm"] == 1) for u in watch.updates] == [True] * 4
    assert history.epochs[1].clipped == {"norm": 0.5}
    assert history.epochs[1].row()["clipped_norm"] == 0.5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"value": 0}, "clip: value is 0; expected a number above 0."),
        ({"inside": -1.0}, "clip: inside is -1.0; expected a number above 0."),
        ({"layer_norm": math.inf}, "clip: layer_norm is inf; expected a number above 0."),
        ({"norm": "1"}, "clip is '1'; expected a number above 0."),
        ({"norm": True}, "clip is True; expected a number above 0."),
    ],
)
def test_messages(options, text):
    with pytest.raises(ConfigError) as caught:
        Clip(**options)
    assert str(caught.value) == text
