"""Stage 3: a step, forward or backward, cut into phases that a kernel runs one after another.

A phase is a set of products followed by pointwise bodies. A value is in the phase in which all it
needs is there: a product of something computed in phase p, or a sum over units of it, is ready in
phase p + 1. What only the input needs is hoisted: those products run for many steps at once.
The plan says what is computed where and which array each value lives in; it knows no language.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from recurnn.compiler.differentiate import Backward, roots
from recurnn.compiler.ops import REDUCTIONS, Value, reachable
from recurnn.compiler.trace import Step

MOST_PRODUCTS = 4  # products in one group: more would leave too few rows for a tile


@dataclass(frozen=True)
class Place:
    """Where a value lives: a stream, and the widths that lie before it in each row of it."""

    stream: str
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Products of the same operands, whose results lie side by side in a panel.

    Attributes:
        units: the letter of the results' width.
        operands: what is multiplied.
        outputs: the products.
        matrices: for each operand, for each output, (matrix, transposed).
    """

    units: str
    operands: tuple[tuple[Place, str], ...]
    outputs: tuple[Value, ...]
    matrices: tuple[tuple[tuple[str, bool], ...], ...]


@dataclass
class Body:
    """The values of one width in one phase, fused with the products that they start from.

    Attributes:
        units: the letter of the width.
        groups: the products, computed first.
        values: the pointwise values, in order of evaluation.
        sums: the sums over units, and the greatest, that this body adds to.
    """

    units: str
    groups: list[Group] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    sums: list[Value] = field(default_factory=list)


@dataclass
class Phase:
    """One phase: numbers for each row first, then a body for each width."""

    scalars: list[Value] = field(default_factory=list)
    bodies: dict[str, Body] = field(default_factory=dict)

    def body(self, units: str) -> Body:
        """The body of a width, made when first asked for."""
        return self.bodies.setdefault(units, Body(units))


@dataclass
class Plan:
    """A kernel without a language.

    Attributes:
        kind: ``"forward"`` or ``"backward"``.
        hoisted: the products with the input, for many steps at once.
        phases: what runs at each step.
        input: backward: the products that make dL/dx, for many steps at once.
        finish: backward: by state, what makes its initial value's gradient after the loop.
        stores: value to the places that it is written to.
        sums: backward: vector name to the value that is added up for each row.
        counts: backward: the values that are added up over everything, ones and zeros.
        columns: backward: vector name to the dz whose sum over steps and rows is its gradient.
        homes: value to the place that it can be read from after its phase.
        streams: the arrays, in the order of the kernel's pointers.
        layout: the widths of a row of each stream that holds several values.
        given: the streams that the caller sees at every step, and their widths.
        last: forward: the width of each state, whose last value is given.
    """

    kind: str
    hoisted: list[Group] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    input: list[Group] = field(default_factory=list)
    finish: dict[str, Body] = field(default_factory=dict)
    stores: dict[Value, list[Place]] = field(default_factory=dict)
    sums: dict[str, Value] = field(default_factory=dict)
    counts: list[Value] = field(default_factory=list)
    columns: dict[str, Value] = field(default_factory=dict)
    homes: dict[Value, Place] = field(default_factory=dict)
    streams: list[str] = field(default_factory=list)
    layout: dict[str, list[str]] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)

    def slot(self, stream: str, width: str) -> Place:
        """A new place at the end of a stream's row."""
        before = self.layout.setdefault(stream, [])
        place = Place(stream, tuple(before))
        before.append(width)
        return place

    @property
    def has_row_sums(self) -> bool:
        """Whether a sum over units is needed, so that units must stay on one thread."""
        return any(v.op in REDUCTIONS for phase in self.phases for v in phase.scalars)


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
    plan.hoisted = _group(hoisted, lambda v: Place("x"))
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
    group = _past_group(plan, state, units, backward)
    values = [total]
    if group:
        values.append(backward.graph.apply("add", total, group.outputs[0]))
    return Body(units, [group] if group else [], values)


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


def dz_place(plan: Plan, dz: Value) -> Place:
    """Where a dz lies in the stream ``dz``."""
    return next(p for p in plan.stores[dz] if p.stream == "dz")


def _operand_kind(dz: Value, pairs: list[tuple[Value, Value]]) -> tuple[int, int]:
    """Dz of the input only, of both, of the state only: so that each kind lies in one piece."""
    ops = {operand.op == "x" for g, operand in pairs if g is dz}
    return (1 if len(ops) == 2 else 0 if True in ops else 2, dz.index)


