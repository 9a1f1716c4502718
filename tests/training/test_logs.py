"""Logs: every row there once, after a resumption too."""

import csv
import json
import math
import os
import signal
import sys

import pytest
import torch
from torch import Tensor, nn

from recurnn.errors import CheckpointWarning, ConfigError, DataError
from recurnn.training import (
    Epoch,
    History,
    LogFile,
    Plan,
    Run,
    Saves,
    TensorBoard,
    Update,
    Watch,
    fit,
)


class Pairs:
    x = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return 10

    def batch(self, index: Tensor):
        return self.x[index], self.x[index].sum(1, keepdim=True)


class StopAt(Watch):
    def update(self, run: Run, update: Update) -> None:
        if update.number == 5:
            os.kill(os.getpid(), signal.SIGINT)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


PLAN = Plan(batch_size=4, epochs=3)
METRICS = ["mae"]


def rows_of(path) -> list[dict]:
    text = path.read_text()
    if path.suffix == ".csv":
        return list(csv.DictReader(text.splitlines()))
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_row_an_update_and_an_epoch(suffix, tmp_path):
    log = LogFile(tmp_path / f"log{suffix}", every=2)
    history = fit(net(), Pairs(), Pairs(), PLAN, watch=log, metrics=METRICS)
    rows = rows_of(tmp_path / f"log{suffix}")
    assert [(int(r["update"]), int(r["epoch"])) for r in rows] == [
        (0, 0), (2, 1), (3, 1), (4, 2), (6, 2), (6, 2), (8, 3), (9, 3),
    ]  # fmt: skip
    ends = [r for r in rows if r.get("validation_loss")]
    assert [float(r["validation_loss"]) for r in ends] == [
        e.validation_loss for e in history.epochs
    ]
    assert [float(r["validation_mae"]) for r in ends] == [e.metrics["mae"] for e in history.epochs]
    assert float(rows[1]["norm"]) > 0
    assert {float(r["clipped_norm"]) for r in rows[1:]} <= {0.0, 1 / 3, 2 / 3, 1.0}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_after_a_resumption_no_row_is_twice_there_or_missing(suffix, tmp_path):
    whole, parts = tmp_path / f"whole{suffix}", tmp_path / f"parts{suffix}"
    fit(net(), Pairs(), Pairs(), PLAN, watch=LogFile(whole, every=1))
    saves = Saves(tmp_path / "c", every=4, resume=True)
    fit(net(), Pairs(), Pairs(), PLAN, watch=[LogFile(parts, every=1), StopAt()], saves=saves)
    # As if it had been killed after update 5, the checkpoint of update 4 being the last.
    (tmp_path / "c" / "checkpoint-00000005.safetensors").unlink()
    fit(net(), Pairs(), Pairs(), PLAN, watch=LogFile(parts, every=1), saves=saves)

    def timeless(path) -> list[dict]:
        drop = ("seconds", "per_second")
        return [{k: v for k, v in r.items() if k not in drop} for r in rows_of(path)]

    assert timeless(parts) == timeless(whole)
    assert [int(r["epoch"]) for r in rows_of(tmp_path / "c" / "log.csv")] == [0, 1, 2, 3]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_log_without_checkpoints_has_the_rows_of_the_history(suffix, tmp_path):
    log, saved = tmp_path / "logs" / f"log{suffix}", tmp_path / f"saved{suffix}"
    saved.write_text("of another run")
    history = fit(net(), Pairs(), Pairs(), PLAN, metrics=METRICS, log=log)
    records = history.records()
    assert [(r["update"], r["epoch"]) for r in records] == [(0, 0), (3, 1), (6, 2), (9, 3)]
    assert [r["validation_mae"] for r in records] == [e.metrics["mae"] for e in history.epochs]
    assert math.isnan(records[0]["loss"])
    history.save(saved)
    for path in (log, saved):
        rows = rows_of(path)
        assert [int(r["epoch"]) for r in rows] == [0, 1, 2, 3]
        assert not rows[0].get("loss")
        for row, record in zip(rows[1:], records[1:], strict=True):
            found = {k: float(v) for k, v in row.items() if v != ""}
            assert found == record


def test_what_is_no_number_is_left_out_of_json_lines_only(tmp_path):
    history = History([Epoch(1, math.inf, None, 0.5, 2.0)])
    history.save(tmp_path / "log.jsonl")
    history.save(tmp_path / "log.csv")
    (lines,), (table,) = rows_of(tmp_path / "log.jsonl"), rows_of(tmp_path / "log.csv")
    assert "loss" not in lines
    assert lines["seconds"] == 0.5
    assert (table["loss"], table["validation_loss"]) == ("inf", "")


def test_a_history_that_cannot_be_written(tmp_path):
    with pytest.raises(DataError) as caught:
        History().save(tmp_path / "none" / "log.csv")
    assert str(caught.value) == (
        f"{tmp_path}/none/log.csv cannot be written: No such file or directory."
    )


def test_a_log_that_cannot_be_written_does_not_stop_the_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(CheckpointWarning, match="Training goes on without a log."):
        history = fit(net(), Pairs(), None, PLAN, watch=LogFile(tmp_path / "file" / "log.csv"))
    assert history.updates == 9


def test_another_suffix_is_refused():
    with pytest.raises(ConfigError) as caught:
        LogFile("log.txt")
    assert str(caught.value) == "The log is 'log.txt'; expected a name that ends in .csv or .jsonl."
    with pytest.raises(ConfigError, match="The log is 'log'; expected"):
        fit(net(), Pairs(), None, PLAN, log="log")


def test_without_tensorboard_it_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install 'recurnn\[tensorboard\]'"):
        TensorBoard(tmp_path)


def test_tensorboard_gets_every_tenth_update(monkeypatch, tmp_path):
    points = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            assert (folder, purge_step) == (str(tmp_path), 0)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            points.append((name, step))

        def close(self) -> None:
            points.append(("closed", 0))

    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr("torch.utils.tensorboard", module, raising=False)
    fit(net(), Pairs(), Pairs(), PLAN, watch=TensorBoard(tmp_path, every=4), metrics=METRICS)
    assert [p for p in points if p[0] == "training/loss"] == [
        ("training/loss", 4), ("training/loss", 8),
    ]  # fmt: skip
    assert ("validation/mae", 9) in points
    assert ("gradient/clipped_norm", 8) in points
    assert points[-1] == ("closed", 0)
