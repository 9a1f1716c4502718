"""What to try, each with the measurement that calls for it; and numbers as people write them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from recurnn.cells import Cell
from recurnn.insight.dynamics import cell_and_weights

if TYPE_CHECKING:
    from recurnn.insight.decay import Decay
    from recurnn.insight.inspection import Inspection


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float) -> str:
    """Two or three digits, and a power of ten where there would be too many zeros.

    >>> number(3.14159), number(21.0), number(-0.0123), number(1234567.0), number(float("inf"))
    ('3.1', '21', '−.012', '1.2·10⁶', '∞')
    """
    if math.isnan(value):
        return "not a number"
    sign, size = "−" if value < 0 else "", abs(value)
    if math.isinf(size):
        return f"{sign}∞"
    if size >= 1e5 or 0 < size < 1e-3:
        mantissa, exponent = f"{size:.1e}".split("e")
        return f"{sign}{mantissa}·10{str(int(exponent)).translate(_RAISED)}"
    if size >= 100 or size == int(size):
        return f"{sign}{size:,.0f}"
    return f"{sign}{size:.3g}" if size >= 10 else f"{sign}{size:.2g}".replace("0.", ".", 1)


def pace(decay: Decay) -> str:
    """How fast it falls or grows, in words.

    The rate is that of the end. Where 1 % is left is read off the curve, whose beginning may be
    faster or slower, so the two need not be multiples of one another.
    """
    if decay.gone:
        return "is gone after a single step"
    if decay.half_life < math.inf:
        return (
            f"is down to 1 % after {number(decay.steps_until(0.01))} steps and in the end halves "
            f"every {number(decay.half_life)}"
        )
    if decay.doubling < math.inf:
        return f"in the end doubles every {number(decay.doubling)} steps"
    return "neither falls nor grows"


def percent(share: float) -> str:
    """A share of one as a percentage.

    >>> percent(0.5), percent(0.0042), percent(2e-9), percent(0.0)
    ('50 %', '.42 %', '2.0·10⁻⁷ %', '0 %')
    """
    return f"{number(100 * share)} %"


def against_vanishing(found: Inspection, layer: str) -> tuple[str, ...]:
    """For a gradient that vanishes before the task's lag."""
    report, lag = found.gates[layer], found.lag_of(layer)
    tried = []
    if report.keep is None:
        cell = type(found.record[layer].cell).__name__
        tried.append(
            f"another cell (LSTM, GRU): no gate of {cell} keeps a state, so every step multiplies "
            f"the gradient by about {number(found.flows[layer].decay.rate)}."
        )
        radius = spectral_radius(found, layer)
        if radius is not None and radius < 0.99:
            tried.append(
                f"an orthogonal start: the recurrent matrix has spectral radius "
                f'{number(radius)}, an orthogonal one has 1 (init={{"U": "orthogonal"}}).'
            )
    else:
        tried += of_the_bias(found, layer)
    if found.subject.truncation is not None and found.subject.truncation > 2 * lag:
        tried.append(
            f"shorter truncation: nothing comes back over {found.subject.truncation} steps anyway."
        )
    return tuple(tried)


def against_exploding(found: Inspection, layer: str) -> tuple[str, ...]:
    """For a gradient that grows on its way back."""
    flow = found.flows[layer]
    grown = float(flow.decay.curve.max())
    tried = [
        f"clipping of the gradient's norm (1 is usual), since it grows {number(grown)}-fold: it "
        "keeps the steps small, but not the direction sound."
    ]
    radius = spectral_radius(found, layer)
    if radius is not None and radius > 1.01:
        tried.append(
            f"smaller recurrent weights or an orthogonal start: the recurrent matrix has spectral "
            f"radius {number(radius)}."
        )
    exponent = found.exponents.get(layer)
    if exponent is not None and exponent[0] > 0:
        tried.append(
            f"the same, for the states themselves part by {percent(math.expm1(exponent[0]))} a "
            f"step (Lyapunov exponent {number(float(exponent[0]))}): the layer is chaotic."
        )
    span = flow.decay.doubling * math.log2(100) if flow.decay.doubling < math.inf else math.inf
    if span < found.lag_of(layer):
        tried.append(
            f"truncation after {number(max(1.0, round(span)))} steps, over which the gradient "
            "grows a hundredfold."
        )
    return tuple(tried)


def against_saturation(
    found: Inspection, layer: str, gate: str, *, switches: bool
) -> tuple[str, ...]:
    """For a gate that is stuck, or that only ever is open or shut."""
    values = found.gates[layer][gate]
    if switches:
        return (
            f"smaller weights into {gate}, or smaller inputs: {percent(values.saturated)} of its "
            "values are where the logistic function is flat and passes no gradient on.",
        )
    mean = float(values.mean.mean())
    return (
        f"the bias b_{gate} nearer to zero: the mean of {gate} is {number(mean)}.",
        "smaller inputs, or layer norm, if the bias is small already.",
    )


def of_the_bias(found: Inspection, layer: str) -> tuple[str, ...]:
    """For a state that its gate keeps too short: the bias at which it would keep it."""
    report, lag = found.gates[layer], found.lag_of(layer)
    keep = report.keep
    if keep is None:
        return ()
    mean = float(keep.factor(torch.from_numpy(report.values[keep.gate].mean)).mean())
    wanted = math.log(max(lag, 2))
    sign = "−" if keep.inverted else ""
    cell: Cell = found.record[layer].cell
    if f"b_{keep.gate}" not in cell.weights:
        return (f"a cell that keeps more than the {number(mean)} a step that this one keeps.",)
    return (
        f"a start of b_{keep.gate} at {sign}{number(wanted)} (ln of {lag}; forget_bias of the "
        f"LSTM, init of any cell): {keep} is {number(mean)} in the mean and keeps 1/e for "
        f"{number(float(np.median(report.horizon)))} steps; {found.lag_in_words(layer)}.",
    )


def spectral_radius(found: Inspection, layer: str) -> float | None:
    """Of the only recurrent matrix of a layer; None where it has several, or none."""
    _, weights = cell_and_weights(found.record[layer])
    square = [
        w for k, w in weights.items()
        if k.startswith("U") and w.dim() == 2 and w.shape[0] == w.shape[1]
    ]  # fmt: skip
    if len(square) != 1:
        return None
    return float(np.abs(np.linalg.eigvals(square[0].numpy())).max())
