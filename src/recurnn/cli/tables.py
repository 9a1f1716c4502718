"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Group
from rich.table import Table

from recurnn.baselines import NgramRow
from recurnn.errors import counted
from recurnn.models import Row
from recurnn.models.sequence_comparison import Scored

_SHARES = ("accuracy", "F1", "precision", "recall", "all right", "errors", "exact")


def comparison_table(rows: Sequence[Row], *, units: str, windows: int) -> Table:
    """The models on the test part; the recurrent one is marked.

    Args:
        rows: in the order to show.
        units: what MSE and MAE are in.
        windows: how many were scored.
    """
    table = Table(
        title=f"Test part, {windows:,} windows; MSE and MAE in {units}",
        title_justify="left",
        title_style="",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("model", no_wrap=True)
    for name in ("MSE", "MAE", "MASE", "sMAPE", "train s"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"→ {row.model}" if row.recurrent else f"  {row.model}",
            _number(row.mse),
            _number(row.mae),
            f"{row.mase:.3f}",
            f"{row.smape:.2f}",
            f"{row.seconds:.1f}",
            style="bold" if row.recurrent else "",
        )
    return table


def score_table(rows: Sequence[Scored], title: str) -> Table:
    """Models by their scores, shares of one in percent; the recurrent one is marked.

    Args:
        rows: in the order to show.
        title: of the table.
    """
    table = Table(
        title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("model")
    names = list(rows[0].scores)
    trained = any(row.seconds for row in rows)  # not where a model was only evaluated
    for name in (*names, "train s") if trained else names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells = [
            f"{row.scores[n]:.1%}" if n.endswith(_SHARES) else _number(row.scores[n]) for n in names
        ]
        cells += [f"{row.seconds:.1f}"] if trained else []
        table.add_row(
            f"→ {row.model}" if row.recurrent else f"  {row.model}", *cells,
            style="bold" if row.recurrent else "",
        )  # fmt: skip
    return table


def confusion_table(counts: pd.DataFrame) -> Group:
    """How often each class (row) was taken for each (column)."""
    # Not as the table's own title, which breaks where the table is narrow.
    title = "True class (row) and what it was taken for (column)"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in counts.columns:
        table.add_column(str(name), justify="right", no_wrap=True)
    for k, row in enumerate(counts.to_numpy().tolist()):
        cells = [
            f"[bold]{n}[/bold]" if k == j else "·" if n == 0 else str(n) for j, n in enumerate(row)
        ]
        table.add_row(str(counts.index[k]), *cells)
    return Group(title, table)


# In eighty columns.
_SHORT = {"maximum likelihood": "max. lik."}


def ngram_table(rows: Sequence[NgramRow], *, unit: str) -> Table:
    """What grows with N, and the perplexity of each smoothing on the text held out.

    Args:
        rows: in the order to show.
        unit: what one token is.
    """
    tokens = int(next(iter(rows[0].scores.values())).tokens.sum())
    table = Table(
        title=f"N-grams on the text held out, {counted(tokens, 'token')}; perplexity by {unit}",
        title_justify="left",
        title_style="",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    names = list(rows[0].scores)
    short = [_SHORT.get(name, name) for name in names]
    for name in ("N", "distinct", "MB", "unseen", *short, "nats/char"):
        table.add_column(name, justify="right", no_wrap=True)
    best = min(min(s.nats_per_character for s in row.scores.values()) for row in rows)
    for row in rows:
        least = min(s.nats_per_character for s in row.scores.values())
        table.add_row(
            str(row.order),
            f"{row.distinct:,}",
            f"{row.nbytes / 1e6:.1f}",
            f"{row.unseen:.1%}",
            *(_perplexity(row.scores[name].perplexity) for name in names),
            f"{least:.3f}",
            style="bold" if least == best else "",
        )
    return table


def _perplexity(value: float) -> str:
    return "∞" if value == float("inf") else _number(value)


def _number(value: float) -> str:
    """Four significant digits, without an exponent where it can be had."""
    if value == 0:
        return "0"
    if 1e-5 <= abs(value) < 1e7:
        digits = max(0, 4 - len(f"{abs(value):.0f}")) if abs(value) >= 1 else 6
        return f"{value:.{digits}f}"
    return f"{value:.3e}"
