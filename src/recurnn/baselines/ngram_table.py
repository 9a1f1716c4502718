"""What grows with N: n-grams, bytes, and the share of a new text's n-grams that were never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recurnn.baselines.ngram import Ngram
from recurnn.baselines.ngram_counts import Found, NgramCounts
from recurnn.baselines.ngram_smoothing import SMOOTHINGS
from recurnn.baselines.text_scores import TextScores
from recurnn.data.text import Corpus


@dataclass(frozen=True)
class NgramRow:
    """One N.

    Attributes:
        order: N.
        distinct: different n-grams of this order in the training text.
        nbytes: memory of all tables up to this order.
        unseen: share of the test text's n-grams of this order that the training text does not
            have; those that would reach over the beginning of a document do not count.
        scores: on the test text, by smoothing.
    """

    order: int
    distinct: int
    nbytes: int
    unseen: float
    scores: dict[str, TextScores]


def compare_ngrams(
    train: Corpus,
    test: Corpus,
    *,
    orders: Sequence[int] = (1, 2, 3, 4, 5),
    smoothings: Sequence[str] = SMOOTHINGS,
    k: float = 0.01,
) -> list[NgramRow]:
    """Count once, and score every N with every smoothing on a text that was held out.

    Args:
        train: what is counted.
        test: what is predicted, of the same vocabulary.
        orders: the N of the rows.
        smoothings: as of `Ngram`.
        k: of add-k.

    Example:
        >>> row = compare_ngrams(Corpus.of([0, 1, 2] * 9), Corpus.of([0, 1, 2]), orders=[2])[0]
        >>> row.distinct, row.unseen
        (4, 0.0)
    """
    counts = NgramCounts.of(train, max(orders))
    blocks = list(counts.along(test))  # looked up once, for every model
    unseen = _unseen(counts, test, blocks)
    rows = []
    for n in orders:
        scores = {}
        for name in smoothings:
            found = Ngram(n, smoothing=name, k=k).fit(counts).of_blocks(blocks, len(test))
            scores[name] = TextScores.of(found, test)
        *lower, highest = counts.orders[:n]
        nbytes = sum(t.nbytes for t in [*lower, replace(highest, before=None)])
        distinct = int(np.count_nonzero(highest.counts))
        rows.append(NgramRow(n, distinct, nbytes, unseen[n - 1], scores))
    return rows


def _unseen(
    counts: NgramCounts, test: Corpus, blocks: Sequence[tuple[slice, list[Found]]]
) -> list[float]:
    """Share of the n-grams that were not seen, of each order."""
    depth = np.arange(len(test)) - np.repeat(test.starts, test.lengths) + 1
    new, all_ = np.zeros(counts.order), np.zeros(counts.order)
    for where, found in blocks:
        for n, one in enumerate(found, start=1):
            whole = depth[where] >= n - 1
            all_[n - 1] += np.count_nonzero(whole)
            entry = one.entry
            if n == 1:
                entry = np.where(counts.orders[0].counts[entry] > 0, entry, -1)
            new[n - 1] += np.count_nonzero(whole & (entry < 0))
    return [float(share) for share in new / np.maximum(all_, 1)]
