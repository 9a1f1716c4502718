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

    `beam` beginnings of each source are kept at a time; one that ends stays beside them. A source
    is done once no beginning can become better than the worst of `beam` that ended.

    Args:
        network: in evaluation mode.
        source: tokens [S, B].
        lengths: of the sources, [B].
        beam: K.
        length: most tokens of a target, its end included; where nothing ended by then, what there
            is counts as a target.
        strength: α of `penalty`.
        without: tokens that are never chosen.

    Returns:
        Of each source `beam` guesses, fewer where there are not so many.
    """
    ended: list[list[Guess]] = [[] for _ in range(len(lengths))]
    state = _begin(network, source, lengths, beam)
    last = torch.full((len(lengths) * beam,), END)
    most = penalty(length, strength)
    for n in range(1, length + 1):
        a, states, _ = network.decode(state.memory, state.states, last[None])
        scores = network.log_probabilities(a[0]).view(*state.total.shape, -1)
        scores[..., list(without)] = -torch.inf
        total = state.total[..., None] + scores
        _collect(ended, state, total[..., END], beam, penalty(n, strength))
        total[..., END] = -torch.inf
        state = _chosen(state._replace(states=states), total)
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


def _collect(
    ended: list[list[Guess]], state: _Beam, total: Tensor, beam: int, divisor: float
) -> None:
    """Put what ends here, with log p [B, K], among what ended before; the best stay."""
    for number, sums, lines in zip(
        state.number.tolist(), total.tolist(), state.tokens, strict=True
    ):
        held = ended[number]
        for k, value in enumerate(sums):
            if value == -torch.inf or (len(held) == beam and value / divisor <= held[-1].score):
                continue
            held.append(Guess(tuple(lines[k].tolist()), value, value / divisor))
            held.sort(key=lambda guess: -guess.score)
            del held[beam:]


def _chosen(state: _Beam, total: Tensor) -> _Beam:
    """The best beginnings that are longer by one token, of log p [B, K, V]."""
    B, K, V = total.shape
    best = total.flatten(1).topk(K)
    parent, token = best.indices // V, best.indices % V
    rows = (torch.arange(B)[:, None] * K + parent).flatten()
    return state._replace(
        states=[{k: s[rows] for k, s in layer.items()} for layer in state.states],
        total=best.values,
        tokens=torch.cat(
            [state.tokens.gather(1, parent[..., None].expand(-1, -1, state.tokens.shape[2])),
             token[..., None]], -1,
        ),
    )  # fmt: skip


def _unfinished(tokens: Tensor, total: Tensor, divisor: float) -> list[Guess]:
    return [
        Guess(tuple(line), value, value / divisor)
        for line, value in zip(tokens.tolist(), total.tolist(), strict=True)
        if value > -torch.inf
    ]
