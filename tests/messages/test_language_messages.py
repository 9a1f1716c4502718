"""Every message of the language model, its folder and its commands, by its text."""

import json
from pathlib import Path

import pytest

import recurnn
from recurnn.data.text import Texts
from recurnn.errors import ConfigError, DataError, KindError, ModelFolderError, RecurnnError
from recurnn.models import NotFittedError
from recurnn.models.language import same_vocabulary
from recurnn.models.language.report import GapRow, TextRow, verdict

TEXT = "to be or not to be, that is the question. " * 20
SMALL = {"hidden_size": 4, "batch_size": 2, "steps": 8, "epochs": 0}


@pytest.fixture(scope="module")
def fitted() -> recurnn.LanguageModel:
    return recurnn.LanguageModel(ngram=2, **SMALL).fit(Texts.of(TEXT))


@pytest.fixture(scope="module")
def both() -> recurnn.LanguageModel:
    return recurnn.LanguageModel(context="both", ngram=0, **SMALL).fit(Texts.of(TEXT))


@pytest.fixture
def saved(fitted, tmp_path) -> Path:
    fitted.save(tmp_path / "m")
    return tmp_path / "m"


def message(kind: type[RecurnnError], call, *args, **options) -> str:
    with pytest.raises(kind) as caught:
        call(*args, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"unit": "word"},
         "unit: there is no 'word'.\n  Known: characters, words, bpe. Did you mean 'words'?"),
        ({"context": "right"}, "context: there is no 'right'.\n  Known: left, both."),
        ({"softmax": "sampled"}, "softmax: there is no 'sampled'.\n  Known: full, adaptive."),
        ({"schedule": "step"},
         "schedule: there is no 'step'.\n  Known: constant, cosine, linear, decay, plateau."),
        ({"optimizer": "adan"},
         "optimizer: there is no 'adan'.\n  Known: adam, adamw, nadam, rmsprop, sgd. "
         "Did you mean 'adam'?"),
        ({"vocabulary": 2}, "vocabulary is 2; expected a whole number of at least 3."),
        ({"steps": 0}, "steps is 0; expected a whole number of at least 1."),
        ({"epochs": -1}, "epochs is -1; expected a whole number of at least 0."),
        ({"ngram": 2.5}, "ngram is 2.5; expected a whole number of at least 0."),
        ({"dropout": 1.0}, "dropout is 1.0; expected a probability: at least 0 and below 1."),
        ({"zoneout": -0.1}, "zoneout is -0.1; expected a probability: at least 0 and below 1."),
        ({"start": -1.0}, "start is -1.0; expected a number of at least 0."),
        ({"change_penalty": "1"}, "change_penalty is '1'; expected a number of at least 0."),
        ({"momentum": 1}, "momentum is 1; expected a number of at least 0 and below 1."),
        ({"momentum": 0.9},
         "momentum is 0.9, which adam does not take.\n  sgd and rmsprop do."),
        ({"averaging": "often"},
         "averaging is 'often'; expected 'non-monotonic', or a number of epochs."),
        ({"averaging": -1}, "averaging: after is -1; expected a whole number of at least 0."),
        ({"learning_rate": 0}, "learning_rate is 0; expected a number above 0."),
        ({"steps": 20, "back": 10},
         "k1 is 20, more than k2, which is 10.\n"
         "  The weights are updated every k1 steps and the gradient goes back k2 steps: with a "
         "smaller k2 some steps would never be learned from.\n  Give a k2 of at least k1."),
        ({"back": 90, "context": "both"},
         "back is 90, but the context is both: a piece of text is gone through as a whole.\n"
         "  Leave it out; steps is the longest piece."),
        ({"patience": 3, "validation": 0},
         "patience is 3, but validation is 0.\n"
         "  Hold out a part to validate on, or leave patience out."),
        ({"hidden_size": ()},
         "hidden_size is (); expected a whole number of at least 1, or one for each layer."),
        ({"hidden_size": (5, 6), "num_layers": 3},
         "hidden_size and num_layers do not fit.\n  hidden_size is (5, 6), that is 2 layers; "
         "num_layers is 3.\n  Leave num_layers out."),
        ({"softmax": "adaptive", "cutoffs": (9, 9)},
         "cutoffs is (9, 9); expected ranks of tokens that rise, such as (2000, 10000)."),
        ({"cutoffs": (9,)}, "cutoffs are given, but the softmax is not adaptive."),
        ({"softmax": "adaptive", "tied": True},
         "tied: the adaptive softmax has weights of several sizes, which cannot be the "
         "embedding's.\n  Leave out one of the two."),
        ({"segmenter": "jieba"},
         "segmenter is 'jieba', but the units are characters.\n"
         '  Words are segmented: give unit="words".'),
    ],
)  # fmt: skip
def test_options(options, text):
    assert message(ConfigError, recurnn.LanguageModel, **options) == text