LEAVES = ("x", "input", "state", "vector", "constant", "width", "carry", "seed", "limit")


def fill_phases(plan: Plan, wanted: list[Value], backward: Backward | None = None) -> None:
    """Put each value into the phase in which all that it needs is there.

    Args:
        plan: so far.
        wanted: the values, in order of evaluation.
        backward: the derivative, if this is the plan of one.
    """
    phase_of: dict[Value, int] = {}
    phases: dict[int, Phase] = {}
    inside, given = set(wanted), set(plan.homes)
    # A leaf is read where it is used, unless it is itself a result: then a body passes it on.
    written = set(plan.stores) | set(plan.sums.values())

    def at(value: Value) -> int:
        return phase_of.get(value, 0)

    for value in wanted:
        if value.op in LEAVES and value not in written:
            continue
        if value in given:
            phase_of[value] = 0
        elif value.op == "product":
            operands = [operand for _, _, operand in value.data]
            later = any(o in inside and o not in given for o in operands)
            phase_of[value] = max(at(o) for o in operands) + 1 if later else 0
        elif value.op in REDUCTIONS:
            phase_of[value] = at(value.args[0]) + 1
            before = phases.setdefault(at(value.args[0]), Phase())
            before.body(value.args[0].width).sums.append(value)
        else:
            phase_of[value] = max((at(a) for a in value.args), default=0)
        phase = phases.setdefault(phase_of[value], Phase())
        if value.width == "1":
            phase.scalars.append(value)
        else:
            phase.body(value.width).values.append(value)
    plan.phases = [phases.get(k, Phase()) for k in range(max(phases, default=0) + 1)]
    _keep_what_crosses(plan, wanted, at)
    for phase in plan.phases:
        for units, body in phase.bodies.items():
            products = [v for v in body.values if v.op == "product" and v not in given]
            body.groups = _group(products, lambda v: plan.homes[v])
            for v in body.values:
                if v.op == "past" and backward is not None:
                    group = _past_group(plan, v.data, units, backward, output=v)
                    body.groups += [group] if group else []
            made = {*products, *(v for v in body.values if v.op == "past")}
            body.values = [v for v in body.values if v not in made]


def _keep_what_crosses(plan: Plan, wanted: list[Value], at: object) -> None:
    """Give a home to every value that a later phase reads or that a product multiplies."""
    crossing: set[Value] = set()
    for value in wanted:
        if value.op == "product":
            crossing |= {operand for _, _, operand in value.data}
        else:
            crossing |= {
                a
                for a in value.args
                if a.width != "1" and at(a) < at(value) and value.op not in REDUCTIONS  # type: ignore[operator]
            }
    for value in sorted(crossing, key=lambda v: v.index):
        if value in plan.homes or (value.op in LEAVES and value not in plan.stores):
            continue
        stored = plan.stores.get(value)
        if stored:
            plan.homes[value] = stored[0]
        else:
            plan.homes[value] = plan.slot("kept", value.width)
            plan.stores.setdefault(value, []).append(plan.homes[value])


def _group(products: list[Value], place: object) -> list[Group]:
    """Put together the products that have the same operands and the same width."""
    together: dict[tuple[object, ...], list[Value]] = {}
    for value in products:
        key = (value.width, *(id(operand) for _, _, operand in value.data))
        together.setdefault(key, []).append(value)
    groups = []
    for same in together.values():
        pieces = -(-len(same) // MOST_PRODUCTS)
        size = -(-len(same) // pieces)
        for k in range(0, len(same), size):
            some = same[k : k + size]
            operands = [operand for _, _, operand in some[0].data]
            groups.append(
                Group(
                    some[0].width,
                    tuple((place(o), o.width) for o in operands),  # type: ignore[operator]
                    tuple(some),
                    tuple(
                        tuple((v.data[j][0], v.data[j][1]) for v in some)
                        for j in range(len(operands))
                    ),
                )
            )
    return groups


def _past_group(
    plan: Plan, state: str, units: str, backward: Backward, output: Value | None = None
) -> Group | None:
    """The products of the later step's dz that complete dL/d(old state)."""
    terms = backward.past[state]
    if not terms:
        return None
    value = output or backward.graph.make("past", width=units, data=state)
    return Group(
        units,
        tuple((Place("past", dz_place(plan, dz).before), dz.width) for _, dz in terms),
        (value,),
        tuple(((matrix, True),) for matrix, _ in terms),
    )
