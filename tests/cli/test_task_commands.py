"""``recurnn tasks``: the list, one task, the benchmark."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from recurnn.cli import app, tasks
from recurnn.data.tasks import TASKS
from recurnn.models.long_lag_aims import AIMS, Aim


def run(*arguments: object) -> tuple[str, str]:
    """Output and errors of a command that has to go well."""
    result = CliRunner().invoke(app, ["tasks", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    body = text.split("─\n")[1]
    return [re.split(r"\s{2,}", line.strip()) for line in body.splitlines() if "  " in line]


def test_without_a_name_the_tasks_are_listed(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text, _ = run()
    assert [row[0] for row in rows(text)] == list(TASKS)
    for task in TASKS.values():
        (row,) = [r for r in rows(text) if r[0] == task.name]
        assert row[1:] == [
            str(task.usual or "–"), f"{task.title} ({task.source})", task.solved_when,
        ]  # fmt: skip


def test_the_list_fits_a_terminal():
    assert max(map(len, run()[0].splitlines())) <= 80


def test_a_row_a_cell_as_many_as_are_named():
    text, told = run("noisy-two-sequence", "--length", 6, "--cell", "gru", "elman", "lstm",
                     "--sequences", 600, "--seeds", 2, "--hidden-size", 8)  # fmt: skip
    found = {row[0]: row for row in rows(text)}
    assert list(found) == ["gru", "elman", "lstm"]
    _, weights, solved, mean, most, score, *_ = found["gru"]
    assert weights == "266"  # 3 (8 + 8 · 8 + 8) + 8, the GRU; 2 · 8 + 2, the head
    assert (solved, score) == ("2 of 2", "1")
    lines = [line for line in told.splitlines() if line.startswith("noisy-two-sequence T = 6, gru")]
    each = [int(re.search(r"solved after (\d+) sequences", line)[1]) for line in lines]
    assert len(each) == 2
    assert (int(mean), int(most)) == (sum(each) / 2, max(each))
    assert "Hochreiter & Schmidhuber 1997, experiment 3a" in text
    assert "all right, of 256 held-out sequences, looked at every 100" in text


def test_where_nobody_solved_it_there_is_no_mean():
    text, told = run("adding", "--length", 9, "--cell", "gru", "--sequences", 100)
    assert rows(text)[0][2:5] == ["0 of 1", "–", "100"]
    assert "adding T = 9, gru, seed 0: not solved after 100 sequences, MSE " in told


def test_the_benchmark_holds_each_line_against_its_aim(monkeypatch):
    easy = {"task": "noisy-two-sequence", "length": 6, "cell": "gru", "seeds": 2}
    monkeypatch.setattr(
        tasks,
        "AIMS",
        [Aim(**easy, most=20_000), Aim(**easy, mean=10), Aim(**easy),
         Aim("temporal-order-6a", 10, "gru", 1, unsolved=-1.0)],
    )  # fmt: skip
    monkeypatch.setattr(
        tasks, "settings_of", lambda *_: tasks.Settings(hidden_size=8, sequences=900, check=300)
    )
    text, _ = run("all")
    first, second, third, fourth = rows(text)[:4]
    assert first[:4] == ["noisy-two-sequence", "6", "gru", "2 of 2"]
    assert [first[-2:], second[-2:]] == [["< 20,000", "met"], ["mean < 10", "missed"]]
    assert third[-1] == "–"
    assert fourth[-2:] == ["stays > -1", "met"]
    assert "seconds in all" in text


def test_the_benchmark_tells_what_was_published(monkeypatch):
    monkeypatch.setattr(tasks, "AIMS", [Aim("embedded-reber", None, "gru", 1)])
    monkeypatch.setattr(
        tasks, "settings_of", lambda *_: tasks.Settings(hidden_size=4, sequences=50, check=50)
    )
    text, _ = run("all")
    assert "embedded-reber: LSTM 8,440 strings" in text
    assert rows(text)[0][:4] == ["embedded-reber", "–", "gru", "0 of 1"]


@pytest.mark.parametrize("aim", AIMS, ids=lambda aim: f"{aim.task} {aim.cell}")
def test_no_cell_of_the_benchmarks_table_is_wrapped(aim):
    table = tasks._benchmark_table()
    table.add_row(aim.task, "600", aim.cell, "10 of 10", "100,000", "100,000", "0.00099", "100",
                  str(aim), "missed")  # fmt: skip
    from rich.console import Console

    console = Console(width=tasks._WIDTH)
    with console.capture() as captured:
        console.print(table)
    assert len(captured.get().splitlines()) == 3
