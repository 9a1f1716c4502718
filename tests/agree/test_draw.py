"""Masks drawn four at a time: as likely as asked for, independent, and the generator's."""

import pytest
import torch

from recurnn.nn import Dropout
from recurnn.nn.draw import dropout, kept


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.97])
def test_as_many_are_dropped_as_asked_and_the_mean_stays(rate):
    torch.manual_seed(0)
    n = 400_003  # not a multiple of four
    mask = kept((n,), rate, torch.empty(0))
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    spread = (rate * (1 - rate) / n) ** 0.5
    assert abs(float(mask.mean()) - (1 - rate)) < 5 * spread
    # Of the four elements of one random number none is dropped more often, nor with another.
    four = mask[: n // 4 * 4].view(-1, 4)
    assert torch.allclose(four.mean(0), torch.full((4,), 1 - rate), atol=10 * spread)
    assert (torch.corrcoef(four.T) - torch.eye(4)).abs().max() < 0.02
    y = dropout(torch.full((n,), 3.0), rate)
    assert float(y.mean()) == pytest.approx(3.0, rel=20 * spread / (1 - rate))


def test_none_and_all():
    x = torch.randn(7, 5)
    assert torch.equal(dropout(x, 0.0), x)
    assert torch.equal(dropout(x, 1.0), torch.zeros(7, 5))
    assert dropout(x, 0.7, training=False) is x


@pytest.mark.parametrize("count", [64, 50_000])
def test_the_seed_decides_and_neighbours_differ(count):
    def draw(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        return [kept((count,), 0.5, torch.empty(0)) for _ in range(2)]

    (a, b), (c, _), (d, _) = draw(1), draw(1), draw(2)
    assert torch.equal(a, c)
    assert not torch.equal(a, b)
    assert not torch.equal(a, d)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_gradient_is_the_mask_scaled(dtype):
    torch.manual_seed(0)
    x = torch.randn(9, 11, dtype=dtype, requires_grad=True)
    y = dropout(x, 0.25)
    assert y.dtype == dtype
    y.sum().backward()
    assert torch.equal(x.grad, torch.where(y == 0, 0, torch.tensor(1 / 0.75, dtype=dtype)))


def test_the_layer_is_torchs_but_for_the_drawing():
    layer = Dropout(0.5)
    x = torch.ones(50)
    assert isinstance(layer, torch.nn.Dropout)
    assert set(layer(x).tolist()) == {0.0, 2.0}
    assert layer.eval()(x) is x
    assert set(Dropout(0.5, inplace=True)(torch.ones(50)).tolist()) == {0.0, 2.0}
