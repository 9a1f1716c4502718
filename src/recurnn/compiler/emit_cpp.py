"""Stage 4: a plan becomes C++ text. Only the bodies are generated; the rest is in headers."""

from __future__ import annotations

from dataclasses import dataclass

from recurnn.compiler.cpp_text import RESERVED, tile_text
from recurnn.compiler.ops import OPS, Value
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
    hoists, phases, finish = [], [], []
    for k, group in enumerate(plan.hoisted):
        body = Body(group.units, [group])
        hoists.append(writer.tile(f"Hoisted{k}", body, _hoist_stores(plan, group)))
    for k, phase in enumerate(plan.phases):
        tiles = [
            writer.tile(f"Phase{k}_{units}", body, plan.stores)
            for units, body in phase.bodies.items()
        ]
        phases.append((writer.scalars(k, phase.scalars), tiles))
    for units, body in plan.finish.bodies.items():
        letter, state = units.split(":")
        finish.append(writer.finish(f"Finish_{state}", letter, state, body))
    return Emitted(writer.assemble(header, hoists, phases, finish), letters, vectors, writer.groups)


def _hoist_stores(plan: Plan, group: Group) -> dict[Value, list[Place]]:
    return {v: [plan.homes[v]] for v in group.outputs}


class _Writer:
    def __init__(
        self,
        plan: Plan,
        kind: str,
        letters: list[str],
        vectors: list[str],
        names: dict[Value, str],
    ) -> None:
        self.kind = kind
        self.plan, self.letters, self.vectors = plan, letters, vectors
        self.groups: list[Group] = []
        self.matrices = 0
        self.scalar_slots: dict[Value, int] = {}
        taken: set[str] = set()
        self.names: dict[Value, str] = {}
        for value, name in names.items():
            unique = name if name.isascii() and name.isidentifier() else f"v{value.index}"
            while unique in RESERVED or unique in taken or unique in plan.streams:
                unique += "_"
            taken.add(unique)
            self.names[value] = unique

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
                names.append(f"size_{letter} = call.size[{k}]")
            if f"room_{letter}" in text:
                names.append(f"room_{letter} = padded(size_{letter})")
        return f"const int {', '.join(names)};" if names else ""

    def pointer(self, place: Place, row: str = "row[m_]") -> str:
        counts = {w: place.before.count(w) for w in dict.fromkeys(place.before)}
        rooms = {w: "LANES" if w == "1" else f"room_{w}" for w in counts}
        at = " + ".join(f"{n} * {rooms[w]}" if n > 1 else rooms[w] for w, n in counts.items())
        return f"{row}.p[{place.stream}]" + (f" + {at}" if at else "")

    def read(self, value: Value) -> str:
        """A value from where it lives."""
        plan = self.plan
        if value.op == "constant":
            return f"T({value.data!r})"
        if value.op == "width":
            return f"T({self.size(value.data)})"
        if value.width == "1":
            if value in plan.homes:
                return f"broadcast(({self.pointer(plan.homes[value])})[0])"
            return f"broadcast(row[m_].s[{self.scalar(value)}])"
        if value.op == "vector":
            return f"load(call.vector[{self.vectors.index(value.data)}] + unit, left)"
        place = (
            Place(f"{value.op}_{value.data}")
            if value.op in ("carry", "seed")
            else (plan.homes[value])
        )
        return f"load({self.pointer(place)} + unit, left)"

    def scalar(self, value: Value) -> int:
        return self.scalar_slots.setdefault(value, len(self.scalar_slots))

    def argument(self, value: Value, here: dict[Value, str]) -> str:
        text = here.get(value) or self.read(value)
        return f"broadcast({text})" if value.op in ("constant", "width") else text

    def expression(self, value: Value, here: dict[Value, str]) -> str:
        if value.op == "spread":
            return self.argument(value.args[0], here)
        return OPS[value.op].cpp.format(*(self.argument(a, here) for a in value.args))

    # ---- pieces of text

    def tile(self, name: str, body: Body, stores: dict[Value, list[Place]]) -> str:
        """The struct of one tile: its products, then its body for each row and vector."""
        counts = [len(g.outputs) for g in body.groups]
        most, lines, here = max(counts, default=0), [], {}
        U = f"width({most})" if most else "1"
        structs = []
        for k, group in enumerate(body.groups):
            structs.append(self.group(f"{name}_{k}", group, U))
            a = len(group.outputs)
            lines += [f"V product{k}[M][{a} * N] = {{}};", "{"]
            lines += [
                f"    const T* weights = panel_of<{name}_{k}>(call, panel);",
                "    const T* operand[M];",
            ]
            for place, letter in group.operands:
                lines += [
                    f"    for (int m_ = 0; m_ < M; m_++) operand[m_] = {self.pointer(place)};",
                    f"    products<M, {a}, U, N>"
                    f"(product{k}, {self.size(letter)}, operand, weights);",
                    f"    weights += panel_size({self.size(letter)}, {a}, U);",
                ]
            lines.append("}")
        inner: list[str] = []
        for k, group in enumerate(body.groups):
            for j, output in enumerate(group.outputs):
                here[output] = self.name(output)
                a = len(group.outputs)
                inner.append(f"V {here[output]} = product{k}[(m_ * {a} + {j}) * N + n_];")
                inner += self.after(output, here, stores)
        for value in body.values:
            if value.op in ("vector", "constant", "width", "state", "carry", "seed", "product"):
                if value.op in ("carry", "seed", "state", "product"):
                    leaf = f"{value.op}_{value.data}_"
                    here[value] = self.name(value) if value.op == "product" else leaf
                    inner.append(f"V {here[value]} = {self.read(value)};")
                    inner += self.after(value, here, stores)
                continue
            here[value] = self.name(value)
            inner.append(f"V {here[value]} = {self.expression(value, here)};")
            inner += self.after(value, here, stores)
        for value in body.sums:
            (summed,) = value.args
            term = here.get(summed) or self.read(summed)
            inner.append(f"row[m_].s[{self.scalar(value)}] += total({term}, left);")
        used = ("\n".join(lines), "\n".join([*inner, self.size(body.units)]))
        return "\n".join(structs) + tile_text(
            name, self.letters.index(body.units), counts, U, lines, inner,
            sizes=(self.sizes(used[0]), self.sizes(used[1])), units=self.size(body.units),
        )  # fmt: skip

    def after(
        self, value: Value, here: dict[Value, str], stores: dict[Value, list[Place]]
    ) -> list[str]:
        """Where a value that has just been computed is written."""
        lines = [
            f"store({self.pointer(place)} + unit, {here[value]}, left);"
            for place in stores.get(value, [])
        ]
        for k, (_vector, summed) in enumerate(self.plan.sums.items()):
            if summed is value:
                place = self.sum_place(k)
                at = f"{self.pointer(place)} + unit"
                lines.append(f"store({at}, load({at}) + {here[value]});")
        return lines

    def sum_place(self, k: int) -> Place:
        widths = [v.width for v in self.plan.sums.values()]
        return Place("sums", tuple(widths[:k]))

    def scalars(self, k: int, values: list[Value]) -> str:
        """The numbers for each row that a phase starts with."""
        lines = []
        for value in values:
            if value.op in ("sum", "constant", "width") or value in self.plan.homes:
                continue
            lines.append(f"row[m_].s[{self.scalar(value)}] = ({self.expression(value, {})})[0];")
        for value in values:
            for place in self.plan.stores.get(value, []):
                lines.append(f"({self.pointer(place)})[0] = row[m_].s[{self.scalar(value)}];")
        if not lines:
            return ""
        inner = "\n".join(f"                {line}" for line in lines)
        return (
            f"        if (member == 0) {{\n            {self.sizes(inner)}\n"
            f"            for (int m_ = 0; m_ < n; m_++) {{\n{inner}\n            }}\n        }}\n"
        )

    def group(self, name: str, group: Group, U: str) -> str:
        """What packing and the micro-kernel must know of a group."""
        index, first = len(self.groups), self.matrices
        self.groups.append(group)
        self.matrices += len(group.operands) * len(group.outputs)
        depth = ", ".join(str(self.letters.index(letter)) for _, letter in group.operands)
        what = ", ".join(
            " + ".join(
                f"{group.matrices[j][k][0]}{'ᵀ' if group.matrices[j][k][1] else ''} "
                f"{group.operands[j][0].stream}"
                for j in range(len(group.operands))
            )
            for k in range(len(group.outputs))
        )
        return (
            f"// {what}\n"
            f"struct {name} {{\n"
            f"    static constexpr int A = {len(group.outputs)}, U = {U}, "
            f"terms = {len(group.operands)}, index = {index}, matrices = {first}, "
            f"letter = {self.letters.index(group.units)};\n"
            f"    static constexpr int depth[] = {{{depth}}};\n"
            "};\n"
        )

    def finish(self, name: str, letter: str, state: str, body: Body) -> str:
        """The gradient of an initial state: what is carried, and the products with past dz."""
        graph_past = body.groups[0].outputs[0] if body.groups else None
        total = "carry" if graph_past is None else f"carry + {self.name(graph_past)}"
        plain = Body(letter, body.groups)
        text = self.tile(name, plain, {})
        extra = (
            f"V carry = load(row[m_].p[carry_{state}] + unit, left);\n"
            f"                store(row[m_].p[first_{state}] + unit, {total}, left);"
        )
        return text.replace("/*end*/", extra)

    def assemble(
        self,
        header: str,
        hoists: list[str],
        phases: list[tuple[str, list[str]]],
        finish: list[str],
    ) -> str:
        plan, kind = self.plan, self.kind
        streams = ", ".join(plan.streams)
        parts = [
            header,
            f"namespace {{ namespace {kind}_kernel {{  // unnamed: kernels share a process\n",
            f"enum {{ {streams} }};\n",
        ]
        parts += hoists
        for _, tiles in phases:
            parts += tiles
        parts += finish
        run = []
        for k, (scalars, _) in enumerate(phases):
            run.append(scalars)
            for units in plan.phases[k].bodies:
                run.append(
                    f"        sweep<Phase{k}_{units}>(call, row, n, member, team.members);\n"
                )
            run.append("        team.meet();\n")
        hoist = "".join(
            f"        sweep<Hoisted{k}>(call, row, n, member, members);\n"
            for k in range(len(hoists))
        )
        end = "".join(
            f"        sweep<Finish_{units.split(':')[1]}>(call, row, n, member, members);\n"
            for units in plan.finish.bodies
        )
        pack = "".join(f"        pack_group<{name}>(call);\n" for name in self.group_names())
        parts.append(
            "struct Kernel {\n"
            f"    static constexpr int streams = {len(plan.streams)}, "
            f"scalars = {max(len(self.scalar_slots), 0)}, hoisted_streams = 2;\n"
            f"    static constexpr bool hoists = {_bool(bool(hoists))}, "
            f"finishes = {_bool(bool(finish))};\n"
            f"    static_assert(streams <= MOST_STREAMS && scalars <= MOST_SCALARS);\n"
            f"    static void pack(const Call& call) {{\n{pack}    }}\n"
            "    static void hoist(const Call& call, Row* row, int n, int member, int members) {\n"
            f"{hoist}    }}\n"
            "    static void phases(const Call& call, Row* row, int n, Team& team, int member) {\n"
            f"{''.join(run)}    }}\n"
            "    static void finish(const Call& call, Row* row, int n, int member, int members) {\n"
            f"{end}    }}\n"
            "};\n"
            f"}} }}  // namespace {kind}_kernel\n"
            f'extern "C" void {kind}(const Call* c) {{ run<{kind}_kernel::Kernel>(c); }}\n'
        )
        return "\n".join(parts)

    def group_names(self) -> list[str]:
        names = [f"Hoisted{k}_0" for k in range(len(self.plan.hoisted))]
        for k, phase in enumerate(self.plan.phases):
            for units, body in phase.bodies.items():
                names += [f"Phase{k}_{units}_{j}" for j in range(len(body.groups))]
        for units, body in self.plan.finish.bodies.items():
            names += [f"Finish_{units.split(':')[1]}_{j}" for j in range(len(body.groups))]
        return names


def _bool(value: bool) -> str:
    return "true" if value else "false"
