"""PackedSequence in and out of the drop-in layers, beside torch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import recurnn
from gradients import with_gradients
from layers import Case
from problems import normal
from tolerance import agree, identical

F64 = torch.float64
LENGTHS = [3, 6, 1, 6, 2]


def packed(x: Tensor, lengths: list[int], *, batch_first: bool, kind: str) -> PackedSequence:
    """The ways in which a PackedSequence comes about."""
    if kind == "sorted":
        order = sorted(range(len(lengths)), key=lambda b: -lengths[b])
        x = x.index_select(0 if batch_first else 1, torch.tensor(order))
        return pack_padded_sequence(x, sorted(lengths)[::-1], batch_first)
    if kind == "list":
        rows = x if batch_first else x.transpose(0, 1)
        parts = [r[:n] for r, n in zip(rows, lengths, strict=True)]
        return pack_sequence(parts, enforce_sorted=False)
    return pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False)


def outcome(layer: Any, x: Tensor, state: Any, kind: str, lengths: list[int]) -> dict[str, Tensor]:
    sequence = packed(x, lengths, batch_first=layer.batch_first, kind=kind)
    y, last = layer(sequence, state)
    for got, given in zip(y[1:], sequence[1:], strict=True):
        assert got is given or torch.equal(got, given)
    states = list(state) if isinstance(state, tuple) else [] if state is None else [state]
    last = last if isinstance(last, tuple) else (last,)
    inputs = {"x": x} | {f"s{n}": s for n, s in enumerate(states)}
    outputs = {"y": y.data} | {f"last{n}": s for n, s in enumerate(last)}
    return with_gradients(outputs, inputs | dict(layer.named_parameters()))


CASES = [
    Case("RNN", B=5),
    Case("RNN", B=5, nonlinearity="relu", L=2, bidirectional=True, batch_first=True),
    Case("GRU", B=5, L=2, bidirectional=True),
    Case("GRU", B=5, bias=False, state=False, batch_first=True),
    Case("LSTM", B=5, L=2, bidirectional=True, batch_first=True),
    Case("LSTM", B=5, proj_size=3, bidirectional=True),
    Case("LSTM", B=5, state=False),
]


@pytest.mark.parametrize("kind", ["sorted", "unsorted", "list"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_packed_sequence_gives_what_torch_gives(case: Case, kind: str) -> None:
    theirs, ours = case.make(torch.nn), case.make(recurnn.nn)
    inputs = case.inputs()
    states = tuple(inputs[k] for k in ("h", "c") if k in inputs)
    state = None if not states else states if len(states) > 1 else states[0]
    want = outcome(theirs, inputs["x"], state, kind, LENGTHS)
    agree(outcome(ours, inputs["x"], state, kind, LENGTHS), want, terms=300)


def test_one_length_too_short_is_noticed() -> None:
    case = CASES[4]
    theirs, ours = case.make(torch.nn), case.make(recurnn.nn)
    x = case.inputs()["x"]
    want, got = theirs(packed(x, LENGTHS, batch_first=True, kind="unsorted"))[1], []
    for lengths in (LENGTHS, [3, 5, 1, 6, 2]):
        got.append(ours(packed(x, lengths, batch_first=True, kind="unsorted"))[1])
    agree({"h": got[0][0]}, {"h": want[0]}, terms=300)
    with pytest.raises(AssertionError, match="more than"):
        agree({"h": got[1][0]}, {"h": want[0]}, terms=300)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_packed_is_padded_with_lengths(name: str) -> None:
    layer = Case(name, L=2, bidirectional=True).make(recurnn.nn)
    x = normal(6, 5, 5, seed=3)
    y, last = layer(packed(x, LENGTHS, batch_first=False, kind="unsorted"))
    padded, end = layer(x, lengths=LENGTHS)
    again = pack_padded_sequence(padded, torch.tensor(LENGTHS), enforce_sorted=False)
    identical({"y": y.data.detach()}, {"y": again.data.detach()})
    pairs = zip(last, end, strict=True) if name == "LSTM" else [(last, end)]
    for got, want in pairs:
        identical({"last": got.detach()}, {"last": want.detach()})
