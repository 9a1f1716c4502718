"""The tables, in Markdown, which reads well in a terminal too."""

from __future__ import annotations

from collections.abc import Sequence

from kernel_bench.shapes import PASSES, letters
from kernel_bench.timing import Time
from layer_bench import options, ragged
from layer_bench.options import Cost
from layer_bench.ragged import Ragged

DASH = "–"
MARKS = ("<!-- bench:layers -->", "<!-- /bench:layers -->")


def costs(rows: Sequence[Cost]) -> str:
    """What every option costs, a row a cell and option."""
    heads = [f"{kind}: ms | × without | torch's plain, ms | Keras, ms" for kind in PASSES]
    text = [f"| | {' | '.join(heads)} |", "|---" * (1 + 4 * len(heads)) + "|"]
    for row in rows:
        entries = [" | ".join(_costs(row, kind)) for kind in PASSES]
        text.append(f"| {row.cell}, {row.name} | {' | '.join(entries)} |")
    lost = [
        f"{row.cell} {row.name}, {kind} (× {row.times(kind)['without'].median:.2f})"
        for row in rows
        for kind in PASSES
        if row.missed(kind)
    ]
    return "\n".join([*text, "", _missed(f"× {options.LIMIT}", lost)])


def _costs(row: Cost, kind: str) -> list[str]:
    times = row.times(kind)
    alone = row.name in options.BY_TORCH
    ratio = DASH if alone else _ratio(times["without"], row.missed(kind))
    keras = f"{times['keras'].median:.3g}" if "keras" in times else DASH
    return [f"{times['ours'].median:.3g}", ratio, f"{times['torch'].median:.3g}", keras]


def ragged_table(rows: Sequence[Ragged]) -> str:
    """The padded batch of short and long rows."""
    heads = [f"{kind}: ms | × its share | torch packed, ms | × its share" for kind in PASSES]
    text = [
        f"| | T, B, I, H | real steps | {' | '.join(heads)} |",
        "|---" * (3 + 4 * len(heads)) + "|",
    ]
    for row in rows:
        entries = []
        for kind in PASSES:
            times = row.times(kind)
            entries += [f"{times['ours'].median:.3g}",
                        _ratio(times["ours, share"], row.missed(kind)),
                        f"{times['torch'].median:.3g}", _ratio(times["torch, share"])]  # fmt: skip
        text.append(
            f"| {row.cell} | {letters(row.shape)} | {row.share:.0%} | {' | '.join(entries)} |"
        )
    lost = [
        f"{row.cell} at {letters(row.shape)}, {kind} "
        f"(× {row.times(kind)['ours, share'].median:.2f})"
        for row in rows
        for kind in PASSES
        if row.missed(kind)
    ]
    return "\n".join([*text, "", _missed(f"× {ragged.LIMIT} of its share", lost)])


def _ratio(ratio: Time, missed: bool = False) -> str:
    """The median, in bold if it misses the aim, and the quartiles."""
    median = f"**{ratio.median:.2f}**" if missed else f"{ratio.median:.2f}"
    return f"{median} ({ratio.low:.2f}–{ratio.high:.2f})"


def _missed(aim: str, lost: list[str]) -> str:
    return f"Over the aim, {aim}: {'; '.join(lost) or 'none'}."
