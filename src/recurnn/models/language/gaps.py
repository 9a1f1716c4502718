"""How often a model guesses what was taken out of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recurnn.data.text import UNKNOWN, Corpus
from recurnn.errors import DataError
from recurnn.models.language.filling import Guess, known
from recurnn.models.language.report import GapRow
from recurnn.models.language.writing import check_length

PLACES, AROUND = 500, 200


def gap_rows(
    guesses: Mapping[str, Guess],
    corpus: Corpus,
    *,
    places: int = PLACES,
    seed: int = 0,
    recurrent: Sequence[str] = (),
) -> list[GapRow]:
    """Take tokens out of a text, one at a time, and ask each model for them.

    One token of each of some documents; of a text of few documents, any tokens. Unknown tokens
    are not asked for.

    Args:
        guesses: the models by name.
        corpus: the text.
        places: how many tokens; fewer where there are fewer.
        seed: of the tokens that are chosen.
        recurrent: which of the models are networks.

    Returns:
        A row for each model, the best in the first five first.
    """
    check_length(places, what="places")
    asked = _places(corpus, places, np.random.default_rng(seed))
    ranks = {name: np.empty(len(asked), dtype=np.int64) for name in guesses}
    nats = {name: np.empty(len(asked)) for name in guesses}
    for k, (ids, at) in enumerate(asked):
        hidden = [*ids[:at], UNKNOWN, *ids[at + 1 :]]
        for name, guess in guesses.items():
            scores = known(guess(hidden, at))
            # Equals count as better: a model that knows nothing guesses nothing right.
            ranks[name][k] = int((scores >= scores[ids[at]]).sum())
            nats[name][k] = -scores[ids[at]]
    rows = [
        GapRow(
            name,
            float((ranks[name] <= 1).mean()),
            float((ranks[name] <= 5).mean()),
            float(nats[name].mean()),
            len(asked),
            name in recurrent,
        )
        for name in guesses
    ]
    return sorted(rows, key=lambda row: row.nats)


def _places(corpus: Corpus, count: int, random: np.random.Generator) -> list[tuple[list[int], int]]:
    """Pieces of text, and a place in each."""
    good = (corpus.tokens != UNKNOWN) & (
        corpus.tokens != (-1 if corpus.end is None else corpus.end)
    )
    lengths = corpus.lengths
    if corpus.documents >= count:
        document = np.repeat(np.arange(corpus.documents), lengths)
        first = np.unique(document[good])
        chosen = random.choice(first, min(count, len(first)), replace=False)
        at = [int(random.choice(np.flatnonzero(good[s : s + n]) + s))
              for s, n in zip(corpus.starts[chosen], lengths[chosen], strict=True)]  # fmt: skip
    else:
        every = np.flatnonzero(good)
        at = random.choice(every, min(count, len(every)), replace=False).tolist()
    if not at:
        raise DataError("There is no token to guess: every one is unknown.")
    pieces = []
    for place in at:
        number = int(np.searchsorted(corpus.starts, place, side="right")) - 1
        start, n = int(corpus.starts[number]), int(lengths[number]) - (corpus.end is not None)
        low, high = max(start, place - AROUND), min(start + n, place + AROUND + 1)
        pieces.append((corpus.tokens[low:high].tolist(), place - low))
    return pieces
