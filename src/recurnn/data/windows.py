"""Windows over one or many series: index arithmetic over the series themselves, no copies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurnn.errors import ConfigError, DataError, ShapeError, counted


class Windows:
    """All windows of a part of the data, gathered a batch at a time.

    A window of series ``s`` that ends at step ``e`` has the inputs ``e - context + 1 .. e`` and
    the targets ``e + 1 + gap .. e + gap + horizon``. It is in the part when all its targets lie
    in ``ranges[s]``; its inputs may reach back before that range. Windows are numbered series by
    series and in order of time.

    A single series is not copied; several are laid end to end once, so that a batch over any of
    them is one gather. Memory does not grow with the number or the length of the windows.

    Args:
        inputs: for each series [T, F], what the network sees.
        targets: for each series [T, C], what it is to forecast.
        context: steps in a window's input.
        horizon: steps to forecast.
        gap: steps left out between the last input and the first target.
        ranges: for each series the steps ``[start, end)`` in which all targets must lie.
        known: for each series [T, K], what is known of a step before it comes (calendar
            features); :meth:`future` gives it for the target steps.
        names: the names of the series, for errors.
        part: the name of the part, for errors: ``"training"``, ``"test"``.

    Raises:
        ConfigError: context or horizon below 1, or gap below 0.
        ShapeError: the tensors do not fit together.
        DataError: a series is too short for one window, or no window fits in the ranges.

    Example:
        >>> y = torch.arange(6.0).reshape(6, 1)
        >>> w = Windows([y], [y], context=2, horizon=1, gap=1, ranges=[(0, 6)])
        >>> len(w)
        3
        >>> x, target = w.batch(torch.tensor([0, 2]))
        >>> x[..., 0].tolist(), target[..., 0].tolist()
        ([[0.0, 1.0], [2.0, 3.0]], [[3.0], [5.0]])
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        targets: Sequence[Tensor],
        *,
        context: int,
        horizon: int,
        gap: int = 0,
        ranges: Sequence[tuple[int, int]],
        known: Sequence[Tensor] | None = None,
        names: Sequence[str] | None = None,
        part: str = "this",
    ) -> None:
        _check_sizes(context=context, horizon=horizon, gap=gap)
        _check_tensors(inputs, targets, known)
        self.context, self.horizon, self.gap = context, horizon, gap
        self._lengths = [int(x.shape[0]) for x in inputs]
        self._names = (
            list(names) if names is not None else [f"series {s}" for s in range(len(inputs))]
        )
        self._inputs = _end_to_end(inputs)
        self._targets = _end_to_end(targets)
        self._known = None if known is None else _end_to_end(known)
        self._lay(ranges, part)

    def _lay(self, ranges: Sequence[tuple[int, int]], part: str) -> None:
        """Number the windows whose targets lie in the ranges."""
        if len(ranges) != len(self._lengths):
            raise ShapeError(
                "Windows: there must be one range a series.\n"
                f"  ranges has {len(ranges)} entries; there are {len(self._lengths)} series."
            )
        context, horizon, gap = self.context, self.horizon, self.gap
        counts, firsts, offset = [], [], 0
        for name, T, (start, end) in zip(self._names, self._lengths, ranges, strict=True):
            if context + gap + horizon > T:
                raise DataError(
                    f"{name} is too short for a single window.\n"
                    f"  It has {counted(T, 'step')}; a window needs {context + gap + horizon}"
                    f" = {_sum(context, gap, horizon)}.\n"
                    "  Give a smaller context or horizon, or a longer series."
                )
            first = max(context - 1, start - 1 - gap)
            last = min(end, T) - 1 - gap - horizon
            counts.append(max(0, last - first + 1))
            firsts.append(offset + first)
            offset += T
        if sum(counts) == 0:
            steps = max(
                min(end, T) - max(start, 0)
                for (start, end), T in zip(ranges, self._lengths, strict=True)
            )
            raise DataError(
                f"The {part} part does not hold a single window.\n"
                f"  It has {max(steps, 0)} steps; all {horizon} targets of a window must lie in it,"
                f" and {context + gap} steps ({_sum(context, gap, None)}) before them.\n"
                "  Give this part more steps, or a smaller horizon or context."
            )
        # Window i of series s ends at row i - before[s] + ends[s] of the series laid end to end.
        device = self._inputs.device
        total = torch.tensor(counts).cumsum(0)
        self._total = total.to(device)
        self._shift = (torch.tensor(firsts) - (total - torch.tensor(counts))).to(device)
        self._starts_of_series = torch.tensor([0, *self._lengths[:-1]]).cumsum(0).to(device)
        self._length = int(total[-1])

    def __len__(self) -> int:
        return self._length

    def restrict(self, ranges: Sequence[tuple[int, int]], *, part: str = "this") -> Windows:
        """The windows of another part, over the same memory.

        Args:
            ranges: for each series the steps ``[start, end)`` in which all targets must lie.
            part: the name of the part, for errors.
        """
        other = object.__new__(Windows)
        other.__dict__.update(self.__dict__)
        other._lay(ranges, part)
        return other

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The windows with these numbers.

        Args:
            index: [B], numbers from 0 to ``len(self) - 1``.

        Returns:
            inputs [B, context, F] and targets [B, horizon, C], both fresh memory.
        """
        ends = self._ends(index)
        x = _gather(self._inputs, ends - (self.context - 1), self.context)
        return x, _gather(self._targets, ends + (1 + self.gap), self.horizon)

    def future(self, index: Tensor) -> Tensor:
        """What is known beforehand of the target steps of these windows, [B, horizon, K]."""
        if self._known is None:
            raise ConfigError(
                "Windows: nothing is known of the future.\n"
                "  future() gives the tensors passed as known=...; none were passed."
            )
        return _gather(self._known, self._ends(index) + (1 + self.gap), self.horizon)

    def where(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Series and step of the last input of these windows, [B] each."""
        series = self._series(index)
        return series, self._ends(index) - self._starts_of_series[series]

    def _series(self, index: Tensor) -> Tensor:
        return torch.searchsorted(
            self._total, index.to(self._total.device).contiguous(), right=True
        )

    def _ends(self, index: Tensor) -> Tensor:
        """Row of the last input, in the series laid end to end, [B]."""
        if index.numel() and (int(index.min()) < 0 or int(index.max()) >= self._length):
            raise IndexError(f"window numbers go from 0 to {self._length - 1}")
        if len(self._lengths) == 1:
            return index.to(self._shift.device) + self._shift[0]
        return index.to(self._shift.device) + self._shift[self._series(index)]


