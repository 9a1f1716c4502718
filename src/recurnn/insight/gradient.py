"""The gradient through time: how much of it arrives at every step back from a loss."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recurnn.errors import ConfigError, DataError, one_of
from recurnn.insight.decay import Decay, fit_decay
from recurnn.insight.record import Layer, Record
from recurnn.subject import Subject

Array = NDArray[np.float64]
_SMALLER = 1e-18


@dataclass(frozen=True, repr=False)
class Flow:
    """The gradient of one layer, by steps back from where the loss enters it.

    Where the subject says which step is looked at (`Subject.at`), by steps away from it, on both
    sides together.

    Attributes:
        layer: the layer's name.
        norms: ‖dL/dstate‖ by state and lag: [K, B], NaN before a row's first step.
        total: of all states together, [K, B].
        decay: the median over the rows of the total, as a share of lag 0, and its rate.
    """

    layer: str
    norms: dict[str, Array]
    total: Array
    decay: Decay

    def __repr__(self) -> str:
        lags, rows = self.total.shape
        states = ", ".join(self.norms)
        size = f"{lags} lags, {rows} rows"
        return f"<Flow of {self.layer}: {states}; {size}, × {self.decay.rate:.3g} a step>"

    @property
    def arrives(self) -> bool:
        """Whether any gradient arrives at all."""
        return bool((self.total > 0).any())

    def share(self, state: str) -> Array:
        """What is left of one state's gradient at each lag, of the total at lag 0; [K].

        Raises:
            ConfigError: the layer has no such state.
        """
        if state not in self.norms:
            raise one_of(f"{self.layer}: state", state, self.norms)
        return _median_share(self.norms[state], self.total[0])


def gradient_flow(subject: Subject, step: int | None = None) -> dict[str, Flow]:
    """‖dL/dh‖ for every step back from a loss, by layer and state.

    The loss is that of one step where the model has one a step, so that what is measured is how
    far its gradient comes, not how many losses lie on the way. It is a single backward pass, and
    the kernel gives the norms.

    Args:
        subject: the model and its data.
        step: the step whose loss is taken; the last real one of each row by default.

    Returns:
        The flow of each layer by name, the first layer first.

    Raises:
        ConfigError: the model has no recurrent layer, or no such step.
        DataError: in no row is the gradient a number.

    Example:
        >>> import torch, recurnn
        >>> model = recurnn.nn.Stack(recurnn.nn.RNN(3, 8), torch.nn.Linear(8, 1))
        >>> x, y = torch.randn(40, 4, 3), torch.randn(40, 4, 1)
        >>> subject = recurnn.Subject(model, x, y, batch_first=False)
        >>> flow = recurnn.insight.gradient_flow(subject)["layers.0"]
        >>> flow.norms["h"].shape, flow.decay.rate < 0.8
        ((40, 4), True)
    """
    if step is not None and not -subject.steps <= step < subject.steps:
        raise ConfigError(f"step is {step}; x has the steps 0 to {subject.steps - 1}.")
    return measured(subject, Record(subject.module), step)


def measured(subject: Subject, record: Record, step: int | None = None) -> dict[str, Flow]:
    """As `gradient_flow`, into a record that may keep more.

    Args:
        subject: the model and its data.
        record: of the subject's module, with norms.
        step: as in `gradient_flow`.
    """
    with undisturbed(subject.module), record:
        losses = subject.losses()
        loss = subject.last_loss(losses, step).sum()
        backward(subject.module, loss)
        # A norm's square must not overflow. Where one does, the whole gradient is made smaller.
        # A row of NaN is another matter: it is left out, and the others stay as they are.
        scale = 1.0
        if any(torch.isinf(v).any() for layer in record for v in layer.norms.values()):
            scale = _SMALLER
            backward(subject.module, loss * scale)
        _check_numbers(subject, record, losses)
    where = None
    if losses.dim() == 2:
        both = subject.at is not None and step is None
        ends = subject.ends if step is None else (subject.real - 1).clamp(max=step % subject.steps)
        where = Where(subject.steps, ends.numpy(), both=both)
    return {layer.name: _flow(layer, where, scale) for layer in record}


def _check_numbers(subject: Subject, record: Record, losses: Tensor) -> None:
    """Refuse what has no gradient in any row, and say where it comes from."""
    lost = [
        layer.name
        for layer in record
        if not all(torch.isfinite(v).any() for v in layer.norms.values())
    ]
    if not lost:
        return
    weights = [k for k, p in subject.module.named_parameters() if not torch.isfinite(p).all()]
    named = {"x": subject.x, "y": subject.y, "the loss": losses}
    places = [k for k, v in named.items() if not torch.isfinite(v).all()] + weights
    raise DataError(
        f"{subject.name}: the gradient that reaches {lost[0]} is not a number, in no row.\n"
        f"  Not finite: {', '.join(places) or 'the gradient alone'}."
    )


def sweep(subject: Subject, lags: Sequence[int] | None = None) -> pd.DataFrame:
    """The same for a sweep over lags: the model is given the last steps of x only.

    Args:
        subject: the model and its data.
        lags: by default about eight, evenly on a logarithmic scale.

    Returns:
        A row a lag and layer: ``lag``, ``layer``, ``left``, the share of the gradient that
        arrives there, and ``rate``, the factor by which it changes at each step.

    Raises:
        ConfigError: the model takes windows of one length only, or x has not so many steps.
    """
    rows = []
    for lag in spread_lags(subject.steps - 1) if lags is None else lags:
        for name, flow in gradient_flow(subject.last_steps(lag + 1)).items():
            rows.append((lag, name, flow.decay.left_after(lag), flow.decay.rate))
    return pd.DataFrame(rows, columns=["lag", "layer", "left", "rate"])


def spread_lags(most: int, count: int = 8) -> list[int]:
    """Lags from 1 to the largest, about evenly on a logarithmic scale."""
    return sorted({round(float(v)) for v in np.geomspace(1, max(1, most), count)})


def backward(module: nn.Module, loss: Tensor) -> None:
    """The backward pass of a loss, which leaves the gradients of the weights as they were."""
    weights = [p for p in module.parameters() if p.requires_grad]
    if not loss.requires_grad:
        raise ConfigError(
            "The loss does not depend on any weight that is trained.\n"
            "  Expected parameters with requires_grad, and a loss of what they give."
        )
    torch.autograd.grad(loss, weights, allow_unused=True, retain_graph=True)


@contextmanager
def undisturbed(module: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Within this a model runs without a trace: its mode, buffers and carried states come back.

    Args:
        module: the model.
        training: in which mode it runs; dropout is off by default.
    """
    modes = {m: m.training for m in module.modules()}
    buffers = {k: b.clone() for k, b in module.named_buffers()}
    carried: dict[Any, Any] = {m: m._carried for m in module.modules() if hasattr(m, "_carried")}
    devices = [p.device for p in module.parameters() if p.is_cuda][:1]
    module.train(training)
    try:
        with torch.random.fork_rng(devices=devices), torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            for m in carried:
                m._carried = None
            yield
    finally:
        for m, mode in modes.items():
            m.training = mode
        for m, state in carried.items():
            m._carried = state
        with torch.no_grad():
            for k, b in module.named_buffers():
                b.copy_(buffers[k])


