"""A forecaster in words."""

from __future__ import annotations

from recurnn.errors import counted
from recurnn.models.forecast_options import ForecastOptions
from recurnn.models.options import name_of
from recurnn.models.preparation import Kind, Prepared


def describe(
    options: ForecastOptions,
    kind: Kind,
    prepared: Prepared | None,
    *,
    short: bool = False,
) -> str:
    """What is forecast, from what, by what.

    Args:
        options: with horizon and context filled in.
        kind: of the data: columns and series.
        prepared: the parts, where there are any.
        short: one line for a plot, instead of one a topic.
    """
    assert options.horizon is not None
    columns = kind.columns
    what = ", ".join(columns[:3]) + (f" and {len(columns) - 3} more" if len(columns) > 3 else "")
    many = f" of {len(kind.series)} series" if len(kind.series) > 1 else ""
    sizes = ", ".join(str(h) for h in options.hidden_sizes)
    network = f"{name_of(options.cell)} ({sizes})" + (" + linear" if options.skip else "")
    steps = f"{counted(options.horizon, 'step')} ahead"
    after = f", {options.gap} left out" if options.gap else ""
    if short:
        return f"{what}{many}: {steps}{after}, {network}, window of {options.context}"
    lines = [
        f"Forecast {what}{many}: {steps}{after}, from a window of {options.context}",
        f"Network: {network}, {options.loss.upper()}, {options.optimizer} "
        f"{options.learning_rate:g}, batch {options.batch_size}, seed {options.seed}",
    ]
    if prepared is not None:
        validation = 0 if prepared.validation is None else len(prepared.validation)
        lines.append(
            f"Windows: {len(prepared.train):,} to train, {validation:,} to validate, "
            f"{len(prepared.test):,} to test"
        )
    return "\n".join(lines)
