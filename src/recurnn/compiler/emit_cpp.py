"""Stage 4: a plan becomes C++ text. Only the bodies are generated; the rest is in headers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from recurnn.compiler.cpp_text import (
    fetches,
    free_name,
    function_text,
    group_text,
    last_states_text,
    one_of_text,
    reduction_text,
    sweep_text,
    tile_text,
    truth,
)
from recurnn.compiler.ops import OPS, REDUCTIONS, Value
from recurnn.compiler.plan import Body, Group, Place, Plan


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
        writer.tile(f"Hoisted{k}", Body(group.units, [group]), _homes(plan, group))
        for k, group in enumerate(plan.hoisted)
    ]
    phases = []
    for k, phase in enumerate(plan.phases):
        tiles = [
            writer.tile(f"Phase{k}_{units}", body, plan.stores)
            for units, body in phase.bodies.items()
        ]
        phases.append((writer.scalars(k, phase.scalars), tiles))
    finish = [
        writer.tile(f"Finish_{state}", body, {body.values[-1]: [Place(f"first_{state}")]})
        for state, body in plan.finish.items()
    ]
    inputs = [
        writer.tile("Input", Body(group.units, [group]), {group.outputs[0]: [Place("dx")]})
        for group in plan.input
    ]
    text = writer.assemble(header, hoists, phases, finish, inputs)
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
        self.scalar_slots: dict[Value, int] = {}
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
                return f"broadcast(({self.pointer(plan.homes[value], LOCAL)})[0])"
            return f"broadcast(row[m_].s[{self.scalar(value)}])"
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

    def scalar(self, value: Value) -> int:
        return self.scalar_slots.setdefault(value, len(self.scalar_slots))

    def argument(self, value: Value, here: dict[Value, str], inner: list[str]) -> str:
        """A value as an operand; what is read from an array is read once, in a line of its own."""
        if value not in here and value.width != "1":
            here[value] = self.local(value)
            inner.append(f"V {here[value]} = {self.read(value)};")
        text = here.get(value) or self.read(value)
        return f"broadcast({text})" if value.op in ("constant", "width") else text

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

    def tile(self, name: str, body: Body, stores: dict[Value, list[Place]]) -> str:
        """The struct of one tile: its products, then its body for each row and vector."""
        counts = [len(g.outputs) for g in body.groups]
        most, structs, here = max(counts, default=0), [], {}
        U = f"width({most})" if most else "4"
        lines: list[str] = []
        inner: list[str] = []
        for k, group in enumerate(body.groups):
            structs.append(self.group(f"{name}_{k}", group, U))
            lines += self.products(f"{name}_{k}", k, group)
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
            inner.append(reduction_text(value.op, f"row[m_].sum[{self.scalar(value)}]", term))
        if body.groups:
            depth = [self.size(letter) for g in body.groups for _, letter in g.operands]
            lines = fetches(inner, " + ".join(depth)) + lines
        return "\n".join(structs) + tile_text(
            name, self.letters.index(body.units), counts, U, lines, inner, self.locals(inner),
            sizes=(
                self.sizes("\n".join(lines)),
                self.sizes("\n".join([*inner, self.size(body.units)])),
            ),
            units=self.size(body.units),
        )  # fmt: skip

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

    def products(self, name: str, k: int, group: Group) -> list[str]:
        """The lines that make the products of a group in a tile."""
        a = len(group.outputs)
        lines = [f"const T* weights{k} = panel_of<{name}>(scan, panel);"]
        for j, (place, letter) in enumerate(group.operands):
            size = self.size(letter)
            if j:
                before = self.size(group.operands[j - 1][1])
                lines.append(f"weights{k} += panel_size({before}, {a}, U);")
            lines += [
                f"for (int m_ = 0; m_ < M_; m_++) operand[m_] = {self.pointer(place)};",
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

    def scalars(self, k: int, values: list[Value]) -> str:
        """The numbers for each row that a phase starts with."""
        lines: list[str] = []
        for value in values:
            if value.op in ("constant", "width") or value in self.plan.homes:
                continue
            if value.op in REDUCTIONS:
                made = f"{REDUCTIONS[value.op]}(row[m_].sum[{self.scalar(value)}])"
            else:
                made = f"({self.expression(value, {}, lines)})[0]"
            lines.append(f"row[m_].s[{self.scalar(value)}] = {made};")
        for value in values:
            for place in self.plan.stores.get(value, []):
                lines.append(f"({self.pointer(place)})[0] = row[m_].s[{self.scalar(value)}];")
        if not lines:
            return ""
        inner = "\n".join(f"                {line}" for line in [*self.locals(lines)[1], *lines])
        return (
            f"        {{\n            {self.sizes(inner)}\n"
            f"            for (int m_ = 0; m_ < n; m_++) {{\n{inner}\n            }}\n        }}\n"
        )

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

    def assemble(
        self,
        header: str,
        hoists: list[str],
        phases: list[tuple[str, list[str]]],
        finish: list[str],
        inputs: list[str],
    ) -> str:
        """One namespace with everything, and the entry."""
        plan, kind = self.plan, self.kind
        streams = plan.streams
        backward = plan.kind == "backward"
        run = []
        for k, (scalars, _) in enumerate(phases):
            run.append(scalars)
            run += [sweep_text(f"Phase{k}_{u}", "team.members") for u in plan.phases[k].bodies]
            run.append("        team.meet();\n")
        hoist = [sweep_text(f"Hoisted{k}") for k in range(len(hoists))]
        inputs_ = [sweep_text("Input") for _ in inputs]
        end = [sweep_text(f"Finish_{state}") for state in plan.finish] or last_states_text(
            {k: self.letters.index(v) for k, v in plan.last.items()}
        )
        pack = [f"        pack_group<{g}>(scan, member, members);\n" for g in self.group_names()]
        if inputs:
            pack[-1] = "        if (scan.call.wants_x)\n    " + pack[-1]
        fills = [*plan.given, *(k for k in ("saved", "front") if k in streams and not backward)]
        restarts = [
            f"{{first_{k}, again_{k}, {self.letters.index(body.units)}}}"
            for k, body in plan.finish.items()
        ]
        cleared = [f"{{{s}, {self.letters.index(w)}}}" for s, w in plan.given.items()]
        parts = [
            header,
            f"namespace {{ namespace {kind}_kernel {{  // unnamed: kernels share a process\n",
            f"enum {{ {', '.join(streams)} }};",
            f"typedef RowOf<{len(streams)}, {len(self.scalar_slots)}> Row;\n",
            *hoists,
            *(tile for _, tiles in phases for tile in tiles),
            *finish,
            *inputs,
            "struct Kernel {\n"
            f"    typedef {kind}_kernel::Row Row;\n"
            f"    static constexpr int streams = {len(streams)}, "
            f"scalars = {len(self.scalar_slots)}, counts = {len(plan.counts)};\n"
            f"    static constexpr bool hoists = {truth(bool(hoists))}, "
            f"backward = {truth(backward)};\n"
            f"    static constexpr Cleared cleared[] = {{{', '.join(cleared)}}};\n"
            + (
                f"    static constexpr int dz = {kind}_kernel::dz, input_streams[] = {{dx, dz}};\n"
                f"    static constexpr Restart restarts[] = {{{', '.join(restarts)}}};\n"
                if backward
                else "    static constexpr int hoist_streams[] = {x, hoisted};\n"
            )
            + one_of_text("fills", "stream", fills)
            + one_of_text("is_highest", "number", self.highest())
            + function_text("pack", "int member, int members", pack)
            + function_text("hoist", "Row* row, int n, int member, int members", hoist)
            + function_text("phases", "Row* row, int n, Team& team, int member", run)
            + function_text("input", "Row* row, int n, int member, int members", inputs_)
            + function_text("finish", "Row* row, int n, int member, int members", end)
            + "};\n"
            f"}} }}  // namespace {kind}_kernel\n"
            f'extern "C" void {kind}(const Call* c, void* const* address) {{\n'
            f"    run<{kind}_kernel::Kernel>(c, address);\n"
            "}\n",
        ]
        return "\n".join(parts)

    def highest(self) -> list[str]:
        """Those of the numbers of a row that are the greatest over its units."""
        return [str(k) for v, k in self.scalar_slots.items() if v.op == "highest"]

    def group_names(self) -> list[str]:
        names = [f"Hoisted{k}_0" for k in range(len(self.plan.hoisted))]
        for k, phase in enumerate(self.plan.phases):
            for units, body in phase.bodies.items():
                names += [f"Phase{k}_{units}_{j}" for j in range(len(body.groups))]
        for state, body in self.plan.finish.items():
            names += [f"Finish_{state}_{j}" for j in range(len(body.groups))]
        return [*names, *("Input_0" for _ in self.plan.input)]
