"""``--log``: the rows of a training, in every command that trains."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import failing, run

FEW = ("--horizon", "4", "--context", "9", "--hidden-size", "3", "--epochs", "2")
TASK = ("tasks", "noisy-two-sequence", "--length", "6", "--sequences", "600", "--hidden-size", "4")
TRAIN = [
    ("forecast", "no.csv"), ("classify", "train", "no.csv"), ("tag", "train", "no.csv"),
    ("generate", "train", "no.csv"), ("translate", "train", "no.csv"), ("lm", "train", "no.txt"),
    ("tasks", "adding"),
]  # fmt: skip


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"day": pd.date_range("2023-01-01", periods=150)})
    frame["kW"] = 20 + 3 * np.sin(2 * np.pi * np.arange(150) / 7) + rng.normal(size=150)
    frame.to_csv(tmp_path / "load.csv", index=False)
    return tmp_path / "load.csv"


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_log_of_a_forecaster_is_of_its_network_alone(csv: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "model"
    run("forecast", csv, "--value", "kW", "--out", out, "--log", log, *FEW)
    history = pd.read_csv(out / "history.csv")
    assert history["epoch"].tolist() == [0, 1, 2]
    assert [row["epoch"] for row in lines(log)] == [0, 1, 2]
    assert [row["validation_loss"] for row in lines(log)] == history["validation_loss"].tolist()


def test_a_log_that_exists_is_kept_unless_it_may_be_replaced(
    csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = csv.read_bytes()
    text = failing(capsys, "forecast", csv, "--out", tmp_path / "model", "--log", csv, *FEW)
    assert text.startswith(f"error: {csv} exists.\n  Nothing was written.")
    assert csv.read_bytes() == before
    (log := tmp_path / "log.csv").write_text("of another run")
    out = ("--out", tmp_path / "model", "--overwrite", "--log", log)
    run("forecast", csv, "--value", "kW", *out, *FEW)
    assert pd.read_csv(log)["epoch"].tolist() == [0, 1, 2]


def test_a_run_that_goes_on_writes_on(csv: Path, tmp_path: Path) -> None:
    log, saved = tmp_path / "log.csv", ("--checkpoints", tmp_path / "c", "--resume")
    for epochs in (1, 3):
        run("forecast", csv, "--value", "kW", "--out", tmp_path / str(epochs), "--log", log,
            *saved, *FEW, "--epochs", epochs)  # fmt: skip
    assert pd.read_csv(log)["epoch"].tolist() == [0, 1, 2, 3]


def test_each_network_of_a_task_has_a_log_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*TASK, "--cell", "gru", "--log", tmp_path / "one.csv")
    assert pd.read_csv(tmp_path / "one.csv")["validation_score"].between(0, 1).all()
    log = tmp_path / "log.jsonl"
    run(*TASK, "--cell", "gru", "elman", "--seeds", 2, "--log", log)
    names = [f"log-{cell}-{seed}.jsonl" for cell in ("elman", "gru") for seed in (0, 1)]
    assert sorted(path.name for path in tmp_path.glob("log*")) == names
    scores = [[row["validation_score"] for row in lines(tmp_path / name)] for name in names]
    assert all(len(found) >= 2 for found in scores)
    (tmp_path / names[2]).unlink()
    again = (*TASK, "--cell", "lstm", "gru", "--seeds", 2, "--log", log)
    assert "log-gru-1.jsonl exists." in failing(capsys, *again)
    assert not list(tmp_path.glob("log-lstm*"))


@pytest.mark.parametrize("command", TRAIN, ids=lambda command: command[0])
def test_a_log_of_another_kind_is_refused_before_any_work(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(capsys, *command, "--log", "log.txt") == (
        "error: --log is 'log.txt'; expected a file that ends in .csv or .jsonl, or a folder for "
        "TensorBoard, without such an ending.\n"
    )


@pytest.mark.parametrize("command", TRAIN, ids=lambda command: command[0])
def test_without_tensorboard_it_says_how_to_install_it(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert failing(capsys, *command, "--log", "runs") == (
        "error: TensorBoard is not installed.\n  Install it: pip install 'recurnn[tensorboard]'.\n"
    )


def test_the_benchmark_of_tasks_takes_no_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Leave the options out" in failing(capsys, "tasks", "all", "--log", "log.csv")


def test_tensorboard_gets_the_folder(
    csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            folders.append(folder)

        def add_scalar(self, *point: object) -> None:
            pass

        def close(self) -> None:
            pass

    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr("torch.utils.tensorboard", module, raising=False)
    out = ("--out", tmp_path / "model")
    run("forecast", csv, "--value", "kW", *out, "--log", tmp_path / "runs", *FEW)
    assert folders == [str(tmp_path / "runs")]
