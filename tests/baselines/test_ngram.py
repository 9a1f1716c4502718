"""N-grams against dictionaries, against nltk, and against what probabilities must be."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest

from ngram_witness import BEGIN, Witness
from recurnn.baselines import (
    Ngram,
    NgramCounts,
    Sampling,
    TextScores,
    compare_ngrams,
    ngram_counts,
)
from recurnn.baselines.ngram_smoothing import estimated
from recurnn.data.text import CharacterTokenizer, Corpus, read_texts, split_texts

V, END = 9, 1


def documents(count: int, *, seed: int, size: int = V) -> list[list[int]]:
    """Random documents in which some tokens follow others more than chance would have it."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        row = [int(random.integers(2, size))]
        for _ in range(int(random.integers(0, 12))):
            near = random.random() < 0.6
            token = (row[-1] * 3 + 1) % size if near else int(random.zipf(1.5)) % size
            row.append(max(token, 2))
        found.append(row)
    return found


def corpus(rows: list[list[int]], *, end: int | None = END, size: int = V) -> Corpus:
    closed = [[*row, end] if end is not None else row for row in rows]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in closed])[:-1]])
    return Corpus.of([k for row in closed for k in row], starts=starts, size=size, end=end)


def told(rows: list[list[int]], end: int | None = END) -> list[list[int]]:
    return [[*row, end] if end is not None else row for row in rows]


TRAIN, NEW = documents(60, seed=1), documents(25, seed=2)


@pytest.mark.parametrize("end", [END, None])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_kneser_ney_is_that_of_dictionaries(order: int, end: int | None, monkeypatch) -> None:
    monkeypatch.setattr(ngram_counts, "BLOCK", 17)  # contexts reach over the edges of blocks
    witness = Witness(told(TRAIN, end), V, order)
    model = Ngram(order).fit(corpus(TRAIN, end=end))
    got = model.log_probabilities(corpus(NEW, end=end))
    want = [
        np.log(witness.kneser_ney(word, context))
        for document in told(NEW, end)
        for word, context in witness.contexts(document)
    ]
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_a_distribution_is_that_of_dictionaries_after_seen_and_unseen_contexts() -> None:
    witness, model = Witness(told(TRAIN), V, 4), Ngram(4).fit(corpus(TRAIN))
    for context, opening in (([], True), ([2], True), ([5, 7, 3], False), ([8, 8, 8], False),
                             ([2, 7, 4, 4, 2], True), ([], False), ([6], False)):  # fmt: skip
        before = (BEGIN, *context) if opening else tuple(context)
        want = [witness.kneser_ney(word, before) for word in range(V)]
        got = model.distribution(context, opening=opening)
        np.testing.assert_allclose(got, want, rtol=1e-12, err_msg=f"{context}")


@pytest.mark.parametrize("smoothing", ["maximum likelihood", "add-k"])
def test_the_simple_smoothings_are_those_of_dictionaries(smoothing: str) -> None:
    for order in (1, 2, 4):
        witness = Witness(told(TRAIN), V, order)
        model = Ngram(order, smoothing=smoothing, k=0.3).fit(corpus(TRAIN))
        got = np.exp(model.log_probabilities(corpus(NEW)))
        want = [
            witness.add_k(word, context, 0.3)
            if smoothing == "add-k"
            else witness.maximum_likelihood(word, context)
            for document in told(NEW)
            for word, context in witness.contexts(document)
        ]
        np.testing.assert_allclose(got, want, rtol=1e-12, err_msg=f"{order}")


@pytest.mark.parametrize("smoothing", ["kneser-ney", "add-k", "maximum likelihood"])
def test_probabilities_sum_to_one_after_every_context(smoothing: str) -> None:
    model = Ngram(3, smoothing=smoothing).fit(corpus(TRAIN))
    for a in range(V):
        for b in range(V):
            assert abs(model.distribution([a, b], opening=False).sum() - 1) < 1e-12
        assert abs(model.distribution([a]).sum() - 1) < 1e-12
    if smoothing == "kneser-ney":
        assert model.distribution([0, 0]).min() > 0


