"""The generated C++ of two cells, word for word, so that a change of the emitter is seen.

Where it is meant: ``pytest tests/compiler/test_golden.py --update-golden``, and read the diff.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from recurnn import cells, compiler

FOLDER = Path(__file__).parent / "golden"


def kernels(cell: cells.Cell, *kinds: str) -> str:
    """The text of some of a cell's kernels."""
    text = compiler.show(cell, "kernel")
    found = []
    for kind in kinds:
        begin = text.index(f"// {type(cell).__name__}, {kind}:\n")
        end = f"    run<{kind}_kernel::Kernel>(c, address);\n}}\n"
        found.append(text[begin : text.index(end) + len(end)])
    return "\n".join(found)


@pytest.mark.parametrize(
    ("name", "cell", "kinds"),
    [
        ("elman", cells.Elman(3, 4, device="meta"), ("forward", "backward")),
        ("lstm", cells.LSTM(3, 4, device="meta"), ("forward",)),
    ],
    ids=["elman", "lstm"],
)
def test_generated_text(
    name: str, cell: cells.Cell, kinds: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    path, text = FOLDER / f"{name}.cpp", kernels(cell, *kinds)
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), "see --update-golden"
