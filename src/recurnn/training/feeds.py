"""What an epoch consists of: batches in an order that is the same wherever it is begun."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from recurnn.data import Streams, bucketed
from recurnn.errors import ConfigError
from recurnn.training.carry import each


class Batches(Protocol):
    """What is trained on: numbered pairs of input and target, `recurnn.data.Windows` or alike."""

    def __len__(self) -> int:
        """How many pairs there are."""

    def batch(self, index: Tensor) -> tuple[Any, Any]:
        """The pairs with these numbers [B]: x [B, ...] and y [B, ...].

        x may be a tuple or a dict of tensors for a network of several inputs.
        """


@dataclass
class Batch:
    """What one process computes at once.

    Attributes:
        inputs: of the network.
        target: what it should say.
        count: samples, or steps times lanes that the loss is over.
        reset: of a stream, where a document begins, bool [k, B].
        streamed: whether this is a chunk of a stream.
        begin: the step of its lanes at which a chunk begins.
        lane: the first of its lanes.
        ahead: steps from here to where the next chunk begins.
        scored: steps at the beginning that the loss leaves out.
    """

    inputs: Any
    target: Any
    count: float
    reset: Any = None
    streamed: bool = False
    begin: int = 0
    lane: int = 0
    ahead: int = 0
    scored: int = 0

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        if device.type == "cpu":
            return self

        def move(value: Any) -> Any:
            return each(value, lambda t: t.to(device, non_blocking=True))

        return replace(
            self, inputs=move(self.inputs), target=move(self.target), reset=move(self.reset)
        )


class Feed(Protocol):
    """The batches of an epoch."""

    streamed: bool

    def batches(self) -> int:
        """How many batches an epoch has."""

    def order(self, epoch: int) -> Sequence[Any]:
        """What each batch of an epoch consists of; the same whenever it is asked for."""

    def batch(self, item: Any, rank: int, processes: int) -> Batch:
        """The part of a batch that one of several processes computes."""


class Shuffled:
    """Samples in an order that is drawn anew for every epoch.

    Args:
        data: the samples.
        batch_size: samples in a batch.
        seed: of the order.
        bucket: whether samples of similar length are batched together: `data` has `lengths` then.

    Raises:
        ConfigError: `bucket`, and no lengths to sort by.
    """

    streamed = False

    def __init__(self, data: Batches, batch_size: int, *, seed: int, bucket: bool = False) -> None:
        self.data, self.seed = data, seed
        self.batch_size = batch_size
        if bucket and getattr(data, "lengths", None) is None:
            raise ConfigError(
                "bucket: the data have no lengths.\n"
                "  Sequences of unequal length have them (recurnn.data.Sequences); others need no "
                "buckets."
            )
        self.bucket = bucket
        self._drawn = torch.Generator().manual_seed(seed)
        self._epoch = 0

    def batches(self) -> int:
        """How many batches an epoch has."""
        return math.ceil(len(self.data) / self.batch_size)

    def order(self, epoch: int) -> Sequence[Tensor]:
        """The numbers of the samples of each batch of an epoch."""
        if epoch <= self._epoch:
            self._drawn, self._epoch = self._drawn.manual_seed(self.seed), 0
        while self._epoch < epoch:  # every epoch's order is a further draw
            found = self._draw()
            self._epoch += 1
        return found

    def _draw(self) -> Sequence[Tensor]:
        if self.bucket:
            return bucketed(self.data.lengths, self.batch_size, self._drawn)  # type: ignore[attr-defined]
        return torch.split(torch.randperm(len(self.data), generator=self._drawn), self.batch_size)

    def batch(self, item: Tensor, rank: int = 0, processes: int = 1) -> Batch:
        """The samples of a batch that fall to one process: every `processes`-th."""
        mine = item[rank::processes] if processes > 1 else item
        count = len(mine)
        x, y = self.data.batch(mine if count else item[:1])
        return Batch(x, y, count)


class InOrder:
    """Samples in their own order, for evaluation."""

    streamed = False

    def __init__(self, data: Batches, batch_size: int) -> None:
        self.data, self.batch_size = data, batch_size

    def batches(self) -> int:
        """How many batches there are."""
        return math.ceil(len(self.data) / self.batch_size)

    def order(self, epoch: int = 0) -> Sequence[Tensor]:
        """The numbers of the samples of each batch."""
        return torch.split(torch.arange(len(self.data)), self.batch_size)

    batch = Shuffled.batch


class Streamed:
    """A stream in windows of `k2` steps, each `k1` steps on from the last (Williams and Peng 1990).

    The loss of a window is over its last `k1` steps, so that every step is scored once an epoch;
    the gradient goes back through all of the window, and the state from before it is carried and
    detached. The first windows of an epoch have fewer steps before those scored.

    Args:
        data: the stream.
        k1: steps scored in a window.
        k2: steps in a window.

    Raises:
        ConfigError: a window longer than the data.
    """

    streamed = True

    def __init__(self, data: Streams, k1: int, k2: int) -> None:
        if k2 > data.length:
            raise ConfigError(
                f"k{1 if k1 > data.length else 2} is {max(k1, k2)}, longer than the data.\n"
                f"  A lane of the stream has {data.length} steps: {data.lanes} lanes read it side "
                "by side.\n  Give a smaller k1 and k2, fewer lanes, or more data."
            )
        self.data, self.k1, self.k2 = data, k1, k2

    def batches(self) -> int:
        """How many windows an epoch has."""
        return math.ceil(self.data.length / self.k1)

    def order(self, epoch: int = 0) -> Sequence[int]:
        """The first step that each window scores."""
        return range(0, self.data.length, self.k1)

    def batch(self, item: int, rank: int = 0, processes: int = 1) -> Batch:
        """The lanes of a window that fall to one process: a run of neighbours.

        Where there are fewer lanes than processes, some get the first one, which does not count.
        """
        end = min(item + self.k1, self.data.length)
        begin = max(0, item + self.k1 - self.k2)
        after = max(0, end + self.k1 - self.k2)
        first, last = part_of(self.data.lanes, rank, processes)
        chunk = self.data.chunk(begin, end, slice(first, max(last, first + 1)))
        return Batch(
            chunk.x, chunk.y, (end - item) * (last - first), chunk.reset, streamed=True,
            begin=begin, lane=first, ahead=min(after, end) - begin, scored=item - begin,
        )  # fmt: skip


def part_of(lanes: int, rank: int, processes: int) -> tuple[int, int]:
    """First and last lane (not included) of one of several processes; as equal as can be."""
    return lanes * rank // processes, lanes * (rank + 1) // processes
