"""From counts to probabilities: maximum likelihood, add-k, and modified Kneser-Ney.

All three are one chain of levels, from the short contexts to the long ones,

    p_0(w) = 1 / V
    p_n(w | c) = max(a(cw) − D(a), 0) / A(c) + rest(c) · p_{n−1}(w | c')

where c is the last n − 1 tokens and c' is c without its first. In a context that was never seen
p_n is p_{n−1}. They differ in the amounts a, the discounts D and the rest, and in which n they
have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recurnn.baselines.ngram_counts import Found, Ids, NgramCounts, Order
from recurnn.errors import ConfigError, one_of

Array = NDArray[np.float64]

SMOOTHINGS = ("kneser-ney", "add-k", "maximum likelihood")
FALLBACK = (0.5, 1.0, 1.5)
"""Discounts where counts of counts are missing, as in a vocabulary of few frequent characters."""


@dataclass(frozen=True)
class Level:
    """One n of the chain.

    Attributes:
        n: the order.
        amounts: a, of each n-gram of this order.
        discounts: D of a = 0, 1, 2, and 3 or more.
        totals: A, of each context.
        rest: what each context leaves to the level below; 1 where nothing follows it.
    """

    n: int
    amounts: Ids
    discounts: Array
    totals: Array
    rest: Array

    def share(self, entry: Ids | slice, context: Ids | int) -> Array:
        """max(a − D(a), 0) / A of some n-grams and their contexts."""
        a = self.amounts[entry]
        part: Array = np.maximum(a - self.discounts[np.minimum(a, 3)], 0.0) / self.totals[context]
        return part


def levels_of(
    counts: NgramCounts, order: int, smoothing: str, *, k: float, discounts: Array | None
) -> list[Level]:
    """The chain of a model.

    Args:
        counts: of order N or more.
        order: N.
        smoothing: one of `SMOOTHINGS`.
        k: of add-k: what every count is raised by.
        discounts: of Kneser-Ney, [N, 3]: D1, D2 and D3+ of each order; None to estimate them.

    Raises:
        ConfigError: an unknown smoothing, or a k that is not positive.
    """
    if smoothing not in SMOOTHINGS:
        raise one_of("smoothing", smoothing, SMOOTHINGS)
    if smoothing == "add-k":
        if not 0 < k < float("inf"):
            raise ConfigError(f"add-k: k is {k!r}; expected a number above 0.")
        return [_level(counts, order, order, np.zeros(3), more=k * counts.size)]
    if smoothing == "maximum likelihood":
        return [_level(counts, n, n, np.zeros(3)) for n in range(1, order + 1)]
    found = []
    for n in range(1, order + 1):
        given = None if discounts is None else discounts[n - 1]
        found.append(_level(counts, n, order, given))
    return found


def _level(
    counts: NgramCounts, n: int, order: int, discounts: Array | None, more: float = 0.0
) -> Level:
    table = counts.orders[n - 1]
    amounts = _amounts(table, top=n == order)
    if n == 1:
        amounts = amounts[: counts.size]
        starts = np.array([0, counts.size])
    else:
        starts = table.starts
    d = np.zeros(4)
    d[1:] = estimated(amounts) if discounts is None else discounts
    totals = _sums(amounts, starts) + more
    kept = np.minimum(amounts, 3)
    rest = sum(d[j] * _sums(kept == j, starts) for j in (1, 2, 3)) + more
    empty = totals == 0
    totals[empty] = 1.0
    rest = np.where(empty, 1.0, rest / totals)
    return Level(n, amounts, d, totals, rest)


def _amounts(table: Order, *, top: bool) -> Ids:
    if top or table.before is None:
        return table.counts
    return table.before


def _sums(values: NDArray[np.generic], starts: NDArray[np.int64]) -> Array:
    """The sum of the values of each context."""
    running = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    sums: Array = (running[starts[1:]] - running[starts[:-1]]).astype(np.float64)
    return sums


def estimated(amounts: Ids) -> tuple[float, float, float]:
    """D1, D2 and D3+ from how many n-grams come once, twice, three and four times.

    Chen & Goodman, "An empirical study of smoothing techniques for language modeling", 1999,
    section 3 (equation 26 of the report of 1998): with Y = n₁ / (n₁ + 2 n₂), D_k is
    k − (k + 1) Y n_{k+1} / n_k. Where one of these is missing, or a discount would be less than 0,
    `FALLBACK` stands for all three.

    Args:
        amounts: of all n-grams of an order.
    """
    n1, n2, n3, n4 = (int(np.count_nonzero(amounts == j)) for j in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    d = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return d if min(d) >= 0 else FALLBACK


def read_discounts(given: float | Sequence[float] | Sequence[Sequence[float]], order: int) -> Array:
    """Discounts as [N, 3], from one for all, three for all orders, or three an order.

    Raises:
        ConfigError: another number of them, or one that is out of range.
    """
    d = np.asarray(given, dtype=np.float64)
    if d.shape not in ((), (3,), (order, 3)):
        raise ConfigError(
            f"discounts: {list(d.shape)} numbers were given.\n"
            f"  Expected one, three (D1, D2, D3+), or [N, 3] = [{order}, 3]."
        )
    d = np.broadcast_to(d, (order, 3)).copy()
    if not ((d >= 0) & (d <= [1, 2, 3])).all():
        raise ConfigError(
            f"discounts: {given} is out of range.\n  D1 is from 0 to 1, D2 to 2, D3+ to 3."
        )
    return d


def probabilities(levels: Sequence[Level], found: Sequence[Found], size: int) -> Array:
    """The probability of each token that was looked up, [tokens]."""
    p = np.full(len(found[0].entry), 1 / size)
    for level in levels:
        context, entry = found[level.n - 1]
        seen = np.flatnonzero(context >= 0)
        p[seen] *= level.rest[context[seen]]
        hit = np.flatnonzero(entry >= 0)
        p[hit] += level.share(entry[hit], context[hit])
    return p


def distribution(levels: Sequence[Level], counts: NgramCounts, contexts: Sequence[int]) -> Array:
    """The probability of every token after one context, [V].

    Args:
        levels: of the model.
        counts: that it was made of.
        contexts: the number of the context of each order, `NONE` where it was not seen.
    """
    p = np.full(counts.size, 1 / counts.size)
    for level in levels:
        context = contexts[level.n - 1]
        if context >= 0:
            tokens, place = counts.children(level.n, context)
            p *= level.rest[context]
            p[tokens] += level.share(place, context)
    return p
