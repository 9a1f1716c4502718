"""The likeliest text, by beam search."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from recurnn.data.text import END, Tokenizer
from recurnn.errors import ConfigError
from recurnn.models.language.network import LeftNetwork
from recurnn.models.language.stepping import Writer
from recurnn.models.language.writing import Transcript, never, prompt_tokens


@dataclass(frozen=True)
class Beam:
    """A text that was found.

    Attributes:
        text: after the prompt.
        score: mean of log p over its tokens.
    """

    text: str
    score: float


@torch.inference_mode()
def search(
    network: LeftNetwork,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    length: int,
    width: int,
    stop: str | None = None,
    ends: bool = True,
) -> list[Beam]:
    """The likeliest texts that go on from a prompt, the best first.

    `width` beginnings are kept at a time; a text that has ended stays, and is compared by the
    mean of log p over its tokens.

    Args:
        network: in evaluation mode.
        tokenizer: of its tokens.
        prompt: what is read first; it begins a document.
        length: most tokens of a text.
        width: beginnings that are kept.
        stop: text at which a text ends; it is left out.
        ends: whether documents have an end.

    Raises:
        ConfigError: the width is not a whole number of at least 1, or larger than V.
    """
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise ConfigError(f"beam is {width!r}; expected a whole number of at least 1.")
    begin = prompt_tokens(tokenizer, prompt)
    writer = Writer(network, width)
    without = list(never(ends=ends))
    scores = writer.read(torch.tensor(begin)[:, None])
    V = scores.shape[1]
    if width > V - 2:
        raise ConfigError(f"beam is {width}, more than there are tokens: {V - 2}.")
    total = torch.full((width,), -torch.inf)
    total[0] = 0.0  # all rows are the same at first: one of them counts
    ids: list[list[int]] = [[] for _ in range(width)]
    found: list[Beam] = []
    last = begin if prompt else []
    for n in range(1, length + 1):
        # Twice as many as are kept, for some of them may end here.
        scores = scores.index_fill(1, torch.tensor(without), -torch.inf)
        best = (total[:, None] + scores).flatten().topk(min(2 * width, width * V))
        kept: list[tuple[int, float, list[int]]] = []
        for value, at in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            row, token = divmod(at, V)
            if value == -torch.inf or len(kept) == width:
                break
            line = ids[row] if token == END else [*ids[row], token]
            text, done = _read(tokenizer, last, line, stop)
            if token == END or done:
                found.append(Beam(text, value / n))
            else:
                kept.append((row, value, line))
        if len(found) >= width or n == length or not kept:
            found += [Beam(_read(tokenizer, last, line, stop)[0], v / n) for _, v, line in kept]
            break
        kept += [(kept[0][0], -float("inf"), kept[0][2])] * (width - len(kept))
        ids = [line for _, _, line in kept]
        total = torch.tensor([value for _, value, _ in kept])
        writer.choose(torch.tensor([row for row, _, _ in kept]))
        scores = writer.step(torch.tensor([line[-1] for line in ids]))
    return sorted(found, key=lambda b: -b.score)[:width]


def _read(
    tokenizer: Tokenizer, last: list[int], ids: list[int], stop: str | None
) -> tuple[str, bool]:
    """The text of some tokens, and whether the stop string is in it."""
    transcript = Transcript(tokenizer, last, stop)
    for token in ids:
        transcript.add(token)
        if transcript.done:
            return transcript.text, True
    transcript.close()
    return transcript.text, False