@dataclass(frozen=True)
class Where:
    """Where a loss a step enters.

    Attributes:
        steps: T of the input.
        ends: the step of each row, [B].
        both: whether lags count on both sides of it.
    """

    steps: int
    ends: NDArray[np.int64]
    both: bool


def _flow(layer: Layer, where: Where | None, scale: float) -> Flow:
    norms = {k: _by_lag(v, layer, where) / scale for k, v in layer.norms.items()}
    squares = [np.square(v) for v in norms.values()]
    total = np.sqrt(np.sum(squares, axis=0))
    # Lag 0 is where the gradient enters: a layer that runs backward may begin far from the loss.
    found = np.flatnonzero(np.nan_to_num(total).any(axis=1))
    begin = int(found[0]) if len(found) else 0
    norms, total = {k: v[begin:] for k, v in norms.items()}, total[begin:]
    some = next(iter(layer.norms.values()))
    floor = float(np.sqrt(torch.finfo(some.dtype).tiny)) * 10 / scale
    share, largest = _median_share(total, total[0]), float(np.nanmax(total[0]))
    return Flow(layer.name, norms, total, fit_decay(share, floor / max(largest, 1e-30)))


def _by_lag(norms: Tensor, layer: Layer, where: Where | None) -> Array:
    """[T, B] by step as [K, B] by steps back from the loss, NaN before a row's first step."""
    values = norms.detach().cpu().double().numpy()
    T, B = values.shape
    lengths = np.full(B, T) if layer.lengths is None else layer.lengths.cpu().numpy()
    if where is None or where.steps != T:
        # Where the loss enters is not known: lags count from where each scan has ended.
        if layer.reverse:
            return np.where(np.arange(T)[:, None] < lengths, values, np.nan)
        ends = lengths - 1
    else:
        ends = where.ends
    before, after = np.full((T, B), np.nan), np.full((T, B), np.nan)
    for b, (end, length) in enumerate(zip(ends, lengths, strict=True)):
        before[: end + 1, b] = values[: end + 1, b][::-1]
        after[1 : length - end, b] = values[end + 1 : length, b]
    if where is not None and where.both:
        both = np.sqrt(np.nan_to_num(before) ** 2 + np.nan_to_num(after) ** 2)
        before = np.where(np.isnan(before) & np.isnan(after), np.nan, both)
    return before[: int(np.flatnonzero(~np.isnan(before).all(axis=1))[-1]) + 1]


def _median_share(norms: Array, first: Array) -> Array:
    """The median over rows of each row's share of its own first value, [K]."""
    rows = first > 0
    if not rows.any():
        return np.zeros(len(norms))
    shares = norms[:, rows] / first[rows]
    if not np.isnan(shares).any():  # which numpy does many times as fast
        return np.asarray(np.median(shares, axis=1), dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # lags that no row reaches
        median = np.nanmedian(shares, axis=1)
    return np.asarray(np.nan_to_num(median, nan=0.0), dtype=np.float64)
