"""Every message of the models of pairs, by its text."""

from __future__ import annotations

import json

import pytest

import recurnn
from recurnn.data.pairs import SOURCE, TARGET, read_rows, roles
from recurnn.errors import (
    ConfigError,
    DataError,
    ModelFolderError,
    NotFittedError,
    RecurnnError,
    ShapeError,
)
from recurnn.models.seq2seq import scores

X, Y = ["ab", "ba", "b"], ["AB", "BA", "B"]
SMALL = {"hidden_size": 2, "embedding_size": 2, "epochs": 0, "validation": 0}


def message(kind: type[RecurnnError], call, *args, **options) -> str:
    with pytest.raises(kind) as caught:
        call(*args, **options)
    return str(caught.value)


@pytest.fixture(scope="module")
def fitted() -> recurnn.Seq2Seq:
    return recurnn.Seq2Seq(**SMALL).fit(X, Y)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"attention": "bahdanu"}, "attention: there is no 'bahdanu'.\n  Known: None, dot, "
                                   "general, bahdanau. Did you mean 'bahdanau'?"),
        ({"source": "word"}, "source: there is no 'word'.\n  Known: None, characters, words, bpe, "
                             "tokens. Did you mean 'words'?"),
        ({"beam": 0}, "beam is 0; expected a whole number of at least 1."),
        ({"vocabulary": 2}, "vocabulary is 2; expected a whole number of at least 3."),
        ({"scheduled_sampling": 1},
         "scheduled_sampling is 1; expected a share of at least 0 and below 1."),
        ({"length_penalty": -1}, "length_penalty is -1; expected a number of at least 0."),
        ({"copy": True, "attention": None},
         "copy needs attention: it says which word of the source is copied.\n  Give "
         "attention='general', or leave out copy."),
        ({"copy": True, "target": "bpe"},
         "copy has nothing to do with bpe: byte pairs spell every word.\n  Leave out copy."),
    ],
)  # fmt: skip
def test_options(options, text):
    assert message(ConfigError, recurnn.Seq2Seq, **options) == text


@pytest.mark.parametrize(
    ("x", "y", "kind", "text"),
    [
        ([], Y, DataError, "X is empty.\n  Give one text or more."),
        ("ab", Y, DataError, "X is of type str.\n  Expected a list of strings, or a list of lists "
                             "of strings."),
        ({"a": 1}, Y, DataError, "X is of type dict.\n  Expected a list of strings, or a list of "
                                 "lists of strings."),
        (["ab", " "], Y, DataError,
         "X[1] is empty.\n  A text has one token or more: leave it out."),
        (X, ["AB", None, "B"], DataError, "y[1] is None; expected a string, as y[0] is."),
        ([["a"], [3], ["b"]], Y, DataError,
         "X[1] is [3]; expected a list of strings, as X[0] is."),
        (X, Y[:2], ShapeError,
         "X and y must have the same number of texts.\n  X has 3; y has 2."),
    ],
)  # fmt: skip
def test_pairs_that_cannot_be_learned_from(x, y, kind, text):
    assert message(kind, recurnn.Seq2Seq(**SMALL).fit, x, y) == text


def test_a_text_that_is_too_long():
    model = recurnn.Seq2Seq(**SMALL, max_length=2)
    assert message(DataError, model.fit, X, ["AB", "BA", "BBB"]) == (
        "y[2] is too long.\n  It has 3 tokens; max_length is 2.\n"
        "  Leave it out, or raise max_length."
    )


def test_units_for_lists():
    assert message(ConfigError, recurnn.Seq2Seq(source="words").fit, [["a"]], ["b"]) == (
        "source is 'words', but the texts are lists of tokens.\n"
        "  Leave source out, or give strings."
    )


def test_before_it_is_fitted(fitted, tmp_path):
    text = "The Seq2Seq is not fitted yet.\n  Call fit(...) first, or Seq2Seq.load(...)."
    assert message(NotFittedError, recurnn.Seq2Seq().predict, X) == text
    fitted.save(tmp_path / "m")
    loaded = recurnn.Seq2Seq.load(tmp_path / "m")
    assert message(NotFittedError, loaded.compare, X, Y) == (
        "compare: a loaded model has no data to train baselines on.\n"
        "  Call it after fit(), or with baselines=False."
    )


