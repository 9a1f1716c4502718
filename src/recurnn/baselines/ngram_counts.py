"""Counts of n-grams in sorted arrays: a trie without pointers.

The n-grams of one order stand sorted by their *context* (the first n − 1 tokens) and then by their
last token, and an n-gram's number is its place. A context is an n-gram of the order below, so it
has a number too, and ``context · width + token`` is one key: the array of keys is the table.
Counting is sorting, and looking up is bisection, both of whole arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurnn.data.text import Corpus
from recurnn.errors import ConfigError, KindError

Ints = NDArray[np.int64]
Ids = NDArray[np.int32]

NONE = -1
"""Stands for an n-gram that was not seen."""

BLOCK = 1 << 20  # tokens that are looked up at a time


@dataclass(frozen=True)
class Order:
    """The distinct n-grams of one order.

    Attributes:
        keys: ``context · width + token`` of each, rising.
        counts: how often each comes.
        before: of how many different tokens each is preceded, the beginning of a document counted
            as one; where it begins with that itself, how often it comes. None for the highest
            order, of which this is not known.
        starts: where the n-grams of each context begin, one more than there are contexts.
    """

    keys: Ints
    counts: Ids
    before: Ids | None
    starts: Ints

    def __len__(self) -> int:
        """How many distinct n-grams there are."""
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """In memory."""
        parts = (self.keys, self.counts, self.starts, self.before)
        return sum(p.nbytes for p in parts if p is not None)


class Found(NamedTuple):
    """What was looked up for some tokens, for one order.

    Attributes:
        context: the number of the n − 1 tokens before each; `NONE` where they were never seen
            before anything, or do not exist.
        entry: the number of the n-gram, or `NONE`.
    """

    context: Ids
    entry: Ids


@dataclass(frozen=True)
class NgramCounts:
    """The n-grams of a corpus, orders 1 to N.

    A document begins after one symbol, which is a context only, and is never predicted: the token
    that ends documents where the corpus has one. So an n-gram reaches back to the beginning of its
    document and no further; at the first tokens it is shorter.

    Attributes:
        size: V.
        begin: the symbol of the beginning; V where the corpus has none for the end.
        orders: the tables, order 1 first. Order 1 has an entry for every token, seen or not.
    """

    size: int
    begin: int
    orders: tuple[Order, ...]

    @classmethod
    def of(cls, corpus: Corpus, order: int) -> NgramCounts:
        """Count the n-grams of a corpus.

        Args:
            corpus: the tokens.
            order: N, the longest n-grams.

        Raises:
            ConfigError: N is not a whole number above 0.
        """
        check_order(order)
        size = corpus.size
        begin = size if corpus.end is None else corpus.end
        width = size + 1
        tokens, depth, _ = _stretch(corpus, 0, len(corpus), begin)
        counts = np.bincount(tokens[depth > 0], minlength=width).astype(np.int32)
        first = Order(np.arange(width), counts, None, np.array([0, width]))
        tables, ids = [first], tokens
        begins = np.arange(width) == begin  # entries that begin with a document, as contexts
        for n in range(2, order + 1):
            at = np.flatnonzero(depth >= n - 1)
            keys, inverse, counts = np.unique(
                ids[at - 1].astype(np.int64) * width + tokens[at],
                return_inverse=True,
                return_counts=True,
            )
            context, suffix = keys // width, np.empty(len(keys), dtype=np.int32)
            suffix[inverse] = ids[at]
            lower = tables[-1]
            before = np.bincount(suffix, minlength=len(lower)).astype(np.int32)
            if n > 2:
                before[begins] = lower.counts[begins]
            tables[-1] = Order(lower.keys, lower.counts, before, lower.starts)
            starts = np.concatenate([[0], np.cumsum(np.bincount(context, minlength=len(lower)))])
            tables.append(Order(keys, counts.astype(np.int32), None, starts))
            begins = begins[context]
            ids = np.full(len(tokens), NONE, dtype=np.int32)
            ids[at] = inverse
        return cls(size, begin, tuple(tables))

    @property
    def order(self) -> int:
        """N."""
        return len(self.orders)

    @property
    def width(self) -> int:
        """What a context's number is multiplied by in a key."""
        return self.size + 1

    def look_up(self, tokens: Ids, depth: Ints) -> list[Found]:
        """The n-grams that end at each token, and their contexts, order 1 first.

        Args:
            tokens: in a row, beginnings among them.
            depth: how many tokens stand before each in its document, its beginning counted.
        """
        context = np.zeros(len(tokens), dtype=np.int32)
        found = [Found(context, np.where(tokens < self.size, tokens, NONE))]
        for n, table in enumerate(self.orders[1:], start=2):
            # Of order 1 every token has a number, the beginning too: as a context it counts.
            entry = found[-1].entry if n > 2 else tokens
            context = np.full(len(tokens), NONE, dtype=np.int32)
            context[1:] = entry[:-1]
            context[depth < n - 1] = NONE
            known = np.flatnonzero(context >= 0)
            numbers = context[known]
            # A context that nothing follows is none.
            ends = table.starts[numbers] == table.starts[numbers + 1]
            context[known[ends]] = NONE
            known, numbers = known[~ends], numbers[~ends]
            keys = numbers.astype(np.int64) * self.width + tokens[known]
            rising = np.argsort(keys)  # near keys are found near one another
            known, keys = known[rising], keys[rising]
            place = np.minimum(np.searchsorted(table.keys, keys), len(table) - 1)
            hit = table.keys[place] == keys
            next_entry = np.full(len(tokens), NONE, dtype=np.int32)
            next_entry[known[hit]] = place[hit]
            found.append(Found(context, next_entry))
        return found

    def along(self, corpus: Corpus) -> Iterator[tuple[slice, list[Found]]]:
        """`look_up` of every token of a corpus, a block at a time: its place, and what was found.

        Args:
            corpus: of the same vocabulary; its documents begin after this model's symbol.
        """
        for start in range(0, len(corpus), BLOCK):
            stop = min(start + BLOCK, len(corpus))
            yield slice(start, stop), self._block(corpus, start, stop)

    def _block(self, corpus: Corpus, start: int, stop: int) -> list[Found]:
        back = max(start - self.order, 0)  # so that the first tokens of the block have a context
        tokens, depth, at = _stretch(corpus, back, stop, self.begin)
        found = self.look_up(tokens, depth)
        here = at[start - back :]
        return [Found(f.context[here], f.entry[here]) for f in found]

    def children(self, n: int, context: int) -> tuple[Ids, slice]:
        """The tokens that follow a context, and the places of those n-grams in their table.

        Args:
            n: the order of the n-grams.
            context: its number among those of order n − 1; 0 for n = 1.
        """
        table = self.orders[n - 1]
        if n == 1:
            return np.arange(self.size, dtype=np.int32), slice(0, self.size)
        start, stop = int(table.starts[context]), int(table.starts[context + 1])
        tokens = (table.keys[start:stop] - context * self.width).astype(np.int32)
        return tokens, slice(start, stop)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays by name, for a file."""
        found: dict[str, NDArray[Any]] = {"sizes": np.array([self.size, self.begin])}
        for n, table in enumerate(self.orders, start=1):
            found[f"counts_{n}"] = table.counts
            if table.before is not None:
                found[f"before_{n}"] = table.before
            if n > 1:
                found[f"token_{n}"] = (table.keys % self.width).astype(np.int32)
                found[f"many_{n}"] = np.diff(table.starts).astype(np.int32)
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> NgramCounts:
        """The counts that `arrays` gave.

        Raises:
            KeyError: an array is missing.
            ValueError: they do not fit together.
        """
        size, begin = (int(k) for k in arrays["sizes"])
        width, orders = size + 1, list[Order]()
        while f"counts_{len(orders) + 1}" in arrays:
            n = len(orders) + 1
            counts, before = arrays[f"counts_{n}"], arrays.get(f"before_{n}")
            if n == 1:
                keys, starts = np.arange(width), np.array([0, width])
            else:
                many = arrays[f"many_{n}"].astype(np.int64)
                starts = np.concatenate([[0], np.cumsum(many)])
                context = np.repeat(np.arange(len(many)), many)
                keys = context * width + arrays[f"token_{n}"]
            wanted = [len(keys)] * 2 if before is not None else [len(keys)]
            if [len(a) for a in (counts, before) if a is not None] != wanted:
                raise ValueError(f"the counts of order {n} do not fit its n-grams")
            orders.append(Order(keys, counts, before, starts))
        if not orders:
            raise KeyError("counts_1")
        return cls(size, begin, tuple(orders))


def check_order(order: int) -> None:
    """Refuse an N that cannot be.

    Raises:
        KindError: it is no whole number.
        ConfigError: it is less than 1.
    """
    if isinstance(order, bool) or not isinstance(order, int):
        raise KindError(f"n-gram: the order is {order!r}; expected a whole number.")
    if order < 1:
        raise ConfigError(f"n-gram: the order is {order}; expected 1 or more.")


def _stretch(corpus: Corpus, start: int, stop: int, begin: int) -> tuple[Ids, Ints, Ints]:
    """Some tokens of a corpus, with a symbol before each document that begins among them.

    Returns:
        The tokens; how many stand before each in its document; and where among them those of the
        corpus are.
    """
    first, last = np.searchsorted(corpus.starts, [start, stop])
    heads = corpus.starts[first:last] - start
    tokens = np.insert(corpus.tokens[start:stop], heads, begin).astype(np.int32, copy=False)
    at = np.arange(stop - start)
    at += np.searchsorted(heads, at, side="right")
    # Before the first symbol the document goes on from before `start`: deep enough.
    places = np.zeros(len(tokens), dtype=np.int64)
    symbols = heads + np.arange(len(heads))
    places[symbols] = symbols
    return tokens, np.arange(len(tokens)) - np.maximum.accumulate(places), at
