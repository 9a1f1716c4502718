"""How likely a text is: the same however it is laid out, and with a cache as the paper has it."""

import math

import numpy as np
import pytest
import torch

from recurnn.data.text import END, Corpus
from recurnn.errors import ConfigError
from recurnn.models.language import Cache, LanguageOptions
from recurnn.models.language.network import LeftNetwork, network
from recurnn.models.language.scoring import log_probabilities

V = 19


@pytest.fixture(scope="module")
def net() -> LeftNetwork:
    options = LanguageOptions(hidden_size=9, embedding_size=5, num_layers=2, start=0.7)
    found = network(options, V).eval()
    assert isinstance(found, LeftNetwork)
    return found


def text(lengths: list[int], seed: int = 0) -> Corpus:
    rng = np.random.default_rng(seed)
    rows = [np.append(rng.integers(2, V, n), END) for n in lengths]
    starts = np.cumsum([0, *map(len, rows[:-1])])
    return Corpus.of(np.concatenate(rows), starts=starts, size=V, end=END)


def one_by_one(net: LeftNetwork, corpus: Corpus) -> tuple[np.ndarray, list[torch.Tensor]]:
    """Each document alone, in float64 where it matters; and the outputs h of each."""
    found, outputs = [], []
    for k in range(corpus.documents):
        ids = torch.tensor(corpus.document(k).astype(np.int64))
        with torch.no_grad():
            h, _ = net(torch.cat([torch.tensor([END]), ids[:-1]])[:, None])
            said = net.log_probabilities(h)[:, 0].double()
        found.append(said[torch.arange(len(ids)), ids].numpy())
        outputs.append(h[:, 0].double())
    return np.concatenate(found), outputs


def test_documents_side_by_side_are_documents_alone(net):
    corpus = text([40, 3, 700, 1, 25, 25, 300, 9])
    want, _ = one_by_one(net, corpus)
    np.testing.assert_allclose(log_probabilities(net, corpus), want, rtol=1e-4, atol=1e-5)


def test_the_next_token_is_one_of_all(net):
    start = [5, 7, 3]
    total = sum(
        math.exp(log_probabilities(net, Corpus.of([*start, token], size=V))[-1])
        for token in range(V)
    )
    assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("cache", [Cache(20, 0.9, 0.4), Cache(400, 0.0, 0.9), Cache(1, 2.0, 0.2)])
def test_the_cache_is_the_papers(net, cache):
    corpus = text([300, 2, 40, 290, 35])
    plain, outputs = one_by_one(net, corpus)
    want = []
    for k, h in enumerate(outputs):
        ids, start = corpus.document(k), int(corpus.starts[k])
        for t, token in enumerate(ids):
            p = math.exp(plain[start + t])
            first = max(0, t - cache.size)
            if t:
                # h_i is followed by the token of step i: it was there when that was guessed.
                weight = np.exp(cache.flatness * (h[first:t] @ h[t]).numpy())
                there = weight[ids[first:t] == token].sum() / weight.sum()
                p = (1 - cache.share) * p + cache.share * there
            want.append(math.log(p))
    got = log_probabilities(net, corpus, cache)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    assert np.abs(got - plain).max() > 0.1


def test_a_cache_helps_where_a_text_repeats_itself(net):
    rng = np.random.default_rng(0)
    words = np.tile(rng.integers(2, V, 10), 30)
    corpus = Corpus.of(words, size=V)
    cached = log_probabilities(net, corpus, Cache(100, 1.0, 0.5)).mean()
    assert cached > log_probabilities(net, corpus).mean() + 0.2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"size": 0}, "cache: size is 0; expected a whole number of at least 1."),
        ({"flatness": -1}, "cache: flatness is -1; expected a number of at least 0."),
        ({"share": 1.0}, "cache: share is 1.0; expected a number of at least 0 and below 1."),
    ],
)
def test_messages(options, text):
    with pytest.raises(ConfigError) as caught:
        Cache(**options)
    assert str(caught.value) == text
