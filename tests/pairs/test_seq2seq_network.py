"""The network from sequence to sequence: attention, padding, the step loop, beam search."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from recurnn.cells import CELLS
from recurnn.data.pairs_batches import IGNORED, Pairs, before
from recurnn.data.text import END, UNKNOWN
from recurnn.models.seq2seq.attention import ATTENTIONS, Attention
from recurnn.models.seq2seq.network import Seq2SeqNetwork, network
from recurnn.models.seq2seq.options import Seq2SeqOptions
from recurnn.models.seq2seq.search import penalty, search

V = 6


def small(attention: str | None, **more: object) -> Seq2SeqNetwork:
    """A network whose guesses differ much from token to token."""
    options = {"hidden_size": 7, "embedding_size": 4, "seed": 3} | more
    found = network(Seq2SeqOptions(attention=attention, **options), V, V).eval()
    with torch.no_grad():
        for weight in found.parameters():
            weight.mul_(2.5)
    return found


def pairs() -> Pairs:
    sources = [[2, 3, 4, 5, 2], [5], [3, 3, 4]]
    targets = [[4, 5], [2, 3, 3, 5], [5, 4, 2]]
    return Pairs(*([torch.tensor(r).int().numpy() for r in rows] for rows in (sources, targets)))


@pytest.mark.parametrize("kind", ["dot", "general", "bahdanau"])
def test_attention_is_its_equation_and_leaves_padding_out(kind):
    torch.manual_seed(0)
    M = 4 if kind == "dot" else 6
    attention, values = Attention(kind, 4, M), torch.randn(5, 2, M)
    query, lengths = torch.randn(2, 3, 4), torch.tensor([5, 2])
    context, weights = attention(query, attention.memory(values, lengths))
    for b, t in itertools.product(range(2), range(3)):
        h, s = values[: lengths[b], b], query[b, t]
        if kind == "dot":
            scores = h @ s
        elif kind == "general":
            scores = (h @ attention.key.weight.T) @ s
        else:
            U, W, v = attention.query, attention.key.weight, attention.score.weight[0]
            scores = torch.tanh(U.weight @ s + U.bias + h @ W.T) @ v
        expected = torch.softmax(scores, 0)
        torch.testing.assert_close(weights[b, t, : lengths[b]], expected)
        assert (weights[b, t, lengths[b] :] == 0).all()
        torch.testing.assert_close(context[b, t], expected @ h)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_and_company_do_not_matter(attention, bidirectional):
    module = small(attention, bidirectional=bidirectional, hidden_size=(7, 5))
    data = pairs()
    (source, lengths, past, steps), target = data.batch(torch.arange(3))
    together = module(source, lengths, past, steps)
    noisy = torch.where(torch.arange(len(source))[:, None] < lengths, source, 3)
    assert not torch.equal(noisy, source)
    torch.testing.assert_close(module(noisy, lengths, past, steps)[target != IGNORED],
                               together[target != IGNORED], rtol=0, atol=0)  # fmt: skip
    for k in range(3):
        x, _ = data.batch(torch.tensor([k]))
        alone = module(*x)
        torch.testing.assert_close(alone[:, 0], together[: steps[k], k], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_target_in_pieces_is_the_whole_target(attention):
    module = small(attention, cell="gru", num_layers=2)
    (source, lengths, past, _), _ = pairs().batch(torch.arange(3))
    memory, states = module.encode(source, lengths)
    whole, _, looked = module.decode(memory, states, past)
    for t in range(len(past)):
        a, states, weights = module.decode(memory, states, past[t : t + 1])
        torch.testing.assert_close(a[0], whole[t])
        if attention is not None:
            torch.testing.assert_close(weights[:, 0], looked[:, t])


def test_the_states_of_one_direction_are_passed_on_as_they_are():
    module = small(None, bidirectional=False)
    source, lengths = torch.tensor([[2, 3], [4, 1], [1, 0]]), torch.tensor([3, 2])
    _, states = module.encode(source, lengths)
    cell = module.encoder.layers[0].cell
    h = c = torch.zeros(7)
    x = module.of_source(source[:2, 1])
    for x_t in x:  # the second row has two tokens
        i, f, o, g = (
            getattr(cell, f"W_{k}") @ x_t + getattr(cell, f"U_{k}") @ h + getattr(cell, f"b_{k}")
            for k in "ifog"
        )
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    torch.testing.assert_close(states[0]["h"][1], h)
    torch.testing.assert_close(states[0]["c"][1], c)


def test_the_loss_is_over_the_real_tokens():
    module = small("general")
    (x, target) = pairs().batch(torch.arange(3))
    a = module(*x)
    loss, count = module.loss(a, target)
    scores = module.output.logits(a).flatten(0, 1)
    assert count == 3 + 5 + 4
    torch.testing.assert_close(loss, F.cross_entropy(scores, target.flatten()))


def test_no_gradient_comes_from_padding():
    module = small("general").train()
    x, _ = pairs().batch(torch.arange(3))
    source = module.of_source(x[0]).detach().requires_grad_()
    values, _ = module.encoder(source, x[1])
    memory = module.attention.memory(values, x[1])
    module.attention(torch.randn(3, 2, 7), memory)[0].sum().backward()
    assert source.grad[1:].abs().sum() > 0
    assert (source.grad[2:, 1] == 0).all()  # its source has two tokens


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("strength", [0.0, 1.3])
def test_a_wide_beam_finds_what_an_exhaustive_search_finds(attention, strength):
    module, length = small(attention), 3
    (source, lengths, *_), _ = pairs().batch(torch.arange(3))
    found = search(module, source, lengths, beam=100, length=length, strength=strength,
                   without=(UNKNOWN,))  # fmt: skip
    lines = [line for n in range(length) for line in itertools.product(range(2, V), repeat=n)]
    for k in range(3):
        expected = []
        for line in lines:
            target = torch.tensor([*line, END])[:, None]
            with torch.no_grad():
                a = module(source[: lengths[k], k : k + 1], lengths[k : k + 1], before(target),
                           torch.tensor([len(target)]))  # fmt: skip
                total = module.log_probabilities(a)[:, 0].gather(1, target).sum().item()
            expected.append((total / ((6 + len(line)) / 6) ** strength, line))
        expected.sort(reverse=True)
        assert [guess.tokens for guess in found[k]] == [line for _, line in expected]
        assert [g.score for g in found[k]] == pytest.approx([s for s, _ in expected], rel=1e-4)


def test_a_beam_of_one_takes_the_likeliest_token_each_time():
    module = small("general")
    (source, lengths, *_), _ = pairs().batch(torch.arange(3))
    found = search(module, source, lengths, beam=1, length=12)
    for k in range(3):
        memory, states = module.encode(source[: lengths[k], k : k + 1], lengths[k : k + 1])
        line, last = [], END
        for _ in range(12):
            a, states, _ = module.decode(memory, states, torch.tensor([[last]]))
            last = int(module.log_probabilities(a)[0, 0].argmax())
            if last == END:
                break
            line.append(last)
        assert found[k][0].tokens == tuple(line)


def test_a_narrow_beam_does_not_depend_on_company():
    module = small("bahdanau")
    data = pairs()
    (source, lengths, *_), _ = data.batch(torch.arange(3))
    together = search(module, source, lengths, beam=3, length=9, strength=0.6)
    for k in range(3):
        (one, length, *_), _ = data.batch(torch.tensor([k]))
        alone = search(module, one, length, beam=3, length=9, strength=0.6)[0]
        assert [g.tokens for g in alone] == [g.tokens for g in together[k]]


def test_what_never_ends_is_given_as_far_as_it_went():
    module = small("general")
    with torch.no_grad():
        module.output.bias[END] = -1e9
    (source, lengths, *_), _ = pairs().batch(torch.arange(2))
    for guesses in search(module, source, lengths, beam=2, length=5):
        assert [len(g.tokens) for g in guesses] == [5, 5]


def test_the_penalty_is_that_of_wu():
    assert penalty(1, 2.0) == 1.0
    assert penalty(7, 1.0) == 2.0
    assert penalty(7, 0.0) == 1.0


def test_scheduled_sampling_replaces_as_many_tokens_as_it_should():
    module = small(None).train()
    target = torch.full((40, 60), 3)
    lengths, steps = torch.full((60,), 2), torch.full((60,), 40)
    with torch.no_grad():
        module.output.weight.zero_()
        module.output.bias.copy_(torch.tensor([-99.0, -99, 9, -99, -99, -99]))  # always says 2
    memory, states = module.encode(torch.full((2, 60), 4), lengths)
    module.sampled = 0.3
    mixed = module._mixed(memory, states, before(target), steps)
    assert (mixed[0] == END).all()
    assert set(mixed[1:].unique().tolist()) == {2, 3}
    assert (mixed[1:] == 2).float().mean() == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("cell", ["gru", "elman", "projected-lstm", "peephole-lstm", "mgu", "cfn"])
def test_any_cell_makes_an_encoder_and_a_decoder(cell):
    assert cell in CELLS
    module = small("general", cell=cell)
    x, target = pairs().batch(torch.arange(3))
    module.loss(module(*x), target)[0].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
