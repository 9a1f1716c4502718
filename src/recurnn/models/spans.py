"""Spans that tags of the forms BIO and IOBES mark, and how well they are found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Span = tuple[str, int, int]
"""What it is, its first step, and the step after its last."""

_BEGIN, _END = ("B", "S", "U"), ("S", "E", "U", "L")
_INSIDE = ("I", "E", "L")


def are_spans(tags: Iterable[str]) -> bool:
    """Whether tags mark spans: all are ``O`` or a letter, a hyphen and a name.

    >>> are_spans(["O", "B-PER", "I-PER"]), are_spans(["NOUN", "O"])
    (True, False)
    """
    kinds = set(tags)
    marked = kinds - {"O"}
    known = (*_BEGIN, *_INSIDE)
    return bool(marked) and all(t[:1] in known and t[1:2] == "-" and len(t) > 2 for t in marked)


def spans(tags: Sequence[str]) -> list[Span]:
    """The spans of a sequence, as the evaluation of CoNLL-2000 reads them.

    A tag within a span of another name, or after none, begins a span.

    Example:
        >>> spans(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
        [('PER', 0, 2), ('LOC', 3, 4), ('LOC', 4, 5)]
    """
    found: list[Span] = []
    name, begin = "", 0
    for t, tag in enumerate([*tags, "O"]):
        letter, _, kind = tag.partition("-")
        if name and (kind != name or letter not in _INSIDE):
            found.append((name, begin, t))
            name = ""
        if letter != "O" and not name:
            name, begin = kind, t
        if name and letter in _END:
            found.append((name, begin, t + 1))
            name = ""
    return found


def span_scores(
    found: Iterable[Sequence[str]], true: Iterable[Sequence[str]]
) -> tuple[float, float, float]:
    """Precision, recall and their harmonic mean (F1) of spans; a span is right in all or not."""
    right = told = there = 0
    for a, b in zip(found, true, strict=True):
        ours, theirs = set(spans(a)), set(spans(b))
        right, told, there = right + len(ours & theirs), told + len(ours), there + len(theirs)
    precision, recall = right / max(told, 1), right / max(there, 1)
    return precision, recall, 2 * right / max(told + there, 1)
