"""Which units of a text a vocabulary lacks, said once before they are read as ``<unk>``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from recurnn.data.text import Tokenizer

_SHOWN = 10


def tell_unknown(console: Console, tokenizer: Tokenizer, documents: Sequence[str]) -> None:
    """Say which units of some documents are not in the vocabulary."""
    tell_units(console, [u for text in documents for u in tokenizer.unknown(text)])


def tell_units(console: Console, units: Sequence[str]) -> None:
    """Say that these units are not in the vocabulary; nothing if there are none."""
    unknown = list(dict.fromkeys(units))
    if unknown:
        shown = ", ".join(map(repr, unknown[:_SHOWN])) + (", ..." if len(unknown) > _SHOWN else "")
        console.print(f"- not in the vocabulary, read as <unk>: {shown}", markup=False)
