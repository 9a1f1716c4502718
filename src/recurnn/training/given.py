"""What `fit` is given, refused in words before any work is done where it is of another kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from recurnn.data import Streams
from recurnn.errors import ConfigError, DataError, KindError, one_of
from recurnn.training.feeds import Batches
from recurnn.training.objective import Metric, Objective
from recurnn.training.plan import Plan
from recurnn.training.saves import Saves
from recurnn.training.schedules import Plateau, Warmup


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


def check_together(
    plan: Plan,
    train: Batches | Streams,
    validation: Batches | Streams | None,
    metrics: Mapping[str, Metric],
    objective: Objective | None,
    processes: int,
) -> None:
    """Refuse what does not fit together, and options that could not act.

    Raises:
        ConfigError: which one, and why.
    """
    if plan.monitor != "loss" and plan.monitor not in metrics:
        raise one_of("monitor", plan.monitor, ["loss", *metrics])
    if validation is None:
        _check_unvalidated(plan, metrics)
    if objective is not None and plan.given("loss"):
        raise ConfigError(
            f"loss is {plan.to_dict()['loss']!r}, but the objective given to fit says what is "
            "minimised.\n  Leave out one of the two."
        )
    if not isinstance(train, Streams):
        for what in ("k1", "k2"):
            if plan.given(what):
                raise ConfigError(
                    f"{what} is {getattr(plan, what)}, but the training part is no stream.\n"
                    "  k1 and k2 cut one long sequence (recurnn.data.Streams); a sample is gone "
                    "through as a whole.\n  Leave them out."
                )
        return
    if plan.given("batch_size"):
        raise ConfigError(
            f"batch_size is {plan.batch_size!r}, but the training part is a stream, which has its "
            f"lanes already: {train.lanes}.\n  Leave it out; Streams(..., batch_size=...) is "
            "where lanes are chosen."
        )
    if plan.bucket:
        raise ConfigError(
            "bucket: the training part is a stream, which has no sequences to batch by length.\n"
            "  Leave it out."
        )
    if train.lanes < processes:
        raise ConfigError(
            f"The stream has {train.lanes} lanes for {processes} processes.\n"
            "  Each process needs a lane of its own: give a larger batch_size."
        )


def _check_unvalidated(plan: Plan, metrics: Mapping[str, Metric]) -> None:
    """Refuse what a validation part is needed for."""
    then = plan.schedule.then if isinstance(plan.schedule, Warmup) else plan.schedule
    for there, what in (
        (plan.monitor != "loss", f"monitor is {plan.monitor!r}"),
        (bool(metrics), f"metrics are asked for ({', '.join(metrics)})"),
        (plan.given("patience"), f"patience is {plan.patience}"),
        (isinstance(then, Plateau), "schedule waits for the validation loss to stop falling"),
        (
            plan.averaging is not None and plan.averaging.after is None,
            "averaging waits for the validation loss to rise",
        ),
    ):
        if there:
            more = (
                ", or the epoch after which averaging begins: Averaging(after=...)"
                if what.startswith("averaging")
                else f", or leave {what.split()[0]} out"
            )
            raise ConfigError(f"{what}, but there is no validation part.\n  Give one{more}.")


def _called(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
