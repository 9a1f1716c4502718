"""``recurnn translate``: what it prints and writes, and its exit status."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import failing, run
from recurnn.cli.pair_plots import attention_map
from recurnn.data.text.words import MARK
from recurnn.subject import Attended

FEW = ["--hidden-size", "16", "--embedding-size", "8", "--epochs", "3", "--learning-rate", "0.02"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    file, draw = tmp_path_factory.mktemp("pairs") / "pairs.tsv", random.Random(0)
    words = ["".join(draw.choices("abc", k=draw.randint(2, 4))) for _ in range(120)]
    file.write_text("".join(f"{w}\t{' '.join(w.upper())}\n" for w in words))
    return file


@pytest.fixture(scope="module")
def model(pairs, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "m"
    printed = run("translate", "train", pairs, "--target-unit", "tokens", "--out", out, *FEW)
    out.with_suffix(".log").write_text(printed)
    return out


def test_training_prints_what_it_found_and_how_good_it_is(model, pairs):
    printed = model.with_suffix(".log").read_text()
    assert "pairs.tsv: source is column 1, target is column 2" in printed
    assert "pairs to train on" in printed
    assert "From characters (V = 5) to tokens (V = 5)" in printed
    for name in ("token errors", "nearest neighbour", "most frequent output", "train s"):
        assert name in printed
    names = {"model.safetensors", "config.json", "history.csv", "comparison.csv", "curve.png",
             "reading.json", "attention.png"}  # fmt: skip
    assert {f.name for f in model.iterdir()} == names
    assert len(pd.read_csv(model / "history.csv")) == 4


def test_evaluating_shows_some_pairs(model, pairs):
    printed = run("translate", "eval", model, pairs, "--shown", "2", "--beam", "1")
    assert "120 pairs" in " ".join(printed.split())  # the title breaks where the path is long
    assert printed.count("→") == 3


def test_further_files_are_read_as_the_first(pairs, tmp_path):
    rows = [line.split("\t") for line in pairs.read_text().splitlines()]
    file, out = tmp_path / "turned.tsv", tmp_path / "m"
    file.write_text("said\twritten\n" + "".join(f"{b}\t{a}\n" for a, b in rows))
    options = ["--header", "--source", "written", "--target", "said", *FEW]
    run("translate", "train", file, "--out", out, *options)
    printed = run("translate", "eval", out, file, "--shown", 0)
    assert "source is written, target is said" in " ".join(printed.split())
    found = tmp_path / "found.csv"
    run("translate", "predict", out, file, "--out", found)
    assert pd.read_csv(found)["source"].tolist() == [a for a, _ in rows]
    # what is not there is guessed, and what is named now counts more
    assert "source is column 1" in " ".join(run("translate", "eval", out, pairs, "--no-header",
                                                "--shown", 0).split())  # fmt: skip
    printed = run("translate", "eval", out, file, "--shown", 0, "--source", "said",
                  "--target", "written")  # fmt: skip
    assert "source is said" in " ".join(printed.split())


def test_predicting_texts_and_files(model, pairs, tmp_path):
    said = run("translate", "predict", model, "ab", "ca").splitlines()
    assert len(said) == 2
    out, picture = tmp_path / "said.csv", tmp_path / "map.png"
    run("translate", "predict", model, pairs, "--out", out, "--attention", picture)
    frame = pd.read_csv(out)
    assert frame.columns.tolist() == ["source", "target"]
    assert len(frame) == 120
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_nothing_is_written_over(model, pairs, capsys):
    assert "already holds a model" in failing(
        capsys, "translate", "train", pairs, "--out", model, *FEW
    )
    assert "exists." in failing(
        capsys, "translate", "predict", model, "ab", "--out", model / "config.json"
    )


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--attention", "luong"], "attention: there is no 'luong'."),
        (["--source", "9"], "there is no column '9'.\n  Columns: 1, 2."),
        (["--test", "1"], "test is 1; expected a share"),
        (["--test", "no.tsv"], "test is 'no.tsv', and there is no such file.\n  Expected a file"),
        (["--hidden-size", "x"], "--hidden-size is 'x'"),
        (["--resume"], "--resume needs to know from where"),
    ],
)
def test_what_cannot_be_is_said(pairs, tmp_path, capsys, more, text):
    out = tmp_path / "m"
    assert text in failing(capsys, "translate", "train", pairs, "--out", out, *more)
    assert not out.exists()


def test_nothing_to_translate(model, capsys):
    assert "There is nothing to translate." in failing(capsys, "translate", "predict", model)


def test_the_name_of_a_missing_file_is_not_translated(model, capsys):
    said = failing(capsys, "translate", "predict", model, "nosuch.tsv")
    assert said == (
        "error: nosuch.tsv: there is no such file.\n  To translate the name itself, give it beside "
        "another text.\n"
    )
    assert len(run("translate", "predict", model, "abc").splitlines()) == 1


def test_a_folder_that_is_missing_is_named_before_any_work(model, tmp_path, capsys):
    out = tmp_path / "nowhere" / "told.csv"
    said = failing(capsys, "translate", "predict", model, "abc", "--out", out)
    assert said == f"error: {out} cannot be written: there is no folder {out.parent}.\n"
    said = failing(capsys, "translate", "predict", model, "abc", "--attention", tmp_path)
    assert said == f"error: {tmp_path} is a folder.\n  Give the name of a file.\n"


def test_the_attention_map_of_words_needs_no_rare_font(tmp_path):
    # Warnings are errors: a mark that the font lacks would be one.
    attended = Attended(["Run", f"{MARK}."], ["Va", f"{MARK}!"], np.eye(2, dtype=np.float32))
    attention_map(tmp_path / "map.png", [attended])
    assert (tmp_path / "map.png").stat().st_size > 0


def test_pairs_that_are_too_long_or_one_column_are_named(pairs, tmp_path, capsys):
    out = tmp_path / "m"
    lengths = [len(line.split("\t")[0]) for line in pairs.read_text().splitlines()]
    line = next(k for k, length in enumerate(lengths, start=1) if length > 3)
    said = failing(capsys, "translate", "train", pairs, "--max-length", 3, "--out", out)
    assert said == (
        f"error: {pairs}, line {line} is too long.\n  It has 4 tokens; max_length is 3.\n"
        "  Leave it out, or raise max_length.\n"
    )
    said = failing(capsys, "translate", "train", pairs, "--target", 1, "--source", 1, "--out", out)
    assert said == (f"error: {pairs}: column 1 is both source and target.\n  Name two columns.\n")
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    said = failing(capsys, "translate", "train", empty, "--out", out)
    assert said == f"error: {empty}: the file is empty.\n"


def test_a_file_to_test_on(pairs, tmp_path):
    other, out = tmp_path / "other.tsv", tmp_path / "m"
    other.write_text("abc\tA B C\nab\tA B\n")
    options = ["--target-unit", "tokens", "--test", other, "--out", out, *FEW]
    said = run("translate", "train", pairs, *options)
    assert "120 pairs to train on, 2 to test on" in said
    assert "Test part, 2 pairs" in said


def test_a_file_to_test_on_with_a_text_that_is_too_long(pairs, tmp_path, capsys):
    other, out = tmp_path / "other.tsv", tmp_path / "m"
    other.write_text("abc\tA B C\nabcabcabc\tA B\n")
    options = ["--test", other, "--max-length", 8, "--out", out]
    said = failing(capsys, "translate", "train", pairs, "--target-unit", "tokens", *options)
    assert f"{other}, line 2 is too long." in said
    assert not out.exists()
