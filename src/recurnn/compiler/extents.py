"""How many elements lie side by side: of widths, of rows, of chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def offset(widths: Sequence[str], sizes: Mapping[str, int], lanes: int) -> int:
    """Elements that a run of widths takes in a stream, each rounded up to whole vectors."""
    return sum(lanes if w == "1" else -(-sizes[w] // lanes) * lanes for w in widths)


def apart(n: int, lanes: int) -> int:
    """Elements from one row to the next; rows a power of two apart would contend for the caches.

    Args:
        n: elements of a row.
        lanes: elements in a vector.
    """
    return n + lanes if n % 256 == 0 else n


def power_of_two(n: float) -> int:
    """The largest that is at most n, and at least 1."""
    return 1 << max(int(n).bit_length() - 1, 0) if n >= 1 else 1