def test_kneser_ney_agrees_with_nltk() -> None:
    # nltk's has one discount, none for the unigrams, and knows no symbol that is a context only:
    # it gets the same n-grams. Its lower orders divide by zero after contexts that begin with the
    # document, so only the others are compared.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lm = pytest.importorskip("nltk.lm")
    order, d = 4, 0.7
    rows = [["<s>", *map(str, row)] for row in told(TRAIN)]
    grams = [
        [tuple(row[i - n + 1 : i + 1]) for n in range(1, order + 1) for i in range(1, len(row))
         if i - n + 1 >= 0]
        for row in rows
    ]  # fmt: skip
    theirs = lm.KneserNeyInterpolated(order, discount=d)
    theirs.fit(grams, [str(word) for word in range(V)])
    ours = Ngram(order, discounts=[[0.0] * 3] + [[d] * 3] * (order - 1)).fit(corpus(TRAIN))
    compared = 0
    for document in told(NEW)[:12]:
        for i in range(order - 2, len(document)):
            context = ["<s>", *map(str, document[:i])][-(order - 1) :]
            got = ours.distribution(document[:i])[document[i]]
            assert abs(got - theirs.score(str(document[i]), context)) < 1e-12
            compared += 1
    assert compared > 40


def test_discounts_of_a_count_by_hand() -> None:
    # 10 singles, 4 twice, 2 three times, 1 four times: Y = 10 / 18
    amounts = np.array([1] * 10 + [2] * 4 + [3] * 2 + [4, 7, 9])
    y = 10 / 18
    want = (1 - 2 * y * 4 / 10, 2 - 3 * y * 2 / 4, 3 - 4 * y * 1 / 2)
    assert estimated(amounts) == pytest.approx(want, rel=1e-15)
    assert estimated(np.array([50, 60, 70])) == (0.5, 1.0, 1.5)
    assert estimated(np.array([1, 2] + [3] * 30 + [4])) == (0.5, 1.0, 1.5)  # D2 would be < 0


def test_given_discounts_are_taken() -> None:
    given = [[0.1, 0.2, 0.3], [0.4, 1.1, 2.2], [0.6, 0.9, 1.7]]
    witness = Witness(told(TRAIN), V, 3)
    got = Ngram(3, discounts=given).fit(corpus(TRAIN)).distribution([7, 4], opening=False)
    want = [witness.kneser_ney(word, (7, 4), given) for word in range(V)]
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_models_of_lower_order_share_counts() -> None:
    counts = NgramCounts.of(corpus(TRAIN), 5)
    for order in (1, 2, 4):
        shared, own = Ngram(order).fit(counts), Ngram(order).fit(corpus(TRAIN))
        got, want = (m.log_probabilities(corpus(NEW)) for m in (shared, own))
        np.testing.assert_array_equal(got, want)


def test_a_gap_is_filled_by_both_sides() -> None:
    model = Ngram(3).fit(corpus(TRAIN))
    left, right = [2, 7], [4, 4, 5]
    want = np.zeros(V)
    for w in range(V):
        row = [*left, w, *right, END]
        for i in range(2, len(row)):
            want[w] += np.log(model.distribution(row[:i])[row[i]])
    want -= np.log(np.exp(want).sum())
    np.testing.assert_allclose(model.fill(left, right), want, rtol=1e-9)
    # An end of the document beside the gap counts, and not where it is none.
    short = model.fill([2, 7], [])
    rest = model.distribution([2, 7])
    follow = np.array([model.distribution([2, 7, w])[END] for w in range(V)])
    np.testing.assert_allclose(np.exp(short), rest * follow / (rest @ follow), rtol=1e-9)
    np.testing.assert_allclose(np.exp(model.fill([2, 7], [], closing=False)), rest, rtol=1e-9)


def test_generation_follows_the_distribution_and_ends_with_the_document() -> None:
    model = Ngram(2).fit(corpus(TRAIN))
    stream = model.stream(seed=3)
    row = [next(stream) for _ in range(4000)]
    assert set(row) <= set(range(V))
    after = np.bincount([b for a, b in pairwise(row) if a == END], minlength=V)
    first = model.distribution([])
    # Of n draws a share has the standard deviation √(p (1 − p) / n); five of them.
    n = after.sum()
    assert (np.abs(after / n - first) < 5 * np.sqrt(first * (1 - first) / n) + 1e-9).all()
    again = Ngram(2).fit(corpus(TRAIN)).generate(50, seed=3)
    assert again.tolist() == row[: row.index(END)]
    greedy = model.generate(3, [7], sampling=Sampling(top_k=1, without=(END,)))
    p = model.distribution([7])
    p[END] = 0
    assert greedy[0] == np.argmax(p)


