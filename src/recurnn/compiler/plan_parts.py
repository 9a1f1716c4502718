"""What a plan is made of: phases of bodies, groups of products, and places in arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

from recurnn.compiler.ops import REDUCTIONS, Value

LEAVES = ("x", "input", "state", "vector", "constant", "width", "carry", "seed", "limit")
"""What a body reads where it is used, from an array or a vector, without computing it."""


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

    def by_row(self, k: int) -> bool:
        """Whether a phase has no products, nor tiles: it takes one row after another.

        Args:
            k: its number.
        """
        bodies = self.phases[k].bodies.values()
        return self.has_row_sums and not any(body.groups for body in bodies)

    @property
    def has_row_sums(self) -> bool:
        """Whether a sum over units is needed, so that units must stay on one thread."""
        return any(v.op in REDUCTIONS for phase in self.phases for v in phase.scalars)


def dz_place(plan: Plan, dz: Value) -> Place:
    """Where a dz lies in the stream ``dz``."""
    return next(p for p in plan.stores[dz] if p.stream == "dz")
