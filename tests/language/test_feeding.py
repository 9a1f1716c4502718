"""A corpus as streams, pieces and lanes: every token once, next to its own neighbours."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recurnn.data.text import END, Corpus
from recurnn.errors import DataError
from recurnn.models.language.feeding import Pieces, after, before, documents_in_lanes, stream
from recurnn.training.objective import IGNORED

CLOSED = Corpus.of([5, 6, 7, 1, 8, 1, 9, 9, 1], starts=[0, 4, 6], end=1)
OPEN = Corpus.of([5, 6, 7, 8, 9])


def test_what_stands_before_and_after_each_token():
    assert before(CLOSED).tolist() == [1, 5, 6, 7, 1, 8, 1, 9, 9]
    assert after(CLOSED).tolist() == [6, 7, 1, 1, 1, 1, 9, 1, 1]
    assert before(OPEN).tolist() == [END, 5, 6, 7, 8]
    assert after(OPEN).tolist() == [6, 7, 8, 9, END]


def test_a_stream_scores_every_token_after_its_own_document():
    x, y, reset = stream(CLOSED, 1, 1, "training").chunk(0, 9)
    assert x[:, 0].tolist() == before(CLOSED).tolist()
    assert y[:, 0].tolist() == CLOSED.tokens.tolist()
    assert reset[:, 0].nonzero().flatten().tolist() == [0, 4, 6]


def test_text_shorter_than_a_chunk_is_refused():
    with pytest.raises(DataError) as caught:
        stream(CLOSED, 2, 5, "training")
    assert str(caught.value) == (
        "The training part of the text is shorter than a chunk.\n"
        "  It has 9 tokens; 2 lanes of 5 steps need 10.\n"
        "  Give more text, a smaller batch_size, or fewer steps."
    )


documents = st.lists(st.lists(st.integers(2, 30), min_size=1, max_size=40), min_size=1, max_size=50)


def corpus(texts: list[list[int]], *, close: bool) -> Corpus:
    rows = [[*text, END] if close else text for text in texts]
    starts = np.cumsum([0, *map(len, rows[:-1])])
    return Corpus.of(np.concatenate(rows), starts=starts, size=31, end=END if close else None)


@given(documents, st.booleans(), st.integers(1, 12))
def test_pieces_hold_every_token_once_between_its_neighbours(texts, close, longest):
    found = corpus(texts, close=close)
    pieces = Pieces(found, longest)
    seen: list[tuple[int, int, int]] = []
    for k in range(len(pieces)):
        (left, right, lengths), target = pieces.batch(torch.tensor([k]))
        assert left.shape == right.shape == target.shape == (int(lengths[0]), 1)
        assert 1 <= int(lengths[0]) <= longest
        seen += zip(left[:, 0].tolist(), target[:, 0].tolist(), right[:, 0].tolist(), strict=True)
    want = [
        ((END, *text)[k], token, (*text, END)[k + 1])
        for text in texts
        for k, token in enumerate(text)
    ]
    assert sorted(seen) == sorted(want)


def test_pieces_of_unequal_length_are_padded_and_do_not_count():
    pieces = Pieces(CLOSED, 10)
    (left, right, lengths), target = pieces.batch(torch.tensor([0, 1]))
    assert lengths.tolist() == [3, 1]
    assert left.T.tolist() == [[1, 5, 6], [1, 0, 0]]
    assert right.T.tolist() == [[6, 7, 1], [1, 0, 0]]
    assert target.T.tolist() == [[5, 6, 7], [8, IGNORED, IGNORED]]


@given(documents, st.booleans())
def test_lanes_hold_every_document_once_in_one_piece(texts, close):
    found = corpus(texts, close=close)
    lanes = documents_in_lanes(found)
    place = lanes.place
    assert sorted(place[place >= 0].tolist()) == list(range(len(found)))
    x, y, reset = (t.numpy() for t in (lanes.x, lanes.y, lanes.reset))
    for b in range(place.shape[1]):
        row = place[:, b]
        n = int((row >= 0).sum())
        assert bool((row[n:] == -1).all())
        begins = np.isin(row[:n], found.starts)
        assert np.array_equal(reset[:n, b], begins)
        # Within a document step follows step; so a document is begun at its start only.
        assert begins[0]
        assert all(begins[t] or row[t] == row[t - 1] + 1 for t in range(1, n))
        assert np.array_equal(y[:n, b], found.tokens[row[:n]])
        assert np.array_equal(x[:n, b], before(found)[row[:n]])


def test_lanes_are_no_longer_than_the_longest_document_asks_for():
    texts = [[2] * 60, *[[3] * 20] * 6]
    assert documents_in_lanes(corpus(texts, close=False)).place.shape == (60, 3)
