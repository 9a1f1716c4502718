"""``recurnn lm``: what it prints and writes, and its exit status."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from commands import failing
from commands import outcome as run
from recurnn.cli import app
from recurnn.cli.lm import progress
from recurnn.cli.lm.options import reading, settings
from recurnn.cli.lm.tables import candidate_table
from recurnn.models import LanguageModel
from recurnn.models.language import Candidate

FEW = [
    "--hidden-size", "16", "--batch-size", "4", "--steps", "8", "--epochs", "2", "--ngram", "2",
]  # fmt: skip
LINES = "".join(f"{who} likes the {what}.\n" for who, what in [("Anna", "sea"), ("Ben", "rain")])


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("text") / "lines.txt"
    file.write_text(LINES * 60)
    return file


def train(text: Path, out: Path, *more: object) -> str:
    status, printed = run(
        "lm", "train", text, "--documents", "line", "--unit", "words", "--out", out, *FEW, *more
    )
    assert status == 0
    return printed


@pytest.fixture(scope="module")
def model(text, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "left"
    out.with_suffix(".log").write_text(train(text, out))
    return out


@pytest.fixture(scope="module")
def both(text, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "both"
    train(text, out, "--context", "both")
    return out


def test_training_shows_where_it_is_and_writes_a_folder(model):
    printed = model.with_suffix(".log").read_text()
    for part in (
        "Tokens (words): 648 for training, 72 for validation; V = 10",
        "Network: LSTM (1 × 16), embedding 16; adam 0.002, cosine, batch 4 × 8, seed 0",
        "epochs: 2, each of 21 chunks", "→ LSTM", "2-gram", "perplexity", "nats/char",
        f"Wrote {model}/: model.safetensors, config.json, tokenizer.json, ngram.npz, history.csv",
        f'recurnn lm generate {model} "how it begins"',
    ):  # fmt: skip
        assert part in printed, part
    flat = " ".join(printed.split())
    epoch = (
        r"epoch 2/2: loss \d\.\d{3}, validation \d\.\d{3} \(perplexity [\d.]+(, not the best)?\), "
    )
    assert re.search(epoch + r"[\d,]+ tokens/s, 0:00 left", flat)
    assert sorted(f.name for f in model.iterdir()) == [
        "config.json", "history.csv", "model.safetensors", "ngram.npz", "tokenizer.json",
    ]  # fmt: skip
    assert pd.read_csv(model / "history.csv")["epoch"].tolist() == [0, 1, 2]
    # What stands in a table fits a terminal of eighty columns.
    assert max(len(line) for line in printed.splitlines() if "│" in line or "─" in line) <= 80


def test_a_sample_is_shown_after_each_epoch_and_changes_nothing(text, tmp_path):
    class Told:
        lines: list[str] = []

    def weights(watch: object) -> dict:
        options = {"hidden_size": 8, "batch_size": 4, "steps": 8, "epochs": 2, "dropout": 0.5}
        found = LanguageModel(unit="words", ngram=0, **options)
        if watch:
            console = Console(width=200)
            console.print = lambda *a, **k: Told.lines.append(str(a[0]))  # type: ignore[method-assign]
            watch = progress.LanguageProgress(console, found, prompt="Anna likes")
        found.fit(text, documents="line", watch=watch or None)
        return {k: v.tolist() for k, v in found.network.state_dict().items()}

    assert weights(watch=True) == weights(watch=None)
    samples = [line for line in Told.lines if line.startswith("[dim]    Anna likes")]
    assert len(samples) == 2


def test_it_writes_text_as_it_comes(model):
    status, printed = run("lm", "generate", model, "Anna likes", "--top-k", 1, "--length", 30)
    assert status == 0
    want = LanguageModel.load(model).generate("Anna likes", top_k=1, length=30)
    assert printed == f"Anna likes{want}\n"
    status, printed = run("lm", "generate", model, "--samples", 3, "--seed", 4, "--length", 5)
    parts = re.split(r"--- \d ---\n", printed)[1:]
    want = LanguageModel.load(model).generate(samples=3, seed=4, length=5)
    assert [p.removesuffix("\n") for p in parts] == want
    status, printed = run("lm", "generate", model, "Anna", "--beam", 3, "--length", 6)
    assert printed == f"Anna{LanguageModel.load(model).search('Anna', beam=3, length=6)[0].text}\n"


def test_speed_and_unknown_words_are_told_beside_the_text(model):
    result = CliRunner().invoke(
        app, ["lm", "generate", str(model), "Zoe likes", "--speed", "--top-k", "1"]
    )
    assert "not in the vocabulary, read as <unk>: 'Zoe'" in result.stderr
    assert re.search(r"\d+ tokens in [\d.]+ s: [\d,]+ a second", result.stderr)
    assert "Zoe likes" in result.stdout
    assert "vocabulary" not in result.stdout


def test_a_text_is_scored_by_the_network_and_the_n_gram(model, text, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    status, printed = run("lm", "eval", model, text, "--documents", "line", "--by-document")
    assert status == 0
    assert "120 documents, 2,280 characters" in printed
    assert "By document, the first 20 of 120" in printed
    assert "document 19" in printed
    assert "document 20" not in printed
    network = LanguageModel.load(model)
    scores = network.evaluate(text, documents="line")
    row = next(line for line in printed.splitlines() if "→ LSTM" in line)
    assert f"{scores.nats_per_character:.4f}" in row
    assert f"{scores.perplexity:.4g}" in row
    status, cached = run("lm", "eval", model, text, "--documents", "line", "--cache", 10)
    assert "LSTM with cache" in cached


def test_blanks_are_filled_by_all_who_can(model, both):
    status, printed = run("lm", "fill", both, "____ likes the ____.", "--beside", model)
    assert status == 0
    assert "Blank 1 of 2" in printed
    assert "Blank 2 of 2" in printed
    heads = [line for line in printed.splitlines() if "both sides" in line]
    assert len(heads) == 2
    for name in ("before, then after", "what is before", "n-gram"):
        assert name in heads[0]
    best = LanguageModel.load(both).fill("____ likes the ____.")[1][0]
    assert f"{best.text} {best.probability:.1%}" in printed


def test_models_are_compared_on_the_same_text(model, both, text, tmp_path):
    again = shutil.copytree(model, tmp_path / "again")
    status, printed = run("lm", "compare", model, again, "--text", text, "--documents", "line")
    assert status == 0
    assert printed.count("2-gram") == 1
    status, printed = run(
        "lm", "compare", model, both, "--text", text, "--documents", "line", "--places", 30
    )
    assert status == 0
    flat = " ".join(printed.split())
    assert "30 tokens taken out, each alone" in flat
    assert "both sides" in flat
    assert flat.count("n-gram") == 1


def test_errors_end_with_status_2(model, both, text, tmp_path, capsys):
    new = ("--out", tmp_path / "new")
    (tmp_path / "binary.txt").write_bytes(b"\x00\x01\x02" * 100)
    (tmp_path / "latin.txt").write_bytes("naïve".encode("latin-1"))
    (tmp_path / "empty.txt").write_text("")
    other = tmp_path / "other"
    train(text, other, "--unit", "characters")
    cases = {
        ("train", tmp_path / "no.txt", *new): "no.txt: there is no such file.",
        ("train", tmp_path / "binary.txt", *new): "binary.txt",
        ("train", tmp_path / "latin.txt", *new): "latin.txt",
        ("train", tmp_path / "empty.txt", *new): "the text is empty",
        ("train", text, "--vocabulary", "900", "--unit", "words", *new): "does not support",
        ("train", text, "--recipe", "zaremba", *new): "Did you mean 'zaremba-small'?",
        ("train", text, "--hidden-size", "many", *new): "--hidden-size is 'many'",
        ("train", text, "--batch-size", "999", *new): "shorter than a chunk",
        ("train", text, "--out", model): f"{model} already holds a model.",
        ("train", text, "--resume", *new): "--resume needs to know from where",
        ("train", text, "--min-count", "9999", *new): "nothing is left for a vocabulary",
        ("train", text, "--seed", str(2**63), *new): f"seed is {2**63}; expected",
        ("train", "", *new): "The name of the text's file is empty.",
        ("generate", model, "--seed", str(2**64)): f"seed is {2**64}; expected",
        ("generate", tmp_path / "no"): "There is no model folder",
        ("generate", model, "--temperature", "0"): "temperature is 0.0; expected a number above 0",
        ("generate", model, "--beam", "2", "--samples", "3"): "beam: the likeliest text",
        ("generate", both): "A model that guesses from both sides cannot be made to write.",
        ("fill", model, "no blank here"): "There is no blank in the text.",
        ("fill", both, "a __", "--beside", other): "The two models do not share a vocabulary.",
        ("compare", model, other, "--text", text): "The two models do not share a vocabulary.",
        ("eval", both, text, "--column", "x"): "column",
        (
            "train",
            text,
            "--context",
            "both",
            "--prompt",
            "a",
            *new,
        ): "writes none.\n  Leave it out.",
        ("compare", model, model, "--text", text): f"{model} is named twice.",
        ("compare", both, "--text", text, "--places", "0"): "places is 0; expected",
    }
    for arguments, part in cases.items():
        assert part in failing(capsys, "lm", *arguments), arguments
    assert not (tmp_path / "new").exists()


def test_checkpoints_are_gone_on_from(text, tmp_path):
    saves = ("--checkpoints", tmp_path / "c")
    train(text, tmp_path / "whole")
    short = [*FEW, "--epochs", "1", "--schedule", "constant"]
    long = [*FEW, "--schedule", "constant"]
    common = ["lm", "train", text, "--documents", "line", "--unit", "words", "--overwrite"]
    run(*common, "--out", tmp_path / "a", *short, *saves)
    status, printed = run(*common, "--out", tmp_path / "a", *long, *saves, "--resume")
    assert status == 0
    assert "after update 21 (epoch 1 is done)" in " ".join(printed.split())
    run(*common, "--out", tmp_path / "b", *long)
    a, b = ((tmp_path / k / "model.safetensors").read_bytes() for k in "ab")
    assert a == b


@pytest.mark.slow
def test_two_processes_print_and_write_once(text, tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
            "--master-port", "29617", "-m", "recurnn", "lm", "train", str(text), "--documents",
            "line", "--unit", "words", "--out", str(tmp_path / "m"), *FEW,
        ],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Wrote ") == 1
    assert done.stdout.count("epoch 2/2") == 1
    train(text, tmp_path / "one")
    two, one = (LanguageModel.load(tmp_path / k).comparison for k in ("m", "one"))
    assert {r.model: round(r.nats, 3) for r in two} == {r.model: round(r.nats, 3) for r in one}


def test_how_options_are_read():
    assert settings({"hidden_size": "5,6", "averaging": "3", "patience": 0, "clip": 0.0}) == {
        "hidden_size": (5, 6), "averaging": 3, "patience": None, "clip": None,
    }  # fmt: skip
    found = settings(
        {"validation": 0.2, "test": 30.0, "cutoffs": "9", "averaging": "non-monotonic"}
    )
    assert found == {
        "validation": 0.2, "test": 30, "cutoffs": (9,), "averaging": "non-monotonic",
    }  # fmt: skip
    assert reading(["2", "3"], None, r"\n", "file") == {
        "column": [2, 3], "header": None, "join": "\n", "documents": "file",
    }  # fmt: skip
    assert reading(["text"], None, " ", "line")["column"] == "text"
    assert progress.perplexity(0.0) == "1"
    assert progress.perplexity(1e9) == "∞"


def test_ngrams_show_what_grows_with_n_and_what_each_writes(text):
    status, printed = run("lm", "ngrams", text, "--documents", "line", "--unit", "words",
                          "--order", "3", "--prompt", "Anna likes", "--length", "4")  # fmt: skip
    assert status == 0
    assert "Tokens (words): 648 counted; V = 10" in printed  # as `lm train` counts them
    # One token follows each but two: "the", before sea and rain, and the beginning of a line.
    distinct = re.findall(r"^ +(\d) +(\d+) +[\d.]+ +0\.0%", printed, re.M)
    assert [n for n, _ in distinct] == ["1", "2", "3"]
    assert int(distinct[0][1]) == 8  # Anna Ben likes the sea rain . <end>
    assert "N = 3: 'Anna likes the sea.'" in printed.replace("rain.", "sea.")
    assert max(len(line) for line in printed.splitlines() if "─" in line) <= 80


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--order", "0"], "order is 0"),
        (["--order", "21"], "from 1 to 20 tokens"),
        (["--unit", "word"], "Did you mean 'words'"),
        (["--k", "-1"], "expected a number above 0"),
        (["--length", "-1"], "length is -1; expected a whole number of at least 0."),
        (["--validation", "0"], "Hold some out"),
    ],
)
def test_ngrams_of_no_sense_are_refused(text, capsys, options, message):
    assert message in failing(capsys, "lm", "ngrams", text, *options)


def test_what_stands_beside_a_blank_is_told_if_it_is_unknown(both):
    for given, told in (
        ("Anna likes the ____.", ""),
        ("____ likes the sea.", ""),
        ("Carl likes the ____.", "'Carl'"),
    ):
        said = CliRunner().invoke(app, ["lm", "fill", str(both), given]).stderr
        assert said == (f"- not in the vocabulary, read as <unk>: {told}\n" if told else ""), given


def test_tokens_of_white_space_are_seen_in_a_table():
    found = {"n-gram": [Candidate("\n", 0.5), Candidate(" ", 0.25), Candidate("a b", 0.125)]}
    console = Console(width=40)
    with console.capture() as captured:
        console.print(candidate_table(found, "t"))
    assert [line.strip() for line in captured.get().splitlines()[4:7]] == [
        r"\n 50.0%", "␣ 25.0%", "a␣b 12.5%",
    ]  # fmt: skip


def test_columns_that_say_nothing_are_left_out(model, text):
    _, told = run("lm", "eval", model, text)
    assert "nats/char" in told
    assert "bits/char" in told
    assert "train s" not in told
