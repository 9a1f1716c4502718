"""The embedded Reber grammar."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from recurnn.data.tasks.task import Inputs, Score, Task, one_hot, past

SYMBOLS = "BTPSXVE"
IGNORED = -100

# The Reber grammar (Reber 1967) as an automaton: state to (symbol, next state), after its B.
_INNER = {
    0: (("T", 1), ("P", 2)),
    1: (("S", 1), ("X", 3)),
    2: (("T", 2), ("V", 4)),
    3: (("X", 2), ("S", 5)),
    4: (("P", 3), ("V", 5)),
    5: (("E", 6),),
}


def _automaton() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Symbols [S, 2] and next states [S, 2] of the embedded grammar; a sole way stands twice.

    State 0 is before the outer T or P. Two copies of the inner grammar follow, so that the state
    holds which of the two it was, and after each the same symbol, an E, and the end.
    """
    ways: list[tuple[tuple[str, int], ...]] = [()]
    opened = []
    for outer in "TP":
        opened.append((outer, len(ways)))
        base = len(ways) + 1
        ways.append((("B", base),))
        ways += [tuple((k, base + to) for k, to in _INNER[s]) for s in sorted(_INNER)]
        ways += [((outer, base + 7),), (("E", base + 8),), ()]
    ways[0] = tuple(opened)
    twice = [way * 2 if len(way) == 1 else way or (("B", s),) * 2 for s, way in enumerate(ways)]
    symbols = [[SYMBOLS.index(k) for k, _ in way] for way in twice]
    return np.array(symbols), np.array([[to for _, to in way] for way in twice])


_SYMBOL, _NEXT = _automaton()
_ENDED = (np.arange(len(_NEXT))[:, None] == _NEXT).all(1)


class EmbeddedReber(Task):
    """Say at every step which symbol comes next in a string of the embedded Reber grammar.

    Hochreiter & Schmidhuber 1997, experiment 1, after Smith & Zipser 1989 and Fahlman 1991. A
    string is B, then T or P, a string of the Reber grammar, the same T or P again, and E; where
    two ways lead on, each is taken with probability one half. The network sees the string symbol
    by symbol and is trained on the symbol that came next. The last but one symbol can be told only
    from the second.

    A string is right if at every step the symbols that the grammar allows have the highest
    outputs. All of 256 held-out strings, as many as in the paper's test set, have to be right.

    Example:
        >>> import numpy as np
        >>> (x, lengths), y = EmbeddedReber().draw(np.random.default_rng(0), 1)
        >>> spelled(x[0], y[0])
        'BPBPTTTTTTVVEPE'
    """

    name = "embedded-reber"
    title = "Predict the next symbols of an embedded Reber grammar"
    source = "Hochreiter & Schmidhuber 1997, experiment 1"
    input_size = len(SYMBOLS)
    output_size = len(SYMBOLS)
    every_step = True
    length_is = "strings have 9 symbols or more, as the grammar has it"
    score_is = "strings right"
    chance = 0.0
    solved_when = "all right"
    held_out = 256
    published = {None: "LSTM 8,440 strings, 97 to 100 % of trials (Hochreiter & Schmidhuber 1997)"}

    def draw(self, rng: Generator, count: int) -> tuple[Inputs, Tensor]:
        state, lengths = np.zeros(count, dtype=np.int64), np.ones(count, dtype=np.int64)
        string = [np.full(count, SYMBOLS.index("B"))]
        while not (ended := _ENDED[state]).all():
            way = rng.integers(2, size=count)
            lengths += ~ended
            string.append(_SYMBOL[state, way])
            state = _NEXT[state, way]
        symbols = np.stack(string, axis=1)
        lengths -= 1  # after the last symbol nothing is asked
        x = one_hot(symbols[:, :-1], len(SYMBOLS), lengths)
        target = np.where(past(x.shape[1], lengths), IGNORED, symbols[:, 1:])
        return (x, torch.from_numpy(lengths)), torch.from_numpy(target)

    def score(self, output: Tensor, target: Tensor) -> Score:
        may = torch.from_numpy(allowed(target.cpu().numpy())).to(output.device)
        least = output.masked_fill(~may, torch.inf).amin(-1)
        most = output.masked_fill(may, -torch.inf).amax(-1)
        wrong = (most >= least) & (target != IGNORED)
        return (~wrong.any(1)).float().mean(), len(target)

    def solved(self, score: float) -> bool:
        return score == 1


def allowed(following: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which symbols the grammar allows at each step, given those that came, [B, T, 7].

    Args:
        following: the symbols after the first B, [B, T]; past the end anything.
    """
    state = np.zeros(len(following), dtype=np.int64)
    may = np.zeros((*following.shape, len(SYMBOLS)), dtype=np.bool_)
    rows = np.arange(len(following))[:, None]
    for t in range(following.shape[1]):
        may[rows, t, _SYMBOL[state]] = True
        state = np.where(_SYMBOL[state, 0] == following[:, t], _NEXT[state, 0], _NEXT[state, 1])
    return may


def spelled(x: Tensor, target: Tensor) -> str:
    """A string in letters, from x [T, 7] and the symbols that followed [T]."""
    following = [SYMBOLS[k] for k in target.tolist() if k != IGNORED]
    return SYMBOLS[int(x[0].argmax())] + "".join(following)
