"""What a network says of a text: ln p of every token, with or without a cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.data.text import Corpus
from recurnn.errors import ConfigError
from recurnn.models.language.feeding import documents_in_lanes
from recurnn.models.language.network import LeftNetwork, States

_STEPS = 256


@dataclass(frozen=True)
class Cache:
    """A continuous cache beside the softmax (Grave, Joulin and Usunier 2017).

    The words that followed similar states a while ago become likelier:
    p = (1 − λ) p_softmax + λ p_cache, p_cache(w) ∝ Σ_{i: w follows h_i} exp(θ h_t · h_i), over the
    last states of the document.

    Attributes:
        size: how many states are remembered.
        flatness: θ.
        share: λ.

    Raises:
        ConfigError: a number that cannot be.
    """

    size: int = 500
    flatness: float = 0.3
    share: float = 0.1

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or isinstance(self.size, bool) or self.size < 1:
            raise ConfigError(
                f"cache: size is {self.size!r}; expected a whole number of at least 1."
            )
        if not isinstance(self.flatness, int | float) or not 0 <= self.flatness < float("inf"):
            raise ConfigError(
                f"cache: flatness is {self.flatness!r}; expected a number of at least 0."
            )
        if not isinstance(self.share, int | float) or not 0 <= self.share < 1:
            raise ConfigError(
                f"cache: share is {self.share!r}; expected a number of at least 0 and below 1."
            )


@torch.inference_mode()
def log_probabilities(
    network: LeftNetwork, corpus: Corpus, cache: Cache | None = None
) -> NDArray[np.float64]:
    """The logarithm of p of every token given all those before it in its document, [tokens].

    Args:
        network: in evaluation mode.
        corpus: the tokens.
        cache: beside the softmax.
    """
    lanes = documents_in_lanes(corpus)
    found = np.empty(len(corpus))
    state: States | None = None
    past = None if cache is None else Past(cache, lanes.x.shape[1])
    for start in range(0, len(lanes.x), _STEPS):
        part = slice(start, start + _STEPS)
        reset = lanes.reset[part]
        h, state = network(lanes.x[part], state, reset=reset if bool(reset.any()) else None)
        said = network.nats(h, lanes.y[part])
        if past is not None:
            said = past.mix(said, h, lanes.y[part], reset)
        place = lanes.place[part]
        found[place[place >= 0]] = -said.numpy()[place >= 0]
    return found


class Past:
    """What the cache remembers of each lane.

    Args:
        cache: its numbers.
        lanes: B.
    """

    def __init__(self, cache: Cache, lanes: int) -> None:
        self.cache = cache
        self.keys: Tensor | None = None  # [N, B, H], the states
        self.values = torch.empty(0, lanes, dtype=torch.int64)  # [N, B], what followed
        self.document = torch.empty(0, lanes, dtype=torch.int64)  # [N, B], of which each is
        self._number = torch.zeros(lanes, dtype=torch.int64)

    def mix(self, said: Tensor, h: Tensor, y: Tensor, reset: Tensor) -> Tensor:
        """−log of the mixture at the next steps, and remember them.

        Args:
            said: −log p of the softmax, [T, B].
            h: [T, B, H].
            y: the tokens, [T, B].
            reset: where a document begins, [T, B].
        """
        number = self._number + reset.cumsum(0)
        self._number = number[-1]
        keys = h if self.keys is None else torch.cat([self.keys, h])
        values, document = torch.cat([self.values, y]), torch.cat([self.document, number])
        T, N = len(y), len(keys)
        at = torch.arange(N - T, N)[:, None]
        near = (torch.arange(N) < at) & (torch.arange(N) >= at - self.cache.size)
        mixed = said.clone()
        for b in range(y.shape[1]):
            seen = near & (document[:, b] == number[:, b, None])
            score = self.cache.flatness * (h[:, b] @ keys[:, b].T)
            share = torch.softmax(score.masked_fill(~seen, -torch.inf), -1)
            there = (share * (values[:, b] == y[:, b, None])).sum(-1).double()
            both = (1 - self.cache.share) * (-said[:, b].double()).exp() + self.cache.share * there
            # Where nothing is remembered yet, the softmax stands alone.
            mixed[:, b] = torch.where(seen.any(-1), -both.log(), said[:, b].double()).float()
        kept = slice(max(0, N - self.cache.size), None)
        self.keys, self.values, self.document = keys[kept], values[kept], document[kept]
        return mixed
