"""The command line: what it prints and writes, and its exit status."""

import io
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from commands import failing
from commands import outcome as run
from recurnn.cells import CELLS
from recurnn.cli.cells import example, parameters_per_unit
from recurnn.cli.plots import curve_plot
from recurnn.cli.progress import TrainingProgress
from recurnn.cli.tables import comparison_table
from recurnn.models import Row
from recurnn.training import Epoch, History, Plan, Run, Update

FEW = ["--epochs", "1", "--hidden-size", "3", "--horizon", "4", "--context", "9"]


@pytest.fixture
def csv(tmp_path) -> Path:
    t = np.arange(150)
    noise = np.random.default_rng(0).normal(scale=0.2, size=150)
    frame = pd.DataFrame({"day": pd.date_range("2023-01-01", periods=150)})
    frame["kW"] = 20 + 3 * np.sin(2 * np.pi * t / 7) + noise
    frame.to_csv(tmp_path / "load.csv", index=False)
    return tmp_path / "load.csv"


def test_forecast_then_predict(csv, tmp_path):
    out = tmp_path / "model"
    status, text = run("forecast", csv, "--value", "kW", "--out", out, *FEW)
    assert status == 0
    for part in (
        "Forecast kW: 4 steps ahead, from a window of 9",
        "Network: LSTM (3) + linear, MSE, adam 0.001, batch 32, seed 0",
        "→ LSTM", "repeating the last value", "linear autoregression", "window MLP",
        "MSE and MAE in the data's units", "The LSTM is", "recurnn predict",
    ):  # fmt: skip
        assert part in text
    assert max(map(len, text.splitlines()[:-4])) <= 80
    assert sorted(f.name for f in out.iterdir()) == [
        "comparison.csv", "config.json", "forecast.csv", "forecast.png", "history.csv",
        "model.safetensors",
    ]  # fmt: skip
    ahead = pd.read_csv(out / "forecast.csv")
    assert ahead["time"].tolist() == ["2023-05-31", "2023-06-01", "2023-06-02", "2023-06-03"]
    assert pd.read_csv(out / "history.csv")["epoch"].tolist() == [0, 1]
    assert pd.read_csv(out / "comparison.csv")["recurrent"].sum() == 1
    assert (out / "forecast.png").read_bytes()[:4] == b"\x89PNG"
    status, text = run("predict", out, csv)
    assert status == 0
    assert pd.read_csv(io.StringIO(text)).equals(ahead)
    status, text = run("predict", out, csv, "--out", tmp_path / "f.csv")
    assert text == f"Wrote 4 rows to {tmp_path / 'f.csv'}\n"
    assert pd.read_csv(tmp_path / "f.csv").equals(ahead)


