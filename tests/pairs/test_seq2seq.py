"""`Seq2Seq`: what it learns, how it is scored, copying, saving, scikit-learn's manners."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import recurnn
from recurnn.baselines.pairs import MostFrequent, Nearest
from recurnn.data.pairs_answers import Answers, split_by_source
from recurnn.data.pairs_tokens import TokenTokenizer, extended, fit_unit, surfaces, unit_of
from recurnn.models.seq2seq.scores import bleu, edits, scored

SMALL = {"hidden_size": 8, "epochs": 1, "validation": 0}


def reversals(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcd", k=draw.randint(1, 5))) for _ in range(count)]
    return words, [word[::-1] for word in words]


@pytest.fixture(scope="module")
def reverser() -> recurnn.Seq2Seq:
    x, y = reversals(600)
    model = recurnn.Seq2Seq(
        hidden_size=32, embedding_size=16, epochs=12, learning_rate=1e-2, batch_size=32
    )
    return model.fit(x, y)


def test_it_learns_to_reverse_words_that_it_never_saw(reverser):
    seen = set(reversals(600)[0])
    new = [w for w in reversals(400, seed=1)[0] if w not in seen]
    assert len(new) > 50
    assert reverser.predict(new) == [w[::-1] for w in new]
    assert reverser.score(new, [w[::-1] for w in new]) == 1.0


def test_where_it_looks_runs_backwards(reverser):
    seen = reverser.attend("abcd")
    assert (seen.source, seen.target) == ([*"abcd", "<end>"], [*"dcba", "<end>"])
    np.testing.assert_allclose(seen.weights.sum(1), 1, rtol=1e-5)
    assert seen.weights[:4].argmax(1).tolist() == [3, 2, 1, 0]
    assert reverser.attend("ab", "bbb").target == ["b", "b", "b", "<end>"]


def test_what_is_said_does_not_depend_on_company(reverser):
    words = reversals(60, seed=2)[0]
    assert reverser.predict(words) == [reverser.predict([w])[0] for w in words]


def test_the_comparison_says_who_is_better(reverser):
    x, y = reversals(80, seed=3)
    rows = reverser.compare(x, y)
    assert [row.model for row in rows] == [
        "LSTM with attention (general)", "nearest neighbour", "most frequent output"
    ]  # fmt: skip
    assert rows[0].scores == {"character errors": 0.0, "exact": 1.0}
    assert reverser.verdict.startswith("The LSTM with attention (general) is better")


def test_saved_and_loaded_elsewhere_it_says_the_same(reverser, tmp_path):
    words = reversals(30, seed=4)[0]
    reverser.save(tmp_path / "m")
    program = (
        "import json, sys, recurnn; model = recurnn.Seq2Seq.load(sys.argv[1]); "
        "print(json.dumps([model.predict(sys.argv[2:]), model.attend('abc').weights.tolist()]))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "m"), *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said, weights = json.loads(told.stdout)
    assert said == reverser.predict(words)
    assert weights == reverser.attend("abc").weights.tolist()
    loaded = recurnn.Seq2Seq.load(tmp_path / "m")
    loaded.save(tmp_path / "again")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "m" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert loaded.get_params() == reverser.get_params()


def test_a_loaded_model_is_trained_further(tmp_path):
    x, y = reversals(40)
    model = recurnn.Seq2Seq(**SMALL).fit(x, y)
    model.save(tmp_path / "m")
    loaded = recurnn.Seq2Seq.load(tmp_path / "m")
    before = loaded.history.epochs[-1].loss if hasattr(loaded, "history") else None
    loaded.partial_fit(x, y)
    assert before is None
    assert loaded.history.epochs[-1].loss < model.history.epochs[-1].loss


@pytest.mark.parametrize("attention", [None, "dot", "bahdanau"])
def test_the_other_kinds_of_attention_learn_too(attention):
    x, y = reversals(60)
    model = recurnn.Seq2Seq(
        attention=attention, hidden_size=16, embedding_size=8, epochs=15, learning_rate=0.02,
        validation=0, batch_size=16, scheduled_sampling=0.2, cell="gru",
    ).fit(x, y)  # fmt: skip
    losses = [e.loss for e in model.history.epochs]
    assert losses[-1] < 0.6 * losses[1]
    assert model._network.sampled == pytest.approx(0.2)


def test_the_same_seed_makes_the_same_model():
    x, y = reversals(40)
    a, b, c = (recurnn.Seq2Seq(**SMALL, seed=seed).fit(x, y) for seed in (1, 1, 2))
    losses = [m.history.epochs[-1].loss for m in (a, b, c)]
    assert losses[0] == losses[1] != losses[2]


def test_lists_of_tokens_come_back_as_lists():
    x, y = [["tic", "tac"], ["tac"]] * 8, [["A", "B c"], ["B c"]] * 8
    model = recurnn.Seq2Seq(hidden_size=16, epochs=40, learning_rate=0.02, validation=0)
    assert model.fit(x, y).predict([["tac"], ["tic", "tac"]]) == [["B c"], ["A", "B c"]]
    assert model._units[1].kind == "tokens"


def test_unknown_words_are_copied():
    draw = random.Random(5)
    forms = ["{} is here", "here comes {}", "look , {} is here"]
    names = [f"n{draw.randrange(400)}" for _ in range(240)]
    x, y = [draw.choice(forms).format(name) for name in names], [f"hello {n}" for n in names]
    model = recurnn.Seq2Seq(
        copy=True, min_count=12, hidden_size=16, embedding_size=16, epochs=12, learning_rate=2e-2,
        validation=0, batch_size=24,
    ).fit(x, y)  # fmt: skip
    assert model._units[0].unknown("n1 is here") == ["n1"]
    said = model.predict(["here comes Anna", "look , Zoe is here", "n7 is here"])
    assert said == ["hello Anna", "hello Zoe", "hello n7"]
    silent = recurnn.Seq2Seq(**model.get_params() | {"copy": False, "epochs": 1}).fit(x, y)
    assert "<unk>" not in silent.predict(["here comes Anna"])[0]


def test_it_is_an_estimator():
    x, y = reversals(24)
    model = recurnn.Seq2Seq(**SMALL, beam=1)
    assert clone(model).get_params() == model.get_params()
    search = GridSearchCV(model, {"hidden_size": [4, 6]}, cv=2).fit(x, y)
    assert len(search.cv_results_["mean_test_score"]) == 2
    assert recurnn.Seq2Seq(hidden_size=(6, 4)).get_params()["hidden_size"] == (6, 4)


def test_errors_are_counted_to_the_nearest_of_several_answers():
    row = scored("m", ["abc", "b"], [["xbc", "abcd"], ["b", "c"]], "characters")
    assert edits("abc", ["xbc", "abcd"], "characters") == (1, 3)
    assert row.scores == {"character errors": 1 / 4, "exact": 0.5}
    assert edits("a b c", ["a c"], "words") == (1, 2)
    assert edits(["AH", "B"], [["B"]], "tokens") == (1, 1)


def test_bleu_is_that_of_sacrebleu():
    sacrebleu = pytest.importorskip("sacrebleu")
    said = ["the cat sat on the mat .", "there is a dog here"]
    right = [["the cat sat on a mat .", "a cat sat on the mat ."], ["a dog is here now"]]
    expected = sacrebleu.corpus_bleu(said, [[r[0] for r in right], [right[0][1], None]]).score
    assert 20 < expected < 80
    assert bleu(said, right) == expected


def test_all_pairs_of_a_source_are_in_one_part():
    sources = [f"s{k % 30}" for k in range(100)]
    first, second = split_by_source(sources, 0.2, seed=3)
    assert sorted(first + second) == list(range(100))
    assert not {sources[i] for i in first} & {sources[i] for i in second}
    assert len({sources[i] for i in second}) == 6
    assert Answers.of(sources, sources).targets[0] == ["s0"] * 4


def test_the_baselines():
    x, y = [list("abc"), list("abd"), list("xyz")], ["one", "one", "two"]
    assert MostFrequent().fit(x, y).predict([list("xyz")] * 2) == ["one", "one"]
    assert Nearest().fit(x, y).predict([list("xyy"), list("ab")]) == ["two", "one"]


@pytest.mark.parametrize("unit", ["characters", "words", "tokens"])
def test_a_unit_shows_its_tokens_and_grows(unit):
    texts = ["Hello, world", "Hello you"]
    tokenizer = fit_unit(unit, texts[:1])
    shown = surfaces(tokenizer, texts)
    assert shown[1][-1] == ("you" if unit != "characters" else "u")
    grown = extended(tokenizer, ["µ"])
    assert grown.decode([tokenizer.size, *tokenizer.encode("Hello")]).startswith("µ")
    assert grown.decode(tokenizer.encode(texts[0])) == texts[0]


def test_units_are_guessed():
    assert unit_of(["a b", "c d", "e"], None, "source") == "words"
    assert unit_of(["ab", "c d", "e"], None, "source") == "characters"
    assert unit_of([["a"]], None, "source") == "tokens"
    assert TokenTokenizer.fit(["b a", "a"], size=3).tokens == ["a"]
