"""The tagger: what it learns, what it leaves alone, spans, and what is saved."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from sklearn.base import clone
from torch.nn import functional as F

import recurnn
from recurnn.baselines.tags import MostFrequentTag, neighbours, taggers, windows
from recurnn.models.sequence_tag_network import TagNetwork, WordFeatures
from recurnn.models.sequence_words import Lexicon, Words, spelled, untagged
from recurnn.models.spans import are_spans, span_scores, spans

SMALL = {"hidden_size": 6, "embedding_size": 5, "letter_size": 4, "epochs": 2}
TEXT = [["The", "sea", "rises"], ["A", "rain"], ["Rain", "falls", "and", "the", "sea", "falls"]]


def plurals(n: int = 60, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """Words of random letters, whose last letter tells their tag, and that depends on the first."""
    random = np.random.default_rng(seed)
    x, y = [], []
    for _ in range(n):
        words = [
            "".join(random.choice(list("bcdf"), 4)) + str(random.choice(["s", "t"]))
            for _ in range(random.integers(2, 7))
        ]
        x.append(words)
        y.append(["many" if w.endswith("s") else "one" for w in words])
    return x, y


def echoes(n: int = 40, seed: int = 0) -> tuple[list[np.ndarray], list[list[int]]]:
    """Frames [T_i, 2] of noise; the tag is whether the frame before was above zero."""
    random = np.random.default_rng(seed)
    x = [random.normal(size=(int(random.integers(3, 12)), 2)) for _ in range(n)]
    return x, [[0, *(v[:-1, 0] > 0).astype(int).tolist()] for v in x]


def test_new_words_are_told_by_their_letters():
    x, y = plurals(200)
    model = recurnn.SequenceTagger(hidden_size=8, letter_size=8, epochs=12, learning_rate=0.02)
    new, true = plurals(seed=9)
    assert model.fit(x, y).score(new, true) > 0.97
    assert model.classes_.tolist() == ["many", "one"]
    blind = clone(model).set_params(letter_size=0).fit(x, y)
    assert blind.score(new, true) < 0.8


@pytest.mark.parametrize("cell", ["mgu", "projected-lstm"])
def test_any_cell_tags(cell):
    x, y = echoes(60)
    model = recurnn.SequenceTagger(cell=cell, hidden_size=12, epochs=20, learning_rate=0.02)
    assert model.fit(x, y).score(*echoes(20, seed=1)) > 0.8


def test_frames_and_their_context():
    x, y = echoes(150)
    model = recurnn.SequenceTagger(hidden_size=8, epochs=15, learning_rate=0.03, dropout=0.0)
    new, true = echoes(seed=4)
    assert model.fit(x, y).score(new, true) > 0.9
    scores = {r.model: r.scores["accuracy"] for r in model.compare(new, true)}
    assert scores["window MLP"] > 0.8
    assert scores["most frequent tag"] < 0.7
    probabilities = model.predict_proba(new)
    for p, found, frames in zip(probabilities, model.predict(new), new, strict=True):
        assert p.shape == (len(frames), 2)
        np.testing.assert_allclose(p.sum(1), 1)
        assert (p.argmax(1) == found).all()
    assert model.confusion(new, true).to_numpy().sum() == sum(map(len, true))


def test_a_score_is_the_share_of_right_steps():
    x, y = plurals(30)
    model = recurnn.SequenceTagger(**SMALL).fit(x, y)
    found = np.concatenate(model.predict(x))
    expected = (found == np.concatenate(y)).mean()
    assert model.score(x, y) == pytest.approx(expected)
    row = next(r for r in model.compare(x, y) if r.recurrent)
    assert row.scores["accuracy"] == pytest.approx(expected)
    assert row.losses.sum() == (found != np.concatenate(y)).sum()
    right = [list(a) == b for a, b in zip(model.predict(x), y, strict=True)]
    assert row.scores["all right"] == pytest.approx(np.mean(right))
    counts = model.confusion(x, y)
    assert np.trace(counts) / counts.to_numpy().sum() == pytest.approx(expected)


@pytest.mark.parametrize("crf", [False, True])
def test_company_and_padding_do_not_matter(crf):
    x, y = plurals(30)
    model = recurnn.SequenceTagger(crf=crf, num_layers=2, **SMALL).fit(x, y)
    together = model._scores(x[:5])
    index, scores, lengths = next(together)
    for i, row, T in zip(index.tolist(), scores, lengths.tolist(), strict=True):
        alone = next(model._scores([x[i]]))[1][0]
        torch.testing.assert_close(row[:T], alone, rtol=1e-5, atol=1e-5)
    single = [model.predict([words])[0].tolist() for words in x]
    assert [tags.tolist() for tags in model.predict(x)] == single


def network(**more: object) -> TagNetwork:
    torch.manual_seed(0)
    return TagNetwork(outputs=3, inputs=2, hidden_sizes=(4,), **more)


def test_the_loss_of_a_crf_is_the_likelihood_of_the_tags_among_all():
    module = network(crf=True).double()
    torch.nn.init.normal_(module.crf.transitions)
    scores = torch.randn(2, 3, 3, dtype=torch.float64)
    tags, lengths = torch.tensor([[2, 0, 1], [1, 1, -100]]), [3, 2]
    start, end, step = (module.crf.start_transitions, module.crf.end_transitions,
                        module.crf.transitions)  # fmt: skip

    def total(row: int, path: tuple[int, ...]) -> torch.Tensor:
        found = start[path[0]] + end[path[-1]] + sum(scores[row, t, k] for t, k in enumerate(path))
        return found + sum(step[a, b] for a, b in pairwise(path))

    expected, best = torch.tensor(0.0, dtype=torch.float64), []
    for row, T in enumerate(lengths):
        paths = torch.cartesian_prod(*[torch.arange(3)] * T).tolist()
        every = torch.stack([total(row, tuple(p)) for p in paths])
        expected = expected + torch.logsumexp(every, 0) - total(row, tuple(tags[row, :T].tolist()))
        best.append(paths[int(every.argmax())])
    loss, count = module.loss(scores, tags)
    assert count == 5
    torch.testing.assert_close(loss, expected / 5)
    assert module.best(scores, torch.tensor(lengths)) == best


def test_without_a_crf_steps_are_apart():
    module = network()
    scores, tags = torch.randn(2, 3, 3), torch.tensor([[2, 0, 1], [1, -100, -100]])
    loss, count = module.loss(scores, tags)
    assert count == 4
    torch.testing.assert_close(loss, F.cross_entropy(scores.flatten(0, 1), tags.flatten()))
    assert module.best(scores, torch.tensor([3, 1])) == [
        scores[0].argmax(-1).tolist(), [int(scores[1, 0].argmax())],
    ]  # fmt: skip


def test_words_are_spelled_once_a_batch():
    lexicon = Lexicon.of(TEXT, least=2)
    assert lexicon.words.tokens == ("falls", "rain", "sea", "the")
    assert lexicon.counts.tolist() == [0, 2, 2, 2, 2]
    data = Words(TEXT, untagged(TEXT), lexicon)
    (which, lengths, words, letters, steps), tags = data.batch(torch.tensor([2, 0]))
    assert lengths.tolist() == [6, 3]
    assert tags.tolist() == [[0] * 6, [0, 0, 0, -100, -100, -100]]
    at = dict(enumerate(["", *lexicon.letters.tokens]))
    found = ["".join(at[int(k)] for k in row[:n]) for row, n in zip(letters, steps, strict=True)]
    assert [found[k] for k in which[0]] == TEXT[2]
    assert [found[k] for k in which[1, :3]] == TEXT[0]
    assert letters.shape == (len(set(TEXT[0]) | set(TEXT[2])), 5)
    small = ["", *lexicon.words.tokens]
    assert [small[int(words[k])] for k in which[0]] == ["rain", "falls", "", "the", "sea", "falls"]
    assert len(spelled("x" * 50 + "y" * 50)) == 32
    assert spelled("x" * 50 + "y" * 50)[-16:] == ["y"] * 16


def test_rare_words_are_forgotten_more_often():
    features = WordFeatures(torch.tensor([0.0, 1.0, 100.0]), 3, 4, 0, word_dropout=1.0)
    which = torch.tensor([[0] * 4000, [1] * 4000])
    torch.manual_seed(0)
    found = features(which, torch.tensor([1, 2]), torch.empty(0), torch.empty(0))
    gone = (found == features.words.weight[0]).all(-1).float().mean(1)
    assert abs(float(gone[0]) - 1 / 2) < 0.03
    assert abs(float(gone[1]) - 1 / 101) < 0.006
    found = features.eval()(which, torch.tensor([1, 2]), torch.empty(0), torch.empty(0))
    assert not (found == features.words.weight[0]).all(-1).any()


TAGS = st.lists(
    st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b"]), min_size=1, max_size=7),
    min_size=1, max_size=4,
)  # fmt: skip


@given(true=TAGS, seed=st.integers(0, 2**16))
def test_spans_are_counted_as_seqeval_does(true, seed):
    random = np.random.default_rng(seed)
    found = [[str(random.choice(["O", "B-a", "I-a", "B-b", "I-b"])) for _ in t] for t in true]
    expected = [
        float(score(true, found, zero_division=0))
        for score in (precision_score, recall_score, f1_score)
    ]
    assert span_scores(found, true) == pytest.approx(expected)


def test_spans_of_iobes():
    assert spans(["S-a", "B-a", "I-a", "E-a", "E-b"]) == [("a", 0, 1), ("a", 1, 4), ("b", 4, 5)]
    assert are_spans(["O", "S-a", "E-b"])
    assert not are_spans(["O"])
    assert not are_spans(["X-a", "O"])
    assert not are_spans(["B-", "O"])


def test_tags_that_are_spans_are_scored_so():
    x = [["Ann", "Lee", "went"], ["to", "Rome", "today"]] * 6
    y = [["B-per", "I-per", "O"], ["O", "B-loc", "O"]] * 6
    model = recurnn.SequenceTagger(crf=True, **SMALL).fit(x, y)
    assert list(model.compare(x, y)[0].scores) == [
        "accuracy", "precision", "recall", "span F1", "all right",
    ]  # fmt: skip
    assert "which mark spans" in model.summary()


def test_the_baselines_see_the_data_as_they_should():
    x, y = [["a", "b", "a"], ["a", "c"]], [[1, 2, 1], [3, 2]]
    assert MostFrequentTag(by_word=True).fit(x, y).predict([["a", "b", "z"]]) in (
        [[1, 2, 1]], [[1, 2, 2]],
    )  # fmt: skip
    assert MostFrequentTag(by_word=False).fit([[0] * 3], [[5, 5, 6]]).predict([[0, 0]]) == [[5, 5]]
    frames = [np.array([[1.0, 5.0], [2.0, 6.0]])]
    assert windows(frames, 1).tolist() == [[1, 5, 1, 5, 2, 6], [1, 5, 2, 6, 2, 6]]
    rows = neighbours([["The", "sea"], ["sea"]])
    assert rows.shape[0] == 3
    assert (rows[1] != rows[2]).nnz > 0
    assert list(taggers(tokens=True)) == [
        "most frequent tag of the word", "logistic regression on word, suffixes and neighbours",
    ]  # fmt: skip


def test_the_seed_decides_everything():
    x, y = plurals(30)

    def told(seed: int) -> np.ndarray:
        model = recurnn.SequenceTagger(seed=seed, **SMALL).fit(x, y)
        return np.concatenate(model.predict_proba(x))

    state = torch.get_rng_state()
    first = told(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(first, told(1))
    assert not np.array_equal(first, told(2))


@pytest.mark.parametrize("crf", [False, True])
def test_a_model_loaded_by_another_process_says_the_same(tmp_path, crf):
    x, y = plurals(30)
    model = recurnn.SequenceTagger(crf=crf, validation=0, **SMALL).fit(x, y)
    model.save(tmp_path / "m")
    code = (
        "import sys, recurnn\n"
        "m = recurnn.SequenceTagger.load(sys.argv[1])\n"
        "print([tags.tolist() for tags in m.predict([['bcdfs', 'new'], ['cat']])])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected = [tags.tolist() for tags in model.predict([["bcdfs", "new"], ["cat"]])]
    assert eval(done.stdout) == expected
    again = recurnn.SequenceTagger.load(tmp_path / "m")
    assert again.get_params() == model.get_params()
    model.partial_fit(x, y)
    again.partial_fit(x, y)
    ours, theirs = model._network.state_dict(), again._network.state_dict()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
