"""Filling blanks: where they are, and what fits."""

import numpy as np
import pytest
import torch

from recurnn.baselines import Ngram
from recurnn.data.text import END, UNKNOWN, CharacterTokenizer, Corpus, WordTokenizer
from recurnn.errors import DataError
from recurnn.models.language import LanguageOptions
from recurnn.models.language.blanks import find_blanks
from recurnn.models.language.filling import by_both, by_counts, by_left, fill
from recurnn.models.language.gaps import gap_rows
from recurnn.models.language.network import network

LETTERS = CharacterTokenizer(list("abcdefgh"))
WORDS = WordTokenizer.fit(["the cat, the dog saw (a cow) there: moo 我的手机坏了"])
SMALL = {"hidden_size": 12, "embedding_size": 6, "start": 0.9}


@pytest.mark.parametrize(
    ("tokenizer", "with_blank", "filled"),
    [
        (LETTERS, "ab__d", "abcd"),
        (LETTERS, "_____d", "cd"),
        (WORDS, "the ____, the dog", "the cat, the dog"),
        (WORDS, "the ____ saw (a ____) there.", "the dog saw (a cow) there."),
        (WORDS, "__ dog", "the dog"),
        (WORDS, "the ___", "the dog"),
        (WORDS, "nothing known but the ____ there", "nothing known but the dog there"),
        (WORDS, "我的____坏了", "我的手坏了"),
    ],
)
def test_the_tokens_around_a_blank_are_those_around_a_word(tokenizer, with_blank, filled):
    found = find_blanks(tokenizer, with_blank)
    want = tokenizer.encode(filled).tolist()
    assert len(found.ids) == len(want)
    assert all(found.ids[k] == UNKNOWN for k in found.at)
    kept = [k for k in range(len(want)) if k not in found.at]
    assert [found.ids[k] for k in kept] == [want[k] for k in kept]


def test_a_text_without_a_blank_is_refused():
    with pytest.raises(DataError) as caught:
        find_blanks(WORDS, "the _cat_")
    assert str(caught.value) == (
        "There is no blank in the text.\n  It is 'the _cat_'; expected two or more underscores "
        'where a token is to be found: "I lost my ____ today."'
    )


def test_both_sides_are_read_as_they_were_in_training():
    model = network(LanguageOptions(**SMALL, context="both"), LETTERS.size).eval()
    ids = LETTERS.encode("abcdef").tolist()
    hidden = [*ids[:2], UNKNOWN, *ids[3:]]
    with torch.no_grad():
        h = model(torch.tensor([END, *ids[:-1]])[:, None], torch.tensor([*ids[1:], END])[:, None])
        want = model.log_probabilities(h[2])[0].double().numpy()
    np.testing.assert_array_equal(by_both(model)(hidden, 2), want)


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("at", [0, 2, 5])
def test_the_whole_text_ranks_by_the_probability_of_every_filled_text(ends, at):
    model = network(LanguageOptions(**SMALL), LETTERS.size).eval()
    ids = LETTERS.encode("abcdef").tolist()
    total = []
    for token in range(LETTERS.size):
        text = [END, *ids[:at], token, *ids[at + 1 :], *([END] if ends else [])]
        with torch.no_grad():
            h, _ = model(torch.tensor(text[:-1])[:, None])
            said = model.log_probabilities(h)[:, 0].double()
        total.append(float(said[torch.arange(len(text) - 1), torch.tensor(text[1:])].sum()))
    want = np.array(total) - np.logaddexp.reduce(total)
    got = by_left(model, whole=True, ends=ends)(ids, at)
    np.testing.assert_allclose(got, want, atol=1e-4)
    # What is before alone does not care for what is after.
    before = by_left(model)
    np.testing.assert_array_equal(before(ids, at), before([*ids[: at + 1], 2, 2], at))
    assert np.exp(before(ids, at)).sum() == pytest.approx(1)


