"""Models of whole sequences with data, as what is looked into."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recurnn.data import Sequences
from recurnn.models.inspected import each_row, spread
from recurnn.models.sequence_preparation import checked
from recurnn.subject import Subject


class Scaled(nn.Module):
    """A network that scales its input itself, of input that is scaled already.

    Args:
        network: with ``shift`` and ``scale``, where it reads numbers; called with x and lengths.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.numbers = hasattr(network, "shift")

    def scaled(self, x: Tensor) -> Tensor:
        """What `forward` is called with, of the data as they are."""
        return (x - self._shift) / self._scale if self.numbers else x

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Read x [B, T, C], or tokens [B, T]; all steps are real by default."""
        if lengths is None:
            lengths = torch.full((len(x),), x.shape[1])
        y: Tensor = self.network(x * self._scale + self._shift if self.numbers else x, lengths)
        return y

    @property
    def _shift(self) -> Tensor:
        return self.network.get_buffer("shift")

    @property
    def _scale(self) -> Tensor:
        return self.network.get_buffer("scale")


class Inspected:
    """What a `SequenceModel` of one answer a sequence offers, so that it can be looked into."""

    def subject(self: Any, X: Any, y: Any, *, rows: int = 32, lag: int | None = None) -> Subject:
        """The network on some of these sequences, to be looked into by `recurnn.insight`.

        Args:
            X: sequences of the kind that the model was fitted on.
            y: what belongs to each.
            rows: sequences, evenly spread over them.
            lag: how many steps back the task reaches, if that is known.

        Raises:
            NotFittedError: there is no model yet.
            DataError: the sequences or `y` do not fit the model.
        """
        inputs = self._again(X)
        y = checked(y, len(inputs))
        index = spread(len(inputs), rows)
        chosen = [inputs[i] for i in index]
        data = Sequences([self._numbered(x) for x in chosen], self._encoded(y[index]))
        (x, lengths), target = data.batch(torch.arange(len(index)))
        module, loss = Scaled(self._fitted()), getattr(self, "loss", None)
        return Subject(
            module,
            module.scaled(x),
            target,
            "cross_entropy" if loss is None else each_row(loss),
            lengths=None if bool((lengths == x.shape[1]).all()) else lengths,
            lag=lag,
            shortens=self._settled["pooling"] != "flat",  # each step has its own place there
            labels=None if self._kind == "numbers" else chosen[0],
            **self._looked_into(),
        )
