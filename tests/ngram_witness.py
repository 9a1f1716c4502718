"""N-gram models again, from the formulas, with dictionaries of tuples; slow and plain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

BEGIN = "begin"
"""Stands before each document; no token, so nothing can be mistaken for it."""

Gram = tuple[object, ...]


class Witness:
    """The counts of some documents, and every probability from them."""

    def __init__(self, documents: Sequence[Sequence[int]], size: int, order: int) -> None:
        self.size, self.order = size, order
        self.grams: dict[int, Counter[Gram]] = {n: Counter() for n in range(1, order + 1)}
        for document in documents:
            row = [BEGIN, *document]
            for n in range(1, order + 1):
                for i in range(1, len(row)):
                    if i - n + 1 >= 0:
                        self.grams[n][tuple(row[i - n + 1 : i + 1])] += 1
        self.amounts = {n: self.amounts_of(n) for n in range(1, order + 1)}

    def amounts_of(self, n: int) -> dict[Gram, int]:
        """Counts of the highest order; below it, how many different things stand before."""
        if n == self.order:
            return dict(self.grams[n])
        left: Counter[Gram] = Counter(gram[1:] for gram in self.grams[n + 1])
        return {g: c if g[0] == BEGIN else left[g] for g, c in self.grams[n].items()}

    def discounts(self, n: int) -> tuple[float, float, float]:
        """Chen and Goodman's estimates."""
        of = Counter(self.amounts[n].values())
        if not (of[1] and of[2] and of[3] and of[4]):
            return 0.5, 1.0, 1.5
        y = of[1] / (of[1] + 2 * of[2])
        found = [k - (k + 1) * y * of[k + 1] / of[k] for k in (1, 2, 3)]
        return tuple(found) if min(found) >= 0 else (0.5, 1.0, 1.5)

    def kneser_ney(self, word: int, context: Gram, discounts: object = None) -> float:
        """p(word | context), the context cut to N − 1."""
        context = context[len(context) - min(len(context), self.order - 1) :]
        return self._kneser_ney(word, context, discounts)

    def _kneser_ney(self, word: int, context: Gram, discounts: object) -> float:
        n = len(context) + 1
        lower = self._kneser_ney(word, context[1:], discounts) if context else 1 / self.size
        after = {g[-1]: a for g, a in self.amounts[n].items() if g[:-1] == context}
        if not after:
            return lower
        d1, d2, d3 = self.discounts(n) if discounts is None else discounts[n - 1]
        total = sum(after.values())
        many = Counter(min(a, 3) for a in after.values())
        rest = (d1 * many[1] + d2 * many[2] + d3 * many[3]) / total
        a = after.get(word, 0)
        return max(a - (0.0, d1, d2, d3)[min(a, 3)], 0) / total + rest * lower

    def maximum_likelihood(self, word: int, context: Gram) -> float:
        """Relative frequency after the longest end of the context that was seen."""
        context = context[len(context) - min(len(context), self.order - 1) :]
        after = {g[-1]: c for g, c in self.grams[len(context) + 1].items() if g[:-1] == context}
        if not after:
            return self.maximum_likelihood(word, context[1:])
        return after.get(word, 0) / sum(after.values())

    def add_k(self, word: int, context: Gram, k: float) -> float:
        """Every count raised by k; of the highest order only, or what there is of it."""
        context = context[len(context) - min(len(context), self.order - 1) :]
        if len(context) + 1 < self.order:
            return 1 / self.size
        after = {g[-1]: c for g, c in self.grams[self.order].items() if g[:-1] == context}
        return (after.get(word, 0) + k) / (sum(after.values()) + k * self.size)

    def contexts(self, document: Sequence[int]) -> list[tuple[int, Gram]]:
        """Each token of a document, with all that stands before it."""
        row = [BEGIN, *document]
        return [(row[i], tuple(row[:i])) for i in range(1, len(row))]
