"""Stage 4: a plan becomes C++ text. Only the bodies are generated; the rest is in headers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from recurnn.compiler.cpp_text import (
    fetches,
    free_name,
    group_text,
    in_braces,
    reduction_text,
    tile_text,
    truth,
)
from recurnn.compiler.kernel_text import Pieces, assemble
from recurnn.compiler.ops import OPS, REDUCTIONS, Value
from recurnn.compiler.plan_parts import Body, Group, Place, Plan


@dataclass
class Emitted:
    """C++ of one kernel, and what its caller has to lay out.

    Attributes:
        text: a namespace with the phases and an ``extern "C"`` entry.
        letters: the letters in the order of ``size``.
        vectors: the vectors in the order of ``vector``.
        groups: every product group, in the order of ``packed`` and ``matrix``.
    """

    text: str
    letters: list[str]
    vectors: list[str]
    groups: list[Group]


def emit(
    plan: Plan,
    kind: str,
    letters: list[str],
    vectors: list[str],
    names: dict[Value, str],
    header: str,
) -> Emitted:
    """The kernel of a plan.

    Args:
        plan: the plan.
        kind: the name of the kernel's entry: ``"forward"``, ``"inference"`` or ``"backward"``.
        letters: every letter of the cell.
        vectors: every vector of the cell.
        names: the author's names of values.
        header: the comment that opens the kernel.
    """
    writer = _Writer(plan, kind, letters, vectors, names)
    hoists = [
        writer.tile(f"Hoisted{k}", Body(group.units, [group]), _homes(plan, group))[0]
        for k, group in enumerate(plan.hoisted)
    ]
    phases = []
    writer.number_all()
    later: dict[str, list[str]] = {}  # by width, the lines of the phases without products to come
    for k in reversed(range(len(plan.phases))):
        few, tiles = plan.by_row(k), []
        for units, body in plan.phases[k].bodies.items():
            soon = later.get(units, [])
            text, lines = writer.tile(f"Phase{k}_{units}", body, plan.stores, soon, whole=few)
            tiles.append(text)
            later[units] = [*lines, *soon] if few else []
        phases.append((writer.scalars(plan.phases[k].scalars), tiles))
    phases.reverse()
    finish = [
        writer.tile(f"Finish_{state}", body, {body.values[-1]: [Place(f"first_{state}")]})[0]
        for state, body in plan.finish.items()
    ]
    inputs = [
        writer.tile("Input", Body(group.units, [group]), {group.outputs[0]: [Place("dx")]})[0]
        for group in plan.input
    ]
    pieces = Pieces(hoists, phases, finish, inputs, writer.numbers, writer.sums)
    text = assemble(plan, kind, letters, header, pieces)
    return Emitted(text, letters, vectors, writer.groups)


def _homes(plan: Plan, group: Group) -> dict[Value, list[Place]]:
    return {v: [plan.homes[v]] for v in group.outputs}


LOCAL = "at_{}"
"""The local name of a stream's place in the present row."""

PADDED = frozenset(["hoisted", "saved", "front", "kept", "dz", "past", "operands", "sums"])
"""The streams whose rows are whole vectors, so that nothing in them needs an end."""


NO_STEP_HAS = {"spread": "{0}", "clip": "greater(-{1}, lesser({1}, {0}))"}
"""What only derivatives have: one number for every unit; a clipped gradient, where NaN stays."""


