"""Where the weights of a cell lie in the tensors that it is given.

A cell has one matrix a gate; torch's layers stack them in one tensor and have two biases. A
binding says which rows of which tensor each weight is, so that kernels read and gradients are
written in place, and nothing is taken apart or put together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Piece:
    """Some rows of a tensor: those from `row` on, as many as the weight has."""

    tensor: int
    row: int = 0


@dataclass(frozen=True)
class Binding:
    """Each weight's name, and the pieces whose sum it is (two for torch's biases)."""

    pieces: tuple[tuple[str, tuple[Piece, ...]], ...]

    @classmethod
    def own(cls, names: Iterable[str]) -> Binding:
        """Every weight a tensor of its own, in the order of the names."""
        return cls(tuple((name, (Piece(k),)) for k, name in enumerate(names)))

    def weights(
        self, tensors: Sequence[Tensor], shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, Tensor]:
        """The weights by name, as views and sums of the tensors.

        Args:
            tensors: what the pieces refer to.
            shapes: of each weight.
        """
        found = {}
        for name, pieces in self.pieces:
            rows = shapes[name][0]
            parts = [
                tensors[p.tensor].narrow(0, p.row, rows)
                if tensors[p.tensor].shape[0] != rows
                else tensors[p.tensor]
                for p in pieces
            ]
            found[name] = parts[0] if len(parts) == 1 else torch.add(*parts)
        return found


class Bound(NamedTuple):
    """Weights as a binding and its tensors."""

    binding: Binding
    tensors: Sequence[Tensor]
