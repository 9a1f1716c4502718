"""N-gram language models."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from io import BufferedWriter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurnn.baselines.ngram_counts import Found, Ids, NgramCounts, check_order
from recurnn.baselines.ngram_smoothing import (
    Level,
    distribution,
    levels_of,
    probabilities,
    read_discounts,
)
from recurnn.baselines.sampling import Sampling
from recurnn.baselines.text_scores import TextScores
from recurnn.data.text import Corpus, Tokenizer, tokenizer_from
from recurnn.errors import ConfigError, ModelFolderError, RecurnnError, ShapeError
from recurnn.files import replacing

Array = NDArray[np.float64]
FORMAT = ("recurnn-ngram", 1)


class Ngram:
    """Predicts a token from the N − 1 tokens before it, by counting.

    ``"kneser-ney"`` is interpolated modified Kneser-Ney: Chen & Goodman, "An empirical study of
    smoothing techniques for language modeling", 1999. An n-gram of less than the highest order
    counts by how many different tokens it follows, except where it begins with the beginning of a
    document, which nothing stands before: there by how often it comes. Discounts are estimated
    for each order, and the lowest is interpolated with the uniform distribution over all V tokens,
    so that no probability is zero. ``"maximum likelihood"`` is relative frequency; after a context
    that was never seen it takes the longest end of it that was. ``"add-k"`` raises every count by
    k.

    Contexts do not reach over the beginning of a document; that beginning is itself a symbol of
    the first contexts. The end of a document is predicted where the corpus has a token for it.

    Args:
        order: N.
        smoothing: ``"kneser-ney"``, ``"add-k"`` or ``"maximum likelihood"``.
        k: of add-k.
        discounts: of Kneser-Ney, in place of the estimated ones: one number for all, D1, D2 and
            D3+ for all orders, or [N, 3].

    Raises:
        ConfigError: an option that cannot be.

    Example:
        >>> from recurnn.data.text import Corpus
        >>> model = Ngram(2, smoothing="maximum likelihood").fit([0, 1, 0, 2, 0, 1])
        >>> model.distribution([0])
        array([0.        , 0.66666667, 0.33333333])
    """

    def __init__(
        self,
        order: int = 5,
        *,
        smoothing: str = "kneser-ney",
        k: float = 0.01,
        discounts: float | Sequence[float] | Sequence[Sequence[float]] | None = None,
    ) -> None:
        check_order(order)
        self.order, self.smoothing, self.k = order, smoothing, k
        self.discounts = None if discounts is None else read_discounts(discounts, order)
        self.tokenizer: Tokenizer | None = None
        self._counts: NgramCounts | None = None
        self._levels: list[Level] = []
        levels_of(_NOTHING, 1, smoothing, k=k, discounts=None)  # refuses what cannot be, at once

    def fit(
        self,
        corpus: Corpus | NgramCounts | NDArray[Any] | Sequence[int],
        tokenizer: Tokenizer | None = None,
    ) -> Ngram:
        """Count.

        Args:
            corpus: the tokens; or counts of order N or more, which several models can share.
            tokenizer: what made the tokens, to be saved with the model.

        Raises:
            ConfigError: the counts are of a lower order, or the tokenizer has another V.
        """
        if isinstance(corpus, NgramCounts):
            if corpus.order < self.order:
                raise ConfigError(
                    f"n-gram: the counts are of order {corpus.order}; "
                    f"expected {self.order} or more."
                )
            self._counts = corpus
        else:
            known = corpus if isinstance(corpus, Corpus) else Corpus.of(corpus)
            self._counts = NgramCounts.of(known, self.order)
        if tokenizer is not None and tokenizer.size != self.counts.size:
            raise ConfigError(
                f"n-gram: the tokenizer has V = {tokenizer.size}; the corpus {self.counts.size}."
            )
        self.tokenizer = tokenizer
        self._levels = levels_of(
            self.counts, self.order, self.smoothing, k=self.k, discounts=self.discounts
        )
        return self

    @property
    def counts(self) -> NgramCounts:
        """What was counted.

        Raises:
            ConfigError: nothing was, so far.
        """
        if self._counts is None:
            raise ConfigError("n-gram: the model is not fitted.\n  Call fit(corpus) first.")
        return self._counts

    @property
    def size(self) -> int:
        """V."""
        return self.counts.size

    def log_probabilities(self, corpus: Corpus | NDArray[Any] | Sequence[int]) -> Array:
        """The log-probability of every token of a text, after those before it in its document.

        Args:
            corpus: the tokens.

        Returns:
            [tokens], in nats; −inf where the model holds a token for impossible.

        Raises:
            ShapeError: another vocabulary.
        """
        counts = self.counts
        known = corpus if isinstance(corpus, Corpus) else Corpus.of(corpus, size=counts.size)
        self._check(known)
        return self.of_blocks(counts.along(known), len(known))

    def of_blocks(self, blocks: Iterable[tuple[slice, list[Found]]], length: int) -> Array:
        """The log-probabilities of tokens that were looked up already, [tokens].

        Args:
            blocks: as `NgramCounts.along` gives them, of counts of order N or more.
            length: the number of tokens.
        """
        found = np.empty(length)
        for where, block in blocks:
            found[where] = probabilities(self._levels, block, self.size)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(found, out=found))

    def _check(self, corpus: Corpus) -> None:
        end = self.counts.begin if self.counts.begin < self.size else None
        for what, mine, theirs in (("V", self.size, corpus.size), ("end", end, corpus.end)):
            if mine != theirs:
                raise ShapeError(
                    f"n-gram: the text is not of the model's vocabulary.\n"
                    f"  {what} is {theirs} of the text and {mine} of the model. Encode the text "
                    "with the tokenizer that the model was made with."
                )

    def score(self, corpus: Corpus) -> TextScores:
        """Perplexity and what goes with it, on a text."""
        return TextScores.of(self.log_probabilities(corpus), corpus)

    def distribution(self, context: Sequence[int] | Ids = (), *, opening: bool = True) -> Array:
        """The probability of every token after a context, [V].

        Args:
            context: the tokens before; the last N − 1 count.
            opening: whether the context is all that the document has so far, so that its
                beginning counts as well.
        """
        window = self._window(context, opening=opening)
        tokens = np.append(window, 0).astype(np.int32)
        found = self.counts.look_up(tokens, np.arange(len(tokens)))
        return distribution(self._levels, self.counts, [int(f.context[-1]) for f in found])

    def _window(self, context: Sequence[int] | Ids, *, opening: bool) -> Ids:
        """The last N − 1 tokens, the beginning of the document among them."""
        near = self._known(context[max(len(context) - self.order + 1, 0) :])
        if opening and len(context) < self.order - 1:
            near = np.insert(near, 0, self.counts.begin)
        return near

    def _known(self, tokens: Sequence[int] | Ids) -> Ids:
        """Tokens as an array, refused where they are none of this vocabulary."""
        row = np.asarray(tokens, dtype=np.int64)
        if len(row) and (row.min() < 0 or row.max() >= self.size):
            raise ShapeError(
                f"n-gram: the tokens go from {row.min()} to {row.max()}; expected 0 to "
                f"V − 1 = {self.size - 1}."
            )
        return row.astype(np.int32)

    def fill(
        self,
        left: Sequence[int] | Ids,
        right: Sequence[int] | Ids,
        *,
        opening: bool = True,
        closing: bool = True,
    ) -> Array:
        """The log-probability of every token in a gap, given what stands on both sides, [V].

        That is, p(w | left) times the probability of the tokens to the right after left and w,
        divided by its sum over all w.

        Args:
            left: the tokens before the gap.
            right: the tokens after it.
            opening: whether `left` is the beginning of the document.
            closing: whether `right` is its end.
        """
        window = self._window(left, opening=opening)
        after = self._known(right[: self.order - 1])
        if closing and self.counts.begin < self.size and len(after) < self.order - 1:
            after = np.append(after, np.int32(self.counts.begin))
        rows = np.empty((self.size, len(window) + 1 + len(after)), dtype=np.int32)
        rows[:, : len(window)], rows[:, len(window) + 1 :] = window, after
        rows[:, len(window)] = np.arange(self.size)
        depth = np.broadcast_to(np.arange(rows.shape[1]), rows.shape).ravel()
        p = probabilities(self._levels, self.counts.look_up(rows.ravel(), depth), self.size)
        with np.errstate(divide="ignore"):
            total = np.log(p).reshape(rows.shape)[:, len(window) :].sum(axis=1)
        best = total.max()
        if best == -np.inf:
            return np.full(self.size, -np.log(self.size))
        return np.asarray(total - best - np.log(np.exp(total - best).sum()))

    def stream(
        self,
        context: Sequence[int] | Ids = (),
        *,
        sampling: Sampling | None = None,
        seed: int = 0,
        opening: bool = True,
    ) -> Iterator[int]:
        """Tokens without end, drawn one after another; at the end of a document a new one begins.

        Args:
            context: the tokens to go on from.
            sampling: how the next token is drawn; None: from the distribution as it is.
            seed: of chance.
            opening: as for `distribution`.
        """
        how, random = sampling or Sampling(), np.random.default_rng(seed)
        near = np.asarray(context, dtype=np.int64).tolist()
        while True:
            token = how.draw(self.distribution(near, opening=opening), random)
            yield token
            ended = token == self.counts.begin
            near = [] if ended else [*near[-self.order :], token]
            opening = ended or (opening and len(near) < self.order)

    def generate(
        self,
        length: int,
        context: Sequence[int] | Ids = (),
        *,
        sampling: Sampling | None = None,
        seed: int = 0,
        opening: bool = True,
    ) -> Ids:
        """Draw tokens until the document ends, or there are enough.

        Args:
            length: the most tokens; the end is not among them.
            context: the tokens to go on from.
            sampling: how the next token is drawn.
            seed: of chance.
            opening: as for `distribution`.

        Example:
            >>> model = Ngram(3).fit([0, 1, 2] * 9)
            >>> model.generate(5, [0], sampling=Sampling(top_k=1)).tolist()
            [1, 2, 0, 1, 2]
        """
        found: list[int] = []
        for token in self.stream(context, sampling=sampling, seed=seed, opening=opening):
            if len(found) == length or token == self.counts.begin:
                break
            found.append(token)
        return np.array(found, dtype=np.int32)

    def save(self, path: str | Path) -> None:
        """Write the model to one file of plain arrays (.npz).

        Raises:
            ModelFolderError: the file exists, or cannot be written.
        """
        path = Path(path)
        if path.exists():
            raise ModelFolderError(f"{path} exists.\n  Nothing was written. Give a new name.")
        config = {
            "format": FORMAT[0],
            "format_version": FORMAT[1],
            "order": self.order,
            "smoothing": self.smoothing,
            "k": self.k,
            "discounts": None if self.discounts is None else self.discounts.tolist(),
            "tokenizer": None if self.tokenizer is None else self.tokenizer.to_json(),
        }
        text = np.frombuffer(json.dumps(config).encode(), dtype=np.uint8)
        try:
            with replacing(path) as raw:
                file = BufferedWriter(raw)
                np.savez(file, config=text, allow_pickle=False, **self.counts.arrays())
                file.detach()
        except OSError as error:
            raise ModelFolderError(f"{path} cannot be written: {error.strerror}.") from error

    @classmethod
    def load(cls, path: str | Path) -> Ngram:
        """The model that `save` wrote.

        Raises:
            ModelFolderError: the file is missing, damaged, or no n-gram model of this version.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelFolderError(f"There is no n-gram model {path}.")
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            config = json.loads(arrays.pop("config").tobytes())
            if (config["format"], config["format_version"]) != FORMAT:
                raise ModelFolderError(
                    f"{path} is an n-gram model of another version.\n"
                    f"  It has {config['format_version']}; this recurnn reads {FORMAT[1]}."
                )
            model = cls(
                config["order"],
                smoothing=config["smoothing"],
                k=config["k"],
                discounts=config["discounts"],
            )
            text = config["tokenizer"]
            tokenizer = None if text is None else tokenizer_from(text, str(path))
            return model.fit(NgramCounts.from_arrays(arrays), tokenizer)
        except RecurnnError:
            raise
        except (KeyError, TypeError, ValueError, OSError, EOFError, *_DAMAGE) as error:
            raise ModelFolderError(f"{path} is no n-gram model, or damaged.\n  {error}") from error


_DAMAGE = (zipfile.BadZipFile, zlib.error, NotImplementedError)
_NOTHING = NgramCounts.of(Corpus.of([0]), 1)
