"""Writing: what is drawn, what is said of it when, where it ends; and the likeliest text."""

import itertools

import numpy as np
import pytest
import torch

from recurnn.baselines import Sampling
from recurnn.data.text import END, UNKNOWN, CharacterTokenizer, Tokenizer, WordTokenizer
from recurnn.errors import ConfigError
from recurnn.models.language import LanguageOptions
from recurnn.models.language.beam import search
from recurnn.models.language.drawing import draw, weights
from recurnn.models.language.network import LeftNetwork, network
from recurnn.models.language.writing import Transcript, check_asked, write

LETTERS = CharacterTokenizer(list("abcdefgh"))
WORDS = WordTokenizer.fit(["the cat, the dog (and a cow) said: moo\n牛，牛 do-do"])


def net(tokenizer: Tokenizer, seed: int = 0, **options) -> LeftNetwork:
    small = {"hidden_size": 12, "embedding_size": 6, "start": 0.9, "seed": seed}
    found = network(LanguageOptions(**(small | options)), tokenizer.size).eval()
    assert isinstance(found, LeftNetwork)
    return found


def by_hand(model: LeftNetwork, tokenizer: Tokenizer, prompt: str, length: int, ends: bool) -> str:
    """The likeliest token each time, by reading the whole text again for each."""
    ids = [END, *tokenizer.encode(prompt).tolist()] if prompt else [END]
    begin = len(ids)
    with torch.no_grad():
        while len(ids) < begin + length:
            h, _ = model(torch.tensor(ids)[:, None])
            scores = model.log_probabilities(h[-1, 0])
            scores[[UNKNOWN] if ends else [UNKNOWN, END]] = -torch.inf
            token = int(scores.argmax())
            if token == END:
                break
            ids.append(token)
    return tokenizer.decode(ids)[len(prompt) :]


def text(model: LeftNetwork, tokenizer: Tokenizer, prompt: str, **options) -> list[str]:
    options = {"sampling": Sampling(), "length": 30} | options
    pieces = list(write(model, tokenizer, prompt, **options))
    return ["".join(column) for column in zip(*pieces, strict=True)]


@pytest.mark.parametrize("tokenizer", [LETTERS, WORDS], ids=["letters", "words"])
@pytest.mark.parametrize("ends", [True, False])
def test_the_likeliest_each_time_is_what_reading_it_all_again_gives(tokenizer, ends):
    model = net(tokenizer, num_layers=2)
    for prompt in ("", tokenizer.decode([4, 7, 3])):
        want = by_hand(model, tokenizer, prompt, 30, ends)
        got = text(model, tokenizer, prompt, sampling=Sampling(top_k=1), ends=ends)
        assert got == [want]


def test_many_samples_are_the_seeds_and_differ_from_each_other():
    model = net(LETTERS)
    a, b, c = (text(model, LETTERS, "ab", samples=4, seed=s, ends=False) for s in (1, 1, 2))
    assert a == b
    assert a != c
    assert len(set(a)) == 4
    assert all(len(t) == 30 for t in a)


def test_what_is_drawn_has_the_models_probabilities():
    model, n = net(LETTERS), 4000
    drawn = text(model, LETTERS, "c", length=1, samples=n, ends=False)
    with torch.no_grad():
        h, _ = model(torch.tensor([[END], LETTERS.encode("c").tolist()]))
        p = model.log_probabilities(h[-1, 0]).exp()[2:]
    p /= p.sum()
    for k, letter in enumerate("abcdefgh"):
        spread = float((p[k] * (1 - p[k]) / n) ** 0.5)
        assert abs(drawn.count(letter) / n - float(p[k])) < 4.5 * spread


def test_a_document_that_ends_is_over_and_others_go_on():
    model = net(LETTERS)
    with torch.no_grad():
        model.tokens.softmax.bias[END] += 1.5
    found = text(model, LETTERS, "a", samples=30, length=40)
    lengths = {len(t) for t in found}
    assert min(lengths) < 5
    assert len(lengths) > 4
    assert all("\ufffd" not in t for t in found)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(), Sampling(0.5), Sampling(2.0, top_k=3), Sampling(0.7, top_p=0.6),
        Sampling(1.3, top_k=5, top_p=0.8), Sampling(without=(0, 4)), Sampling(top_k=99),
    ],
    ids=str,
)  # fmt: skip
def test_rows_are_drawn_from_what_a_single_distribution_is(sampling):
    torch.manual_seed(1)
    scores = torch.log_softmax(2 * torch.randn(6, 9), -1)
    blocked = scores.clone()
    blocked[:, list(sampling.without)] = -torch.inf
    share, index = weights(sampling, blocked)
    for k in range(6):
        got = torch.zeros(9)
        got[slice(None) if index is None else index[k]] = share[k]
        want = sampling.weights(scores[k].exp().double().numpy())
        np.testing.assert_allclose(got.numpy(), want, atol=1e-6)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        drawn = draw(sampling, scores, generator)
        assert all(
            sampling.weights(scores[k].exp().double().numpy())[int(t)] > 0
            for k, t in enumerate(drawn)
        )


def said(tokenizer: Tokenizer, prompt: str, ids: list[int], stop: str | None = None) -> list[str]:
    begin = tokenizer.encode(prompt).tolist() if prompt else []
    transcript, pieces = Transcript(tokenizer, begin, stop), []
    for token in ids:
        pieces.append(transcript.add(token))
        if transcript.done:
            break
    pieces.append(transcript.close())
    assert "".join(pieces) == transcript.text
    return pieces