def test_tokens_that_are_not_tried_are_no_better_than_the_worst(monkeypatch):
    model = network(LanguageOptions(**SMALL), LETTERS.size).eval()
    ids = LETTERS.encode("abcdef").tolist()
    every = by_left(model, whole=True)(ids, 2)
    monkeypatch.setattr("recurnn.models.language.filling.RESCORED", 4)
    some = by_left(model, whole=True)(ids, 2)
    tried = np.argsort(-by_left(model)(ids, 2))[:4]
    ratio = every[tried] - some[tried]
    np.testing.assert_allclose(ratio, ratio[0], atol=1e-4)
    assert np.isfinite(some).all()
    assert np.exp(some).sum() == pytest.approx(1)


def test_candidates_are_the_likeliest_without_special_tokens():
    scores = np.log(np.array([0.3, 0.2, 0.1, 0.05, 0.15, 0.02, 0.03, 0.05, 0.06, 0.04]))
    blanks = find_blanks(LETTERS, "a__")
    (best,) = fill(lambda ids, at: scores, LETTERS, blanks, 3)
    assert [c.text for c in best] == ["c", "a", "g"]
    assert [c.probability for c in best] == pytest.approx([0.3, 0.2, 0.12])


def test_several_blanks_are_filled_until_they_fit_each_other():
    a, b = LETTERS.encode("ab").tolist()

    def guess(ids: list[int], at: int) -> np.ndarray:
        """The second is a b; the first an a, until it is known that it has to be as the second."""
        p = np.full(LETTERS.size, 0.01)
        p[b if at == 2 else a if ids[2] == UNKNOWN else ids[2]] = 1.0
        return np.log(p)

    found = fill(guess, LETTERS, find_blanks(LETTERS, "__c__"), 1)
    assert [best[0].text for best in found] == ["b", "b"]


@pytest.mark.parametrize("documents", [1, 100])
def test_gaps_are_counted_by_rank(documents):
    # The token after k is k + 1, and after the last the first.
    rows = [2 + (np.arange(30) + k) % 8 for k in range(documents)]
    corpus = Corpus.of(np.concatenate(rows), starts=np.arange(documents) * 30, size=10)

    def at_rank(rank: int, p: float):
        def guess(ids: list[int], at: int) -> np.ndarray:
            assert ids[at] == UNKNOWN
            truth = 2 + (ids[at - 1] - 1) % 8 if at else 2 + (ids[1] - 3) % 8
            scores = np.full(10, 1e-6)
            scores[[UNKNOWN, END]] = 50.0  # never the answer, whatever their probability
            others = [k for k in range(2, 10) if k != truth]
            scores[others[: rank - 1]] = 2 * p
            scores[truth] = p
            return np.log(scores)

        return guess

    rows = gap_rows(
        {"first": at_rank(1, 1.0), "fifth": at_rank(5, 1.0), "sixth": at_rank(6, 1.0),
         "nothing": lambda ids, at: np.zeros(10)},
        corpus, places=50, recurrent=["first"],
    )  # fmt: skip
    found = {row.model: row for row in rows}
    assert [row.nats for row in rows] == sorted(row.nats for row in rows)  # as the verdict judges
    assert [(found[k].top1, found[k].top5) for k in ("first", "fifth", "sixth")] == [
        (1.0, 1.0), (0.0, 1.0), (0.0, 0.0),
    ]  # fmt: skip
    assert found["fifth"].nats == pytest.approx(np.log(9), abs=1e-4)
    # Equals count against a model that knows nothing.
    assert (found["nothing"].top5, found["nothing"].nats) == (0.0, pytest.approx(np.log(8)))
    assert [row.recurrent for row in rows] == [row.model == "first" for row in rows]
    assert {row.places for row in rows} == {30 if documents == 1 else 50}


def test_counts_see_both_sides():
    text = "abcabdcbacba" * 30
    corpus = Corpus.encode([text], LETTERS, ends=False)
    model = Ngram(3).fit(corpus)
    ids = LETTERS.encode("cab").tolist()
    np.testing.assert_array_equal(by_counts(model)(ids, 1), model.fill(ids[:1], ids[2:]))
