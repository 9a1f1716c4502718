"""What people read, held against what is there: blocks run, tables come from the code."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import recurnn
from generated import BLOCKS, README, between, renewed
from recurnn import cells
from recurnn.cli import app
from recurnn.scan import ENGINES

ROOT = README.parent
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
GROUPS = ("data", "lm", "classify", "tag", "translate", "generate")  # of several commands
INDENTED = re.compile(r"(?:^ {4,}\S.*\n)+", re.MULTILINE)


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


PYTHON = {name: fenced(text, "python") for name, text in TEXTS.items()}
COMMANDS = [
    (name, line.removeprefix("$ ").strip())
    for name, text in TEXTS.items()
    for block in [*fenced(text, "console"), *INDENTED.findall(text)]
    for line in block.splitlines()
    if line.removeprefix("$ ").strip().startswith(("recurnn ", "make "))
]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with the ``load.csv`` that the pages speak of: hourly kW."""
    t = np.arange(24 * 20)
    kw = 20 + 3 * np.sin(2 * np.pi * t / 24) + np.random.default_rng(0).normal(0, 0.2, len(t))
    frame = pd.DataFrame({"date": pd.date_range("2023-01-02", periods=len(t), freq="h"), "kW": kw})
    frame.to_csv(tmp_path / "load.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [name for name, blocks in PYTHON.items() if blocks])
def test_the_python_of_a_page_runs(page: str, folder: Path) -> None:
    names = {"__name__": "__main__"}
    for number, block in enumerate(PYTHON[page]):
        if page == "README.md":  # there each block stands alone
            names = {"__name__": "__main__"}
        exec(compile(block, f"{page}, block {number}", "exec"), names)


def test_the_readme_has_a_forecast_a_layer_and_a_cell() -> None:
    forecast, layer, cell = fenced(TEXTS["README.md"], "python")
    assert "Forecaster(" in forecast
    assert "nn.LSTM(" in layer
    assert "def step" in cell
    assert "Recurrent(" in cell


@pytest.mark.parametrize("name", BLOCKS)
def test_a_generated_part_is_up_to_date(name: str) -> None:
    assert between(TEXTS["README.md"], name) == f"{BLOCKS[name]()}\n", (
        "renew it: python tests/generated.py"
    )


def test_renewing_touches_only_what_is_marked(monkeypatch) -> None:
    monkeypatch.setattr("generated.BLOCKS", {"cells": lambda: "| new |"})
    text = "before\n<!-- cells -->\n| old |\n<!-- /cells -->\nafter <!-- bench:kernels -->\n"
    assert renewed(text) == text.replace("| old |", "| new |")


def test_the_table_of_cells_has_every_cell_in_order() -> None:
    rows = between(TEXTS["README.md"], "cells").splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(cells.CELLS)
    assert [row.split("`")[3] for row in rows] == [c.__name__ for c in cells.CELLS.values()]


def test_the_table_of_engines_has_every_engine() -> None:
    assert sorted(re.findall(r'^\| `"(\w+)"` \|', TEXTS["README.md"], re.M)) == sorted(ENGINES)


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda v: str(v)[:40])
def test_a_command_exists_with_its_options(page: str, line: str) -> None:
    program, *words = shlex.split(line)
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert words[0] in targets
        return
    path = words[:2] if words[0] in GROUPS else words[:1]
    shown = CliRunner().invoke(app, [*path, "--help"])
    assert shown.exit_code == 0, shown.output
    for option in re.findall(r"--[a-z-]+", " ".join(words)):
        assert re.search(rf"{option}\b", shown.output), f"{page}: {path} has no {option}"


def test_what_recurnn_cells_prints_is_what_the_readme_shows() -> None:
    block = next(b for b in fenced(TEXTS["README.md"], "console") if "$ recurnn cells" in b)
    line, shown = block.split("$ recurnn ")[-1].split("\n", 1)
    assert CliRunner().invoke(app, shlex.split(line)).output == shown


def test_pages_and_files_that_are_named_exist() -> None:
    for name, text in TEXTS.items():
        here = (ROOT / name).parent
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (here / target).exists(), f"{name}: {target}"
        for path in re.findall(r"`((?:tests|src|docs|examples|benchmarks)/[\w/.-]*)`", text):
            assert (ROOT / path).exists(), f"{name}: {path}"


def test_the_page_on_own_cells_shows_the_example() -> None:
    # The formatter takes the mark apart where it finds it in a block of Python.
    assert '\n--8<-- "examples/own_cell.py"\n' in TEXTS["docs/your-own-cell.md"]


def test_names_of_recurnn_that_are_mentioned_exist() -> None:
    for name, text in TEXTS.items():
        for dotted in re.findall(r"`(recurnn(?:\.\w+)+)", text):
            found: object = recurnn
            for part in dotted.split(".")[1:]:
                found = getattr(found, part, None)
                assert found is not None, f"{name}: {dotted}"


def test_the_changelog_has_this_version() -> None:
    assert f"## [{recurnn.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_ten_lines_are_ten() -> None:
    cell = next(n for n in ast.parse(fenced(TEXTS["README.md"], "python")[2]).body
                if isinstance(n, ast.ClassDef))  # fmt: skip
    assert (cell.end_lineno or 0) - cell.lineno + 1 <= 10


def test_the_errors_of_the_readme_are_those_of_the_page_on_forecasting() -> None:
    section = TEXTS["README.md"].split("## How good the forecasts are")[1].split("\n## ")[0]
    numbers = re.findall(r"(?<![\w.])(?:\.\d+|\d\.\de\d+)", section)
    assert len(numbers) >= 9
    for number in numbers:
        assert number in TEXTS["docs/forecasting.md"], number


def test_make_alone_lists_every_target() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("there is no make")
    listed = subprocess.run(
        [make, "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    phony = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    lines = [line.split(maxsplit=2) for line in listed.splitlines()]
    assert sorted(name for _, name, _ in lines) == sorted(" ".join(phony).split())
