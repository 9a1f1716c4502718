"""Tables of models of pairs for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from recurnn.models.sequence_comparison import Scored

SHARES = ("errors", "exact", "accuracy")


def scored_table(rows: Sequence[Scored], title: str) -> Table:
    """The models on a test part; the recurrent one is marked.

    Args:
        rows: in the order to show.
        title: of the table.
    """
    table = Table(
        title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("model", no_wrap=True)
    for name in (*rows[0].scores, "train s"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"→ {row.model}" if row.recurrent else f"  {row.model}",
            *(_cell(name, value) for name, value in row.scores.items()),
            f"{row.seconds:.1f}" if row.seconds else "–",
            style="bold" if row.recurrent else "",
        )
    return table


def _cell(name: str, value: float) -> str:
    return f"{value:.2%}" if name.endswith(SHARES) else f"{value:.4g}"
