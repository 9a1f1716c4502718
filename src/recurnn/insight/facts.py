"""What was measured, told and not judged: decay, reach of memory, and what nobody has said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recurnn.errors import counted
from recurnn.insight.advice import number, pace, percent

if TYPE_CHECKING:
    from recurnn.insight.inspection import Inspection

_NEAR = 0.01  # of a loss, or of the largest change: what is below makes no difference
_OF_THE_GRADIENT = ("vanishes", "explodes", "unused")  # verdicts that say how far it comes
_UNJUDGED = ", so that none of this is judged"


def facts(found: Inspection) -> list[str]:
    """Sentences on how far the gradient comes in each layer and how far back the model looks.

    What a verdict has said of a layer's gradient is not said again.

    Args:
        found: what was measured.
    """
    told = {v.layer for v in found.verdicts if v.name in _OF_THE_GRADIENT}
    said = [_decay(found, name) for name in found.flows if name not in told]
    said += [line for line in (_hidden(found), _context(found)) if line]
    if found.subject.lag is None:
        judged = any(v.name in ("vanishes", "forgets") for v in found.verdicts)
        said.append(
            f"How far back the task reaches is not known{'' if judged else _UNJUDGED}: tell it as "
            "the lag (--lag, Subject(lag=...))."
        )
    return said


def _decay(found: Inspection, layer: str) -> str:
    flow = found.flows[layer]
    decay, left = flow.decay, flow.decay.left_after(found.lag_of(layer))
    if not flow.arrives:
        return f"{layer}: no gradient arrives."
    return (
        f"{layer}: the gradient {pace(decay)}; {found.lag_in_words(layer)}, where "
        f"{percent(left)} is left."
    )


def _hidden(found: Inspection) -> str:
    """How far back an input still changes the prediction."""
    table = found.occlusion
    if table is None or not float(table["change"].max()) > 0:
        return ""
    felt = int(table.loc[table["change"] > _NEAR * table["change"].max(), "lag"].abs().max())
    whole = ", the whole input," if felt == table["lag"].abs().max() else ""
    return (
        f"Hiding the input of up to {counted(felt, 'step')} back{whole} changes the prediction by "
        "more than 1 % of what hiding its most telling step does."
    )


def _context(found: Inspection) -> str:
    """How much context the loss needs."""
    table = found.contexts
    if table is None or len(table) < 2:
        return ""
    whole = float(table["loss"].iloc[-1])
    far = table.loc[(table["loss"] - whole).abs() > _NEAR * abs(whole), "context"]
    needed = table.loc[table["context"] > far.max(), "context"].min() if len(far) else 1
    return (
        f"Given {int(needed)} of {int(table['context'].iloc[-1])} steps the loss is within 1 % of "
        f"{number(whole)}, that of all."
    )
