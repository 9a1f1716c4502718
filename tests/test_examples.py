"""The examples run, and print what they are there to show."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

SHOWS = {
    "classify_digits.py": ["From sequences of 8 channels: 10 classes", "most frequent class"],
    "draw_digits.py": ["From 10 classes to points of 8 channels", "mean trajectory by class"],
    "drop_in.py": ["and 16 gradients compared", "largest difference below 1e-12: True"],
    "forecast_co2.py": ["Forecast co2: 4 steps ahead", "linear autoregression", "2002-01-05"],
    "regress_season.py": ["From sequences of 1 channel: 2 numbers", "ridge regression", "MSE"],
    "tag_rising.py": ["2 tags a step: falls, rises", "window MLP", "accuracy"],
    "say_numbers.py": ["From characters (V = 12) to words", "nearest neighbour", "→ nine hundred"],
    "own_cell.py": ["s = (1 − a) ⊙ s + a ⊙ h", "step 0: mean squared error", "step 200:"],
}


def test_every_example_is_here() -> None:
    assert sorted(SHOWS) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", SHOWS)
def test_an_example_prints(name: str, capsys) -> None:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    printed = capsys.readouterr()
    for part in SHOWS[name]:
        assert part in printed.out
    assert not printed.err


def test_the_own_cell_learns(capsys) -> None:
    runpy.run_path(str(EXAMPLES / "own_cell.py"), run_name="__main__")
    first, *_, last = [
        float(line.split()[-1])
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("step")
    ]
    assert first > 0.5
    assert last < 0.1
