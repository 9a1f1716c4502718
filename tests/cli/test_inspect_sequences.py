"""``recurnn inspect`` of the models of sequences: their data as their own commands read them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import failing, run

FEW = ["--hidden-size", "4", "--epochs", "1", "--validation", "0"]


@pytest.fixture(autouse=True)
def _reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["recurnn.scan"], "find_kernel", lambda *_, **__: None)


def classifier(folder: Path) -> Path:
    lines = ["low\tabab ba", "up\tdcd cc d"] * 6
    (folder / "data.tsv").write_text("kind\twords\n" + "\n".join(lines) + "\n")
    run("classify", "train", folder / "data.tsv", "--label", "kind", "--tokens", "characters",
        "--test", "2", "--out", folder / "m", *FEW)  # fmt: skip
    return folder / "data.tsv"


def regressor(folder: Path) -> Path:
    random = np.random.default_rng(0)
    x = [random.normal(50, 9, size=(n, 2)) for n in (5, 7, 6) * 4]
    rows = [{"x": v.tolist(), "y": float(v.sum())} for v in x]
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    run("classify", "train", folder / "data.jsonl", "--label", "y", "--column", "x",
        "--test", "2", "--out", folder / "m", *FEW)  # fmt: skip
    return folder / "data.jsonl"


def tagger(folder: Path) -> Path:
    text = "the\tD\tx\nsea\tN\tx\nrises\tV\tx\n\na\tD\tx\nrain\tN\tx\n\n" * 6
    (folder / "data.conll").write_text(text)
    run("tag", "train", folder / "data.conll", "--label", "2", "--letter-size", "3",
        "--out", folder / "m", *FEW)  # fmt: skip
    return folder / "data.conll"


def translator(folder: Path) -> Path:
    words = [a + b for a in ("ab", "ba", "cab") for b in ("a", "bc", "c", "")]
    rows = "".join(f"{' '.join(w.upper())}\t{w}\t{k}\n" for k, w in enumerate(words))
    (folder / "data.tsv").write_text(f"said\twritten\tnumber\n{rows}")
    run("translate", "train", folder / "data.tsv", "--header", "--source", "written",
        "--target", "said", "--out", folder / "m", *FEW)  # fmt: skip
    return folder / "data.tsv"


def generator(folder: Path) -> Path:
    rows = "".join(f"{n}{s}\t{c}\t{k}\n" for k, n in enumerate(["ciao", "ola", "hey"])
                   for s in "abcd" for c in ("it", "es"))  # fmt: skip
    (folder / "data.tsv").write_text(f"greeting\tland\tnumber\n{rows}")
    run("generate", "train", folder / "data.tsv", "--header", "--condition", "land",
        "--target", "greeting", "--out", folder / "m", *FEW)  # fmt: skip
    return folder / "data.tsv"


Make = Callable[[Path], Path]
KINDS: dict[Make, tuple[str, ...]] = {
    classifier: ("Inside a SequenceClassifier", "Text by h[", "Text by f of ", "contribution"),
    regressor: ("Inside a SequenceRegressor", "under the series"),
    tagger: ("Inside a SequenceTagger", "Text by h[", "Text by f of ", "To what is said of step 1"),
    translator: ("Inside a Seq2Seq", "Attention in row 3", "Text by f of network.layers.0"),
    generator: ("Inside a SequenceGenerator", "Text by h[", "Text by f of ", "contribution"),
}


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_every_model_gives_verdicts_a_page_and_figures(make: Make, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    data, out, figures = make(tmp_path), tmp_path / "r.html", tmp_path / "f"
    arguments = ["inspect", tmp_path / "m", "--data", data, "--rows", 6, "--lag", 2]
    shown = run(*arguments, "--unit", "h[1]", "--unit", "f", "--out", out)
    assert "the task's lag is 2" in shown
    page = out.read_text(encoding="utf-8")
    assert "Training" in page
    for words in ("Gradient through time", "Gates and states", "Reach of memory", *KINDS[make]):
        assert words in page, words
    if make is tagger:
        run(*arguments, "--figures", figures)
        names = {p.stem for p in figures.glob("*.csv")}
        assert names == {p.stem for p in figures.glob("*.png")}
        hidden = pd.read_csv(figures / "reach-of-memory-the-input-hidden.csv")
        assert (hidden["change of the prediction"] > 0).any()
        assert hidden["steps before (below zero: after)"].tolist() == [-1, 0, 1]


def test_data_that_do_not_fit_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(make: Make, data: str, *more: object) -> str:
        folder = tmp_path / make.__name__
        if not folder.exists():
            folder.mkdir()
            make(folder)
        file = folder / f"other{next(folder.glob('data.*')).suffix}"
        file.write_text(data)
        return failing(capsys, "inspect", folder / "m", "--data", file, *more)

    assert "the sequence at line 2 has the class 'odd', which the training part has not" in said(
        classifier, "kind\twords\nodd\tabab\n"
    )
    assert "expected T of at least 2" in said(classifier, "kind\twords\nlow\ta\nup\tc\n")
    assert "this model reads whole sequences.\n  Leave it out." in said(
        classifier, "kind\twords\nlow\tab\n", "--steps", 4
    )
    assert "h has no unit 9" in said(classifier, "kind\twords\nlow\tab\n", "--unit", "h[9]")
    assert "They have C = 3 channels; it was fitted on sequences with C = 2." in said(
        regressor, '{"x": [[1, 2, 3], [2, 3, 4]], "y": 4}\n'
    )
    assert "step 2, has the tag 'Q', which the model was not trained on" in said(
        tagger, "the\tD\tx\nsea\tQ\tx\n"
    )
    assert "line 2: column said is empty" in said(translator, "said\twritten\n\tab\n")
    assert "'fr', a class that the model was not fitted on" in said(
        generator, "greeting\tland\nciao\tfr\n"
    )
    config = tmp_path / "generator" / "m" / "config.json"
    config.write_text(config.read_text().replace("recurnn-sequence-generator", "recurnn-else"))
    text = said(generator, "greeting\tland\nciao\tit\n")
    assert "holds a model that cannot be looked into.\n  Its format is 'recurnn-else'; " in text