@pytest.mark.parametrize("prompt", ["", "the cat", "the (and", "牛", "the "])
def test_the_pieces_of_words_are_the_text_with_its_spaces(prompt):
    whole = "dog (and a cow) said: moo\n牛，牛 do-do"
    ids = WORDS.encode(f"{prompt} {whole}" if prompt else whole).tolist()
    ids = ids[len(WORDS.encode(prompt)) if prompt else 0 :]
    full = WORDS.decode([*(WORDS.encode(prompt).tolist() if prompt else []), *ids])
    assert full.startswith(prompt)
    assert prompt + "".join(said(WORDS, prompt, ids)) == full


class Bytes(CharacterTokenizer):
    """Characters that take several tokens: their bytes, from token 2 on."""

    def __init__(self) -> None:
        super().__init__([chr(256 + k) for k in range(256)])

    def decode(self, ids):
        return bytes(k - 2 for k in ids if k > 1).decode("utf-8", errors="replace")


def test_a_character_is_said_when_its_last_byte_is_there():
    ids = [b + 2 for b in "é牛x".encode()]
    assert said(Bytes(), "", ids) == ["", "é", "", "", "牛", "x", ""]
    # One that is never finished is shown as what it is.
    assert said(Bytes(), "", ids[:1]) == ["", "\ufffd"]


def test_it_stops_before_the_stop_string_and_says_nothing_of_it_too_early():
    ids = LETTERS.encode("abcdcde").tolist()
    assert said(LETTERS, "", ids, "cde") == ["a", "b", "", "", "cd", "", "", ""]
    assert said(LETTERS, "", ids[:-1], "cde") == ["a", "b", "", "", "cd", "", "cd"]
    model = net(LETTERS)
    plain = text(model, LETTERS, "a", seed=3, ends=False)[0]
    stop = plain[4:6]
    stopped = text(model, LETTERS, "a", seed=3, ends=False, stop=stop)[0]
    assert stopped == plain[: plain.index(stop)]


def exhaustive(model: LeftNetwork, length: int, ends: bool) -> list[tuple[float, str]]:
    """Every text of the letters a to h up to a length, by the mean of log p of its tokens."""
    found = []
    for n in range(length + 1):
        if n < length and not ends:
            continue
        for letters in itertools.product(range(2, 10), repeat=n):
            ids = torch.tensor([END, *letters])
            with torch.no_grad():
                h, _ = model(ids[:, None])
                said = model.log_probabilities(h)[:, 0]
            score = float(said[torch.arange(n), ids[1:]].sum())
            if n < length:
                found.append(((score + float(said[n, END])) / (n + 1), LETTERS.decode(letters)))
            else:
                found.append((score / n, LETTERS.decode(letters)))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("ends", [True, False])
def test_a_beam_wide_enough_finds_the_likeliest_text(ends):
    model = net(LETTERS, seed=4)
    best = exhaustive(model, 2, ends)
    found = search(model, LETTERS, "", length=2, width=8, ends=ends)
    assert found[0].text == best[0][1]
    assert found[0].score == pytest.approx(best[0][0], abs=1e-5)
    scores = {t: s for s, t in best}
    assert all(b.score == pytest.approx(scores[b.text], abs=1e-5) for b in found)


def test_a_beam_of_one_takes_the_likeliest_each_time():
    model = net(LETTERS)
    want = by_hand(model, LETTERS, "ab", 12, ends=False)
    assert search(model, LETTERS, "ab", length=12, width=1, ends=False)[0].text == want


def test_a_wider_beam_is_no_worse_and_stops_where_it_is_told_to():
    model = net(LETTERS, seed=2)
    narrow, wide = (search(model, LETTERS, "a", length=9, width=w, ends=False)[0] for w in (1, 8))
    assert wide.score >= narrow.score
    stop = wide.text[3:5]
    stopped = search(model, LETTERS, "a", length=9, width=8, ends=False, stop=stop)
    assert all(stop not in b.text for b in stopped)


def test_messages_of_the_beam():
    for width, message in (
        (0, "beam is 0; expected a whole number of at least 1."),
        (9, "beam is 9, more than there are tokens: 8."),
    ):
        with pytest.raises(ConfigError) as caught:
            search(net(LETTERS), LETTERS, "", length=3, width=width)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((5, None, 1), "prompt is 5 (int); expected a text."),
        (("a", 5, 1), "stop is 5 (int); expected a text."),
        (("a", None, "x"), "length is 'x'; expected a whole number of at least 1."),
        (("a", None, 1, 0), "samples is 0; expected a whole number of at least 1."),
        (("a", "b", 1, 1, -1), "seed is -1; expected a whole number from 0 to 2**63 - 1."),
    ],
)
def test_what_cannot_be_written_is_refused(asked, message):
    with pytest.raises(ConfigError) as caught:
        check_asked(*asked)
    assert str(caught.value) == message
    assert isinstance(caught.value, TypeError) == ("(int)" in message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": "hot"}, "temperature is 'hot'; expected a number above 0.\n  For the"),
        ({"temperature": True}, "temperature is True; expected a number above 0."),
        ({"top_k": 1.5}, "top_k is 1.5; expected a whole number from 1, or None."),
        ({"top_p": "x"}, "top_p is 'x'; expected above 0 and up to 1, or None."),
    ],
)
def test_samplings_of_the_wrong_kind(options, message):
    with pytest.raises(ConfigError) as caught:
        Sampling(**options)
    assert str(caught.value).startswith(message)
