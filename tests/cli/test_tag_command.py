"""``recurnn tag``: what it prints and writes, and its exit status."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import failing, run
from recurnn.models import SequenceTagger

FEW = ["--hidden-size", "6", "--embedding-size", "6", "--letter-size", "4", "--epochs", "3"]


@pytest.fixture(scope="module")
def conll(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("tags") / "words.tsv"
    sentences = ["the\tDET\tD\nsea\tNOUN\tN\nrises\tVERB\tV", "a\tDET\tD\nrain\tNOUN\tN"] * 20
    file.write_text("\n\n".join(sentences) + "\n")
    return file


@pytest.fixture(scope="module")
def trained(conll, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "m"
    printed = run(
        "tag", "train", conll, "--label", "2", "--out", out, "--learning-rate", "0.05", *FEW
    )
    out.with_suffix(".log").write_text(printed)
    return out


def test_training_prints_what_it_found_and_writes_a_folder(trained):
    printed = trained.with_suffix(".log").read_text()
    for part in (
        "- 3 columns: the word in column 1, its tag in column 2",
        "32 sequences to train, 8 to test", "3 tags a step: DET, NOUN, VERB", "→ LSTM",
        "most frequent tag of the word", "all right", f"recurnn tag predict {trained}",
    ):  # fmt: skip
        assert part in printed, part
    assert sorted(f.name for f in trained.iterdir()) == [
        "comparison.csv", "config.json", "confusion.csv", "confusion.png", "curve.png",
        "history.csv", "model.safetensors", "predictions.csv", "reading.json",
    ]  # fmt: skip
    told = pd.read_csv(trained / "predictions.csv")
    assert list(told) == ["sequence", "step", "value", "true", "predicted"]
    table = pd.read_csv(trained / "comparison.csv").set_index("model")
    assert table.loc["LSTM", "accuracy"] == pytest.approx((told.true == told.predicted).mean())
    counts = pd.read_csv(trained / "confusion.csv", index_col=0)
    assert counts.to_numpy().sum() == len(told)


def test_eval_and_predict_agree_with_the_model(trained, conll, tmp_path):
    model = SequenceTagger.load(trained)
    x = [["the", "sea", "rises"], ["a", "rain"]] * 20
    y = [["DET", "NOUN", "VERB"], ["DET", "NOUN"]] * 20
    assert f"{model.score(x, y):.1%}" in run("tag", "eval", trained, conll)
    expected = "\n\n".join(
        "\n".join(f"{w}\t{t}" for w, t in zip(words, tags, strict=True))
        for words, tags in zip(x, model.predict(x), strict=True)
    )
    assert run("tag", "predict", trained, conll).rstrip().endswith(expected)
    bare = tmp_path / "bare.txt"
    bare.write_text("the\nrain\n")
    out = tmp_path / "told.tsv"
    assert "Wrote 1 sequence to" in run("tag", "predict", trained, bare, "--out", out)
    told = model.predict([["the", "rain"]])[0]
    assert out.read_text() == f"the\t{told[0]}\nrain\t{told[1]}\n"


def test_frames_and_a_file_of_its_own_to_test_on(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"id": np.repeat(range(30), 5), "t": [0, 1, 2, 3, 4] * 30})
    frame["a"], frame["b"] = random.normal(size=(2, 150))
    frame["tag"] = np.where(frame.a > 0, "up", "down")
    file = tmp_path / "f.csv"
    frame.to_csv(file, index=False)
    printed = run("tag", "train", file, "--test", file, "--out", tmp_path / "m", "--crf", *FEW)
    for part in ("30 sequences to train, 30 to test", "2 channels", "window MLP", "(CRF)"):
        assert part in printed
    first = run("tag", "predict", tmp_path / "m", file).split("\n\n")[0].splitlines()
    assert next(line.split("\t")[0] for line in first if "\t" in line) == (
        f"{np.float32(frame.a[0]):g} {np.float32(frame.b[0]):g}"
    )


def test_errors_name_the_line_and_leave_nothing(trained, conll, tmp_path, capsys):
    bad = tmp_path / "bad.tsv"
    bad.write_text("the\tDET\tD\n\nsea\tNEW\tN\n")
    assert failing(capsys, "tag", "eval", trained, bad) == (
        f"error: {bad}: the sequence at line 3, step 1, has the tag 'NEW', which the model was not "
        "trained on.\n  It knows: DET, NOUN, VERB.\n"
    )
    bad.write_text("the\tDET\nsea\tNOUN\n")
    assert failing(capsys, "tag", "eval", trained, bad) == (
        f"error: {bad}: its lines have 2 columns; the model was trained on lines of 3.\n  There "
        "the word is column 1 and its tag column 2. Give such a file, or say what is where: "
        "--column and --label.\n"
    )
    run("tag", "eval", trained, bad, "--label", "2")
    out = tmp_path / "never"
    bad.write_text("the\tDET\tD\nsea\tN\n")
    assert failing(capsys, "tag", "train", bad, "--out", out).startswith(
        f"error: {bad}: line 2 has 2 columns, line 1 has 3 columns.\n"
    )
    assert "is too long" in failing(
        capsys, "tag", "train", conll, "--max-length", "2", "--out", out
    )
    assert not out.exists()
    assert failing(capsys, "tag", "train", conll, "--out", trained).startswith(
        f"error: {trained} already holds a model."
    )


def test_a_tag_of_the_test_part_alone_counts_as_wrong(conll, tmp_path):
    other = tmp_path / "other.tsv"
    other.write_text("the\tDET\tD\nsea\tNEW\tN\n")
    out = tmp_path / "m"
    printed = run("tag", "train", conll, "--label", "2", "--test", other, "--out", out, *FEW)
    assert "- tags of the test part alone, which count as wrong: NEW" in printed
    assert pd.read_csv(out / "confusion.csv", index_col=0).loc["NEW"].sum() == 1
