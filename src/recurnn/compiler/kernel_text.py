"""The C++ of one kernel, put together from its pieces."""

from __future__ import annotations

from dataclasses import dataclass

from recurnn.compiler.cpp_text import (
    function_text,
    last_states_text,
    one_of_text,
    sweep_text,
    truth,
)
from recurnn.compiler.ops import Value
from recurnn.compiler.plan_parts import Plan


@dataclass(frozen=True)
class Pieces:
    """The pieces of a kernel's text.

    Attributes:
        hoists: the tiles of the products that are hoisted.
        phases: for each phase the lines that make its numbers of a row, and its tiles.
        finish: the tiles of what comes after the loop.
        inputs: those of the input's gradient.
        numbers: the numbers of a row, by their places in it.
        sums: those on their way, lane by lane.
    """

    hoists: list[str]
    phases: list[tuple[str, list[str]]]
    finish: list[str]
    inputs: list[str]
    numbers: dict[Value, int]
    sums: dict[Value, int]


def assemble(plan: Plan, kind: str, letters: list[str], header: str, pieces: Pieces) -> str:
    """One namespace with everything, and the entry.

    Args:
        plan: of the kernel.
        kind: the name of its entry.
        letters: every letter of the cell.
        header: the comment that opens it.
        pieces: of its text.
    """
    streams = plan.streams
    backward = plan.kind == "backward"
    hoist = [sweep_text(f"Hoisted{k}") for k in range(len(pieces.hoists))]
    inputs_ = [sweep_text("Input") for _ in pieces.inputs]
    end = [sweep_text(f"Finish_{state}") for state in plan.finish] or last_states_text(
        {k: letters.index(v) for k, v in plan.last.items()}
    )
    pack = [f"        pack_group<{g}>(scan, member, members);\n" for g in _group_names(plan)]
    if pieces.inputs:
        pack[-1] = "        if (scan.call.wants_x)\n    " + pack[-1]
    fills = [*plan.given, *(k for k in ("saved", "front") if k in streams and not backward)]
    restarts = [
        f"{{first_{k}, again_{k}, {letters.index(body.units)}}}" for k, body in plan.finish.items()
    ]
    cleared = [f"{{{s}, {letters.index(w)}}}" for s, w in plan.given.items()]
    parts = [
        header,
        f"namespace {{ namespace {kind}_kernel {{  // unnamed: kernels share a process\n",
        f"enum {{ {', '.join(streams)} }};",
        f"typedef RowOf<{len(streams)}, {len(pieces.numbers)}> Row;\n",
        *pieces.hoists,
        *(tile for _, tiles in pieces.phases for tile in tiles),
        *pieces.finish,
        *pieces.inputs,
        "struct Kernel {\n"
        f"    typedef {kind}_kernel::Row Row;\n"
        f"    static constexpr int streams = {len(streams)}, "
        f"sums = {len(pieces.sums)}, counts = {len(plan.counts)};\n"
        f"    static constexpr bool hoists = {truth(bool(pieces.hoists))}, "
        f"backward = {truth(backward)};\n"
        f"    static constexpr Cleared cleared[] = {{{', '.join(cleared)}}};\n"
        + (
            f"    static constexpr int dz = {kind}_kernel::dz, input_streams[] = {{dx, dz}};\n"
            f"    static constexpr Restart restarts[] = {{{', '.join(restarts)}}};\n"
            if backward
            else "    static constexpr int hoist_streams[] = {x, hoisted};\n"
        )
        + one_of_text("fills", "stream", fills)
        + one_of_text("is_highest", "number", _highest(pieces))
        + function_text("pack", "int member, int members", pack)
        + function_text("hoist", "Row* row, int n, int member, int members", hoist)
        + function_text(
            "phases", "Row* row, int n, Team& team, int member", _run(plan, pieces.phases)
        )
        + function_text("input", "Row* row, int n, int member, int members", inputs_)
        + function_text("finish", "Row* row, int n, int member, int members", end)
        + "};\n"
        f"}} }}  // namespace {kind}_kernel\n"
        f'extern "C" void {kind}(const Call* c, void* const* address) {{\n'
        f"    run<{kind}_kernel::Kernel>(c, address);\n"
        "}\n",
    ]
    return "\n".join(parts)


def _run(plan: Plan, phases: list[tuple[str, list[str]]]) -> list[str]:
    """The lines that run the phases of a step, one after another.

    Phases without products follow one another for a few rows at a time, so that what they keep
    stays near, and one row's numbers are made while another's are waited for.
    """
    lines: list[str] = []
    for k, (scalars, _) in enumerate(phases):
        names = [f"Phase{k}_{units}" for units in plan.phases[k].bodies]
        few = plan.by_row(k)
        if few and not (k and plan.by_row(k - 1)):
            lines.append("        few_rows(row, n, [&](Row* row, int n) {\n")
        if scalars:
            lines.append(f"        for (int m_ = 0; m_ < n; m_++) {{\n{scalars}        }}\n")
        if few:
            lines += [f"        whole<{name}>(scan, row, n);\n" for name in names]
            if k + 1 < len(phases) and plan.by_row(k + 1):
                continue
            lines.append("        });\n")
        else:
            lines += [sweep_text(name, "team.members") for name in names]
        lines.append("        team.meet();\n")
    return lines


def _highest(pieces: Pieces) -> list[str]:
    """Those of the sums that are the greatest over a row's units."""
    return [str(k) for v, k in pieces.sums.items() if v.op == "highest"]


def _group_names(plan: Plan) -> list[str]:
    names = [f"Hoisted{k}_0" for k in range(len(plan.hoisted))]
    for k, phase in enumerate(plan.phases):
        for units, body in phase.bodies.items():
            names += [f"Phase{k}_{units}_{j}" for j in range(len(body.groups))]
    for state, body in plan.finish.items():
        names += [f"Finish_{state}_{j}" for j in range(len(body.groups))]
    return [*names, *("Input_0" for _ in plan.input)]
