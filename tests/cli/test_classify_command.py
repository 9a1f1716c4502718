"""``recurnn classify``: what it prints and writes, and its exit status."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import failing, run
from recurnn.models import SequenceClassifier, SequenceRegressor
from recurnn.models.sequence_loading import load_sequence_model

FEW = ["--hidden-size", "4", "--epochs", "2"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    """Words of a and b, or of c and d, with their class; no header."""
    random = np.random.default_rng(0)
    rows = [
        "".join(random.choice(list("ab" if i % 2 else "cd"), 5)) + f"\t{'low' if i % 2 else 'up'}"
        for i in range(60)
    ]
    file = tmp_path_factory.mktemp("texts") / "words.tsv"
    file.write_text("\n".join(rows) + "\n")
    return file


@pytest.fixture(scope="module")
def trained(texts, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "m"
    more = ["--learning-rate", "0.05", "--epochs", "8", "--hidden-size", "4"]
    out.with_suffix(".log").write_text(run("classify", "train", texts, "--out", out, *more))
    return out


def test_training_prints_what_it_found_and_writes_a_folder(trained):
    printed = trained.with_suffix(".log").read_text()
    for part in (
        "- columns separated by tabs; the first line is taken as data",
        "- column 'column 2' was taken as the label", "- column 'column 1' taken as the sequence",
        "48 sequences to train, 12 to test", "2 classes, low, up", "→ LSTM",
        "logistic regression, bag of tokens", "most frequent class", "macro F1",
        "True class (row)", f"recurnn classify predict {trained}",
    ):  # fmt: skip
        assert part in printed, part
    assert sorted(f.name for f in trained.iterdir()) == [
        "comparison.csv", "config.json", "confusion.csv", "confusion.png", "curve.png",
        "history.csv", "model.safetensors", "predictions.csv", "reading.json",
    ]  # fmt: skip
    told = pd.read_csv(trained / "predictions.csv")
    assert list(told) == ["at", "true", "predicted", "probability"]
    counts = pd.read_csv(trained / "confusion.csv", index_col=0)
    assert counts.to_numpy().sum() == len(told) == 12
    right = (told.true == told.predicted).mean()
    assert np.diag(counts).sum() / 12 == right
    table = pd.read_csv(trained / "comparison.csv").set_index("model")
    assert table.loc["LSTM", "accuracy"] == pytest.approx(right)


def test_eval_and_predict_agree_with_the_model(trained, texts, tmp_path):
    model = load_sequence_model(trained)
    assert isinstance(model, SequenceClassifier)
    rows = [line.split("\t") for line in texts.read_text().splitlines()]
    x, y = [r[0] for r in rows], [r[1] for r in rows]
    assert f"{model.score(x, y):.1%}" in run("classify", "eval", trained, texts)
    out = tmp_path / "p.csv"
    assert "Wrote 60 rows" in run(
        "classify", "predict", trained, texts, "--probabilities", "--out", out
    )
    told = pd.read_csv(out)
    assert told.predicted.tolist() == model.predict(x).tolist()
    assert told.true.tolist() == y
    np.testing.assert_allclose(told[["p(low)", "p(up)"]], model.predict_proba(x), rtol=1e-6)
    np.testing.assert_allclose(told.probability, model.predict_proba(x).max(1), rtol=1e-6)
    bare = tmp_path / "bare.txt"
    bare.write_text("abab\ncdcd\n")
    printed = run("classify", "predict", trained, bare)
    assert printed.splitlines()[0] == "at,predicted,probability"
    assert [line.split(",")[:2] for line in printed.splitlines()[1:]] == [
        ["line 1", str(model.predict(["abab"])[0])], ["line 2", str(model.predict(["cdcd"])[0])],
    ]  # fmt: skip


def test_a_file_of_its_own_to_test_on(texts, tmp_path):
    printed = run("classify", "train", texts, "--test", texts, "--out", tmp_path / "m", *FEW)
    assert "60 sequences to train, 60 to test" in printed


def test_archives_with_parts_and_conditions(tmp_path):
    random = np.random.default_rng(0)
    np.savez(
        tmp_path / "a.npz", train_x=random.normal(size=(20, 5, 2)), train_y=[0, 1] * 10,
        test_x=random.normal(size=(6, 5, 2)), test_y=[0, 1] * 3, labels=["no", "yes"],
    )  # fmt: skip
    out = tmp_path / "m"
    assert "20 sequences to train, 6 to test" in run(
        "classify", "train", tmp_path / "a.npz", "--out", out, *FEW
    )
    assert "Test part, 6 sequences" in run("classify", "eval", out, tmp_path / "a.npz")
    assert "Test part, 20 sequences" in run(
        "classify", "eval", out, tmp_path / "a.npz", "--part", "train"
    )
    assert len(run("classify", "predict", out, tmp_path / "a.npz").splitlines()) == 1 + 26
    np.savez(tmp_path / "b.npz", x=random.normal(size=(20, 5)), digit=[0, 1] * 10, take=range(20))
    printed = run("classify",
        "train", tmp_path / "b.npz", "--label", "digit", "--test", "take<4", "--out", out,
        "--overwrite", *FEW,
    )  # fmt: skip
    assert "tested on: take<4: 16 sequences to train, 4 to test" in printed


def test_numbers_are_learned_as_numbers(tmp_path):
    random = np.random.default_rng(1)
    frame = pd.DataFrame(random.normal(size=(60, 4)), columns=list("abcd"))
    frame["target"] = frame[["a", "b"]].sum(axis=1)
    frame.to_csv(tmp_path / "n.csv", index=False)
    out = tmp_path / "m"
    printed = run("classify", "train", tmp_path / "n.csv", "--out", out, *FEW)
    assert "the label holds numbers: they are learned as such" in printed
    assert "ridge regression, resampled" in printed
    assert "R²" in printed
    model = load_sequence_model(out)
    assert isinstance(model, SequenceRegressor)
    told = pd.read_csv(out / "predictions.csv")
    assert list(told) == ["at", "true", "predicted"]
    at = [int(place.split()[1]) - 2 for place in told["at"]]
    np.testing.assert_allclose(told.true, frame.target[at])
    x = list(frame[list("abcd")].to_numpy()[at])
    np.testing.assert_allclose(told.predicted, model.predict(x), rtol=1e-5)


def test_without_a_file_it_learns_digits(tmp_path):
    printed = run(
        "classify", "train", "--out", tmp_path / "m", "--hidden-size", "4", "--epochs", "0"
    )
    assert "1,797 handwritten digits" in printed
    assert "10 classes, 0, 1, 2, 3, 4, …" in printed


def test_errors_name_the_line_and_leave_nothing(texts, trained, tmp_path, capsys):
    bad = tmp_path / "bad.tsv"
    bad.write_text(texts.read_text() + "abc\tnew\n")
    assert failing(capsys, "classify", "eval", trained, bad) == (
        f"error: {bad}: the sequence at line 61 has the class 'new', which the training part "
        "has not.\n  It has: low, up.\n"
    )
    csv = tmp_path / "nan.csv"
    csv.write_text("1,2,3,a\n1,,3,b\n1,2,4,a\n1,2,3,b\n")
    out = tmp_path / "never"
    assert failing(capsys, "classify", "train", csv, "--test", "2", "--out", out).startswith(
        f"error: {csv}: the sequence at line 2 holds what is not a finite number.\n  Step 1"
    )
    assert not out.exists()
    text = failing(capsys, "classify", "train", texts, "--max-length", "3", "--out", out)
    assert "is too long.\n  It has 5 steps; max_length is 3." in text
    assert "line" in text
    assert failing(capsys, "classify", "train", texts, "--out", trained).startswith(
        f"error: {trained} already holds a model.\n"
    )
    assert failing(capsys, "classify", "train", texts, "--pooling", "sum", "--out", out).startswith(
        "error: pooling: there is no 'sum'."
    )
    for test in ("100", "1.5"):
        assert "expected a share between 0 and 1, or a whole number of" in failing(
            capsys, "classify", "train", texts, "--test", test, "--out", out
        )
    assert failing(capsys, "classify", "train", texts, "--test", "no.csv", "--out", out) == (
        "error: test is 'no.csv', and there is no such file.\n  Expected a file, a condition on a "
        "column (take<5), a share or a number.\n"
    )
    assert failing(capsys, "classify", "train", texts, "--regress", "--out", out) == (
        f"error: {texts}: the sequence at line 1 has the label 'up', which is no number.\n  "
        "Numbers are learned from numbers. Mend it, name another column (--label), or learn "
        "classes (--classes).\n"
    )
    assert failing(capsys, "classify", "train", texts, "--width", "2", "--out", out).startswith(
        f"error: width is 2, but {texts} has texts in column "
    )
    existing = tmp_path / "there.csv"
    existing.write_text("")
    assert failing(capsys, "classify", "predict", trained, texts, "--out", existing).startswith(
        f"error: {existing} exists."
    )
    assert "is not a model folder" in failing(capsys, "classify", "eval", tmp_path, texts)


def test_parts_that_cannot_be(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", x=np.ones((4, 3)), y=[0, 1, 0, 1], take=[1, 2, 3, 4])
    assert failing(
        capsys, "classify", "train", tmp_path / "a.npz", "--test", "take>9", "--out", tmp_path / "m"
    ) == (
        f"error: {tmp_path / 'a.npz'}: nothing would be tested on.\n  Of 4 sequences 0 are in the "
        "test part (tested on: take>9).\n"
    )
