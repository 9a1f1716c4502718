"""The C++ that is the same for every kernel: its two headers, and the frame of a tile."""

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
        "call",
        "panel",
        "operand",
        "weights",
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


def runtime() -> str:
    """The text of vectors.h and recurrence.h."""
    folder = resources.files("recurnn.compiler")
    return "".join(folder.joinpath(name).read_text() for name in ("vectors.h", "recurrence.h"))


def tile_text(
    name: str,
    letter: int,
    counts: list[int],
    U: str,
    lines: list[str],
    inner: list[str],
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
        sizes: the sizes that the products use, and those that the body uses, as C++.
        units: the number of units, as C++.
    """
    # The body is compiled once, not once for every size of tile: its products come to it in
    # memory, which costs little beside making them.
    before = "\n".join(f"        {line}" for line in lines)
    body = "\n".join(f"                {line}" for line in inner)
    rows = f"rows_of({max(counts)})" if counts else "4"
    passed = "".join(f", &product{k}[0][0]" for k in range(len(counts)))
    taken = "".join(f", const V* product{k}" for k in range(len(counts)))
    return f"""struct {name} {{
    static constexpr int letter = {letter}, U = {U}, M = {rows};
    static NOINLINE void body(const Call& call, Row* row, int M, int N, int panel{taken}) {{
        {sizes[1]}
        for (int m_ = 0; m_ < M; m_++)
            for (int n_ = 0; n_ < N; n_++) {{
                int unit = (panel * U + n_) * LANES, left = {units} - unit;
                if (left <= 0) break;
{body}
                /*end*/
            }}
    }}
    template <int M, int N>
    INLINE void tile(const Call& call, Row* row, int panel) {{
        {sizes[0]}
{before}
        body(call, row, M, N, panel{passed});
    }}
}};
"""