class _Writer:
    def __init__(
        self, plan: Plan, kind: str, letters: list[str], vectors: list[str],
        names: dict[Value, str],
    ) -> None:  # fmt: skip
        self.kind = kind
        self.plan, self.letters, self.vectors = plan, letters, vectors
        self.groups: list[Group] = []
        self.matrices = 0
        self.numbers: dict[Value, int] = {}  # of a row, by their places in it
        self.sums: dict[Value, int] = {}  # those on their way, lane by lane
        taken = set(plan.streams)
        self.names: dict[Value, str] = {}
        for value, name in names.items():
            if name.isascii() and name.isidentifier():
                self.names[value] = free_name(name, taken)
                taken.add(self.names[value])

    # ---- names and places

    def name(self, value: Value) -> str:
        return self.names.get(value, f"v{value.index}")

    def size(self, letter: str) -> str:
        return f"size_{letter}"

    def sizes(self, text: str) -> str:
        """The sizes that a text uses: each letter's number of units, and the room it takes."""
        names = []
        for k, letter in enumerate(self.letters):
            if f"size_{letter}" in text or f"room_{letter}" in text:
                names.append(f"size_{letter} = scan.size[{k}]")
            if f"room_{letter}" in text:
                names.append(f"room_{letter} = padded(size_{letter})")
        return f"const int {', '.join(names)};" if names else ""

    def pointer(self, place: Place, row: str = "row[m_].p[{}]") -> str:
        """Where a value begins in the present row; in a body, `row` is a local name."""
        counts = {w: place.before.count(w) for w in dict.fromkeys(place.before)}
        rooms = {w: "LANES" if w == "1" else f"room_{w}" for w in counts}
        at = " + ".join(f"{n} * {rooms[w]}" if n > 1 else rooms[w] for w, n in counts.items())
        return row.format(place.stream) + (f" + {at}" if at else "")

    def read(self, value: Value) -> str:
        """A value from where it lives."""
        plan = self.plan
        if value.op == "constant":
            return f"T({value.data!r})"
        if value.op == "width":
            return f"T({self.size(value.data)})"
        if value.width == "1":
            if value in plan.homes:
                return f"({self.pointer(plan.homes[value], LOCAL)})[0]"
            return f"row[m_].s[{self.number(value)}]"
        if value.op == "vector":
            return f"load(vector_{self.vectors.index(value.data)} + unit)"
        place = (
            Place(f"{value.op}_{value.data}")
            if value.op in ("carry", "seed")
            else (plan.homes[value])
        )
        return f"load({self.pointer(place, LOCAL)} + unit{self.end(place)})"

    def end(self, place: Place) -> str:
        return "" if place.stream in PADDED else ", left"

    def number(self, value: Value) -> int:
        return self.numbers.setdefault(value, len(self.numbers))

    def argument(self, value: Value, here: dict[Value, str], inner: list[str]) -> str:
        """A value as an operand; what is read from an array is read once, in a line of its own."""
        if value not in here and value.width != "1":
            here[value] = self.local(value)
            inner.append(f"V {here[value]} = {self.read(value)};")
        return here.get(value) or f"broadcast({self.read(value)})"

    def local(self, value: Value) -> str:
        """The name of a value in a body."""
        if value in self.names:
            return self.names[value]
        leaf = value.op in ("carry", "seed", "state", "vector")
        return f"{value.op}_{value.data}_" if leaf else f"v{value.index}"

    def expression(self, value: Value, here: dict[Value, str], inner: list[str]) -> str:
        """The C++ of one operation; lines that its operands need are put into `inner` first."""
        arguments = [self.argument(a, here, inner) for a in value.args]
        cpp = NO_STEP_HAS.get(value.op) or OPS[value.op].cpp
        return cpp.format(*arguments)

    # ---- pieces of text

    def number_all(self) -> None:
        """Number the numbers of a row, and the sums on their way, in the order of the phases."""
        for phase in self.plan.phases:
            for value in phase.scalars:
                if value not in self.plan.homes and value.op not in ("constant", "width"):
                    self.number(value)
            for body in phase.bodies.values():
                for value in body.sums:
                    self.sums.setdefault(value, len(self.sums))

    def tile(
        self, name: str, body: Body, stores: dict[Value, list[Place]], soon: Sequence[str] = (),
        *, whole: bool = False,
    ) -> tuple[str, list[str]]:  # fmt: skip
        """The struct of one tile: its products, then its body for each row and vector.

        Returns it, and the lines of its body.

        Args:
            name: of the struct.
            body: what it computes.
            stores: where to.
            soon: the bodies that come after it; what they read is called for beside it.
            whole: whether a row is taken as a whole, and the struct needs no tile.
        """
        counts = [len(g.outputs) for g in body.groups]
        most, structs, here = max(counts, default=0), [], {}
        U = f"width({most})" if most else "4"
        lines: list[str] = []
        inner: list[str] = []
        rounding: list[tuple[str, str]] = []
        for k, group in enumerate(body.groups):
            structs.append(self.group(f"{name}_{k}", group, U))
            lines += self.products(f"{name}_{k}", k, group, rounding)
            for j, output in enumerate(group.outputs):
                here[output] = self.name(output)
                at = f"(m_ * {len(group.outputs)} + {j}) * N + n_"
                inner.append(f"V {here[output]} = product{k}[{at}];")
                inner += self.after(output, here, stores)
        for value in body.values:
            if value.op in ("vector", "constant", "width"):
                continue
            if value.op in ("carry", "seed", "state", "product"):
                self.argument(value, here, inner)
            else:
                made = self.expression(value, here, inner)
                here[value] = self.local(value)
                inner.append(f"V {here[value]} = {made};")
            inner += self.after(value, here, stores)
        for value in body.sums:
            term = self.argument(value.args[0], here, inner)
            inner.append(reduction_text(value.op, f"sum{self.sums[value]}", term))
        if body.groups:
            depth = [self.size(letter) for g in body.groups for _, letter in g.operands]
            lines = fetches(inner, soon, " + ".join(depth)) + lines
        text = "\n".join(structs) + tile_text(
            name, self.letters.index(body.units), counts, U, lines, inner, self.locals(inner),
            [self.sums[v] for v in body.sums], whole=whole, rounding=rounding,
            sizes=(
                self.sizes("\n".join(lines)),
                self.sizes("\n".join([*inner, self.size(body.units)])),
            ),
            units=self.size(body.units),
        )  # fmt: skip
        return text, inner

    def locals(self, lines: list[str]) -> tuple[list[str], list[str]]:
        """The local names of the arrays that some lines use: of vectors, and of the row's."""
        text = "\n".join(lines)
        vectors = [
            f"const T* const vector_{k} = scan.vector[{k}];  // {name}"
            for k, name in enumerate(self.vectors)
            if re.search(rf"\bvector_{k}\b", text)
        ]
        streams = [
            f"T* const at_{s} = row[m_].p[{s}];"
            for s in self.plan.streams
            if re.search(rf"\bat_{s}\b", text)
        ]
        return vectors, streams

    def products(
        self, name: str, k: int, group: Group, operands: list[tuple[str, str]]
    ) -> list[str]:
        """The lines that make the products of a group in a tile; its operands are added."""
        a = len(group.outputs)
        lines = [f"const T* weights{k} = panel_of<{name}>(scan, panel);"]
        for j, (place, letter) in enumerate(group.operands):
            size = self.size(letter)
            if j:
                before = self.size(group.operands[j - 1][1])
                lines.append(f"weights{k} += panel_size({before}, {a}, U);")
            operand = (self.pointer(place), size)
            if operand not in operands:
                operands.append(operand)
            rooms = [f"operand_room({n})" for _, n in operands[: operands.index(operand)]]
            lines += [
                "for (int m_ = 0; m_ < M_; m_++)",
                f"    operand[m_] = factors.row(m_, {' + '.join(rooms) or 0}, {operand[0]});",
                f"multiply<{a}, U>(M_, N, product{k}, {truth(j == 0)}, {size}, operand, "
                f"weights{k});",
            ]
        return lines

    def after(
        self, value: Value, here: dict[Value, str], stores: dict[Value, list[Place]]
    ) -> list[str]:
        """Where a value that has just been computed is written."""
        lines = [
            f"store({self.pointer(place, LOCAL)} + unit, {here[value]}{self.end(place)});"
            for place in stores.get(value, [])
        ]
        for k, (_vector, summed) in enumerate(self.plan.sums.items()):
            if summed is value:
                place = self.sum_place(k)
                at = f"{self.pointer(place, LOCAL)} + unit"
                lines.append(f"store({at}, load({at}) + {here[value]});")
        for k, counted in enumerate(self.plan.counts):
            lines += [f"count{k} += only({here[value]}, left);"] if counted is value else []
        return lines

    def sum_place(self, k: int) -> Place:
        widths = [v.width for v in self.plan.sums.values()]
        return Place("sums", tuple(widths[:k]))

    def scalars(self, values: list[Value]) -> str:
        """The numbers of one row that a phase starts with, in braces; nothing if there are none."""
        lines: list[str] = []
        for value in values:
            if value.op in ("constant", "width") or value in self.plan.homes:
                continue
            if value.op in REDUCTIONS:
                made = f"{REDUCTIONS[value.op]}(row[m_].sum[{self.sums[value]}])"
            elif value.op in ("add", "sub", "mul", "div", "neg"):  # as well on numbers
                made = OPS[value.op].cpp.format(*(self.read(a) for a in value.args))
            else:
                made = f"({self.expression(value, {}, lines)})[0]"
            lines.append(f"{self.read(value)} = {made};")
        for value in values:
            for place in self.plan.stores.get(value, []):
                lines.append(f"({self.pointer(place)})[0] = row[m_].s[{self.number(value)}];")
        if not lines:
            return ""
        sizes = self.sizes("\n".join([*lines, *self.locals(lines)[1]]))
        inner = [*([sizes] if sizes else []), *self.locals(lines)[1], *lines]
        return in_braces(inner, 12)

    def group(self, name: str, group: Group, U: str) -> str:
        """What packing and the micro-kernel must know of a group."""
        index, first = len(self.groups), self.matrices
        self.groups.append(group)
        self.matrices += len(group.operands) * len(group.outputs)
        depth = [self.letters.index(letter) for _, letter in group.operands]
        what = [
            " + ".join(
                f"{name}{'ᵀ' if transposed else ''} {place.stream}"
                for (place, _), (name, transposed) in zip(group.operands, terms, strict=True)
            )
            for terms in zip(*group.matrices, strict=True)
        ]
        return group_text(
            name, what, U, depth, index=index, matrices=first,
            letter=self.letters.index(group.units),
        )  # fmt: skip
