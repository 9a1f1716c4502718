"""The table that sets a network beside the baselines, and the sentence that sums it up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NOISE = 0.01
"""Share of the MSE below which two models count as equal."""

PERSISTENCE = "repeating the last value"
SEASONAL = "repeating the last season"
LINEAR = "linear autoregression"
MLP = "window MLP"


@dataclass(frozen=True)
class Row:
    """One model on the test part.

    Attributes:
        model: its name.
        mse: mean squared error over all windows, steps ahead and columns.
        mae: mean absolute error.
        mase: mean absolute scaled error; below 1 is better than the seasonal naive forecast was
            on the training part.
        smape: symmetric mean absolute percentage error, 0 to 200.
        seconds: that training took.
        recurrent: whether this is the recurrent network.
    """

    model: str
    mse: float
    mae: float
    mase: float
    smape: float
    seconds: float
    recurrent: bool = False


def verdict(rows: Sequence[Row], *, untrained: bool = False, interrupted: bool = False) -> str:
    """One or two plain sentences: was the network worth it?

    Args:
        rows: the models, exactly one of which is recurrent.
        untrained: whether the weights kept are those from before training.
        interrupted: whether Ctrl-C ended the training.
    """
    network = next(row for row in rows if row.recurrent)
    best = min((row for row in rows if not row.recurrent), key=lambda row: row.mse)
    persistence = next((row for row in rows if row.model == PERSISTENCE), best)
    text = _against(network, best)
    if network.mse > persistence.mse * (1 + NOISE) and best is not persistence:
        text = text.removesuffix(".") + f"; it is worse even than {PERSISTENCE}."
    if untrained:
        text += " Training never lowered the validation loss: this is the network as it began."
    if interrupted:
        text += " Training was interrupted; these are the best weights until then."
    return text


def _against(network: Row, best: Row) -> str:
    name = f"the {MLP}" if best.model == MLP else best.model
    change = (network.mse - best.mse) / best.mse if best.mse > 0 else float(network.mse > 0)
    if abs(change) <= NOISE:
        return (
            f"The {network.model} is no better than {name} (MSE on the test part within "
            f"{NOISE:.0%}): use that, it is simpler."
        )
    if change < 0:
        return (
            f"The {network.model} is {-change:.0%} better (MSE on the test part) than the best "
            f"baseline, {name}."
        )
    size = f"{change:.0%}" if change < 10 else "over ten times"
    return (
        f"The {network.model} is {size} worse (MSE on the test part) than {name}: use that instead."
    )
