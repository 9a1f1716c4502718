"""The left network one token at a time, for writing."""

from __future__ import annotations

import torch
from torch import Tensor

from recurnn.models.language.network import LeftNetwork, States
from recurnn.stepper import Stepper

# Tokens, at most, whose part of the first layer is computed beforehand.
_FEW = 2048


class Writer:
    """A network that reads some rows of tokens, one token each at a time.

    Args:
        network: in evaluation mode.
        rows: B.

    Example:
        >>> import torch
        >>> from recurnn.models.language.options import LanguageOptions
        >>> writer = Writer(LeftNetwork(LanguageOptions(hidden_size=8), 20).eval(), 2)
        >>> writer.read(torch.tensor([[1], [4], [2]])).shape
        torch.Size([2, 20])
        >>> writer.step(torch.tensor([3, 7])).shape
        torch.Size([2, 20])
    """

    def __init__(self, network: LeftNetwork, rows: int) -> None:
        self.network, self.rows = network, rows
        self._tabled = network.tokens.embedding.num_embeddings <= _FEW
        layers = list(network.reader.layers)
        # A stepper has no zoneout, which is there at evaluation too.
        self._steppers = None if any(layer.zoneout for layer in layers) else [
            Stepper(layer, rows, inputs=self._embeddings() if k == 0 else None)
            for k, layer in enumerate(layers)
        ]  # fmt: skip
        self._states: States | None = None

    def _embeddings(self) -> Tensor | None:
        """The embeddings of all tokens, [V, E], where they are few."""
        tokens = self.network.tokens
        return tokens.embed(torch.arange(tokens.embedding.num_embeddings)) if self._tabled else None

    def read(self, ids: Tensor) -> Tensor:
        """Read a beginning [T, 1], the same in all rows, from zero states; log p [B, V]."""
        h, state = self.network(ids)
        self.state = [{k: s.expand(self.rows, -1) for k, s in layer.items()} for layer in state]
        return self.network.log_probabilities(h[-1]).expand(self.rows, -1)

    def step(self, ids: Tensor) -> Tensor:
        """Read a token in each row, [B]; log p of the next ones, [B, V]."""
        if self._steppers is None:
            x = self.network.tokens.embed(ids)
            h, self._states = self.network.reader(x[None], self._states)
            return self.network.log_probabilities(h[0])
        x = ids if self._tabled else self.network.tokens.embed(ids)
        for step in self._steppers:
            x = step(x)
        return self.network.log_probabilities(x)

    @property
    def state(self) -> States:
        """The states of every layer by name, each [B, its size]."""
        if self._steppers is None:
            assert self._states is not None
            return self._states
        return [step.state for step in self._steppers]

    @state.setter
    def state(self, state: States) -> None:
        if self._steppers is None:
            self._states = state
            return
        for step, layer in zip(self._steppers, state, strict=True):
            step.state = layer

    def choose(self, rows: Tensor) -> None:
        """Go on with the states of these rows, [B]; one may be there several times."""
        self.state = [{k: s[rows] for k, s in layer.items()} for layer in self.state]
