"""Tables of language models for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from recurnn.baselines import TextScores
from recurnn.models.language import Candidate, GapRow, TextRow

SHOWN = 20


def text_table(rows: Sequence[TextRow] | Sequence[GapRow], title: str) -> Table:
    """The models on a text, or on the gaps of one; networks are marked."""
    table = _table(title)
    table.add_column("model", no_wrap=True)
    gaps = isinstance(rows[0], GapRow)
    names = ["first", "in first 5", "nats/gap"] if gaps else [
        "perplexity", "by word", "nats/char", "bits/char", "size", "train s",
    ]  # fmt: skip
    if not any(getattr(row, "seconds", 0) for row in rows):
        names = [name for name in names if name != "train s"]  # nothing was trained here
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells = (
            (f"{row.top1:.1%}", f"{row.top5:.1%}", f"{row.nats:.3f}")
            if isinstance(row, GapRow)
            else (
                number(row.perplexity), number(row.word_perplexity), f"{row.nats:.4f}",
                f"{row.bits:.4f}", f"{row.size:,}", f"{row.seconds:.1f}" if row.seconds else "–",
            )
        )  # fmt: skip
        mark = "→ " if row.recurrent else "  "
        table.add_row(mark + row.model, *cells[: len(names)], style="bold" if row.recurrent else "")
    return table


def document_table(named: Mapping[str, TextScores], names: Sequence[str]) -> Table:
    """Each document: its tokens, and perplexity and nats by character of every model."""
    first = next(iter(named.values()))
    more = len(names) - SHOWN
    table = _table("By document" + (f", the first {SHOWN} of {len(names)}" if more > 0 else ""))
    table.add_column("document", overflow="fold")
    table.add_column("tokens", justify="right")
    for name in named:
        table.add_column(f"{name} perplexity", justify="right")
        table.add_column("nats/char", justify="right")
    for k, name in enumerate(names[:SHOWN]):
        cells = []
        for scores in named.values():
            each = scores.nats[k] / max(int(scores.characters[k]), 1)
            cells += [number(float(scores.perplexities[k])), f"{each:.4f}"]
        table.add_row(name, f"{int(first.tokens[k]):,}", *cells)
    return table


def candidate_table(columns: Mapping[str, Sequence[Candidate]], title: str) -> Table:
    """What each model would put in a blank, the likeliest first."""
    table = _table(title)
    for name in columns:
        table.add_column(name, no_wrap=True)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*(f"{shown(c.text)} {c.probability:.1%}" for c in row))
    return table


def shown(token: str) -> str:
    """A token on one line, one of white space by its sign."""
    return repr(token)[1:-1] if token.isspace() and token != " " else token.replace(" ", "␣")


def number(value: float | None) -> str:
    """Four digits; a dash where there is no number."""
    if value is None:
        return "–"
    if value == float("inf"):
        return "∞"
    return f"{value:,.0f}" if 1e4 <= value < 1e9 else f"{value:.4g}"


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False
    )
