"""From sources to targets in batches, and where the network looked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.data.pairs_batches import Pairs
from recurnn.data.pairs_tokens import Text, encoded, extended, named, surfaces
from recurnn.data.text import UNKNOWN, Tokenizer
from recurnn.errors import ConfigError
from recurnn.models.seq2seq.network import Seq2SeqNetwork
from recurnn.models.seq2seq.options import Seq2SeqOptions
from recurnn.models.seq2seq.search import search
from recurnn.subject import Attended

_BATCH = 512  # beginnings that are gone on with at once
_OFTEN = 2  # times the tokens of the source that a target may have, if none so long was learned

Units = tuple[Tokenizer, Tokenizer]


def decoded(
    network: Seq2SeqNetwork,
    units: Units,
    sources: Sequence[Text],
    options: Seq2SeqOptions,
    *,
    longest: int,
    lists: bool,
) -> list[Any]:
    """The likeliest target of each source.

    Args:
        network: in evaluation mode.
        units: of sources and targets.
        sources: texts.
        options: beam, length penalty, copying.
        longest: tokens of the longest target that was learned.
        lists: whether targets are lists of tokens.
    """
    ids = encoded(units[0], sources)
    lengths = np.array([len(row) for row in ids])
    order, size = np.argsort(lengths, kind="stable"), max(1, _BATCH // options.beam)
    found: list[Any] = [None] * len(ids)
    for at in range(0, len(order), size):
        index = order[at : at + size]
        rows = [ids[i] for i in index]
        source, steps = _batch(rows)
        guesses = search(
            network, source, steps, beam=options.beam, strength=options.length_penalty,
            length=max(longest, _OFTEN * int(lengths[index].max())),
            without=() if options.copy else (UNKNOWN,),
        )  # fmt: skip
        lines = [each[0].tokens if each else () for each in guesses]
        target: Tokenizer = units[1]
        if options.copy:
            lines, target = _copied(network, units, [sources[i] for i in index], rows, lines)
        for i, line in zip(index, lines, strict=True):
            found[i] = [target.token(k) for k in line] if lists else target.decode(line)
    return found


def attended(network: Seq2SeqNetwork, units: Units, source: Text, target: Text) -> Attended:
    """Where the decoder looks while it says a target."""
    words = [named(unit, text) for unit, text in zip(units, (source, target), strict=True)]
    rows = [encoded(unit, [text]) for unit, text in zip(units, (source, target), strict=True)]
    return Attended(words[0], words[1], _looked(network, rows[0], rows[1])[0].numpy())


def _batch(rows: list[NDArray[np.int32]]) -> tuple[Tensor, Tensor]:
    """Sources [S, B] and their lengths."""
    (source, lengths, *_), _ = Pairs(rows, rows).batch(torch.arange(len(rows)))
    return source, lengths


@torch.inference_mode()
def _looked(
    network: Seq2SeqNetwork, sources: list[NDArray[np.int32]], targets: list[NDArray[np.int32]]
) -> Tensor:
    """Where the network looks at each token of some targets, [B, T, S]."""
    if network.attention is None:
        raise ConfigError(
            "The model has no attention: it does not look back at its source.\n"
            "  Train one with attention='general'."
        )
    pairs = Pairs(sources, targets)
    (source, lengths, before, steps), _ = pairs.batch(torch.arange(len(pairs)))
    memory, states = network.encode(source, lengths)
    weights = network.decode(memory, states, before, steps)[2]
    assert weights is not None
    return weights


def _copied(
    network: Seq2SeqNetwork, units: Units, sources: list[Text], rows: list[NDArray[np.int32]],
    lines: list[tuple[int, ...]],
) -> tuple[list[tuple[int, ...]], Tokenizer]:  # fmt: skip
    """Unknown tokens of the targets exchanged for what the network looked at in the source.

    Returns:
        The targets, and a tokenizer that also has what was copied.
    """
    some = [k for k, line in enumerate(lines) if UNKNOWN in line]
    if not some:
        return lines, units[1]
    said = [np.array(lines[k], dtype=np.int32) for k in some]
    weights = _looked(network, [rows[k] for k in some], said)
    texts = surfaces(units[0], [sources[k] for k in some])
    known: dict[str, int] = {}
    found = list(lines)
    for row, k in enumerate(some):
        # What is unknown there stands for what is unknown here, if anything is. The end is no word.
        unknown = torch.from_numpy(rows[k] == UNKNOWN)
        open_ = unknown if unknown.any() else torch.ones_like(unknown)
        places = weights[row, :, : len(open_)].masked_fill(~open_, -1).argmax(-1).tolist()
        line = list(lines[k])
        for t, token in enumerate(line):
            if token == UNKNOWN:
                word = texts[row][places[t]]
                line[t] = known.setdefault(word, units[1].size + len(known))
        found[k] = tuple(line)
    return found, extended(units[1], list(known))
