"""The shapes and cells that are measured, and how a few of them are picked."""

from __future__ import annotations

from collections.abc import Sequence

Shape = tuple[int, int, int, int]

SHAPES: list[Shape] = [  # T, B, I, H
    (5, 512, 1, 50), (5, 512, 50, 200), (96, 32, 8, 64), (100, 64, 128, 128), (100, 32, 256, 256),
    (64, 128, 512, 512), (35, 20, 650, 650), (256, 16, 1024, 1024), (1000, 1, 64, 128),
    (1, 1, 64, 128),
]  # fmt: skip
GATES = {"elman": 1, "gru": 3, "lstm": 4}
LAYERS = {"elman": "RNN", "gru": "GRU", "lstm": "LSTM"}
PASSES = {"forward": 1, "train": 3}
"""How many products of the forward pass's size a pass has."""


def letters(shape: Sequence[int]) -> str:
    """A shape as the tables have it: ``"5, 512, 1, 50"``."""
    return ", ".join(map(str, shape))


def flops(cell: str, shape: Shape) -> int:
    """Floating-point operations of the products of a forward pass; the rest is not counted."""
    T, B, I, H = shape  # noqa: E741 - the letters of the design
    return 2 * T * B * GATES[cell] * H * (I + H)


def picked(choices: Sequence[str] | None) -> list[Shape]:
    """The shapes that the words name: an index from 0, or a part of ``"5, 512, 1, 50"``.

    Raises:
        SystemExit: a word names no shape.
    """
    if choices is None:
        return SHAPES
    chosen: set[int] = set()
    for choice in choices:
        found = {i for i, shape in enumerate(SHAPES) if _names(choice, i, shape)}
        if not found:
            listed = "\n".join(f"  {i}: {letters(shape)}" for i, shape in enumerate(SHAPES))
            raise SystemExit(f"--shapes {choice!r} names none of these:\n{listed}")
        chosen |= found
    return [SHAPES[i] for i in sorted(chosen)]


def _names(choice: str, index: int, shape: Shape) -> bool:
    if choice.isdecimal():
        return int(choice) == index
    return choice.replace(" ", "") in letters(shape).replace(" ", "")
