"""The networks: what they may see, what they drop, what they minimise."""

import math

import pytest
import torch
from torch import Tensor

from recurnn.models.language import LanguageOptions
from recurnn.models.language.network import BothNetwork, LeftNetwork, network
from recurnn.models.language.softmax import AdaptiveSoftmax
from recurnn.models.language.stepping import Writer
from tolerance import agree, identical

T, B, V = 7, 3, 23
SMALL = {"hidden_size": 11, "embedding_size": 6}


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(seed))


def left(**options) -> LeftNetwork:
    found = network(LanguageOptions(**(SMALL | options)), V)
    assert isinstance(found, LeftNetwork)
    return found


def both(**options) -> BothNetwork:
    found = network(LanguageOptions(**(SMALL | options), context="both"), V)
    assert isinstance(found, BothNetwork)
    return found


def changed(ids: Tensor, t: int) -> Tensor:
    ids = ids.clone()
    ids[t] = (ids[t] + 1) % V
    return ids


def moved(a: Tensor, b: Tensor) -> list[bool]:
    """At which steps two outputs differ."""
    return [not torch.equal(x, y) for x, y in zip(a, b, strict=True)]


def test_the_left_network_sees_what_is_before_and_nothing_else():
    net, ids = left(num_layers=2).eval(), tokens(T, B)
    differs = moved(net(ids)[0], net(changed(ids, 3))[0])
    # h at t has read the token at t, and is for guessing the next one.
    assert differs == [False] * 3 + [True] * 4


def sides(ids: Tensor) -> tuple[Tensor, Tensor]:
    edge = torch.ones(1, ids.shape[1], dtype=torch.int64)
    return torch.cat([edge, ids[:-1]]), torch.cat([ids[1:], edge])


@pytest.mark.parametrize("t", [0, 3, T - 1])
def test_the_network_of_both_sides_sees_every_token_but_the_one_it_guesses(t):
    net, ids = both(num_layers=2).eval(), tokens(T, B)
    a, b = net(*sides(ids)), net(*sides(changed(ids, t)))
    assert moved(a, b) == [k != t for k in range(T)]


def test_padding_does_not_reach_the_network_of_both_sides():
    net, ids = both().eval(), tokens(T, B)
    a, b = sides(ids)
    lengths = torch.tensor([T, 4, 1])
    whole = net(a, b, lengths)
    for k, n in enumerate(lengths.tolist()):
        alone = net(a[:n, k : k + 1], b[:n, k : k + 1])
        agree({"h": whole[:n, k]}, {"h": alone[:, 0]}, terms=50)


@pytest.mark.parametrize("cell", ["gru", "projected-lstm", "layernorm-lstm", "lmu"])
def test_any_cell_written_step_by_step_is_the_cell_read_at_once(cell):
    net, ids = left(cell=cell, num_layers=2).eval(), tokens(T, B)
    with torch.inference_mode():
        want = net.log_probabilities(net(ids)[0])
        writer = Writer(net, B)
        writer.read(ids[:1, :1])
        _, state = net(ids[:2])
        writer.state = state
        got = torch.stack([writer.step(row) for row in ids[2:]])
        agree({"log p": got}, {"log p": want[2:]}, terms=200)
        first = Writer(net, B).read(ids[:4, :1])
        agree({"log p": first}, {"log p": want[3, :1].expand(B, -1)}, terms=200)


def test_zoneout_is_there_when_writing_too():
    net, ids = left(zoneout=0.5).eval(), tokens(T, B)
    with torch.inference_mode():
        want = net.log_probabilities(net(ids)[0])
        writer = Writer(net, B)
        writer.state = net(ids[:1])[1]
        got = torch.stack([writer.step(row) for row in ids[1:]])
    agree({"log p": got}, {"log p": want[1:]}, terms=200)


def test_rows_that_are_chosen_go_on_with_their_states():
    net, ids = left().eval(), tokens(T, B)
    with torch.inference_mode():
        writer = Writer(net, B)
        writer.state = net(ids)[1]
        writer.choose(torch.tensor([2, 2, 0]))
        got = writer.step(tokens(B, seed=1))
        other = Writer(net, B)
        other.state = [{k: s[[2, 2, 0]] for k, s in layer.items()} for layer in net(ids)[1]]
        identical({"log p": got}, {"log p": other.step(tokens(B, seed=1))})


def test_the_loss_is_the_mean_of_minus_log_p():
    net, ids, target = left(tied=True).eval(), tokens(T, B), tokens(T, B, seed=1)
    h, _ = net(ids)
    said = net.log_probabilities(h).gather(-1, target[..., None])[..., 0]
    agree({"nats": net.nats(h, target)}, {"nats": -said}, terms=V)
    agree({"loss": net.loss(h, target)[None]}, {"loss": -said.mean()[None]}, terms=T * B * V)


