"""The output layer of a language model."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurnn.errors import ShapeError, one_of
from recurnn.nn.cross_entropy import REDUCTIONS, linear_cross_entropy
from recurnn.scan import ENGINES


class LinearCrossEntropy(nn.Module):
    """A linear layer from H to a vocabulary of V and softmax cross-entropy, in one.

    The weights are those of ``torch.nn.Linear(H, V)``, under the same names and drawn alike; see
    `linear_cross_entropy` for what is computed and how.

    Args:
        hidden_size: H.
        vocabulary_size: V.
        bias: whether there is one.
        tied: weights to use in place of own ones, [V, H]: those of the embedding, so that both
            learn the same (Press & Wolf 2017; Inan, Khosravi & Socher 2017).
        ignore_index: rows with this target do not count.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        engine: ``"auto"``, ``"cpu"`` or ``"reference"``.
        device: where the weights live.
        dtype: their type.

    Raises:
        ShapeError: the tied weights have another shape.
        ConfigError: an unknown reduction or engine.

    Example:
        >>> embedding = torch.nn.Embedding(1000, 8)
        >>> output = LinearCrossEntropy(8, 1000, tied=embedding.weight)
        >>> h = embedding(torch.tensor([4, 5]))
        >>> output(h, torch.tensor([5, 6])).shape, output.logits(h).shape
        (torch.Size([]), torch.Size([2, 1000]))
    """

    def __init__(
        self,
        hidden_size: int,
        vocabulary_size: int,
        *,
        bias: bool = True,
        tied: nn.Parameter | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        engine: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise one_of("reduction", reduction, REDUCTIONS)
        if engine not in ENGINES:
            raise one_of("engine", engine, ENGINES)
        shape = (vocabulary_size, hidden_size)
        if tied is not None and tuple(tied.shape) != shape:
            raise ShapeError(
                "LinearCrossEntropy: the tied weights do not fit.\n"
                f"  They are {list(tied.shape)}; expected [V, H] = {list(shape)}."
            )
        self.hidden_size, self.vocabulary_size = hidden_size, vocabulary_size
        self.ignore_index, self.reduction, self.engine = ignore_index, reduction, engine
        if tied is not None:
            device, dtype = tied.device, tied.dtype
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = tied if tied is not None else nn.Parameter(torch.empty(shape, **where))
        if tied is None:
            nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # as torch's Linear, to the bit
        self.bias = nn.Parameter(torch.empty(vocabulary_size, **where)) if bias else None
        if self.bias is not None:
            bound = 1 / math.sqrt(max(hidden_size, 1))
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, h: Tensor, target: Tensor, *, return_losses: bool = False) -> Any:
        """The loss of some rows; see `linear_cross_entropy`.

        Args:
            h: [..., H].
            target: [...].
            return_losses: whether to return the loss of every row besides.
        """
        return linear_cross_entropy(
            h,
            self.weight,
            target,
            self.bias,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            return_losses=return_losses,
            engine=self.engine,
        )

    def logits(self, h: Tensor) -> Tensor:
        """The logits of some rows, [..., V], for drawing what comes next."""
        return F.linear(h, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes, for ``print(layer)``."""
        return f"{self.hidden_size}, {self.vocabulary_size}, bias={self.bias is not None}"
