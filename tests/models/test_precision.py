"""`precision` of every model reaches the plan that it is trained by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recurnn
from commands import failing
from recurnn.errors import ConfigError
from recurnn.training import Run, Update, Watch

ROWS = [np.random.default_rng(k).normal(size=(6, 2)) for k in range(24)]
MODELS: dict[str, tuple[type[Any], Any, Any]] = {
    "classify": (recurnn.SequenceClassifier, ROWS, [k % 2 for k in range(24)]),
    "regress": (recurnn.SequenceRegressor, ROWS, [float(k) for k in range(24)]),
    "tag": (recurnn.SequenceTagger, ROWS, [["a", "b"] * 3] * 24),
    "translate": (recurnn.Seq2Seq, ["a b", "b a"] * 12, ["x y", "y x"] * 12),
    "generate": (recurnn.SequenceGenerator, ["u", "v"] * 12, ["ab", "ba"] * 12),
}


class Seen(Watch):
    def __init__(self) -> None:
        self.precision = ""

    def update(self, run: Run, update: Update) -> bool:
        self.precision = run.plan.precision
        return True  # one is enough


@pytest.mark.parametrize("name", MODELS)
def test_it_reaches_the_training(name: str) -> None:
    kind, x, y = MODELS[name]
    assert kind().get_params()["precision"] == "float32"
    for precision in ("float32", "bfloat16"):
        seen = Seen()
        kind(hidden_size=4, epochs=1, precision=precision).fit(x, y, watch=seen)
        assert seen.precision == precision
    with pytest.raises(ConfigError, match="precision"):
        kind(precision="half")


def test_it_reaches_the_forecaster() -> None:
    plan = recurnn.Forecaster(precision="bfloat16").options.plan()
    assert plan.precision == "bfloat16"


@pytest.mark.parametrize("command", ["classify", "tag", "translate", "generate", "forecast"])
def test_it_is_an_option_of_every_command(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("text,label\n" + "a b,x\nb a,y\n" * 20)
    words = [command, "train", table] if command != "forecast" else [command, table]
    said = failing(capsys, *words, "--precision", "half", "--out", tmp_path / "m")
    assert "precision: there is no 'half'" in said
