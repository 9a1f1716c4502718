"""Filling blanks: what fits best, by one side, by both, or by the whole text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from recurnn.baselines import Ngram
from recurnn.data.text import END, UNKNOWN, Tokenizer
from recurnn.models.language.blanks import Blanks
from recurnn.models.language.network import BothNetwork, LeftNetwork

Array = NDArray[np.float64]
Guess = Callable[[Sequence[int], int], Array]
"""From tokens and a place among them to ln p of every token at that place, [V]."""

ROUNDS = 5
RESCORED = 256
"""Tokens, the likeliest by what is before them, that are tried with what comes after."""


@dataclass(frozen=True)
class Candidate:
    """What may stand in a blank.

    Attributes:
        text: the token.
        probability: among all tokens, given the rest of the text.
    """

    text: str
    probability: float


def fill(guess: Guess, tokenizer: Tokenizer, blanks: Blanks, count: int) -> list[list[Candidate]]:
    """The likeliest tokens of each blank, the best first.

    Several blanks are filled one after another, from left to right; then each again, the best in
    all others given, until none changes (iterated conditional modes; Besag 1986).

    Args:
        guess: what knows the probabilities.
        tokenizer: of the tokens.
        blanks: the text.
        count: candidates of a blank.
    """
    ids = list(blanks.ids)
    found: dict[int, Array] = {}
    for _ in range(ROUNDS if len(blanks.at) > 1 else 1):
        before = list(ids)
        for at in blanks.at:
            found[at] = known(guess(ids, at))
            ids[at] = int(found[at].argmax())
        if ids == before:
            break
    return [_best(found[at], tokenizer, count) for at in blanks.at]


def by_both(network: BothNetwork) -> Guess:
    """What a network of both sides says."""

    @torch.inference_mode()
    def guess(ids: Sequence[int], at: int) -> Array:
        left = torch.tensor([END, *ids[:-1]])[:, None]
        right = torch.tensor([*ids[1:], END])[:, None]
        h = network(left, right)
        found: Array = network.log_probabilities(h[at]).double().numpy()[0]
        return found

    return guess


def by_left(network: LeftNetwork, *, whole: bool = False, ends: bool = True) -> Guess:
    """What a network of the left side says.

    Args:
        network: in evaluation mode.
        whole: whether the probability of what comes after counts too. It is computed for the
            likeliest tokens by what comes before; the others are taken to fit as badly as the
            worst of those.
        ends: whether documents have an end, which is part of what comes after.
    """

    @torch.inference_mode()
    def guess(ids: Sequence[int], at: int) -> Array:
        h, state = network(torch.tensor([END, *ids[:at]])[:, None])
        said = network.log_probabilities(h[-1])[0]
        if not whole:
            return np.asarray(said.double().numpy())
        tried = said.topk(min(RESCORED, len(said))).indices
        after = [*ids[at + 1 :], *([END] if ends else [])]
        total = said.double()
        if after:
            B = len(tried)
            rest = torch.tensor(after)[:, None].expand(-1, B)
            begin = [{k: s.expand(B, -1) for k, s in layer.items()} for layer in state]
            h, _ = network(torch.cat([tried[None], rest[:-1]]), begin)
            cost = network.nats(h, rest.contiguous()).sum(0).double()
            others = total - cost.max()
            others[tried] = total[tried] - cost
            total = others
        return np.asarray(torch.log_softmax(total, 0).numpy())

    return guess


def by_counts(ngram: Ngram) -> Guess:
    """What an n-gram model says, of both sides as far as it reaches."""
    return lambda ids, at: ngram.fill(ids[:at], ids[at + 1 :])


def known(scores: Array) -> Array:
    """Without the special tokens, which are in no text; the others make one again."""
    scores = scores.copy()
    scores[[UNKNOWN, END]] = -np.inf
    return np.asarray(scores - np.logaddexp.reduce(scores))


def _best(scores: Array, tokenizer: Tokenizer, count: int) -> list[Candidate]:
    order = np.argsort(-scores, kind="stable")[:count]
    return [
        Candidate(tokenizer.decode([int(k)]).strip() or tokenizer.token(int(k)),
                  float(np.exp(scores[k])))
        for k in order
    ]  # fmt: skip