def test_lists_to_a_model_of_texts(fitted):
    assert message(DataError, fitted.predict, [["a"]]) == (
        "X holds lists of tokens, but the model was fitted on texts.\n  Give strings."
    )


def test_a_map_without_attention():
    model = recurnn.Seq2Seq(**SMALL, attention=None).fit(X, Y)
    assert message(ConfigError, model.attend, "ab") == (
        "The model has no attention: it does not look back at its source.\n"
        "  Train one with attention='general'."
    )


def test_a_folder_that_was_changed(fitted, tmp_path):
    fitted.save(tmp_path / "m")
    file = tmp_path / "m" / "config.json"
    config = json.loads(file.read_text())
    config["facts"]["target"]["characters"].append("Q")
    file.write_text(json.dumps(config))
    assert message(ModelFolderError, recurnn.Seq2Seq.load, tmp_path / "m").startswith(
        f"{tmp_path / 'm'}: the config and the weights do not make a model.\n"
    )


def test_bleu_without_sacrebleu(monkeypatch):
    monkeypatch.setattr(scores, "has_bleu", lambda: False)
    assert message(ConfigError, scores.bleu, ["a"], [["a"]]) == (
        'BLEU needs sacrebleu, which is not installed.\n  pip install "recurnn[translate]"'
    )


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("p.doc", "a\tb\n", "{}: files of this kind (.doc) cannot be read.\n  Known: .tsv, .txt, "
                            ".csv, .parquet, .jsonl, .ndjson, .npz, .ts."),
        ("p.tsv", "", "{}: the file is empty."),
        ("p.csv", "source,target\n", "{}: there are column names but no rows.\n  Expected a row of "
         "values below them, or more. Is it the right file, and was it written to its end?"),
        ("p.tsv", "a\n", "{}: there is no column for the target.\n  Columns: 1. Expected 2 or "
                         "more."),
        ("p.tsv", "a\tb\n\tc\n", "{}, line 2: column 1 is empty.\n  Fill it, or leave the row "
                                 "out."),
        ("p.tsv", "a\tb\n\nc\t\n", "{}, line 3: column 2 is empty.\n  Fill it, or leave the row "
                                   "out."),
        ("p.csv", 'source,target\na,"b\nb"\nc,\n', "{}, line 4: column target is empty.\n  Fill "
                                                   "it, or leave the row out."),
        ("p.csv", "source,source\na,b\n", "{}: two columns are named 'source'.\n  Rename one of "
                                         "them."),
        ("p.jsonl", '{"source": "a", "target": ["b"]}\n',
         "{}, line 1: column target does not hold text.\n  It has a list there."),
        ("p.jsonl", "[1]\n", '{}: line 1 is a list, not a JSON object.\n  Expected one a line, '
                            'such as {{"text": "..."}}.'),
    ],
)  # fmt: skip
def test_files(tmp_path, name, content, text):
    file = tmp_path / name
    file.write_text(content)

    def read():
        rows = read_rows(file)
        found, _ = roles(rows, {"source": (None, SOURCE), "target": (None, TARGET)})
        return [rows.texts(found[part]) for part in found]

    assert message(DataError, read) == text.format(file)


def test_other_files(tmp_path):
    assert message(DataError, read_rows, tmp_path / "no.tsv") == (
        f"{tmp_path / 'no.tsv'}: there is no such file."
    )
    file = tmp_path / "p.jsonl"
    file.write_text("{\n")
    assert message(DataError, read_rows, file).startswith(f"{file}: line 1 is not JSON.\n  ")
    file = tmp_path / "ragged.tsv"
    file.write_text("a\tb\nc\td\te\n")
    assert message(DataError, read_rows, file).startswith(f"{file}: line 2 has 3 fields; line 1 ")
    file = tmp_path / "p.csv"
    file.write_text("en,fr\na,b\n")
    rows = read_rows(file)
    wanted = {"source": ("enn", SOURCE), "target": (None, TARGET)}
    assert message(DataError, roles, rows, wanted) == (
        f"{file}: there is no column 'enn'.\n  Columns: en, fr. Did you mean 'en'?"
    )


# The generator's.


