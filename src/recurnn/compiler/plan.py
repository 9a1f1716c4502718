"""Stage 3: a step, forward or backward, cut into phases that a kernel runs one after another.

A phase is a set of products followed by pointwise bodies. A value is in the phase in which all it
needs is there: a product of something computed in phase p, or a sum over units of it, is ready in
phase p + 1. What only the input needs is hoisted: those products run for many steps at once.
The plan says what is computed where and which array each value lives in; it knows no language.
"""

from __future__ import annotations

from recurnn.compiler.differentiate import Backward, roots
from recurnn.compiler.ops import Value, reachable
from recurnn.compiler.phases import fill_phases, group, past_group
from recurnn.compiler.plan_parts import Body, Group, Place, Plan, dz_place
from recurnn.compiler.trace import Step


def plan_forward(step: Step, saved: list[Value], observed: tuple[str, ...]) -> Plan:
    """The phases of a step.

    Args:
        step: the traced step.
        saved: the values to keep for the backward pass.
        observed: the names of the gates to write out at every step.
    """
    plan = Plan("forward")
    plan.streams = ["x", "hoisted"]
    place_inputs(plan, step)
    for k, old in step.old.items():
        plan.homes[old] = Place(f"old_{k}")
        plan.stores.setdefault(step.states[k], []).append(Place(f"new_{k}"))
        plan.streams += [f"old_{k}", f"new_{k}", f"last_{k}"]
        plan.given[f"new_{k}"] = plan.last[k] = old.width
    for value in saved:
        plan.stores.setdefault(value, []).append(plan.slot("saved", value.width))
    for name in observed:
        plan.stores.setdefault(step.observed[name], []).append(Place(f"seen_{name}"))
        plan.streams.append(f"seen_{name}")
        plan.given[f"seen_{name}"] = step.observed[name].width
    return end_forward(plan)


def end_forward(plan: Plan) -> Plan:
    """The plan of a forward kernel whose states, inputs and results have their places.

    Args:
        plan: so far.
    """
    wanted = reachable(list(plan.stores), set(plan.homes))
    hoisted = [v for v in wanted if v.op == "product" and v.data[0][2].op == "x"]
    for value in hoisted:
        plan.homes[value] = plan.slot("hoisted", value.width)
    plan.hoisted = group(hoisted, lambda v: Place("x"))
    # What is there already and is also a result: a state that a step only hands on, a product
    # with the input that the backward needs as it is. A body copies it.
    copied = [v for v in plan.stores if v in plan.homes]
    fill_phases(plan, copied + [v for v in wanted if v not in set(hoisted)])
    plan.streams += [*(["front"] if "front" in plan.layout else []), "saved", "kept"]
    return plan


def place_inputs(plan: Plan, step: Step) -> None:
    """Let the plan read what the step is given beside x.

    Args:
        plan: so far.
        step: the traced step.
    """
    for name, value in step.inputs.items():
        plan.homes[value] = Place(f"input_{name}")
        plan.streams.append(f"input_{name}")


def plan_backward(step: Step, backward: Backward) -> Plan:
    """The phases of a backward step.

    Args:
        step: the traced step.
        backward: its derivative.
    """
    plan = Plan("backward")
    for k, old in step.old.items():
        plan.homes[old] = Place(f"old_{k}")
        plan.homes[step.states[k]] = Place(f"new_{k}")
        plan.streams += [f"old_{k}", f"new_{k}", f"carry_{k}"]
    plan.streams += [f"seed_{k}" for k in backward.seeds]
    place_inputs(plan, step)
    for k, value in backward.norms.items():
        plan.stores.setdefault(value, []).append(Place(f"norm_{k}"))
        plan.streams.append(f"norm_{k}")
    for k, value in backward.inputs.items():
        plan.stores.setdefault(value, []).append(Place(f"dinput_{k}"))
        plan.streams.append(f"dinput_{k}")
    for value in backward.saved:
        plan.homes[value] = plan.slot("saved", value.width)
    for k, value in backward.carries.items():
        plan.stores.setdefault(value, []).append(Place(f"next_{k}"))
        plan.streams.append(f"next_{k}")
    pairs = [pair for pairs in backward.outer.values() for pair in pairs]
    for dz in sorted({g for g, _ in pairs}, key=lambda g: _operand_kind(g, pairs)):
        plan.stores.setdefault(dz, []).append(plan.slot("dz", dz.width))
    plan.layout["past"] = plan.layout.get("dz", [])
    for operand in sorted({v for _, v in pairs}, key=lambda v: v.index):
        if operand.op not in ("x", "state") and operand not in plan.homes:
            plan.stores.setdefault(operand, []).append(plan.slot("operands", operand.width))
    for name, value in backward.vectors.items():
        is_dz = any(place.stream == "dz" for place in plan.stores.get(value, []))
        (plan.columns if is_dz else plan.sums)[name] = value
    if backward.clipped:
        plan.homes[backward.graph.make("limit", width="1")] = Place("limit")
        plan.streams.append("limit")
    plan.counts = list(backward.clipped.values())
    wanted = reachable(roots(backward), set(plan.homes))
    fill_phases(plan, wanted, backward)
    for k, old in step.old.items():
        plan.streams += [f"first_{k}", f"again_{k}"]
        plan.finish[k] = _finish(plan, k, old.width, backward)
    plan.input = _input(plan, backward)
    plan.given["dx"] = "I"
    plan.streams += ["x", "dx", "saved", "dz", "past", "operands", "kept", "sums"]
    return plan


def _finish(plan: Plan, state: str, units: str, backward: Backward) -> Body:
    """The gradient of an initial state: what is carried, and the products with past dz."""
    total = backward.graph.make("carry", width=units, data=state)
    group_ = past_group(plan, state, units, backward)
    values = [total]
    if group_:
        values.append(backward.graph.apply("add", total, group_.outputs[0]))
    return Body(units, [group_] if group_ else [], values)


def _input(plan: Plan, backward: Backward) -> list[Group]:
    """The products that make dL/dx: each dz of the input with its matrix."""
    terms = [
        (matrix, dz)
        for matrix, pairs in backward.outer.items()
        for dz, operand in pairs
        if operand.op == "x"
    ]
    if not terms:
        return []
    return [
        Group(
            "I",
            tuple((dz_place(plan, dz), dz.width) for _, dz in terms),
            (backward.graph.make("dx", width="I"),),
            tuple(((matrix, True),) for matrix, _ in terms),
        )
    ]


def _operand_kind(dz: Value, pairs: list[tuple[Value, Value]]) -> tuple[int, int]:
    """Dz of the input only, of both, of the state only: so that each kind lies in one piece."""
    ops = {operand.op == "x" for g, operand in pairs if g is dz}
    return (1 if len(ops) == 2 else 0 if True in ops else 2, dz.index)
