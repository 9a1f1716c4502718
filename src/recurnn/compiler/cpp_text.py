"""The C++ that is the same for every kernel: its headers, and the frame of a tile."""

from __future__ import annotations

from importlib import resources

# Words of the headers and of C++ that an author's name must not hide.
RESERVED = frozenset(
    [
        "T",
        "V",
        "I",
        "W",
        "M",
        "N",
        "U",
        "A",
        "Row",
        "Call",
        "unit",
        "left",
        "row",
        "scan",
        "M_",
        "panel",
        "operand",
        "member",
        "members",
        "team",
        "m_",
        "n_",
        "n",
        "load",
        "store",
        "exp",
        "expm1",
        "log",
        "log1p",
        "softplus",
        "erf",
        "tanh",
        "sigmoid",
        "sqrt",
        "abs",
        "maximum",
        "minimum",
        "greater",
        "where",
        "broadcast",
        "total",
        "products",
        "width",
        "carry",
        "int",
        "float",
        "double",
        "for",
        "if",
        "do",
        "new",
        "this",
        "auto",
    ]
)

HEADERS = ("vectors.h", "products.h", "threads.h", "recurrence.h")


def runtime() -> str:
    """The text that opens every kernel: the headers, each after those that it needs."""
    folder = resources.files("recurnn.compiler")
    return "\n".join(folder.joinpath(name).read_text() for name in HEADERS)


def tile_text(
    name: str,
    letter: int,
    counts: list[int],
    U: str,
    lines: list[str],
    inner: list[str],
    outer: tuple[list[str], list[str]],
    *,
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
        outer: the names that it uses: of vectors, and of arrays of the row.
        sizes: the sizes that the products use, and those that the body uses, as C++.
        units: the number of units, as C++.
    """
    # The products come to the body in memory, which costs little beside making them; so neither
    # has to be compiled once for every size of tile.
    most = f"rows_of({max(counts)})" if counts else "8"
    before = "".join(f"        {line}\n" for line in lines)
    body = "\n".join(f"                {line}" for line in inner)
    room = "".join(
        f"        V product{k}[M * {count} * U];\n" for k, count in enumerate(counts)
    ) + ("        const T* operand[M];\n" if counts else "")
    vectors = "".join(f"        {line}\n" for line in outer[0])
    streams = "".join(f"            {line}\n" for line in outer[1])
    passed = "".join(f", product{k}" for k in range(len(counts)))
    taken = "".join(f", const V* product{k}" for k in range(len(counts)))
    return f"""struct {name} {{
    static constexpr int letter = {letter}, U = {U}, M = {most};
    static void body(const Scan& scan, Row* row, int M_, int N, int panel{taken}) {{
        {sizes[1]}
{vectors}        for (int m_ = 0; m_ < M_; m_++) {{
{streams}            for (int n_ = 0; n_ < N; n_++) {{
                const int unit = (panel * U + n_) * LANES, left = {units} - unit;
{body}
            }}
        }}
    }}
    static void tile(const Scan& scan, Row* row, int M_, int N, int panel) {{
        {sizes[0]}
{room}{before}        body(scan, row, M_, N, panel{passed});
    }}
}};
"""