def test_penalties_are_added_in_training_only():
    plain, ids, target = left(), tokens(T, B), tokens(T, B, seed=1)
    heavy = left(activation_penalty=2.0, change_penalty=3.0)
    h, _ = plain(ids)
    want = plain.loss(h, target) + 2 * h.square().mean() + 3 * (h[1:] - h[:-1]).square().mean()
    got = heavy.loss(heavy(ids)[0], target)
    agree({"loss": got[None]}, {"loss": want[None]}, terms=T * B * V)
    heavy.eval(), plain.eval()
    identical({"loss": heavy.loss(h, target)[None]}, {"loss": plain.loss(h, target)[None]})


def test_tied_weights_are_one_tensor_and_get_both_gradients():
    net = left(tied=True, embedding_size=11)
    names = [name for name, _ in net.named_parameters()]
    assert net.tokens.softmax.weight is net.tokens.embedding.weight
    assert not any("project" in name for name in names)
    ids, target = torch.full((T, B), 3), torch.full((T, B), 5)
    net.loss(net(ids)[0], target).backward()
    gradient = net.tokens.embedding.weight.grad
    # Token 3 was read; the output layer knows of all tokens.
    assert bool((gradient.abs().sum(1) > 0).all())
    alone = left(embedding_size=11)
    alone.loss(alone(ids)[0], target).backward()
    assert (alone.tokens.embedding.weight.grad.abs().sum(1) > 0).nonzero().flatten().tolist() == [3]
    # Where H is not E, a layer stands between.
    assert left(tied=True).tokens.project.weight.shape == (6, 11)


def test_variational_dropout_has_one_mask_and_plain_dropout_many():
    for variational in (False, True):
        net = left(dropout=0.5, variational=variational)
        dropped = net.reader.drop(torch.ones(40, B, 50), 0.5)
        kept = dropped != 0
        assert set(dropped[kept].tolist()) == {2.0}
        assert bool((kept == kept[0]).all()) == variational
        assert 0.3 < kept.float().mean() < 0.7
        net.eval()
        assert bool((net.reader.drop(torch.ones(4, B, 50), 0.5) == 1).all())


def test_each_rate_of_dropout_is_at_its_place(monkeypatch):
    net = left(num_layers=2, input_dropout=0.1, dropout=0.2, output_dropout=0.3)
    seen: list[float] = []
    monkeypatch.setattr(net.reader, "drop", lambda x, rate: seen.append(rate) or x)
    net.loss(net(tokens(T, B))[0], tokens(T, B))
    assert seen == [0.1, 0.2, 0.3]
    net = left(num_layers=2, dropout=0.2)
    assert (net.reader.input_dropout, net.output_dropout) == (0.2, 0.2)


def test_embedding_dropout_takes_a_token_away_wherever_it_stands():
    net = left(embedding_dropout=0.5)
    ids = torch.arange(V).repeat(2)[:, None]
    x = net.tokens.embed(ids)[:, 0]
    gone = (x == 0).all(1)
    assert torch.equal(gone[:V], gone[V:])
    assert 0 < int(gone[:V].sum()) < V
    identical({"x": x[~gone]}, {"x": 2 * net.tokens.embedding.weight[ids[~gone][:, 0]]})
    net.eval()
    identical({"x": net.tokens.embed(ids)[:, 0]}, {"x": net.tokens.embedding.weight[ids[:, 0]]})


def test_the_recurrent_kinds_of_dropout_reach_the_layers():
    net = left(weight_dropout=0.5, state_dropout=0.25, zoneout=0.125)
    layer = net.reader.layers[0]
    assert (layer.weight_dropout, layer.state_dropout, layer.zoneout) == (0.5, 0.25, 0.125)


def test_the_adaptive_softmax_is_a_distribution_and_its_loss_says_the_same():
    torch.manual_seed(2)
    layer, h = AdaptiveSoftmax(8, 40, (10, 20)), torch.randn(60, 8)
    target = torch.randint(40, (60,))
    said = layer.log_probabilities(h)
    agree({"p": said.exp().sum(1)}, {"p": torch.ones(60)}, terms=40)
    picked = -said.gather(1, target[:, None])[:, 0]
    agree({"nats": layer.nats(h, target)}, {"nats": picked}, terms=40)
    agree({"loss": layer(h, target)[None]}, {"loss": picked.mean()[None]}, terms=2400)


def test_weights_begin_where_they_are_told_to():
    net = left(start=0.01)
    weights = torch.cat([p.detach().flatten() for p in net.parameters()])
    assert 0.0099 < float(weights.abs().max()) <= 0.01
    cell = left(forget_bias=1.5).reader.layers[0].cell
    assert bool((cell.b_f == 1.5).all())
    assert float(cell.b_i.detach().abs().max()) <= 1 / math.sqrt(11)


def test_the_seed_decides_the_weights_and_leaves_torchs_generator_alone():
    torch.manual_seed(5)
    a, after = left(seed=1), torch.rand(1)
    torch.manual_seed(5)
    b, c = left(seed=1), left(seed=2)
    assert torch.equal(after, torch.rand(1))
    identical(dict(a.state_dict()), dict(b.state_dict()))
    assert not torch.equal(a.tokens.embedding.weight, c.tokens.embedding.weight)
