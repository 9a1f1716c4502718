"""What is wrong, in words with the number behind it, and what to try because of that number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recurnn.insight import advice as why
from recurnn.insight.advice import number, pace, percent

if TYPE_CHECKING:
    from recurnn.insight.inspection import Inspection

VANISHED, EXPLODED = 0.01, 100.0
_MOST_DEAD, _MOST_STUCK = 0.25, 0.5
_SWITCHES = 0.85
_LARGE, _SMALL = 10.0, 0.01
_CLIPPED = 0.9
_FAST, _SLOW = 0.03, 1e-5


@dataclass(frozen=True)
class Verdict:
    """Something that is wrong.

    Attributes:
        name: ``"vanishes"``, ``"explodes"``, …; see `RULES`.
        text: a sentence with the numbers.
        advice: what to try, each with the measurement that calls for it.
        layer: the recurrent layer it is about; empty for the whole model.
    """

    name: str
    text: str
    advice: tuple[str, ...] = ()
    layer: str = ""

    def __str__(self) -> str:
        head = f"{self.layer} {self.name}" if self.layer else self.name
        return "\n".join([f"{head}: {self.text}", *(f"  try: {one}" for one in self.advice)])


def verdicts(inspection: Inspection) -> list[Verdict]:
    """Everything that is wrong with a model, as far as was measured; nothing for a healthy one.

    Args:
        inspection: what was found.
    """
    found: list[Verdict] = []
    said: set[str] = set()
    for name, rule in RULES.items():
        if any(name in HIDES.get(v.name, ()) for v in found):
            continue
        for text, advice, layer in rule(inspection):
            found.append(Verdict(name, text, tuple(a for a in advice if a not in said), layer))
            said |= set(advice)
    return found


Rest = tuple[str, tuple[str, ...], str]


def _same_units(found: Inspection) -> Iterator[Rest]:
    for name, units in found.distinct.items():
        total = len(next(iter(found.gates[name].values.values())).mean)
        if total > 1 and units <= max(1, total // 4):
            what = "all units do the same" if units == 1 else f"of {total} units {units} differ"
            zero = found.zero_weights.get(name, 0.0)
            text = f"{what}; {percent(zero)} of the weights are exactly zero."
            yield text, (
                "a random start, for units that begin alike get the same gradient and stay alike: "
                'init="uniform" or "glorot" of the cell, reset_parameters() of the layer.',
            ), name  # fmt: skip


def _unused(found: Inspection) -> Iterator[Rest]:
    for name, flow in found.flows.items():
        if not flow.arrives:
            yield "no gradient arrives: the loss does not depend on this layer at all.", (
                "look at what stands between the layer and the loss: weights that are zero, a "
                "detach(), or an output that is not used.",
            ), name  # fmt: skip


def _harm(found: Inspection) -> str | None:
    """What makes of a short memory a fault, as a clause; None if nothing does.

    Where the lag of the task is known, that is enough. Where it is not, a gradient that ends
    before the input does may well be right, unless the network did not learn.
    """
    s, course = found.subject, found.course
    if s.lag is not None:
        return ""
    if course is not None and course.stuck:
        return f"; {course.stuck}"
    return f"; {s.beaten_by} does better on held-out data" if s.beaten_by else None


def _vanishes(found: Inspection) -> Iterator[Rest]:
    harm = _harm(found)
    if harm is None:
        return
    for name, flow in found.flows.items():
        lag, decay = found.lag_of(name), flow.decay
        left = decay.left_after(lag)
        if not flow.arrives or left >= VANISHED or len(flow.total) < 2 or decay.rate > 1:
            continue
        if found.record[name].reverse and np.isnan(decay.rate):  # it begins at the loss's own step
            continue
        text = (
            f"the gradient {pace(decay)}; {found.lag_in_words(name)}, where {percent(left)} is "
            f"left{harm}."
        )
        yield text, why.against_vanishing(found, name), name


def _explodes(found: Inspection) -> Iterator[Rest]:
    for name, flow in found.flows.items():
        decay = flow.decay
        most = float(decay.curve.max())
        grown = decay.left_after(found.lag_of(name))
        if not flow.arrives or max(most, grown) <= EXPLODED or not decay.rate > 1:
            continue
        text = (
            f"the gradient {pace(decay)}; at "
            f"{number(float(decay.curve.argmax()))} steps back it is {number(most)} times what it "
            f"was at the loss; {found.lag_in_words(name)}."
        )
        yield text, why.against_exploding(found, name), name


def _saturated(found: Inspection) -> Iterator[Rest]:
    for layer, report in found.gates.items():
        for gate, values in report.gates.items():
            keeps = report.keep is not None and report.keep.gate == gate
            shut, wide = float((values.shut == 1).mean()), float((values.open == 1).mean())
            if keeps and report.keep is not None:  # held open, it is a memory
                shut, wide = (0.0, wide) if report.keep.inverted else (shut, 0.0)
            both = min(float(values.shut.mean()), float(values.open.mean()))
            switches = values.saturated > _SWITCHES and both > 0.2
            if shut + wide <= _MOST_STUCK and not switches:
                continue
            text = (
                f"gate {gate} is below .05 at {percent(float(values.shut.mean()))} and above .95 "
                f"at {percent(float(values.open.mean()))} of all steps; {percent(shut + wide)} of "
                "its units never leave there."
            )
            yield text, why.against_saturation(found, layer, gate, switches=switches), layer


def _dead(found: Inspection) -> Iterator[Rest]:
    for layer, report in found.gates.items():
        for name, values in report.values.items():
            if values.kind == "gate":
                continue
            dead, still = float(values.dead.mean()), float(values.still.mean())
            if max(dead, still) < _MOST_DEAD:
                continue
            H = len(values.mean)
            kind = "are zero at every step" if dead else "never change"
            count = int(values.dead.sum() if dead else values.still.sum())
            yield f"{count} of {H} units of {name} {kind}.", (
                f"a smaller learning rate and a fresh start: no gradient brings these {count} "
                "units back.",
                "a bias that starts above zero, or tanh in place of relu." if dead else
                "look at the weights into these units: they are zero or far too large.",
            ), layer  # fmt: skip


def _forgets(found: Inspection) -> Iterator[Rest]:
    harm = _harm(found)
    if harm is None:
        return
    for layer, report in found.gates.items():
        if report.keep is None:
            continue
        longest = float(np.percentile(report.horizon, 95))
        lag = found.lag_of(layer)
        if longest >= lag / 5:
            continue
        text = (
            f"by {report.keep} alone, a unit keeps 1/e of its state {report.keep.state} for "
            f"{number(float(np.median(report.horizon)))} steps (the median; 95 % of the units "
            f"below {number(longest)}); {found.lag_in_words(layer)}{harm}."
        )
        yield text, why.of_the_bias(found, layer), layer


def _unscaled(found: Inspection) -> Iterator[Rest]:
    x = found.subject.x
    if not x.is_floating_point():
        return
    real = found.subject.real_of(found.subject.by_row(x.detach()))
    columns = real.reshape(-1, x.shape[-1] if x.dim() > 2 else 1).cpu().double().numpy()
    mean, std = columns.mean(axis=0), columns.std(axis=0)
    size = np.sqrt(np.square(columns).mean(axis=0))
    flags = np.isin(columns, (0.0, 1.0)).all(axis=0) | (std == 0)
    wrong = ~flags & ((size > _LARGE) | (size < _SMALL))
    if not wrong.any():
        return
    k = int(np.argmax(np.where(wrong, np.abs(np.log(np.maximum(size, 1e-30))), -1)))
    text = (
        f"{int(wrong.sum())} of {len(size)} columns of x; column {k} has mean {number(mean[k])} "
        f"and standard deviation {number(std[k])}, where the weights expect about 0 and 1."
    )
    yield text, (f"(x − {number(mean[k])}) / {number(std[k])} for column {k}, fitted on the "
                 "training part only.",), ""  # fmt: skip


def _truncated(found: Inspection) -> Iterator[Rest]:
    s = found.subject
    if s.truncation is None or s.lag is None or s.truncation >= s.lag:
        return
    yield (
        f"training cuts the gradient after {s.truncation} steps; the task reaches {s.reach} back.",
        (f"chunks of {s.reach} steps or more, so that what is {s.reach} steps back gets a "
         "gradient; memory='low' where that costs too much.",), "",
    )  # fmt: skip


def _clipped(found: Inspection) -> Iterator[Rest]:
    course = found.course
    if course is None or course.clipped is None or course.clipped < _CLIPPED:
        return
    median = float(np.median(course.column("gradient")))
    yield (
        f"clipping at {number(course.clip or 0)} acts at {percent(course.clipped)} of the steps; "
        f"the median norm before it is {number(median)}.",
        (f"clip at about {number(2 * median)}, above the usual norm: always on, clipping is a "
         "smaller learning rate and hides the size of the gradient.",), "",
    )  # fmt: skip


def _too_fast(found: Inspection) -> Iterator[Rest]:
    course = found.course
    if course is None or len(loss := course.column("loss")) < 8:
        return
    if course.diverged:
        at = int(np.flatnonzero(~np.isfinite(loss))[0])
        text = f"the loss is no longer a number from note {at + 1} on."
    else:
        first, last = float(loss[0]), float(np.median(loss[-len(loss) // 4 :]))
        update = course.column("update")
        size = float(np.median(update)) if len(update) else 0.0
        worse = last > 3 * first or float(loss.max()) > 20 * first
        if not worse and (last < 0.9 * first or size < _FAST):
            return
        text = (
            f"the loss went from {number(first)} to {number(last)} (at most "
            f"{number(float(loss.max()))})"
            + (f"; each step changes a weight by {percent(size)}." if len(update) else ".")
        )
    yield text, ("a learning rate ten times smaller: steps of .1 % of a weight are usual.",), ""


def _too_slow(found: Inspection) -> Iterator[Rest]:
    course = found.course
    if course is None or len(loss := course.column("loss")) < 8 or course.diverged:
        return
    update = course.column("update")
    if not len(update) or not 0 < float(np.median(update)) < _SLOW:
        return
    first, last = float(np.median(loss[:3])), float(np.median(loss[-len(loss) // 4 :]))
    if last < 0.95 * first:
        return
    yield (
        f"each step changes a weight by {percent(float(np.median(update)))}; the loss went from "
        f"{number(first)} to {number(last)}.",
        ("a learning rate a hundred times larger: steps of .1 % of a weight are usual.",), "",
    )  # fmt: skip


Rule = Callable[["Inspection"], Iterator[Rest]]
RULES: dict[str, Rule] = {
    "same units": _same_units,
    "unused": _unused,
    "vanishes": _vanishes,
    "explodes": _explodes,
    "saturated": _saturated,
    "dead units": _dead,
    "forgets": _forgets,
    "unscaled input": _unscaled,
    "truncated": _truncated,
    "always clipped": _clipped,
    "learning rate too high": _too_fast,
    "learning rate too low": _too_slow,
}
"""Every verdict there is, in the order in which they are told."""

HIDES: dict[str, tuple[str, ...]] = {
    "same units": ("unused", "vanishes", "dead units", "forgets", "learning rate too high"),
    "unused": ("vanishes",),
}
"""Verdicts that say no more than another one has said."""
