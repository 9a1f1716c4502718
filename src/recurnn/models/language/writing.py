"""Writing: a prompt in, text out, piece by piece, in one row or many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from recurnn.baselines import Sampling
from recurnn.data.text import END, UNKNOWN, Tokenizer
from recurnn.errors import ConfigError, KindError
from recurnn.models.language.drawing import draw
from recurnn.models.language.network import LeftNetwork
from recurnn.models.language.stepping import Writer

_SIGN = "�"


class Transcript:
    """The text of tokens that come one after another.

    What a token adds may depend on the one before it (a space or none), and a character may take
    several tokens; so text is handed out once nothing that follows can change it.

    Args:
        tokenizer: of the tokens.
        prompt: tokens before the first one.
        stop: text at which it ends; it is left out.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int], stop: str | None) -> None:
        self._tokenizer, self._stop = tokenizer, stop
        self._ids = list(prompt[-1:])  # the last token that was handed out, and those since
        self._said = len(tokenizer.decode(self._ids))
        self._held = ""
        self.text, self.done = "", False

    def add(self, token: int) -> str:
        """The text that is sure now that a token was added."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        if text.endswith(_SIGN):  # perhaps a character of which bytes are to come
            return ""
        new, self._ids = text[self._said :], [token]
        self._said = len(self._tokenizer.decode(self._ids))
        return self._released(self._held + new)

    def close(self) -> str:
        """The rest, when no token follows."""
        new = "" if self.done else self._tokenizer.decode(self._ids)[self._said :]
        rest = self._released(self._held + new) + self._held
        self.text += self._held
        self._held, self.done = "", True
        return rest

    def _released(self, text: str) -> str:
        """As much of the text as cannot be the beginning of the stop string."""
        self._held = ""
        if self._stop:
            at = text.find(self._stop)
            if at >= 0:
                text, self.done = text[:at], True
            else:
                most = min(len(self._stop) - 1, len(text))
                n = next((n for n in range(most, 0, -1) if self._stop.startswith(text[-n:])), 0)
                text, self._held = text[: len(text) - n], text[len(text) - n :]
        self.text += text
        return text


def prompt_tokens(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """The tokens that are read before the first one is written: `END`, and those of the prompt."""
    return [END, *tokenizer.encode(prompt).tolist()] if prompt else [END]


def check_seed(seed: object) -> None:
    """Refuse what cannot be a seed.

    Raises:
        ConfigError: it is not a whole number from 0 to 2**63 − 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ConfigError(f"seed is {seed!r}; expected a whole number from 0 to 2**63 - 1.")


def check_length(length: object, samples: object = 1, *, what: str = "length") -> None:
    """Refuse numbers of tokens or of texts that cannot be.

    Raises:
        ConfigError: they are not whole numbers of at least 1.
    """
    for name, value in ((what, length), ("samples", samples)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} is {value!r}; expected a whole number of at least 1.")


def check_asked(
    prompt: object, stop: object, length: object, samples: object = 1, seed: object = 0
) -> None:
    """Refuse to write from, until, or as much as cannot be.

    Raises:
        KindError: the prompt or the stop string is no text.
        ConfigError: a number cannot be.
    """
    for name, value in (("prompt", prompt), ("stop", "" if stop is None else stop)):
        if not isinstance(value, str):
            raise KindError(f"{name} is {value!r} ({type(value).__name__}); expected a text.")
    check_length(length, samples)
    check_seed(seed)


@torch.inference_mode()
def write(
    network: LeftNetwork,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    length: int,
    samples: int = 1,
    sampling: Sampling,
    stop: str | None = None,
    ends: bool = True,
    seed: int = 0,
) -> Iterator[list[str]]:
    """Go on from a prompt.

    Args:
        network: in evaluation mode.
        tokenizer: of its tokens.
        prompt: what is read first; it begins a document.
        length: most tokens of a text.
        samples: texts, written side by side.
        sampling: how tokens are drawn; the unknown token never is.
        stop: text at which a sample ends; it is left out.
        ends: whether documents have an end; a sample ends with its document then.
        seed: of what is drawn.

    Yields:
        For each token what it adds to the text of each sample: often its text, sometimes nothing
        yet. The pieces of a sample, put together, are its text.
    """
    generator = torch.Generator().manual_seed(seed)
    sampling = replace(sampling, without=(*sampling.without, *never(ends=ends)))
    begin = prompt_tokens(tokenizer, prompt)
    writer = Writer(network, samples)
    told = [Transcript(tokenizer, begin if prompt else [], stop) for _ in range(samples)]
    scores = writer.read(torch.tensor(begin)[:, None])
    for n in range(length):
        tokens = draw(sampling, scores, generator)
        pieces = [""] * samples
        for k, token in enumerate(tokens.tolist()):
            one = told[k]
            if one.done:
                continue
            pieces[k] = one.close() if token == END else one.add(token)
        if any(pieces):
            yield pieces
        if all(one.done for one in told):
            break
        if n + 1 < length:
            scores = writer.step(tokens)
    yield [one.close() for one in told]


def never(*, ends: bool) -> tuple[int, ...]:
    """The tokens that are not written: the unknown one, and `END` where documents have no end."""
    return (UNKNOWN,) if ends else (UNKNOWN, END)
