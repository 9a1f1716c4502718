"""A module imports only from below it; files and functions stay short enough to read.

A function is measured without its signature and docstring: a command's options are not its logic.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import recurnn

SOURCE = Path(recurnn.__file__).parent
RANKS = {
    "errors": 0, "files": 0, "cells": 1, "compiler": 1, "norms": 1, "clipping": 1, "autocast": 1,
    "recorder": 2, "checks": 2, "reference": 2, "scan": 3, "nn": 4, "data": 5, "explain": 5,
    "stepper": 5, "subject": 5, "training": 6, "baselines": 7, "models": 8, "insight": 8,
    "interchange": 8, "cli": 9, "__main__": 10,
}  # fmt: skip
FILES = sorted(SOURCE.rglob("*.py"))


def part(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    """The parts of recurnn that a file imports, wherever in the file it does so."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {f"{name}.".split(".")[1] for name in names if f"{name}.".startswith("recurnn.")}


def upward(here: str, names: set[str]) -> set[str]:
    """Those of the imported parts that `here` may not import."""
    allowed = {k for k, rank in RANKS.items() if rank < RANKS[here]} | {here}
    return names - ({"errors", "data"} if here == "data" else allowed)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down_and_code_stays_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    if path != SOURCE / "__init__.py":
        assert not upward(part(path), imported(tree))
    assert len(text.splitlines()) <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.body[0].lineno < 60 + documentation(node), (
                node.name
            )


def documentation(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's docstring, which do not count."""
    text = ast.get_docstring(node, clean=False)
    return len(text.splitlines()) if text else 0


@pytest.mark.parametrize(
    ("here", "line", "found"),
    [
        ("cells", "from recurnn.scan import scan", {"scan"}),
        ("cells", "from recurnn import nn", {"nn"}),
        ("cells", "import recurnn", {""}),
        ("data", "from recurnn import cells", {"cells"}),
        ("models", "def f():\n    from recurnn.cli import main", {"cli"}),
        ("models", "from recurnn.insight import plot", {"insight"}),
        (
            "nn",
            "import torch.nn\nfrom recurnn.scan import scan\nfrom recurnn.nn import LSTM",
            set(),
        ),
    ],
)
def test_an_upward_import_is_seen(here: str, line: str, found: set[str]) -> None:
    assert upward(here, imported(ast.parse(line))) == found


def test_whoever_wants_a_layer_does_not_wait_for_what_forecasts_need() -> None:
    heavy = ("torch._dynamo", "pandas", "statsmodels", "scipy", "matplotlib")
    program = f"""
import sys, torch
before = set(sys.modules)
import recurnn
print(*[k for k in {heavy} if k in sys.modules and k not in before])
recurnn.Forecaster
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == []
