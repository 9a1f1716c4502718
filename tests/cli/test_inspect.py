"""``recurnn inspect``: a saved forecaster, cells side by side, and what it refuses."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recurnn
from commands import failing, run


@pytest.fixture(autouse=True)
def _reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["recurnn.scan"], "find_kernel", lambda *_, **__: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A forecaster of daily kW, and the file that it was made from."""
    t = np.arange(150)
    noise = np.random.default_rng(0).normal(scale=0.2, size=150)
    frame = pd.DataFrame({"day": pd.date_range("2023-01-01", periods=150)})
    frame["kW"] = 20 + 3 * np.sin(2 * np.pi * t / 7) + noise
    frame.to_csv(tmp_path / "load.csv", index=False)
    model = recurnn.Forecaster(
        horizon=3, context=12, patch=2, hidden_size=4, epochs=2, learning_rate=0.01
    )
    model.fit(frame, baselines=False).save(tmp_path / "model")
    rows = [["epoch", "loss", "validation_loss", "seconds"], [0, "", 1.5, 0], [1, 0.75, 1.25, 1]]
    with (tmp_path / "model" / "history.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path


def test_a_forecaster_with_data_gives_verdicts_a_page_and_figures(folder: Path) -> None:
    pytest.importorskip("plotly")
    out, figures = folder / "report.html", folder / "figures"
    text = run("inspect", folder / "model", "--data", folder / "load.csv", "--out", out,
               "--figures", figures, "--lag", 7)  # fmt: skip
    assert f"Wrote {out}" in text
    assert text.startswith(("layers.0 ", "Nothing wrong was found."))
    page = out.read_text(encoding="utf-8")
    for words in ("Inside kW: 3 steps ahead", "hidden size", "Gradient through time", "Training"):
        assert words in page
    names = {p.stem for p in figures.glob("*.csv")}
    assert names == {p.stem for p in figures.glob("*.png")}
    course = pd.read_csv(figures / "training.csv")
    assert course.groupby("line")["loss"].apply(list).to_dict() == {
        "training": [0.75], "validation": [1.5, 1.25],
    }  # fmt: skip
    hidden = pd.read_csv(figures / "reach-of-memory-the-input-hidden.csv")
    assert hidden["steps before the end"].tolist() == list(range(12))


def test_the_subject_of_a_forecaster_is_what_it_was_trained_on(folder: Path) -> None:
    model = recurnn.Forecaster.load(folder / "model")
    subject = model.subject(folder / "load.csv", rows=5, lag=7)
    assert subject.x.shape[:2] == (5, 12)
    assert subject.y.shape == (5, 3, 1)
    frame = pd.read_csv(folder / "load.csv")
    last = model.predict(frame.iloc[:-3])["kW"].to_numpy()
    scale = model._scaler
    said = scale.inverse(subject.predict().detach().double().numpy()[-1], series=0)[:, 0]
    np.testing.assert_allclose(said, last, rtol=1e-5)
    true = scale.inverse(subject.y.double().numpy()[-1], series=0)[:, 0]
    np.testing.assert_allclose(true, frame["kW"].to_numpy()[-3:], rtol=1e-5)
    want = (subject.predict() - subject.y).square().mean(dim=(1, 2))
    np.testing.assert_allclose(subject.losses().detach(), want.detach(), rtol=1e-6)
    assert subject.lag == 7
    with pytest.raises(recurnn.errors.ConfigError, match="rows is 0"):
        model.subject(folder / "load.csv", rows=0)


def test_cells_side_by_side(tmp_path: Path) -> None:
    text = run("inspect", "--compare", "elman", "lstm", "--steps", 8, "--updates", 2,
               "--figures", tmp_path / "f")  # fmt: skip
    lines = text.splitlines()
    assert lines[0].split("  ")[0] == "cell"
    assert [line.split("  ")[0] for line in lines[1:5]] == [
        "elman, clip 1", "elman, no clipping", "lstm, clip 1", "lstm, no clipping",
    ]  # fmt: skip
    assert lines[0].endswith("verdict")
    names = {p.stem for p in (tmp_path / "f").glob("*.png")}
    assert names == {
        "sigmoid-repeated", "gradient-against-lag", "gradient-before-training",
        "gradient-after-training-with-clipping", "gradient-after-training-without-clipping",
        "losses", "norms",
    }  # fmt: skip
    before = pd.read_csv(tmp_path / "f" / "gradient-before-training.csv")
    assert before.groupby("line").size().to_dict() == {"elman": 8, "lstm": 8}
    sweep = pd.read_csv(tmp_path / "f" / "gradient-against-lag.csv")
    assert sweep[sweep["line"] == "lstm"]["lag"].tolist() == [1, 2, 3, 4, 5, 7]
    (tmp_path / "f" / "losses.png").write_bytes(b"old")
    run("inspect", "--compare", "gru", "--steps", 8, "--updates", 1, "--figures", tmp_path / "f",
        "--overwrite")  # fmt: skip
    assert (tmp_path / "f" / "losses.png").read_bytes() != b"old"


def test_a_language_model_with_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("plotly")
    text = 'He said: "hold (on)" to me.\n' * 60
    (tmp_path / "t.txt").write_text(text)
    model = recurnn.LanguageModel(hidden_size=6, batch_size=4, steps=24, epochs=1)
    model.fit(tmp_path / "t.txt").save(tmp_path / "model")
    assert model.subject(tmp_path / "t.txt").steps == 24  # no more than training cut to
    shown = run("inspect", tmp_path / "model", "--data", tmp_path / "t.txt", "--rows", 3,
                "--steps", 20, "--lag", 5, "--unit", "h[2]", "--unit", "f",
                "--out", tmp_path / "r.html", "--figures", tmp_path / "f")  # fmt: skip
    assert "the task's lag is 5" in shown
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for words in ("Text by h[2] of ", "Text by f of ", "Text by contribution", "Units that follow"):
        assert words in page
    table = pd.read_csv(next((tmp_path / "f").glob("text-by-contribution.csv")))
    assert table.shape == (1, 33)  # a line of 32, 20 of them taken
    assert table.iloc[0, 1:].notna().sum() == 20
    told = failing(
        capsys, "inspect", tmp_path / "model", "--data", tmp_path / "t.txt", "--steps", 1
    )
    assert told.startswith("error: steps is 1; expected 2 or more.\n  A piece of one token has")


def test_gates_that_keep_start_open_or_as_usual(tmp_path: Path) -> None:
    shares = {}
    for start in ("chrono", "cell"):
        run("inspect", "--compare", "gru", "--steps", 30, "--updates", 1, "--start", start,
            "--figures", tmp_path / start)  # fmt: skip
        table = pd.read_csv(tmp_path / start / "gradient-before-training.csv")
        last = table[table["steps back from the loss"] == 29]
        shares[start] = last.set_index("line")["share of the gradient left"]
    assert (shares["chrono"] > 0.01).all()
    assert (shares["cell"] < 1e-4).all()
    told = run("inspect", "--compare", "elman", "--steps", 40, "--updates", 1,
               "--recurrent-scale", 6)  # fmt: skip
    assert [line.split()[-1] for line in told.splitlines()[1:]] == ["explodes", "explodes"]


def test_what_it_refuses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data, out = folder / "model", folder / "load.csv", folder / "r.html"
    other = folder / "other.csv"
    pd.DataFrame({"day": pd.date_range("2023", periods=40), "MW": range(40)}).to_csv(other)
    short = folder / "short.csv"
    pd.read_csv(data).iloc[:14].to_csv(short, index=False)
    (folder / "there.html").touch()
    old = folder / "old"
    old.mkdir()
    (old / "h.png").write_bytes(b"old")
    cases = {
        ("inspect", "--out", out): "error: inspect: 0 models.\n  Give one folder",
        ("inspect", model, "--out", out): "error: inspect: there are no data.\n",
        ("inspect", folder / "no", "--data", data): "error: There is no model folder",
        ("inspect", folder, "--data", data): "is not a model folder",
        ("inspect", model, model, "--data", data): "error: inspect: 2 models.",
        ("inspect", model, "--data", folder / "no.csv"): "there is no such file",
        ("inspect", model, "--data", other, "--out", out): "kW",
        ("inspect", model, "--data", short, "--out", out): "is too short for a single window",
        ("inspect", model, "--data", data, "--lag", 0): "error: Subject: lag is 0",
        ("inspect", model, "--data", data, "--lag", 12): "lag is 12, but the rows have 12 steps.\n",
        ("inspect", model, "--data", data, "--steps", 9): "rows have its context, 12 steps.\n",
        (
            "inspect",
            model,
            "--data",
            data,
            "--unit",
            "h[4]",
            "--figures",
            folder / "figs",
        ): "error: layers.0: h has no unit 4.\n  It has the units 0 to 3.",
        ("inspect", model, "--data", data, "--unit", "rnn:h"): "Known: layers.0.",
        ("inspect", model, "--data", data, "--out", folder / "there.html"): "exists.\n",
        ("inspect", "--compare", "elman", "lstn"): "Did you mean 'lstm'?",
        ("inspect", "--compare", "gru", "gru"): "gru comes twice.\n  Name every cell once.",
        ("inspect", "--compare", "gru", "--figures", data): "load.csv is a file; figures need a",
        ("inspect", model, "--data", data, "--figures", data / "in"): "load.csv is a file",
        (
            "inspect",
            model,
            "--data",
            data,
            "--figures",
            old,
        ): f"{old} already holds figures: h.png.\n"
        "  Nothing was written. Give another folder, or allow overwriting (--overwrite, ",
        ("inspect", "--compare", "gru", "--figures", old): "already holds figures: h.png.\n",
        ("inspect", model, "--data", data, "--out", folder / "r.pdf"): "ends in .html or .htm.",
        ("inspect", "--compare", "gru", "--steps", 0): "problem: 0 steps; it needs at least 2.",
        (
            "inspect",
            "--compare",
            "gru",
            "--unit",
            "h[3]",
        ): "--unit: --compare makes its data itself",
        ("inspect", "--compare", "gru", "--rows", 32): "--rows: --compare makes its data itself",
        ("inspect", "--compare", "gru", "--data", data): "--data: --compare makes its data itself",
        (
            "inspect",
            model,
            "--data",
            data,
            "--recurrent-scale",
            1.0,
        ): "error: --recurrent-scale: it "
        "is for the cells that --compare trains.\n  Leave it out.\n",
        ("inspect", model, "--data", data, "--seed", 0): "error: --seed: it is for the cells",
    }
    for arguments, text in cases.items():
        assert text in failing(capsys, *arguments), arguments
    assert not out.exists()
    assert not (folder / "figs").exists()
    assert (old / "h.png").read_bytes() == b"old"
    (model / "history.csv").write_text("epoch,loss\n1,much\n")
    text = failing(capsys, "inspect", model, "--data", data, "--out", out)
    assert "is not the history of a training" in text
    assert not out.exists()