def test_an_existing_folder_is_refused_before_training(csv, tmp_path, capsys, monkeypatch):
    out = tmp_path / "model"
    run("forecast", csv, "--out", out, *FEW)
    before = (out / "config.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("recurnn.models.forecaster.train", None)
        assert f"error: {out} already holds a model." in failing(
            capsys, "forecast", csv, "--out", out, *FEW
        )
    assert (out / "config.json").read_bytes() == before
    run("forecast", csv, "--out", out, "--overwrite", "--cell", "gru", *FEW)
    assert (out / "config.json").read_bytes() != before


def test_errors_end_with_status_2(csv, tmp_path, capsys):
    new = ("--out", tmp_path / "new")
    cases = {
        ("forecast", tmp_path / "no.csv", *new): "no.csv: there is no such file.",
        ("forecast", csv, "--value", "kWh", *new): "Did you mean 'kW'?",
        ("forecast", csv, "--cell", "rnn", *new): "error: cell: there is no 'rnn'.",
        ("forecast", csv, "--horizon", "many", *new): "Invalid value for '--horizon'",
        ("forecast", csv, "--horizont", "3", *new): "No such option: --horizont",
        ("forecast", csv, "--horizon", "90", *new): "error: The validation part does not hold",
        ("predict", tmp_path / "no", csv): "error: There is no model folder",
        ("cells", "lstn"): "Did you mean 'lstm'?",
        ("cells", "antisymetric-rnn", "--speed"): "Did you mean 'antisymmetric-rnn'?",
    }
    for arguments, text in cases.items():
        assert text in failing(capsys, *arguments), arguments
    assert not (tmp_path / "new").exists()
    (tmp_path / "f.csv").touch()
    text = failing(capsys, "predict", tmp_path / "no", csv, "--out", tmp_path / "f.csv")
    assert text == (
        f"error: {tmp_path / 'f.csv'} exists.\n  Nothing was written. Give another file, or allow "
        "overwriting (--overwrite).\n"
    )


def test_the_module_runs_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "recurnn", "cells", "nothing"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: cell: there is no 'nothing'.")
    assert "Traceback" not in done.stderr


def test_cells_lists_all_and_prints_equations():
    _, text = run("cells")
    assert all(f"{name} " in text for name in CELLS)
    _, text = run("cells", "lstm")
    assert "c = f ⊙ c + i ⊙ g" in text


def test_cells_lists_what_a_cell_costs():
    _, text = run("cells")
    (line,) = [line for line in text.splitlines() if line.startswith("gru ")]
    assert "3I + 3H + 4" in line
    assert "r, z, n" in line


def test_cells_says_what_each_is_where_there_is_room(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert "Gated recurrent unit with the reset gate after" in run("cells")[1]


@pytest.mark.parametrize("name", CELLS)
def test_weights_a_unit_are_the_weights(name):
    sizes = {"inputs": 5, "units": 7}
    cell = example(name, **sizes)
    formula = parameters_per_unit(cell).replace("²", "*D").replace(" ", "")
    formula = re.sub(r"(?<=[\w)])(?=[A-Z])", "*", formula)
    count = sum(weight.numel() for weight in cell.parameters())
    assert eval(formula, {}, cell.sizes) * 7 == pytest.approx(count)


def test_cells_times_itself_beside_the_lstm(monkeypatch):
    monkeypatch.setattr("recurnn.cli.cells.CELLS", {"lstm": CELLS["lstm"], "gru": CELLS["gru"]})
    for size in ("STEPS", "ROWS", "INPUTS", "UNITS", "RUNS"):
        monkeypatch.setattr(f"recurnn.cli.cells.{size}", 3)
    _, text = run("cells", "--speed")
    assert len(re.findall(r"×\d+\.\d\d", text)) == 2
    assert "T = 3, B = 3, I = 3, H = 3" in text
    _, text = run("cells", "gru", "--speed")
    assert re.search(r"\n\n×\d+\.\d\d the speed of the LSTM", text)


def test_a_preset_gives_way_to_options():
    from recurnn.cli.options import settings

    book = settings("textbook", {})
    assert book["hidden_size"] == (50, 200)
    assert book["skip"] is None
    mine = settings("textbook", {"hidden_size": "32", "skip": True, "scale": "none", "patience": 0})
    assert (mine["hidden_size"], mine["skip"], mine["scale"], mine["patience"]) == (
        32, "linear", "none", None,
    )  # fmt: skip
    assert mine["optimizer"] == "rmsprop"
    assert settings(None, {"scale": "1.5,2"})["scale"] == (1.5, 2.0)


def run_named(name: str, *, epochs: int, batches: int, history: History) -> Run:
    """What the progress looks at of a run."""
    run = object.__new__(Run)
    run.name, run.plan, run.batches, run.history = name, Plan(epochs=epochs), batches, history
    return run


def test_progress_in_a_file_is_one_line_a_run():
    console = Console(file=io.StringIO(), width=80)
    progress = TrainingProgress(console)
    first, second = Epoch(0, 1.0, 0.9, 0.1, 0.0), Epoch(1, 0.5, 0.4, 0.1, 320.0)
    history = History([first, second], best=1, interrupted=True, seconds=0.2)
    run = run_named("GRU", epochs=9, batches=1, history=history)
    progress.start(run)
    progress.update(run, Update(1, 1, 1, 0.5, 32, 2.0, {"norm": 1.0}, 0.1))
    progress.epoch(run, first, best=True)
    progress.epoch(run, second, best=True)
    progress.end(run)
    assert console.file.getvalue() == (
        "Trained GRU: 1 of 9 epochs in 0.2 s (best after 1, interrupted)\n"
    )


def test_progress_in_a_terminal_shows_loss_validation_clipping_and_speed(monkeypatch):
    monkeypatch.setattr("recurnn.cli.progress._BAR_SECONDS", -1.0)
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    progress = TrainingProgress(console)
    zero = Epoch(0, 1.0, 0.25, 0.1, 0.0)
    run = run_named("GRU", epochs=9, batches=2, history=History([zero]))
    progress.start(run)
    progress.epoch(run, zero, best=True)
    progress.update(run, Update(1, 1, 1, 0.5, 32, 2.0, {"norm": 1.0}, 0.1))
    assert "epoch 1/9 loss 0.5 val 0.25 clip 100%" in progress._bar.tasks[0].fields["state"]
    assert "windows/s" in progress._bar.tasks[0].fields["state"]
    assert progress._bar.tasks[0].percentage == pytest.approx(100 / 18)
    progress.end(run)


def test_the_table_keeps_the_small_and_the_large():
    rows = [
        Row("LSTM", 0.001088, 0.0214, 0.7, 5.5, 12.0, recurrent=True),
        Row("last", 12345678.0, 271.25, 1.2, 9.0, 0.0),
    ]
    console = Console(file=io.StringIO(), width=80)
    console.print(comparison_table(rows, units="kW", windows=1000))
    text = console.file.getvalue()
    assert "Test part, 1,000 windows; MSE and MAE in kW" in text
    assert text.splitlines()[-3].split() == [
        "→", "LSTM", "0.001088", "0.021400", "0.700", "5.50", "12.0",
    ]  # fmt: skip
    assert text.splitlines()[-2].split() == ["last", "1.235e+07", "271.2", "1.200", "9.00", "0.0"]


@pytest.mark.parametrize("last", [1, 2])
def test_a_training_of_one_epoch_is_a_point_that_can_be_seen(tmp_path, monkeypatch, last):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, file: drawn.append(figure))
    epochs = [Epoch(k, 1 / k if k else np.nan, 1.0 if k else None, 0, 0) for k in range(last + 1)]
    curve_plot(tmp_path / "curve.png", SimpleNamespace(epochs=epochs, best=1), title="t")
    lines = {line.get_label(): line for line in drawn[0].axes[0].get_lines()}
    for name in ("training", "validation"):
        assert len(lines[name].get_xdata()) == last
        assert lines[name].get_marker() == ("o" if last == 1 else "None")
