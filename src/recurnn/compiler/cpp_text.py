"""The C++ that is the same for every kernel: its headers, and the frame of a tile."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from importlib import resources

# Words of the headers, of the frame and of C++ that an author's name must not hide.
RESERVED = frozenset(
    """
    T V I W M N U A P K Row Call Scan Team Kernel Place LANES unit left row scan M_ panel operand
    member members team m_ n_ n load store exp expm1 log log1p softplus erf tanh sigmoid sqrt abs
    floor highest only_or_lowest factors products room round letter Operands
    maximum minimum greater where broadcast total only multiply padded memcpy width carry body tile
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const
    constexpr const_cast continue decltype default delete do double dynamic_cast else enum explicit
    export extern false float for friend goto if inline int long mutable namespace new noexcept not
    not_eq nullptr operator or or_eq private protected public register reinterpret_cast return
    short signed sizeof static static_assert static_cast struct switch template this thread_local
    throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t while
    xor xor_eq
    """.split()
)
# The names that a body gives to arrays, sizes and what it reads.
GIVEN = re.compile(
    r"at_\w+|(state|carry|seed|vector)_\w*|(size|room)_\w+|(product|weights|count|sum|v)\d+|Phase.*|_.*"
)


def free_name(name: str, taken: Collection[str]) -> str:
    """An author's name as it can stand in a body.

    Args:
        name: an identifier.
        taken: the names that are there already.
    """
    name = f"own_{name}" if GIVEN.fullmatch(name) else name
    while name in RESERVED or name in taken:
        name += "_"
    return name


HEADERS = ("vectors.h", "tiles.h", "products.h", "threads.h", "call.h", "recurrence.h")


def runtime() -> str:
    """The text that opens every kernel: the headers, each after those that it needs."""
    folder = resources.files("recurnn.compiler")
    return "\n".join(folder.joinpath(name).read_text() for name in HEADERS)


def fetches(inner: list[str], soon: Sequence[str], depth: str) -> list[str]:
    """The lines that call for what a body reads and writes while its products are made.

    Args:
        inner: the body.
        soon: the bodies that come after it, without products of their own.
        depth: of the products, as C++.
    """
    text = "\n".join([*inner, *soon])
    reads = dict.fromkeys(re.findall(r"load\(at_(\w+[^,()]*) \+ unit", text))
    writes = dict.fromkeys(re.findall(r"store\(at_(\w+[^,()]*) \+ unit", text))
    places = dict.fromkeys(reads, 0) | {p: 1 for p in writes if p not in reads}
    if soon:  # what is read and written at every step is near
        places = {p: w for p, w in places.items() if not p.startswith(("kept", "sums"))}
    lines = [f"if ({depth} >= DEEP)", "    for (int m_ = 0; m_ < M_; m_++)",
             "        for (int n_ = 0; n_ < N; n_++) {",
             "            const int unit = (panel * U + n_) * LANES;"]  # fmt: skip
    for place, write in places.items():
        stream, _, more = place.partition(" ")
        at = f"row[m_].p[{stream}]" + (f" {more}" if more else "")
        lines.append(f"            __builtin_prefetch({at} + unit, {write});")
    return [*lines, "        }"]


def tile_text(
    name: str,
    letter: int,
    counts: list[int],
    U: str,
    lines: list[str],
    inner: list[str],
    outer: tuple[list[str], list[str]],
    sums: list[int],
    *,
    whole: bool,
    rounding: list[tuple[str, str]],
    sizes: tuple[str, str],
    units: str,
) -> str:
    """The struct of one tile.

    Args:
        name: of the struct.
        letter: the place of the width's letter in ``size``.
        counts: the number of products in each group.
        U: the vectors in a panel, as C++.
        lines: what makes the products.
        inner: the body for one row and one vector.
        outer: the names that it uses: of vectors, and of what the row has.
        sums: the numbers of the sums over units that it adds to.
        whole: whether a row is taken as a whole: without a tile.
        rounding: each operand of the products, where it begins and its length, as C++.
        sizes: the sizes that the products use, and those that the body uses, as C++.
        units: the number of units, as C++.
    """
    # The products come to the body in memory, which costs little beside making them; so neither
    # has to be compiled once for every size of tile.
    most = f"rows_of({max(counts)})" if counts else "8"
    size = f"        {sizes[0]}\n" if sizes[0] else ""
    before = "".join(f"        {line}\n" for line in lines)
    body = "\n".join(f"                {line}" for line in inner)
    room = "".join(
        f"        V product{k}[M * {count} * U];\n" for k, count in enumerate(counts)
    ) + ("        const T* operand[M];\n" if counts else "")
    vectors = "".join(f"        {line}\n" for line in outer[0])
    begun = [f"V sum{k} = row[m_].sum[{k}];" for k in sums]
    streams = "".join(f"            {line}\n" for line in [*outer[1], *begun])
    summed = "".join(f"            row[m_].sum[{k}] = sum{k};\n" for k in sums)
    counts_ = dict.fromkeys(re.findall(r"\bcount(\d+) \+=", body))
    zeros = "".join(f"        V count{k} = {{}};\n" for k in counts_)
    added = "".join(f"        row[0].count[{k}] += (int64_t)total(count{k});\n" for k in counts_)
    passed = "".join(f", product{k}" for k in range(len(counts)))
    given = " factors" if counts else ""
    taken = "".join(f", const V* product{k}" for k in range(len(counts)))
    tile = (
        ""
        if whole
        else (
            "    static void tile(const Scan& scan, Row* row, int M_, int N, int panel, "
            f"Operands{given}) {{\n{size}{room}{before}"
            f"        body(scan, row, M_, N, panel{passed});\n    }}\n"
        )
    )
    return f"""struct {name} {{
    static constexpr int letter = {letter}, U = {U}, M = {most}, products = {len(counts)};
    static void body(const Scan& scan, Row* row, int M_, int N, int panel{taken}) {{
        {sizes[1]}
{vectors}{zeros}        for (int m_ = 0; m_ < M_; m_++) {{
{streams}            for (int n_ = 0; n_ < N; n_++) {{
                const int unit = (panel * U + n_) * LANES, left = {units} - unit;
{body}
            }}
{summed}        }}
{added}    }}
{_rounding_text(rounding, size)}{tile}}};
"""


def _rounding_text(operands: list[tuple[str, str]], size: str) -> str:
    """The functions of a tile's struct that say what room its operands take, and round them."""
    if not operands:
        return ""
    rooms = [f"operand_room({length})" for _, length in operands]
    rounded = "".join(
        f"            pack_operand(factors.row(m_, {' + '.join(rooms[:k]) or 0}), {begin}, "
        f"{length});\n"
        for k, (begin, length) in enumerate(operands)
    )
    return (
        f"    static int64_t room(const Scan& scan) {{\n{size}"
        f"        return {' + '.join(rooms)};\n    }}\n"
        "    static void round(const Scan& scan, const Row* row, int n, Operands factors) {\n"
        f"{size}        for (int m_ = 0; m_ < n; m_++) {{\n{rounded}        }}\n    }}\n"
    )


