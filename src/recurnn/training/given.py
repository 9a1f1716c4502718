"""What `fit` is given, refused in words before any work is done where it is of another kind."""

from __future__ import annotations

from typing import Any

from torch import nn

from recurnn.data import Streams
from recurnn.errors import DataError, KindError
from recurnn.training.plan import Plan
from recurnn.training.saves import Saves


def check_given(module: Any, train: Any, validation: Any, plan: Any, saves: Any) -> None:
    """Refuse arguments of `fit` that are of the wrong kind, or empty.

    Raises:
        KindError: which one, what it is, and what was expected.
        DataError: there are no samples.
    """
    expected = (
        ("module", module, nn.Module, "a network, that is an nn.Module with its sizes"),
        ("plan", plan, Plan, "a Plan, such as Plan(epochs=10)"),
        ("saves", saves, Saves | None, "Saves(folder) or None"),
    )
    for name, value, kind, what in expected:
        if not isinstance(value, kind):
            raise KindError(f"fit: {name} is {_called(value)}.\n  Expected {what}.")
    for name, data in (("train", train), ("validation", validation)):
        if isinstance(data, Streams) or (data is None and name == "validation"):
            continue
        if not hasattr(data, "batch") or not hasattr(data, "__len__"):
            raise KindError(
                f"fit: {name} is {_called(data)}.\n  Expected numbered pairs with `__len__` and "
                "`batch(index)`, such as recurnn.data.Sequences(x, y), or a recurnn.data.Streams: "
                "batches are drawn by the loop, so that a run can go on in the same order."
            )
        if not len(data):
            raise DataError(f"fit: {name} is empty: it has no samples.")


def _called(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
