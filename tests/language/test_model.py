"""The language model end to end on small texts: trained, compared, kept, taken up again."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

import recurnn
from recurnn.compiler.output_layer import _library
from recurnn.data.text import Texts, fit_tokenizer
from recurnn.errors import ConfigError, DataError
from recurnn.models.language import RECIPES, Cache, LanguageOptions
from recurnn.models.language.training import prepare
from recurnn.training import Run, Saves, Update, Watch

WORDS = "red green blue black white".split()
NAMES = "Anna Ben Clara David Eva Felix".split()
SMALL = {"hidden_size": 24, "batch_size": 4, "steps": 16, "learning_rate": 0.02, "epochs": 3}
LONG = SMALL | {"epochs": 10}


def sentences(n: int = 300, seed: int = 0) -> Texts:
    """What colour somebody likes depends on who it is; two words stand between."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        k = int(rng.integers(5))
        found.append(f"{NAMES[k]} likes the {rng.choice(['old', 'new'])} {WORDS[k]} car.")
    return Texts.of(found)


@pytest.fixture(scope="module")
def fitted() -> recurnn.LanguageModel:
    return recurnn.LanguageModel(unit="words", ngram=2, test=0.1, **LONG).fit(sentences())


@pytest.fixture(scope="module")
def both() -> recurnn.LanguageModel:
    return recurnn.LanguageModel(unit="words", context="both", ngram=2, **LONG).fit(sentences())


def test_a_network_beside_the_n_gram_on_the_same_tokens(fitted):
    model = fitted
    assert model.part == "test"
    assert {row.model for row in model.comparison} == {"LSTM", "2-gram"}
    network, bigram = sorted(model.comparison, key=lambda row: not row.recurrent)
    # Two words back is further than a bigram sees: it has one of five colours to guess.
    assert network.perplexity < 0.9 * bigram.perplexity
    assert model.comparison[0] is network
    assert model.verdict == (
        f"The LSTM is better than the 2-gram: {network.nats:.3f} nats a character on the test "
        f"part, {bigram.nats:.3f}."
    )
    parts = prepare(sentences(), model.options, limit=True)
    assert parts.tokenizer == model.tokenizer
    assert model.tokens == parts.sizes
    assert model.score(parts.test).perplexity == network.perplexity
    assert model.ngram.score(parts.test).perplexity == bigram.perplexity
    assert model.evaluate(sentences(20, seed=5)).tokens.tolist() == [8] * 20


def test_it_writes_what_it_learned(fitted):
    found = fitted.generate("Clara likes the old", samples=20, seed=1, length=10)
    assert sum(text == " blue car." for text in found) > 12
    assert fitted.generate("Clara likes the old", top_k=1) == " blue car."
    assert fitted.search("Clara likes the old", beam=3)[0].text == " blue car."
    pieces = list(fitted.stream("Clara likes the old", top_k=1))
    assert [p[0] for p in pieces if p[0]] == [" blue", " car", "."]


def test_one_that_reads_both_sides_fills_gaps_and_nothing_else(both):
    assert both.fill("____ likes the old green car.")[0][0].text == "Ben"
    assert both.fill("Eva likes the new ____ car.")[0][0].text == "white"
    (first, second) = both.fill("____ likes the old black ____.", candidates=2)
    assert (first[0].text, second[0].text) == ("David", "car")
    assert sum(c.probability for c in first) <= 1
    # From one side the n-gram cannot know who it is.
    assert both.fill("____ likes the old green car.", by="ngram")[0][0].probability < 0.5
    network, bigram = sorted(both.comparison, key=lambda row: not row.recurrent)
    assert network.top1 > bigram.top1 + 0.1
    for call in (both.generate, both.search, lambda: both.evaluate(sentences(3))):
        with pytest.raises(ConfigError, match="A model that guesses from both sides cannot be"):
            call()


def test_filling_from_the_left_knows_less_than_from_the_whole_text(fitted):
    text = "____ likes the old green car."
    assert fitted.fill(text)[0][0].text == "Ben"
    assert fitted.fill(text, by="whole") == fitted.fill(text)
    assert fitted.fill(text, by="left")[0][0].probability < 0.5
    with pytest.raises(ConfigError, match="by: there is no 'both'"):
        fitted.fill(text, by="both")