def last_states_text(letters: Mapping[str, int]) -> list[str]:
    """The lines that copy each row's last states: what a step after its end would start from.

    Args:
        letters: by state, the place of its width's letter in ``size``.
    """
    copies = [
        f"            memcpy(row[i].p[last_{k}], row[i].p[old_{k}], scan.size[{letter}] * "
        "sizeof(T));\n"
        for k, letter in letters.items()
    ]
    return ["        for (int i = 0; member == 0 && i < n; i++) {\n", *copies, "        }\n"]


def group_text(
    name: str, what: list[str], U: str, depth: list[int], *, index: int, matrices: int, letter: int
) -> str:
    """The struct that says what packing and the micro-kernel must know of some products.

    Args:
        name: of the struct.
        what: each product, for people.
        U: the vectors in a panel, as C++.
        depth: the place of the letter of each operand's width in ``size``.
        index: the number of the group.
        matrices: the number of its first matrix.
        letter: the place of the results' letter.
    """
    return (
        f"// {', '.join(what)}\n"
        f"struct {name} {{\n"
        f"    static constexpr int A = {len(what)}, U = {U}, "
        f"terms = {len(depth)}, index = {index}, matrices = {matrices}, letter = {letter};\n"
        f"    static constexpr int depth[] = {{{', '.join(map(str, depth))}}};\n"
        "};\n"
    )


def one_of_text(name: str, what: str, found: list[str]) -> str:
    """A function of the kernel's struct that says whether a number is one of some."""
    test = " || ".join(f"{what} == {k}" for k in found) or "false"
    return f"    static constexpr bool {name}(int {what}) {{\n        return {test};\n    }}\n"


def reduction_text(op: str, to: str, term: str) -> str:
    """A line that adds a vector to what becomes one number of a row, lane by lane.

    Args:
        op: one of `REDUCTIONS`.
        to: where it is added, as C++.
        term: the vector, as C++.
    """
    if op == "sum":
        return f"{to} += only({term}, left);"
    return f"{to} = maximum({to}, only_or_lowest({term}, left));"


def in_braces(lines: list[str], indent: int) -> str:
    """Lines as a block.

    Args:
        lines: of C++.
        indent: of the braces.
    """
    inner = "".join(f"{'':{indent + 4}}{line}\n" for line in lines)
    return f"{'':{indent}}{{\n{inner}{'':{indent}}}}\n"


def sweep_text(name: str, members: str = "members") -> str:
    """The call that makes every tile of a group."""
    return f"        sweep<{name}>(scan, row, n, member, {members});\n"


def function_text(name: str, parameters: str, lines: list[str]) -> str:
    """A function of the kernel's struct."""
    head = f"    static void {name}(const Scan& scan, {parameters}) {{"
    return f"{head}\n{''.join(lines)}    }}\n" if "".join(lines) else f"{head}}}\n"


def truth(value: bool) -> str:
    """As C++ writes it."""
    return "true" if value else "false"