def generator(**options: object) -> recurnn.SequenceGenerator:
    return recurnn.SequenceGenerator(**({"hidden_size": 2, "epochs": 0, "validation": 0} | options))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"target": "letters"}, "target: there is no 'letters'.\n  Known: None, characters, words, "
                                "bpe, tokens."),
        ({"components": 0}, "components is 0; expected a whole number of at least 1."),
        ({"validation": 2}, "validation is 2; expected a share of at least 0 and below 1."),
        ({"temperature": -1},
         "temperature is -1; expected a number of at least 0 (0: the likeliest each time)."),
    ],
)  # fmt: skip
def test_options_of_the_generator(options, text):
    assert message(ConfigError, generator, **options).startswith(text)


NAN = float("nan")


@pytest.mark.parametrize(
    ("x", "y", "kind", "text"),
    [
        ([], [], DataError, "X is [0]; expected [N] classes, or [N, F] numbers, N of 1 or more."),
        ([["a"]], ["x"], DataError,
         "X does not hold numbers; expected [N] classes, or [N, F] numbers."),
        ([[1.0], [NAN]], ["x", "y"], DataError,
         "X[1] holds what is not a finite number.\n  Number 0 is NaN. Fill it, or leave "
         "the sequence out."),
        (["a", None], ["x", "y"], DataError,
         "X[1] is None: it is missing.\n  Leave that sequence out."),
        (["a", "b"], ["x"], ShapeError,
         "X and y must have the same number of sequences.\n  X has 2; y has 1."),
        ([0, 1], [[[1.0]], [[1.0, 2.0]]], ShapeError,
         "y[1] does not fit the others.\n  Its points have C = 2; those of y[0] have C = 1."),
        ([0, 1], [[[1.0]], [[2.0], [NAN]]], DataError,
         "y[1] holds what is not a finite number.\n  Point 1 is [nan]. Fill it, or leave the "
         "sequence out."),
        ([0, 1], [[[1.0]], []], ShapeError,
         "y[1] is [0]; expected points [T, C], one or more of each."),
        ([0, 1], [[[1.0]], [["x"]]], DataError, "y[1] does not hold numbers.\n  "),
        ([0, 1], [[[1.0]], [[1.0]] * 3], DataError,
         "y[1] is too long.\n  It has 3 points; max_length is 2.\n  Leave it out, or raise "
         "max_length."),
    ],
)  # fmt: skip
def test_sequences_that_cannot_be_learned(x, y, kind, text):
    assert message(kind, generator(max_length=2).fit, x, y).startswith(text)


def test_what_does_not_fit_a_fitted_generator(tmp_path):
    text = generator().fit(["a", "b"], ["x", "y"])
    vectors = generator().fit([[1.0, 2.0]], [[[1.0, 2.0]]])
    assert message(DataError, text.predict, ["aa"]) == (
        "X[0] is 'aa', a class that the model was not fitted on.\n  It knows 2: a, b. Did you "
        "mean 'a'?"
    )
    assert message(ShapeError, text.predict, [[1.0]]) == (
        "The conditions do not fit the model.\n  They are [1, 1]; expected [N], a class each."
    )
    assert message(ShapeError, vectors.predict, [[1.0]]) == (
        "The conditions do not fit the model.\n  They are [1, 1]; expected [N, F] with F = 2."
    )
    assert message(DataError, vectors.score, [[1.0, 2.0]], ["x"]) == (
        "The sequences are not of the kind that the model was fitted on.\n"
        "  It was fitted on points."
    )
    assert message(ShapeError, vectors.score, [[1.0, 2.0]], [[[1.0]]]) == (
        "The points do not fit the model.\n  They have C = 1; it was fitted on points with C = 2."
    )
    text.save(tmp_path / "m")
    loaded = recurnn.SequenceGenerator.load(tmp_path / "m")
    assert message(NotFittedError, loaded.compare, ["a"], ["x"]).startswith(
        "compare: a loaded model has no data to train baselines on."
    )
    assert message(ModelFolderError, recurnn.Seq2Seq.load, tmp_path / "m").startswith(
        f"{tmp_path / 'm'} does not hold a recurnn-seq2seq model."
    )


@pytest.mark.parametrize(("x", "name"), [(5, "int"), (None, "NoneType"), ("ab", "str")])
def test_conditions_of_a_wrong_type(x, name):
    text = message(DataError, recurnn.SequenceGenerator(**SMALL).fit, x, Y)
    assert text == f"X is of type {name}.\n  Expected a list of classes, or numbers [N, F]."
