"""The likeliest targets of a batch of sources, by beam search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from recurnn.data.text import END
from recurnn.models.seq2seq.attention import Memory
from recurnn.models.seq2seq.network import Seq2SeqNetwork, States


@dataclass(frozen=True)
class Guess:
    """A target that was found.

    Attributes:
        tokens: without `END`.
        log_probability: of the tokens and the end.
        score: that by the length penalty, by which guesses are compared.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float


def penalty(length: int, strength: float) -> float:
    """What log p is divided by: ((5 + length) / 6)^strength (Wu et al. 2016).

    Args:
        length: tokens, `END` included.
        strength: α; 0 for no penalty.
    """
    return float(((5 + length) / 6) ** strength)


class _Beam(NamedTuple):
    """The beginnings of B sources, K each.

    Attributes:
        number: of the source, [B].
        memory: of every beginning, B · K rows.
        states: likewise.
        total: log p of each, [B, K]; −∞ for none.
        tokens: [B, K, those so far].
    """

    number: Tensor
    memory: Memory | None
    states: States
    total: Tensor
    tokens: Tensor

    def of(self, kept: Tensor) -> _Beam:
        """The beam of these sources."""
        K = self.total.shape[1]
        rows = (kept[:, None] * K + torch.arange(K)).flatten()
        return _Beam(
            self.number[kept], None if self.memory is None else self.memory.rows(rows),
            [{k: s[rows] for k, s in layer.items()} for layer in self.states],
            self.total[kept], self.tokens[kept],
        )  # fmt: skip


@torch.inference_mode()
def search(
    network: Seq2SeqNetwork,
    source: Tensor,
    lengths: Tensor,
    *,
    beam: int,
    length: int,
    strength: float = 0.0,
    without: Sequence[int] = (),
) -> list[list[Guess]]:
    """The likeliest targets of each source, the best first.

    `beam` beginnings of each source are kept at a time; what ends, being among the `beam` best at
    its step, stays beside them. A source is done once no beginning can become better than the worst
    of `beam` that ended.

    Args:
        network: in evaluation mode.
        source: tokens [S, B].
        lengths: of the sources, [B].
        beam: K.
        length: most tokens of a target, its end included; where nothing ended by then, what there
            is counts as a target.
        strength: α of `penalty`; a beam of 1 has nothing to compare, and no penalty.
        without: tokens that are never chosen.

    Returns:
        Of each source `beam` guesses, fewer where there are not so many.
    """
    ended: list[list[Guess]] = [[] for _ in range(len(lengths))]
    state = _begin(network, source, lengths, beam)
    last = torch.full((len(lengths) * beam,), END)
    strength = strength if beam > 1 else 0.0
    most = penalty(length, strength)
    for n in range(1, length + 1):
        a, states, _ = network.decode(state.memory, state.states, last[None])
        scores = network.log_probabilities(a[0]).view(*state.total.shape, -1)
        scores[..., list(without)] = -torch.inf
        total = state.total[..., None] + scores
        state = _longer(ended, state._replace(states=states), total, penalty(n, strength))
        if n == length:
            break
        # Log p only falls, so that this is the most that a beginning can come to.
        best = (state.total[:, 0] / most).tolist()
        open_ = [
            k for k, number in enumerate(state.number.tolist())
            if best[k] > -torch.inf
            and (len(ended[number]) < beam or best[k] > ended[number][-1].score)
        ]  # fmt: skip
        if not open_:
            break
        if len(open_) < len(best):
            state = state.of(torch.tensor(open_))
        last = state.tokens[..., -1].flatten()
    for k, number in enumerate(state.number.tolist()):
        if not ended[number]:
            ended[number] = _unfinished(state.tokens[k], state.total[k], most)
    return ended


def _begin(network: Seq2SeqNetwork, source: Tensor, lengths: Tensor, beam: int) -> _Beam:
    B = len(lengths)
    memory, states = network.encode(source, lengths)
    rows = torch.arange(B).repeat_interleave(beam)
    total = torch.full((B, beam), -torch.inf)
    total[:, 0] = 0.0  # all beginnings are the same at first: one of them counts
    return _Beam(
        torch.arange(B), None if memory is None else memory.rows(rows),
        [{k: s[rows] for k, s in layer.items()} for layer in states], total,
        torch.empty(B, beam, 0, dtype=torch.int64),
    )  # fmt: skip


def _longer(ended: list[list[Guess]], state: _Beam, total: Tensor, divisor: float) -> _Beam:
    """The best beginnings that are longer by one token.

    Args:
        ended: of each source, what ended so far, at most K; the best of the new ends go there.
        state: the beginnings.
        total: log p of each with each token after it, [B, K, V].
        divisor: by which log p of what ends here is compared.
    """
    B, K, V = total.shape
    # Of 2K the best, at most K end, so that K are left to go on with.
    best = total.flatten(1).topk(min(2 * K, K * V))
    parent, token = best.indices // V, best.indices % V
    ends = token == END
    for b, rank in ends[:, :K].nonzero().tolist():
        value = float(best.values[b, rank])
        line = tuple(state.tokens[b, parent[b, rank]].tolist())
        _keep(ended[int(state.number[b])], Guess(line, value, value / divisor), K)
    going = best.values.masked_fill(ends, -torch.inf).topk(K)
    parent, token = (t.gather(1, going.indices) for t in (parent, token))
    rows = (torch.arange(B)[:, None] * K + parent).flatten()
    lines = state.tokens.gather(1, parent[..., None].expand(-1, -1, state.tokens.shape[2]))
    return state._replace(
        states=[{k: s[rows] for k, s in layer.items()} for layer in state.states],
        total=going.values,
        tokens=torch.cat([lines, token[..., None]], -1),
    )


def _keep(held: list[Guess], guess: Guess, beam: int) -> None:
    """Put a guess among the best ones of its source."""
    if guess.log_probability > -torch.inf:
        held.append(guess)
        held.sort(key=lambda g: -g.score)
        del held[beam:]


def _unfinished(tokens: Tensor, total: Tensor, divisor: float) -> list[Guess]:
    return [
        Guess(tuple(line), value, value / divisor)
        for line, value in zip(tokens.tolist(), total.tolist(), strict=True)
        if value > -torch.inf
    ]
