"""``recurnn generate``: what it prints and writes, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_translate_command import failing, run

FEW = ["--hidden-size", "8", "--embedding-size", "8", "--epochs", "2"]


@pytest.fixture(scope="module")
def names(tmp_path_factory) -> Path:
    file, random = tmp_path_factory.mktemp("names") / "names.tsv", np.random.default_rng(0)
    rows = {"".join(random.choice([*"abcd"], 4)) for _ in range(90)}
    file.write_text("".join(f"{name}\t{'A' if 'a' in name else 'B'}\n" for name in sorted(rows)))
    return file


@pytest.fixture(scope="module")
def strokes(tmp_path_factory) -> Path:
    file, random = tmp_path_factory.mktemp("strokes") / "strokes.jsonl", np.random.default_rng(0)
    with file.open("w") as out:
        for k in range(60):
            points = random.normal(size=(int(random.integers(3, 6)), 2)).round(3) + k % 2
            out.write(json.dumps({"label": k % 2, "points": points.tolist()}) + "\n")
    return file


@pytest.fixture(scope="module")
def model(names, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "m"
    out.with_suffix(".log").write_text(run("generate", "train", names, "--out", out, *FEW))
    return out


def test_training_on_names(model, names):
    printed = model.with_suffix(".log").read_text()
    assert "target is column 1, condition is column 2" in printed
    assert "From 2 classes to characters (V = 6)" in printed
    for name in ("nats a token", "5-gram by class", "5-gram of all", "train s"):
        assert name in printed
    assert {f.name for f in model.iterdir()} == {
        "model.safetensors", "config.json", "history.csv", "comparison.csv", "curve.png",
        "reading.json",
    }  # fmt: skip
    assert "nats a token" in run("generate", "eval", model, names)


def test_drawing_names(model, names, tmp_path):
    said = run("generate", "predict", model, "--condition", "A", "--condition", "B", "--samples", 2)
    assert [line.split(",")[0] for line in said.splitlines()] == ["condition", "A", "A", "B", "B"]
    out = tmp_path / "drawn.csv"
    run("generate", "predict", model, names, "--condition", "2", "--out", out)
    assert len(pd.read_csv(out)) == len(names.read_text().splitlines())


def test_strokes(strokes, tmp_path):
    printed = run("generate", "train", strokes, "--out", tmp_path / "m", *FEW)
    assert "From 2 classes to points of 2 channels" in printed
    assert "mean step by class" in printed
    assert (tmp_path / "m" / "points.png").read_bytes()[:4] == b"\x89PNG"
    said = run("generate", "predict", tmp_path / "m", "--condition", "1", "--temperature", "0")
    assert len(json.loads(said.splitlines()[1].split(",", 1)[1].strip('"'))[0]) == 2
    looked = run("inspect", tmp_path / "m", "--data", strokes, "--rows", 4)
    assert "network.layers.0" in looked


def test_vectors(tmp_path):
    file = tmp_path / "v.csv"
    rows = [f"{k / 40},{k % 2},{'low' if k < 20 else 'high'}" for k in range(40)]
    file.write_text("\n".join(["a,b,text", *rows]))
    options = ["--condition", "a", "--condition", "b", *FEW]
    printed = run("generate", "train", file, "--out", tmp_path / "m", *options)
    assert "From 2 numbers to characters" in printed
    for how in (options[:4], []):  # the columns are kept
        said = run("generate", "predict", tmp_path / "m", file, *how)
        assert len(said.splitlines()) == 41
    told = run("generate", "eval", tmp_path / "m", file)
    assert "target is text, condition 1 is a, condition 2 is b" in " ".join(told.split())


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["predict", "MODEL"], "There is nothing to begin from."),
        (["predict", "MODEL", "--condition", "C"], "X[0] is 'C', a class that the model was not "
                                                   "fitted on.\n  It knows 2: A, B."),
        (["predict", "MODEL", "--condition", "A", "--samples", "0"], "samples is 0"),
        (["predict", "MODEL", "--condition", "A", "--temperature", "-1"], "temperature is -1"),
        (["train", "DATA", "--condition", "1", "--condition", "2", "--target", "1", "--out", "m"],
         "names.tsv, line 1: a condition of several numbers is of numbers alone."),
        (["train", "DATA", "--out", "MODEL"], "already holds a model"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(model, names, capsys, monkeypatch, tmp_path, command, text):
    monkeypatch.chdir(tmp_path)
    at = {"MODEL": model, "DATA": names}
    assert text in failing(capsys, "generate", *(at.get(word, word) for word in command))
    assert not (tmp_path / "m").exists()


@pytest.fixture(scope="module")
def captions(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("captions")
    random = np.random.default_rng(0)
    with (folder / "captions.jsonl").open("w") as out:
        for k in range(60):
            features = (np.eye(3)[k % 3] + random.normal(0, 0.05, 3)).round(3).tolist()
            text = f"a {['red', 'green', 'blue'][k % 3]} ball"
            out.write(json.dumps({"features": features, "caption": text}) + "\n")
    run("generate", "train", folder / "captions.jsonl", "--out", folder / "m", *FEW[:-1], 30,
        "--learning-rate", 0.02, "--temperature", 0)  # fmt: skip
    return folder


def test_captions_of_vectors(captions):
    said = run("generate", "predict", captions / "m", "--condition", "0,1,0", "--condition",
               "1,0,0")  # fmt: skip
    assert [line.rpartition(",")[2] for line in said.splitlines()] == [
        "sequence", "a green ball", "a red ball",
    ]  # fmt: skip
    drawn = run("generate", "predict", captions / "m", captions / "captions.jsonl").splitlines()
    assert len(drawn) == 61
    assert drawn[3].endswith("a blue ball")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [[1, 2], [3]],
            "{file}, line 2: the condition has 1 number.\n  The first one has 2.",
        ),
        (
            [[1, 2], [3, "x"]],
            "{file}, line 2: a condition of several numbers is of numbers alone.\n  It has 3, x.",
        ),
    ],
)
def test_vectors_that_cannot_be_used(tmp_path, capsys, rows, message):
    file = tmp_path / "f.jsonl"
    file.write_text("".join(f'{{"vector": {json.dumps(v)}, "text": "a"}}\n' for v in rows))
    said = failing(capsys, "generate", "train", file, "--out", tmp_path / "m")
    assert message.format(file=file) in said
    assert not (tmp_path / "m").exists()


def test_a_condition_that_is_no_vector(captions, capsys):
    said = failing(capsys, "generate", "predict", captions / "m", "--condition", "red")
    assert "--condition 'red' is not a vector of numbers.\n  The model was trained on" in said


def test_what_is_wrong_is_named_by_its_line(tmp_path, capsys):
    file, out = tmp_path / "points.jsonl", tmp_path / "model"
    rows = [f'{{"x": [[1, {k}], [3, 4]], "y": "{"ab"[k % 2]}"}}\n' for k in range(20)]
    file.write_text("".join([*rows[:7], '{"x": [[1, 2, 3]], "y": "a"}\n', *rows[8:]]))
    said = failing(capsys, "generate", "train", file, "--out", out)
    assert said == (
        f"error: {file}, line 8 does not fit the others.\n  Its points have C = 3; those of "
        f"{file}, line 1 have C = 2.\n"
    )
    file.write_text("".join([*rows[:7], '{"x": [[1, 2], [3]], "y": "a"}\n', *rows[8:]]))
    said = failing(capsys, "generate", "train", file, "--out", out)
    assert said == (
        f"error: {file}, line 8 does not hold numbers.\n  Step 1 has 1 number; step 0 has 2.\n"
    )
    file.write_text("".join([*rows[:7], '{"x": [[1, 2]] , "y": "a"}\n', *rows[8:]]))
    said = failing(capsys, "generate", "train", file, "--max-length", 1, "--out", out)
    assert said.startswith(f"error: {file}, line 1 is too long.\n  It has 2 points")
    assert not out.exists()


def test_texts_that_are_too_long_and_new_classes_are_named_by_their_line(tmp_path, capsys):
    file, out, other = tmp_path / "names.tsv", tmp_path / "model", tmp_path / "other.tsv"
    file.write_text("".join(f"{k:0{2 + k % 2 * 2}d}\t{'xy'[k % 2]}\n" for k in range(30)))
    said = failing(capsys, "generate", "train", file, "--max-length", 3, "--out", out)
    assert said == (
        f"error: {file}, line 2 is too long.\n  It has 4 tokens; max_length is 3.\n  Leave it "
        "out, or raise max_length.\n"
    )
    run("generate", "train", file, "--epochs", 1, "--hidden-size", 4, "--out", out)
    other.write_text("ab\tx\nba\tz\n")
    said = failing(capsys, "generate", "eval", out, other)
    assert said == (
        f"error: {other}, line 2 has the class 'z', which is not trained on.\n  There are: x, y.\n"
    )
    assert "train s" not in run("generate", "eval", out, file)  # nothing was trained


def test_a_file_to_test_on(names, tmp_path, capsys):
    other = tmp_path / "other.tsv"
    other.write_text("abcd\tA\nbbcd\tB\nabba\tA\n")
    out = tmp_path / "m"
    said = run("generate", "train", names, "--test", other, "--out", out, *FEW)
    many = len(names.read_text().splitlines())
    assert f"{many} sequences to train on, 3 to test on" in said
    assert "Test part, 3 sequences" in said
    other.write_text("abcd\tA\nbbcd\tC\n")
    said = failing(capsys, "generate", "train", names, "--test", other, "--out", tmp_path / "new")
    assert (
        f"{other}, line 2 has the class 'C', which is not trained on.\n  There are: A, B." in said
    )
    said = failing(
        capsys, "generate", "train", names, "--test", "no.tsv", "--out", tmp_path / "new"
    )
    assert "test is 'no.tsv', and there is no such file.\n  Expected a file, or a share" in said
    assert not (tmp_path / "new").exists()


def test_a_file_to_test_on_of_another_kind(strokes, names, captions, tmp_path, capsys):
    other, out = tmp_path / "other.jsonl", ["--out", tmp_path / "m"]
    for line, data, told in (
        ({"label": 0, "points": [[1, 2, 3]]}, strokes,
         "It has points of 3 numbers of classes; expected points of 2 numbers of classes."),
        ({"label": 0, "points": "ab"}, strokes,
         "It has texts of classes; expected points of 2 numbers of classes."),
        ({"features": [1, 2], "caption": "a"}, captions / "captions.jsonl",
         "It has texts of vectors of 2; expected texts of vectors of 3."),
    ):  # fmt: skip
        other.write_text(json.dumps(line) + "\n")
        said = failing(capsys, "generate", "train", data, "--test", other, *out)
        assert f"{other}: it does not fit what is trained on.\n  {told}" in said
    other = tmp_path / "other.tsv"
    other.write_text("ab\tA\nabcdefghi\tA\n")
    said = failing(capsys, "generate", "train", names, "--test", other, "--max-length", 5, *out)
    assert f"{other}, line 2 is too long.\n  It has 9 tokens; max_length is 5." in said
    assert not (tmp_path / "m").exists()