@pytest.mark.parametrize("name", ["fitted", "both"])
def test_kept_and_read_again_it_says_the_same(name, request, tmp_path):
    model = request.getfixturevalue(name)
    model.save(tmp_path / "a")
    again = recurnn.LanguageModel.load(tmp_path / "a")
    again.save(tmp_path / "b")
    for file in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    text = "Anna likes the ____ red car."
    for by in (None, "ngram"):
        assert again.fill(text, by=by) == model.fill(text, by=by)
    assert (again.comparison, again.verdict, again.part) == (
        model.comparison, model.verdict, model.part,
    )  # fmt: skip
    assert again.summary() == model.summary()


def test_a_tied_network_is_kept_with_one_tensor_for_both(tmp_path):
    options = SMALL | {"epochs": 1, "tied": True, "embedding_size": 8, "ngram": 0}
    model = recurnn.LanguageModel(unit="words", **options).fit(sentences(60))
    model.save(tmp_path / "m")
    again = recurnn.LanguageModel.load(tmp_path / "m")
    assert again.network.tokens.softmax.weight is again.network.tokens.embedding.weight
    a, b = (m.score(m.encode(sentences(5, seed=9))) for m in (model, again))
    assert np.array_equal(a.nats, b.nats)


def test_in_a_new_process_it_is_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "m")
    program = (
        "import sys, recurnn; m = recurnn.LanguageModel.load(sys.argv[1]);"
        "print(repr(m.generate('Eva', seed=4, length=8, samples=2)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path / "m")],
        capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout.strip() == repr(fitted.generate("Eva", seed=4, length=8, samples=2))


class StopAt(Watch):
    def __init__(self, update: int) -> None:
        self.at = update

    def update(self, run: Run, update: Update) -> None:
        if update.number == self.at:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("context", ["left", "both"])
def test_stopped_and_taken_up_it_ends_in_the_same_bits(context, tmp_path):
    options = SMALL | {"dropout": 0.2, "context": context, "unit": "words", "ngram": 0}
    options |= {"averaging": 1, "tied": context == "left"}
    whole = recurnn.LanguageModel(**options).fit(sentences(120))
    updates = whole.history.updates
    for stop in (StopAt(updates // 2), None):
        model = recurnn.LanguageModel(**options)
        model.fit(sentences(120), watch=stop, saves=Saves(tmp_path, resume=True))
    assert model.history.resumed == updates // 2
    want = whole.network.state_dict()
    assert all(torch.equal(v, want[k]) for k, v in model.network.state_dict().items())


def test_one_text_has_no_end_and_documents_have():
    text = Texts.of("to be or not to be, that is the question. " * 30)
    model = recurnn.LanguageModel(**(SMALL | {"epochs": 1})).fit(text)
    assert not model.ends
    assert len(model.generate("to", length=70)) == 70
    assert model.tokens == {"train": 1134, "validation": 126, "unknown": 0}


def test_a_recipes_vocabulary_is_a_limit_and_a_given_one_is_kept_to():
    model = recurnn.LanguageModel("zaremba-small", epochs=0, batch_size=2, steps=4)
    model.fit(sentences(40))
    assert model.tokenizer.size == 19
    with pytest.raises(ConfigError, match="does not support a vocabulary of 100"):
        recurnn.LanguageModel(unit="words", vocabulary=100, epochs=0).fit(sentences(40))


@pytest.mark.parametrize("tied", [False, True])
def test_bfloat16_trains_as_float32_does(tied):
    options = SMALL | {"epochs": 2, "tied": tied, "ngram": 0}
    losses = {}
    for precision in ("float32", "bfloat16"):
        model = recurnn.LanguageModel(**options, precision=precision).fit(sentences(300))
        losses[precision] = [e.validation_loss for e in model.history.epochs]
        assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.01, abs=0.01)
    unit = _library(torch.bfloat16) is not _library(torch.float32)
    assert (losses["bfloat16"] != losses["float32"]) == unit


def test_recipes_are_the_papers():
    small = LanguageOptions(**RECIPES["zaremba-small"])
    plan = small.plan(99)
    # Learning rate 1 on a loss summed over 20 steps, its gradient clipped at 5.
    assert (plan.learning_rate / 20, plan.clip * 20, plan.k1, plan.epochs) == (1.0, 5.0, 20, 13)
    rates = [plan.schedule(type("At", (), {"epoch": e})()) for e in range(1, 8)]
    assert rates == [1, 1, 1, 1, 0.5, 0.25, 0.125]
    medium = LanguageOptions(**RECIPES["zaremba-medium"]).plan(99)
    assert (medium.learning_rate / 35, medium.clip * 35) == (1.0, pytest.approx(5))
    awd = LanguageOptions(**RECIPES["awd-lstm"])
    assert awd.hidden_sizes == (1150, 1150, 400)
    assert awd.plan(99).averaging.after is None
    assert awd.plan(99).optimizer_options == {"weight_decay": 1.2e-6}
    for options in RECIPES.values():
        LanguageOptions(**options)


def test_a_cache_is_beside_the_network(fitted):
    texts = Texts.of([" ".join(["Anna likes the old red car."] * 8)] * 2)
    plain, cached = fitted.evaluate(texts), fitted.evaluate(texts, cache=Cache(50, 0.5, 0.3))
    assert cached.nats.sum() < plain.nats.sum()
    row = next(r for r in fitted.compare(texts, cache=Cache(50, 0.5, 0.3)) if r.recurrent)
    assert row.model == "LSTM with cache"
    assert row.perplexity == cached.perplexity


@pytest.mark.parametrize(
    "options",
    [
        {"softmax": "adaptive", "cutoffs": (6, 12)},
        {"cell": "gru", "num_layers": 2, "weight_dropout": 0.2, "variational": True,
         "dropout": 0.2, "embedding_dropout": 0.1},
        {"cell": "elman", "optimizer": "sgd", "learning_rate": 2.0, "averaging": "non-monotonic",
         "activation_penalty": 0.1, "change_penalty": 0.1, "back": 20},
    ],
)  # fmt: skip
def test_other_kinds_of_network_learn_too(options):
    model = recurnn.LanguageModel(unit="words", **(SMALL | {"ngram": 0} | options))
    losses = [e.validation_loss for e in model.fit(sentences(200)).history.epochs]
    assert losses[-1] < 0.6 * losses[0]


def test_long_text_of_both_sides_is_cut_into_pieces():
    model = recurnn.LanguageModel(context="both", **(SMALL | {"ngram": 0}))
    model.fit(Texts.of("to be or not to be, that is the question. " * 40))
    assert model.history.epochs[-1].validation_loss < 0.5
    assert model.fill("to be or n__t to be")[0][0].text == "o"


def test_the_config_says_what_was_asked(fitted, tmp_path):
    fitted.save(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["format"] == "recurnn-language-model"
    assert config["options"]["unit"] == "words"
    assert config["tokens"] == fitted.tokens
    assert fit_tokenizer("words", sentences()).size == fitted.tokenizer.size


def test_text_that_was_read_takes_no_options_of_files(fitted):
    with pytest.raises(ConfigError, match="column is of files; the texts were read already"):
        fitted.evaluate(sentences(3), column="text")
    with pytest.raises(DataError, match=r"no\.txt: there is no such file"):
        fitted.evaluate("no.txt")


def test_it_can_be_looked_into(fitted):
    subject = fitted.subject(sentences(30, seed=3), rows=5, steps=20)
    corpus = fitted.encode(sentences(30, seed=3))
    assert (subject.rows, subject.steps, subject.truncation) == (5, 20, 16)
    assert subject.labels[:3] == ["<end>", *[fitted.tokenizer.token(k) for k in corpus.tokens[:2]]]
    first = fitted.score(corpus).nats[0]
    # The first row begins with the first document, of eight tokens.
    assert float(subject.losses()[0, :8].sum().detach()) == pytest.approx(first, rel=1e-4)
    assert torch.equal(subject.y[:, -1], torch.from_numpy(corpus.tokens[-20:]).long())
    with pytest.raises(DataError, match="shorter than a piece to look at"):
        fitted.subject(sentences(1), steps=20)