def _gather(rows: Tensor, starts: Tensor, length: int) -> Tensor:
    """``rows[start : start + length]`` for each start, [B, length, F], in one indexing."""
    F = rows.shape[1]
    # Rows start, start + 1, ... lie one behind the other in memory: a window is a slice of the
    # flat memory, and the view of all windows costs nothing.
    view = rows.as_strided((rows.shape[0] - length + 1, length * F), (F, 1), rows.storage_offset())
    return view.index_select(0, starts).reshape(-1, length, F)


def _end_to_end(series: Sequence[Tensor]) -> Tensor:
    """The series as one contiguous tensor; a single one stays as it is."""
    return series[0].contiguous() if len(series) == 1 else torch.cat(list(series))


def _sum(context: int, gap: int, horizon: int | None) -> str:
    parts = [f"context {context}"]
    if gap:
        parts.append(f"gap {gap}")
    if horizon is not None:
        parts.append(f"horizon {horizon}")
    return " + ".join(parts)


def _check_sizes(*, context: int, horizon: int, gap: int) -> None:
    for name, size, least in (("context", context, 1), ("horizon", horizon, 1), ("gap", gap, 0)):
        if size < least:
            raise ConfigError(f"Windows: {name} is {size}; it must be {least} or more steps.")


def _check_tensors(
    inputs: Sequence[Tensor], targets: Sequence[Tensor], known: Sequence[Tensor] | None
) -> None:
    if not inputs:
        raise DataError("Windows: there is no series.\n  inputs is empty; give one [T, F] or more.")
    for what, others in (("targets", targets), ("known", known)):
        if others is not None and len(others) != len(inputs):
            raise ShapeError(
                f"Windows: {what} and inputs must have the same number of series.\n"
                f"  {what} has {len(others)}; inputs has {len(inputs)}."
            )
    for what, tensors in (("inputs", inputs), ("targets", targets), ("known", known or inputs)):
        for s, (tensor, x) in enumerate(zip(tensors, inputs, strict=True)):
            width = tensors[0].shape[-1]
            if tensor.dim() != 2 or len(tensor) != len(x) or tensor.shape[1] != width:
                raise ShapeError(
                    f"Windows: {what}[{s}] does not fit.\n"
                    f"  It is {list(tensor.shape)}; expected [T, {width}] = [{len(x)}, {width}],"
                    f" because inputs[{s}] is {list(x.shape)}."
                )
