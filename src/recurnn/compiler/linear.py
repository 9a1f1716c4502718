"""Recurrences that are linear, unit by unit: h = a ⊙ h + b with a and b made of the input alone.

Such a recurrence can be run in spans of time side by side. A first kernel, *ahead*, makes all
that does not need the state, and says of each span with which state it ends if it begins with
zeros, and how much of any other beginning comes *through*: the product of its a. That gives each
span its beginning, and a second kernel, *after*, runs the step with them. The gradient is linear
in the same way, with the same a, and needs one such pass before its kernel, *behind*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from recurnn.compiler.differentiate import Backward
from recurnn.compiler.ops import REDUCTIONS, Graph, Value, reachable
from recurnn.compiler.phases import fill_phases
from recurnn.compiler.plan import end_forward, place_inputs
from recurnn.compiler.plan_parts import LEAVES, Body, Place, Plan
from recurnn.compiler.trace import Step

Factor = Value | float


@dataclass
class Linear:
    """What makes a step's recurrence linear.

    Attributes:
        states: the states that come back, in the cell's order; the others are only given out.
        through: the name under which the product of a state's a is carried.
        decay: by state, the product a ⊙ through; the value `through` after the step.
        fading: by state, the same for the carried gradient.
        moving: every value that the old states act on.
    """

    states: tuple[str, ...]
    through: dict[str, str]
    decay: dict[str, Value]
    fading: dict[str, Value]
    moving: set[Value]


def linear(step: Step, back: Backward) -> Linear | None:
    """How a step's recurrence is linear; None if it is not.

    Args:
        step: the traced step; its graph grows by the products of a.
        back: its derivative.
    """
    G = step.graph
    moving = _moving(G, step.old.values())
    ends = [*step.states.values(), *step.observed.values()]
    seen = set(reachable(ends))
    states = tuple(k for k, old in step.old.items() if old in seen)
    if not states or any(back.past[k] for k in states):
        return None
    if any(new not in moving for new in step.states.values()):  # no recurrence in that state
        return None
    through = {k: _free(f"through_{k}", step.old) for k in states}
    decay: dict[str, Value] = {}
    fading: dict[str, Value] = {}
    for k in states:
        old, new = step.old[k], step.states[k]
        others = {step.old[j] for j in states if j != k}
        carry = G.make("carry", width=old.width, data=k)
        carried = {G.make("carry", width=step.old[j].width, data=j) for j in states if j != k}
        if others & set(reachable([new])) or k not in back.carries:
            return None
        if carried & set(reachable([back.carries[k]])):
            return None
        a, s = _factor(G, new, old), _factor(G, back.carries[k], carry)
        if a is None or s is None or a == 0 or s == 0:
            return None
        width, name = old.width, through[k]
        decay[k] = G.apply("mul", a, G.make("state", width=width, data=name))
        fading[k] = G.apply("mul", s, G.make("carry", width=width, data=name))
    return Linear(states, through, decay, fading, moving)


def _free(name: str, taken: Iterable[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _moving(graph: Graph, states: Iterable[Value]) -> set[Value]:
    """Everything that is computed from the states."""
    moving = set(states)
    for value in graph.values:
        operands = [v for _, _, v in value.data] if value.op == "product" else []
        if moving.intersection([*value.args, *operands]):
            moving.add(value)
    return moving


def _factor(graph: Graph, value: Value, of: Value) -> Factor | None:
    """What a value multiplies `of` by, if it is linear in it up to a term without it."""
    moved = _moving(graph, [of])
    known: dict[Value, Factor | None] = {}

    def find(v: Value) -> Factor | None:
        if v not in known:
            known[v] = 1.0 if v is of else 0.0 if v not in moved else combine(v)
        return known[v]

    def combine(v: Value) -> Factor | None:
        parts = [find(a) for a in v.args]
        if v.op not in ("neg", "add", "sub", "mul", "div") or None in parts:
            return None
        a, b = (*parts, 0.0)[:2]
        assert a is not None
        assert b is not None
        if v.op == "neg":
            return graph.apply("neg", a) if isinstance(a, Value) else -a
        if v.op in ("add", "sub"):
            return _sum(graph, v.op, a, b)
        first, second = (argument in moved for argument in (*v.args, *v.args)[:2])
        if v.op == "mul" and first != second:
            return graph.apply("mul", a, v.args[1]) if first else graph.apply("mul", v.args[0], b)
        if v.op == "div" and not second:
            return graph.apply("div", a, v.args[1])
        return None

    return find(value)


def _sum(graph: Graph, op: str, a: Factor, b: Factor) -> Factor:
    if not isinstance(a, Value) and not isinstance(b, Value):
        return a + b if op == "add" else a - b
    if a == 0 and op == "sub":
        return graph.apply("neg", b)
    return graph.apply(op, a, b)


# ---- the plans


def front(found: Linear, ends: Iterable[Value], known: Iterable[Value]) -> list[Value]:
    """What `after` needs of the values that are made without the state, and cannot make itself.

    Args:
        found: what is linear.
        ends: what `after` is to make.
        known: the values that it is given anyway.
    """
    given, found_ = set(known), []
    makes = given | {v for v in reachable(ends) if v.op in LEAVES and v.op != "x"}

    def can_make(v: Value) -> bool:
        if v in makes:
            return True
        if v.op in ("product", "x", *REDUCTIONS):
            return False
        return all(can_make(a) for a in v.args)

    queue, seen = list(ends), set(given)
    while queue:
        value = queue.pop()
        if value in seen:
            continue
        seen.add(value)
        if value in found.moving:
            queue += value.args
            queue += [o for _, _, o in value.data] if value.op == "product" else []
        elif not can_make(value):
            found_.append(value)
    return sorted(found_, key=lambda v: v.index)


def plan_ahead(step: Step, found: Linear, saved: list[Value], observed: tuple[str, ...]) -> Plan:
    """Forward, first: what needs no state, and the ends of spans that begin with zeros.

    Args:
        step: the traced step.
        found: what is linear in it.
        saved: the values to keep for the backward pass.
        observed: the names of the gates to write out at every step.
    """
    plan = Plan("forward", streams=["x", "hoisted"])
    place_inputs(plan, step)
    for k in found.states:
        _state(plan, k, step.old[k], step.states[k])
    for k, name in found.through.items():
        old = step.graph.make("state", width=step.old[k].width, data=name)
        _state(plan, name, old, found.decay[k])
    still = [v for v in saved if v not in found.moving]
    for value in saved:
        place = plan.slot("saved", value.width)
        if value in still:
            plan.stores.setdefault(value, []).append(place)
    for name in observed:
        if step.observed[name] not in found.moving:
            _see(plan, step, name)
    for value in front(found, _ends(step, found, saved, observed), still):
        plan.stores.setdefault(value, []).append(plan.slot("front", value.width))
    return end_forward(plan)


def plan_after(step: Step, found: Linear, saved: list[Value], observed: tuple[str, ...]) -> Plan:
    """Forward, second: the step, with what the first kernel has made; arguments as there."""
    plan = Plan("forward", streams=["x", "hoisted"])
    place_inputs(plan, step)
    for k, old in step.old.items():
        _state(plan, k, old, step.states[k])
        plan.given[f"new_{k}"] = old.width
    still = [v for v in saved if v not in found.moving]
    for value in saved:
        place = plan.slot("saved", value.width)
        if value in still:
            plan.homes[value] = place
        else:
            plan.stores.setdefault(value, []).append(place)
    for name in observed:
        if step.observed[name] in found.moving:
            _see(plan, step, name)
    for value in front(found, _ends(step, found, saved, observed), still):
        plan.homes[value] = plan.slot("front", value.width)
    return end_forward(plan)


def _ends(step: Step, found: Linear, saved: list[Value], observed: tuple[str, ...]) -> list[Value]:
    """What the second kernel makes: the states, and whatever else they act on."""
    more = [*saved, *(step.observed[k] for k in observed)]
    return [*step.states.values(), *(v for v in more if v in found.moving)]


def _state(plan: Plan, name: str, old: Value, new: Value) -> None:
    plan.homes[old] = Place(f"old_{name}")
    plan.stores.setdefault(new, []).append(Place(f"new_{name}"))
    plan.streams += [f"old_{name}", f"new_{name}", f"last_{name}"]
    plan.last[name] = old.width


def _see(plan: Plan, step: Step, name: str) -> None:
    value = step.observed[name]
    plan.stores.setdefault(value, []).append(Place(f"seen_{name}"))
    plan.streams.append(f"seen_{name}")
    plan.given[f"seen_{name}"] = value.width


def plan_behind(step: Step, found: Linear, back: Backward) -> Plan:
    """Backward, first: the gradients at the beginnings of spans that end with none.

    Args:
        step: the traced step.
        found: what is linear in it.
        back: its derivative.
    """
    plan = Plan("backward")
    for k, old in step.old.items():
        plan.homes[old] = Place(f"old_{k}")
        plan.homes[step.states[k]] = Place(f"new_{k}")
        plan.streams += [f"old_{k}", f"new_{k}", f"carry_{k}"]
    plan.streams += [f"seed_{k}" for k in back.seeds]
    place_inputs(plan, step)
    for value in back.saved:
        plan.homes[value] = plan.slot("saved", value.width)
    carries = {k: back.carries[k] for k in found.states}
    carries |= {found.through[k]: v for k, v in found.fading.items()}
    for name, value in carries.items():
        plan.stores.setdefault(value, []).append(Place(f"next_{name}"))
        plan.streams += [f"next_{name}", f"first_{name}", f"again_{name}"]
        total = step.graph.make("carry", width=value.width, data=name)
        plan.finish[name] = Body(value.width, [], [total])
    plan.streams += [f"carry_{name}" for name in found.through.values()]
    fill_phases(plan, reachable(list(carries.values()), set(plan.homes)))
    plan.streams += ["x", "dx", "saved", "dz", "past", "operands", "kept", "sums"]
    return plan