def test_sampling_weights_by_hand() -> None:
    p = np.array([0.1, 0.4, 0.05, 0.25, 0.2])
    np.testing.assert_allclose(Sampling().weights(p), p)
    np.testing.assert_allclose(Sampling(temperature=0.5).weights(p), p**2 / (p**2).sum())
    np.testing.assert_allclose(Sampling(top_k=2).weights(p), [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0])
    # .4 and .25 have .65, so the third is still needed for .7
    np.testing.assert_allclose(
        Sampling(top_p=0.7).weights(p), np.array([0, 0.4, 0, 0.25, 0.2]) / 0.85
    )
    np.testing.assert_allclose(Sampling(top_p=0.4).weights(p), [0, 1, 0, 0, 0])
    np.testing.assert_allclose(
        Sampling(without=(1, 3)).weights(p), np.array([0.1, 0, 0.05, 0, 0.2]) / 0.35
    )


def test_scores_by_hand() -> None:
    text = Corpus(
        np.array([2, 3, 1, 4, 1], dtype=np.int32),
        np.array([0, 3]), np.array([7, 3]), np.array([2, 1]), 5, 1,
    )  # fmt: skip
    scores = TextScores.of(-np.array([1.0, 2.0, 0.5, 3.0, 0.25]), text)
    assert scores.nats.tolist() == [3.5, 3.25]
    assert scores.perplexity == pytest.approx(np.exp(6.75 / 5))
    assert scores.word_perplexity == pytest.approx(np.exp(6.75 / 3))
    assert scores.nats_per_character == pytest.approx(0.675)
    assert scores.bits_per_character == pytest.approx(0.675 / np.log(2))
    assert scores.perplexities == pytest.approx(np.exp([3.5 / 3, 3.25 / 2]))


def test_the_table_counts_what_there_is() -> None:
    rows = compare_ngrams(corpus(TRAIN), corpus(NEW), orders=(1, 2, 3), k=0.3)
    for row in rows:
        n = row.order
        witness = Witness(told(TRAIN), V, n)
        assert row.distinct == len(witness.grams[n])
        new = Witness(told(NEW), V, n).grams[n]
        unseen = sum(c for g, c in new.items() if g not in witness.grams[n])
        assert row.unseen == pytest.approx(unseen / sum(new.values()), rel=1e-12)
        for name, scores in row.scores.items():
            want = Ngram(n, smoothing=name, k=0.3).fit(corpus(TRAIN)).score(corpus(NEW))
            np.testing.assert_array_equal(scores.nats, want.nats)
    assert rows[0].nbytes < rows[1].nbytes < rows[2].nbytes


def test_a_saved_model_is_the_same_model(tmp_path) -> None:
    tokenizer = CharacterTokenizer(list("abcdefg"))
    model = Ngram(3, discounts=0.6).fit(corpus(TRAIN), tokenizer)
    model.save(tmp_path / "model.npz")
    found = Ngram.load(tmp_path / "model.npz")
    assert found.tokenizer == tokenizer
    got, want = (m.log_probabilities(corpus(NEW)) for m in (found, model))
    np.testing.assert_array_equal(got, want)
    found.save(tmp_path / "again.npz")
    with np.load(tmp_path / "model.npz") as a, np.load(tmp_path / "again.npz") as b:
        assert a.files == b.files
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.data
def test_shakespeare_by_characters(data_dir) -> None:
    texts = read_texts(data_dir / "tiny_shakespeare" / "input.txt.xz")
    parts = split_texts(texts, validation=0.1)
    tokenizer = CharacterTokenizer.fit(parts.train)
    train, held_out = (Corpus.encode(p, tokenizer, ends=False) for p in parts[:2])
    assert (len(train), len(held_out), tokenizer.size) == (1_003_855, 111_539, 67)
    assert Ngram(5).fit(train).score(held_out).nats_per_character == pytest.approx(1.561, abs=5e-4)
