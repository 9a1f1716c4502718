"""What ``recurnn tasks`` refuses, in its own words."""

from __future__ import annotations

import math

import pytest

from recurnn.cells import CELLS
from recurnn.cli import main
from recurnn.data.tasks import TASKS, Adding, task_of
from recurnn.errors import ConfigError
from recurnn.models.long_lag import TaskNetwork, learn_task
from recurnn.models.long_lag_settings import Settings, settings_of

KNOWN_CELLS = ", ".join(CELLS)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["ading"],
         f"task: there is no 'ading'.\n  Known: {', '.join([*TASKS, 'all'])}. "
         "Did you mean 'adding'?"),
        (["adding", "--cell", "lstn"],
         f"cell: there is no 'lstn'.\n  Known: {KNOWN_CELLS}. Did you mean 'lstm'?"),
        (["adding", "--length", "1"],
         "adding: length is 1; expected a whole number of at least 2.\n"
         "  It counts steps of a sequence."),
        (["embedded-reber", "--length", "9"],
         "embedded-reber: length is 9, but the task has no choice of it.\n"
         "  Strings have 9 symbols or more, as the grammar has it. Leave the length out."),
        (["adding", "--seeds", "0"], "seeds is 0; expected a whole number of at least 1."),
        (["adding", "--learning-rate", "nan"],
         "learning_rate is nan; expected a number above 0."),
        (["adding", "--start", "chron"],
         "start: there is no 'chron'.\n  Known: chrono, cell. Did you mean 'chrono'?"),
        (["all", "--length", "9"],
         "tasks all: the benchmark has tasks, cells and settings of its own.\n"
         "  Leave the options out, or name a task."),
    ],
)  # fmt: skip
def test_the_command_ends_with_status_2_before_any_training(arguments, text, capsys, monkeypatch):
    monkeypatch.setattr("recurnn.cli.tasks.learn_task", None)
    with pytest.raises(SystemExit) as caught:
        main(["tasks", *arguments])
    assert caught.value.code == 2
    assert capsys.readouterr() == ("", f"error: {text}\n")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"hidden_size": 0}, "hidden_size is 0; expected a whole number of at least 1."),
        ({"sequences": True}, "sequences is True; expected a whole number of at least 1."),
        ({"clip": math.inf}, "clip is inf; expected a number above 0."),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; expected a number above 0."),
    ],
)
def test_settings_that_cannot_be(options, text):
    with pytest.raises(ConfigError) as caught:
        Settings(**options)
    assert str(caught.value) == text


def test_a_seed_that_is_none():
    with pytest.raises(ConfigError) as caught:
        learn_task(Adding(5), "gru", seed=-1)
    assert str(caught.value) == "seed is -1; expected a whole number of at least 0."


def test_names_that_do_not_exist():
    text = f"cell: there is no 'gro'.\n  Known: {KNOWN_CELLS}. Did you mean 'gru'?"
    for call in (
        lambda: settings_of(Adding(), "gro"),
        lambda: learn_task(Adding(), "gro"),
        lambda: TaskNetwork(Adding(), "gro", 3),
    ):
        with pytest.raises(ConfigError) as caught:
            call()
        assert str(caught.value) == text
    with pytest.raises(ConfigError, match=r"Did you mean 'parity'\?"):
        task_of("party")