def test_names_of_recipes_options_and_cells():
    assert message(ConfigError, recurnn.LanguageModel, "zaremba") == (
        "recipe: there is no 'zaremba'.\n"
        "  Known: char, zaremba-small, zaremba-medium, awd-lstm. Did you mean 'zaremba-small'?"
    )
    found = message(KindError, recurnn.LanguageModel, hiden_size=3)
    assert found.startswith("LanguageModel option: there is no 'hiden_size'.\n  Known: unit, ")
    assert found.endswith("Did you mean 'hidden_size'?")
    assert message(ConfigError, recurnn.LanguageModel, cell="lsmt").endswith("Did you mean 'lstm'?")


def test_what_the_text_must_have():
    model = recurnn.LanguageModel(**(SMALL | {"batch_size": 32, "steps": 64}))
    assert message(DataError, model.fit, Texts.of("to be or not to be")) == (
        "The training part of the text is shorter than a chunk.\n"
        "  It has 16 tokens; 32 lanes of 64 steps need 2,048.\n"
        "  Give more text, a smaller batch_size, or fewer steps."
    )
    assert message(DataError, Texts.of, "") == "The text of document 0 is empty."
    adaptive = recurnn.LanguageModel(softmax="adaptive", cutoffs=(5, 90), **SMALL)
    assert message(ConfigError, adaptive.fit, Texts.of(TEXT)) == (
        "cutoffs is (5, 90); expected ranks below V = 17, the size of the vocabulary."
    )
    gated = recurnn.LanguageModel(cell="elman", forget_bias=1.0, **SMALL)
    assert message(ConfigError, gated.fit, Texts.of(TEXT)) == (
        "forget_bias is 1, but elman has no forget gate with a bias of its own."
    )


def test_a_model_that_is_not_fitted_says_so():
    text = (
        "The language model is not fitted yet.\n  Call fit(...) first, or LanguageModel.load(...)."
    )
    model = recurnn.LanguageModel()
    for call in (model.generate, model.search, lambda: model.fill("a __"), model.guesses):
        assert message(NotFittedError, call) == text
    assert message(NotFittedError, model.save, "/nowhere/at/all") == text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"temperature": 0},
         "temperature is 0; expected a number above 0.\n"
         "  For the likeliest token each time give top_k=1."),
        ({"top_k": 0}, "top_k is 0; expected a whole number from 1, or None."),
        ({"top_p": 1.5}, "top_p is 1.5; expected above 0 and up to 1, or None."),
        ({"length": 0}, "length is 0; expected a whole number of at least 1."),
        ({"samples": 0}, "samples is 0; expected a whole number of at least 1."),
    ],
)  # fmt: skip
def test_how_it_writes(fitted, options, text):
    assert message(ConfigError, fitted.generate, "to", **options) == text


def test_how_it_fills(fitted, both):
    assert message(ConfigError, fitted.fill, "a __", candidates=0) == (
        "candidates is 0; expected a whole number of at least 1."
    )
    assert message(ConfigError, fitted.fill, "a __", by="right") == (
        "by: there is no 'right'.\n  Known: whole, left, ngram."
    )
    assert message(ConfigError, both.generate) == (
        "A model that guesses from both sides cannot be made to write.\n"
        "  It fills gaps: fill(...), `recurnn lm fill`. For the rest train one with "
        'context="left".'
    )


