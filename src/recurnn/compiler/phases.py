"""Which phase of a plan computes what, and what is kept from one phase to the next."""

from __future__ import annotations

from recurnn.compiler.differentiate import Backward
from recurnn.compiler.ops import OPS, REDUCTIONS, Value
from recurnn.compiler.plan_parts import LEAVES, Group, Phase, Place, Plan, dz_place

MOST_PRODUCTS = 4  # products in one group: more would leave too few rows for a tile


def fill_phases(plan: Plan, wanted: list[Value], backward: Backward | None = None) -> None:
    """Put each value into the phase in which all that it needs is there, or a later one.

    Args:
        plan: so far.
        wanted: the values, in order of evaluation.
        backward: the derivative, if this is the plan of one.
    """
    # A leaf is read where it is used, unless it is itself a result: then a body passes it on.
    written = set(plan.stores) | set(plan.sums.values())
    values = [v for v in wanted if v.op not in LEAVES or v in written]
    first = _first_phases(plan, values)
    places = Placing(plan, values, first)
    plan.phases = [Phase() for _ in range(max(first.values(), default=0) + 1)]
    for value in values:
        if value.op in REDUCTIONS:
            phase = plan.phases[places.of[value][0] - 1]
            phase.body(value.args[0].width).sums.append(value)
        for k in places.of[value]:
            if value.width == "1":
                plan.phases[k].scalars.append(value)
            else:
                plan.phases[k].body(value.width).values.append(value)
    _keep(plan, places.kept)
    given = set(plan.homes) - set(places.kept)
    for phase in plan.phases:
        for units, body in phase.bodies.items():
            products = [v for v in body.values if v.op == "product" and v not in given]
            body.groups = group(products, lambda v: plan.homes[v])
            for v in body.values:
                if v.op == "past" and backward is not None:
                    past = past_group(plan, v.data, units, backward, output=v)
                    body.groups += [past] if past else []
            made = {*products, *(v for v in body.values if v.op == "past")}
            body.values = [v for v in body.values if v not in made]


def _first_phases(plan: Plan, values: list[Value]) -> dict[Value, int]:
    """For each value the first phase in which all that it needs is there."""
    first: dict[Value, int] = {}
    inside, given = set(values), set(plan.homes)
    for value in values:
        if value in given:
            first[value] = 0
        elif value.op == "product":
            operands = [operand for _, _, operand in value.data]
            later = any(o in inside and o not in given for o in operands)
            first[value] = max(first.get(o, 0) for o in operands) + 1 if later else 0
        elif value.op in REDUCTIONS:
            first[value] = first.get(value.args[0], 0) + 1
        else:
            first[value] = max((first.get(a, 0) for a in value.args), default=0)
    return first


class Placing:
    """Where each value is computed, and which are kept for later phases.

    What is used in a later phase only is computed there if all that it needs lies in arrays, and
    so it never travels. What is cheap is computed again in each phase that uses it: of a value
    and its products with vectors or numbers of the row, the value alone is kept. All else is
    computed as early as it can be.

    Attributes:
        of: by value, the phases in which it is computed, in order.
        kept: the values that a later phase reads or that a product multiplies.
    """

    def __init__(self, plan: Plan, values: list[Value], first: dict[Value, int]) -> None:
        self.plan, self.first = plan, first
        self.given = set(plan.homes)
        self.inside = set(values)
        results = {*plan.stores, *plan.sums.values(), *plan.counts}
        multiplied = {o for v in values if v.op == "product" for _, _, o in v.data}
        self.fixed = {v for v in values if v in results or v in multiplied or v in self.given}
        self.fixed |= {v for v in values if v.op in ("product", "past")}
        self.free: dict[Value, int] = {}
        for value in values:  # what arrays alone give, and how dear it is
            if value.width == "1" or value in self.fixed:
                continue
            if all(self.is_free(a) for a in value.args):
                self.free[value] = cost(value) + sum(self.free.get(a, 0) for a in value.args)
        self.shared = self._bases(values)
        self.of: dict[Value, list[int]] = {}
        self.kept: list[Value] = sorted(
            (v for v in multiplied if self.needs_home(v)), key=lambda v: v.index
        )
        self._place(values)

    def is_free(self, value: Value) -> bool:
        """Whether a value can be had in any phase from its first on without being kept."""
        return value.width == "1" or not self.needs_home(value) or value in self.free

    def needs_home(self, value: Value) -> bool:
        """Whether a later phase finds a value nowhere, unless it is kept."""
        return value in self.inside and value not in self.given

    def base(self, value: Value) -> Value:
        """What a value is made of by cheap operations with vectors and numbers of the row."""
        while value not in self.fixed and cost(value) == 1:
            others = [a for a in value.args if a.width != "1" and self.needs_home(a)]
            if len(others) != 1:
                break
            (value,) = others
        return value

    def _bases(self, values: list[Value]) -> set[Value]:
        """The bases that several values share which a later phase reads."""
        found: dict[Value, set[Value]] = {}
        for value in values:
            for a in value.args:
                later = value.op not in REDUCTIONS and self.first.get(a, 0) < self.first[value]
                if later and self.needs_home(a) and a not in self.free and a.width != "1":
                    found.setdefault(self.base(a), set()).add(a)
        return {base for base, some in found.items() if len(some) > 1}

    def _place(self, values: list[Value]) -> None:
        """Where each value is computed, from the last one on."""
        needed: dict[Value, set[int]] = {v: set() for v in values}
        kept = set(self.kept)
        for value in reversed(values):
            wanted = needed[value] or {self.first[value]}
            here = self._here(value, wanted)
            self.of[value] = sorted(here)
            if value.width != "1" and self.needs_home(value) and wanted - here:
                kept.add(value)
            reads = {k - 1 for k in here} if value.op in REDUCTIONS else here
            for a in value.args if value.op != "product" else ():
                if a in needed:
                    needed[a] |= reads
        self.kept = sorted(kept, key=lambda v: v.index)

    def _here(self, value: Value, wanted: set[int]) -> set[int]:
        """Where one value is computed that is wanted in some phases."""
        if value in self.fixed:
            return {self.first[value]}
        if value.width == "1":
            waits = value.op not in REDUCTIONS or self.is_free(value.args[0])
            return {min(wanted)} if waits else {self.first[value]}
        if value in self.free:
            cheap = self.free[value] <= CHEAP
            return wanted if cheap else {min(wanted)}
        again = self.base(value) is not value and self.base(value) in self.shared
        return wanted if again else {self.first[value]}


CHEAP = 3
"""The cost up to which a value is computed again in each phase that needs it."""


def cost(value: Value) -> int:
    """Of one operation, in additions."""
    return OPS[value.op].cost if value.op in OPS else 1


def _keep(plan: Plan, values: list[Value]) -> None:
    """Give a home to what later phases read and to what products multiply."""
    for value in values:
        stored = plan.stores.get(value)
        if stored:
            plan.homes[value] = stored[0]
        else:
            plan.homes[value] = plan.slot("kept", value.width)
            plan.stores.setdefault(value, []).append(plan.homes[value])


def group(products: list[Value], place: object) -> list[Group]:
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


def past_group(
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
