"""What is done with whole sequences before and between trainings: checks, parts, batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.data.sequence_inputs import Inputs
from recurnn.errors import DataError, ShapeError

_STEPS = 200_000  # of a batch, padding included, when nothing is trained
_FLAT = 100  # most steps that get places of their own, where all sequences are of one length
_FEW = 5000  # sequences of tokens below which more is dropped
_SPARE = 500  # sequences from which on a part is held out


def parts_of(groups: NDArray[Any], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the sequences of two parts, drawn by the seed.

    Args:
        groups: of which the second part has the same share each, [N].
        share: that goes into the second part.
        seed: of the draw.

    Returns:
        The first part and the second; the first is never empty and has of each group.

    Example:
        >>> first, second = parts_of(np.array([0] * 8 + [1] * 4), 0.25, seed=0)
        >>> len(first), sum(i < 8 for i in second), sum(i >= 8 for i in second)
        (9, 2, 1)
    """
    random = np.random.default_rng(seed)
    held: list[int] = []
    for group in np.unique(groups) if share else []:
        members = random.permutation(np.flatnonzero(groups == group))
        # Rounded by chance, so that small groups are neither all in it nor never.
        count = int(len(members) * share + random.random())
        held += members[: min(count, len(members) - 1)].tolist()
    chosen = set(held)
    return [i for i in range(len(groups)) if i not in chosen], sorted(held)


def by_length(lengths: Tensor) -> Iterator[Tensor]:
    """Numbers of sequences of similar length, as many as fit in a batch."""
    order = torch.argsort(lengths, stable=True)
    while len(order):
        width = torch.arange(1, len(order) + 1) * lengths[order]  # steps, if the batch ends there
        count = max(1, int((width <= _STEPS).sum()))
        yield order[:count]
        order = order[count:]


def checked(y: Any, count: int) -> NDArray[Any]:
    """What is to be learned, one a sequence, without gaps."""
    if y is None:
        raise DataError("fit requires y to be passed, but the target y is None.")
    values = np.asarray(y)
    if values.ndim == 0 or len(values) != count:
        raise ShapeError(
            "X and y must have the same number of sequences.\n"
            f"  y has {values.size if values.ndim == 0 else len(values)}; X has {count}."
        )
    missing = values == None  # noqa: E711 - elementwise
    if values.dtype.kind == "f":
        missing = ~np.isfinite(values)
    elif values.dtype.kind == "O":
        missing = missing | np.array([isinstance(v, float) and math.isnan(v) for v in values])
    if np.any(missing):
        at = int(np.argwhere(missing)[0][0])
        raise DataError(f"y[{at}] is {values[at]}: it is missing.\n  Leave that sequence out.")
    return values


def scaling(training: Inputs) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel; a constant one is left at its size."""
    steps = np.concatenate(training).astype(np.float64)
    scale = steps.std(0)
    scale[np.ptp(steps, axis=0) == 0] = 1.0
    return torch.tensor(steps.mean(0)).float(), torch.tensor(scale).float()


def batch_size(count: int) -> int:
    """About a fiftieth of the sequences, as a power of two from 16 to 128."""
    return int(2 ** min(7, max(4, round(math.log2(count / 50)))))


def settled(options: Any, lengths: Sequence[int], *, tokens: bool) -> dict[str, Any]:
    """What was left open in the options, by the sequences that are fitted on.

    Args:
        options: of the model.
        lengths: of all sequences, [N].
        tokens: whether they are tokens.

    Returns:
        ``pooling``, ``dropout``, ``steps`` (the length of the longest), ``validation`` and
        ``schedule``.
    """
    steps = max(lengths)
    pooling = getattr(options, "pooling", None)
    if pooling is None:
        pooling = "flat" if min(lengths) == steps <= _FLAT else "mean"
    dropout = options.dropout
    if dropout is None:
        dropout = 0.5 if tokens and len(lengths) < _FEW else 0.2
    share, schedule = options.validation, options.schedule
    if share is None:  # of a few hundred none can be spared to see when to stop
        chosen = isinstance(getattr(options, "threshold", None), str)
        share = 0.0 if len(lengths) < _SPARE and not chosen else 0.1
    if schedule is None:
        schedule = "constant" if share else "cosine"
    return {
        "pooling": pooling, "dropout": dropout, "steps": steps, "validation": share,
        "schedule": schedule,
    }  # fmt: skip


def plain(value: Any) -> Any:
    """A number or text of numpy as Python's own."""
    return value.item() if isinstance(value, np.generic) else value
