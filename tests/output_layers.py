"""Problems of the output layer, what it makes of them, and mistakes in its kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from gradients import with_gradients
from problems import normal
from recurnn.compiler import output_layer as module
from recurnn.nn import linear_cross_entropy


@dataclass(frozen=True)
class Case:
    """One problem, in a line that can be pasted."""

    N: int = 7
    H: int = 9
    V: int = 70
    dtype: torch.dtype = torch.float64
    bias: bool = True
    reduction: str = "mean"
    ignored: tuple[int, ...] = ()
    contiguous: bool = True
    rows: int = 128
    """At a time."""
    size: float = 1.0
    """Of the weights."""

    def inputs(self) -> dict[str, Tensor]:
        """h, weight and bias, random and not symmetric."""
        wide = 1 if self.contiguous else 2
        h = normal(self.N, wide * self.H, seed=1, dtype=self.dtype)
        weight = normal(self.V, wide * self.H, seed=2, dtype=self.dtype)
        weight.data *= self.size
        found = {"h": h, "weight": weight}
        if not self.contiguous:
            found["h"] = h.detach()[:, 1::2].requires_grad_()
            found["weight"] = weight.detach()[:, : self.H].requires_grad_()
        if self.bias:
            found["bias"] = normal(self.V, seed=3, dtype=self.dtype)
        return found

    def target(self) -> Tensor:
        """Every end of the vocabulary among them."""
        drawn = torch.randint(self.V, (self.N,), generator=torch.Generator().manual_seed(4))
        drawn[: min(self.N, 2)] = torch.tensor([self.V - 1, 0])[: min(self.N, 2)]
        drawn[list(self.ignored)] = -100
        return drawn


def by_us(
    case: Case, inputs: dict[str, Tensor], target: Tensor, engine: str = "cpu"
) -> dict[str, Tensor]:
    """The loss and the gradients of its weighted sum, some rows at a time."""
    with mock.patch.multiple(module, GROUP_BYTES=0, FEWEST_ROWS=case.rows):
        loss = linear_cross_entropy(
            inputs["h"], inputs["weight"], target, inputs.get("bias"),
            reduction=case.reduction, engine=engine,
        )  # fmt: skip
        return with_gradients({"loss": loss}, inputs)


@contextmanager
def planted(line: str, by: str) -> Iterator[None]:
    """With a kernel in which one line is another."""
    build = module.load

    def load(text: str, dtype: str, name: str) -> Any:
        assert text.count(line) == 1
        return build(text.replace(line, by), dtype, name)

    module._library.cache_clear()
    try:
        with mock.patch.object(module, "load", load):
            yield
    finally:
        module._library.cache_clear()
