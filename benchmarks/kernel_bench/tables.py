"""The main table in the terminal and in the README."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kernel_bench.shapes import PASSES, letters
from kernel_bench.summary import (
    LAYER,
    ONE_STEP,
    OURS,
    Row,
    Times,
    best_peer,
    losses,
    ratio,
    summary,
    verdict,
)

DASH = "–"
SHOWN = ("torch", "jax", "onnxruntime")
MARKS = ("<!-- bench:kernels -->", "<!-- /bench:kernels -->")


def head() -> str:
    """The line above the rows."""
    return (
        f"{'cell':6}{'T, B, I, H':22}{'pass':9}{'ms':>9}{'quartiles':>18}{'GFLOP/s':>9}"
        f"{'of peak':>9}" + "".join(f"{name:>13}" for name in SHOWN) + "  × best peer"
    )


def lines(row: Row, peak: float | None) -> str:
    """A row: a line a pass, and a line more for what is called otherwise than the layers."""
    text = []
    for kind in PASSES:
        times, rate = row.times(kind), row.rate(kind)
        share = f"{rate / peak:.0%}" if peak else DASH
        mine = times[OURS]
        quartiles = f"{mine.low:.3f}–{mine.high:.3f}"
        text.append(
            f"{row.cell:6}{letters(row.shape):22}{kind:9}{mine.median:9.3f}{quartiles:>18}"
            f"{rate:9.1f}{share:>9}"
            + "".join(f"{_ms(times, name):>13}" for name in SHOWN)
            + f"  ×{ratio(times):.2f} {best_peer(times)}, {verdict(times)}"
        )
        note = _note(times)
        if note:
            text.append(f"{'':28}{note}")
    return "\n".join(text)


def _ms(times: Times, name: str) -> str:
    return f"{times[name].median:.3f}" if name in times else DASH


def _note(times: Times) -> str:
    """What is measured beside the layers for one step."""
    parts = []
    if LAYER in times:
        parts.append(f"ours by recurnn.stepper; the layer takes {times[LAYER].median:.3f} ms")
    if ONE_STEP in times:
        parts.append(f"torch's cell for one step takes {times[ONE_STEP].median:.3f} ms")
    return "; ".join(parts)


def block(rows: Sequence[Row], cells: Sequence[str], peak: float | None, machine: str) -> str:
    """What stands between the README's marks.

    Args:
        rows: one for each cell and shape.
        cells: the columns, in order.
        peak: the machine's multiply-adds in GFLOP/s, if measured.
        machine: what it was measured on.
    """
    found = {(row.cell, tuple(row.shape)): row for row in rows}
    titles = [f"{cell} {kind}" for cell in cells for kind in PASSES]
    text = [
        "Each cell: our milliseconds, and × how many times faster than the best peer, which is "
        "named (below 1: slower).",
        "",
        f"| T, B, I, H | {' | '.join(titles)} |",
        "|---" * (1 + len(titles)) + "|",
    ]
    for shape in dict.fromkeys(tuple(row.shape) for row in rows):
        times = [found[cell, shape].times(kind) for cell in cells for kind in PASSES]
        text.append(f"| {letters(shape)} | {' | '.join(map(_entry, times))} |")
    lost, total = len(losses(rows)), len(rows) * len(PASSES)
    text += ["", f"Slower than the best peer on {lost} of {total}, in bold; beyond noise, that is, "
             "where the quartiles of the two do not overlap.", ""]  # fmt: skip
    text += [f"- {summary(cell, rows)}." for cell in cells]
    notes = [f"{row.cell}: {note}" for row in rows if (note := _note(row.forward))]
    text += ["", *[f"One step, {'; '.join(notes)}.", ""] * bool(notes)]
    reached = ""
    if peak:
        best = max((row.rate(kind) for row in rows for kind in PASSES), default=0)
        reached = (
            f" The fastest of these makes {best:.0f} GFLOP/s; multiply-adds alone, {peak:.0f}."
        )
    text.append(f"{machine}.{reached}")
    return "\n".join(text)


def _entry(times: Times) -> str:
    text = f"{times[OURS].median:.3g} ms, ×{ratio(times):.2f} {best_peer(times)}"
    return f"**{text}**" if verdict(times) == "slower" else text


def renewed(page: str, text: str, marks: tuple[str, str] = MARKS) -> str:
    """The README, or another page, with the text between the marks.

    Raises:
        SystemExit: the marks are not there.
    """
    begin, end = marks
    if begin not in page or end not in page:
        raise SystemExit(f"the page lacks the marks {begin} and {end}")
    pattern = f"{re.escape(begin)}.*{re.escape(end)}"
    return re.sub(pattern, lambda _: f"{begin}\n{text}\n{end}", page, flags=re.DOTALL)