def test_two_vocabularies(fitted, both):
    same_vocabulary(fitted.tokenizer, both.tokenizer)
    other = recurnn.LanguageModel(ngram=0, **SMALL).fit(Texts.of("something else again. " * 20))
    assert message(ConfigError, same_vocabulary, fitted.tokenizer, other.tokenizer) == (
        "The two models do not share a vocabulary.\n"
        "  One has 17 characters, the other 15 characters, made from another text or in another "
        "way: their probabilities of a token cannot be compared.\n"
        "  Train both on the same text with the same unit and vocabulary."
    )


def edit(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_folders(saved, tmp_path):
    load = recurnn.LanguageModel.load
    assert message(ModelFolderError, load, tmp_path / "no") == (
        f"There is no model folder {tmp_path / 'no'}.\n"
        "  Expected the folder that `--out` or `save` wrote. Mend the name, or train first."
    )
    tokenizer = saved / "tokenizer.json"
    kept = tokenizer.read_bytes()
    tokenizer.write_bytes(kept.replace(b"b", b"c", 1))
    assert message(ModelFolderError, load, saved) == (
        f"{tokenizer} is damaged: it is not the file that the model was written with.\n"
        "  Copy the folder again, or train again."
    )
    tokenizer.unlink()
    assert message(ModelFolderError, load, saved) == (
        f"{saved}: the tokenizer is missing.\n"
        "  There is no tokenizer.json. Copy the whole folder, or train again."
    )
    tokenizer.write_bytes(kept)
    options = json.loads((saved / "config.json").read_text())["options"]
    edit(saved, options=options | {"hidden_size": 5})
    assert message(ModelFolderError, load, saved).startswith(
        f"{saved}: the config and the weights do not make a model.\n"
    )
    edit(saved, options=options | {"num_layers": 2})
    assert "weights differ: ['reader.layers.1.cell.U_f'" in message(ModelFolderError, load, saved)
    edit(saved, options=options)
    (saved / "ngram.npz").unlink()
    assert message(ModelFolderError, load, saved) == f"There is no n-gram model {saved}/ngram.npz."
    with pytest.raises(ModelFolderError, match="already holds a model"):
        recurnn.LanguageModel.save(recurnn.LanguageModel(**SMALL).fit(Texts.of(TEXT)), saved)


def row(model: str, nats: float, *, recurrent: bool = False) -> TextRow:
    return TextRow(model, 1.0, 1.0, nats, 1.0, 1, 1.0, recurrent)


def test_verdicts():
    network = row("LSTM", 1.5, recurrent=True)
    assert verdict([network, row("5-gram", 1.6)], "test") == (
        "The LSTM is better than the 5-gram: 1.500 nats a character on the test part, 1.600."
    )
    assert verdict([row("5-gram", 1.4), network], "test") == (
        "The LSTM is worse than the 5-gram: 1.500 nats a character on the test part, 1.400. "
        "Use that instead."
    )
    assert verdict([row("5-gram", 1.505), network], "validation") == (
        "The LSTM is no better than the 5-gram: 1.500 nats a character on the validation part, "
        "1.505. Use that."
    )
    assert verdict([network], "test") == ""
    gaps = [GapRow("LSTM", 0.1, 0.2, 2.0, 9, recurrent=True), GapRow("5-gram", 0.1, 0.2, 3.0, 9)]
    assert verdict(gaps, "test") == (
        "The LSTM is better than the 5-gram: 2.000 nats a gap on the test part, 3.000."
    )


def test_a_text_in_the_place_of_a_file():
    for text in ("to be or not", "to be or not " * 1000):
        said = message(DataError, recurnn.LanguageModel(**SMALL).fit, text)
        assert said.endswith(
            "there is no such file.\n  A text itself is recurnn.data.text.Texts.of(text)."
        )
        assert len(said) < 200
