"""How far back a model looks, found by experiment: its inputs are hidden, exchanged, or cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from recurnn.errors import ConfigError, one_of
from recurnn.insight.gradient import spread_lags, undisturbed
from recurnn.subject import Subject

HOW = ("hide", "exchange")


def occlusion(
    subject: Subject,
    lags: Sequence[int] | None = None,
    *,
    how: str | None = None,
    width: int | None = None,
) -> pd.DataFrame:
    """How much the prediction changes when the input k steps before the end is altered.

    Args:
        subject: the model and its data.
        lags: k; by default every step, or some 60 of them evenly spread where there are more.
            Below zero it is a step after the one that is looked at, if `Subject.at` says which.
        how: ``"hide"``: the mean over all rows and steps takes its place; ``"exchange"``: a
            step of another row, so that the input stays one that occurs. By default hide,
            and of tokens, which have no mean, exchange.
        width: how many steps, from k on back, are altered together; by default up to the next
            lag, so that no step is passed over.

    Returns:
        A row a lag: ``lag``; ``change``, the root of the mean square change of what is predicted
        at the end, in standard deviations of the prediction over the rows; ``loss``, by how much
        the loss there grows.

    Raises:
        ConfigError: an unknown `how`, or hiding tokens.
    """
    tokens = not subject.x.is_floating_point()
    how = how or ("exchange" if tokens else "hide")
    if how not in HOW:
        raise one_of("occlusion: how", how, HOW)
    if tokens and how == "hide":
        raise ConfigError(
            "occlusion: tokens cannot be hidden, for they have no mean.\n  Use how='exchange'."
        )
    if how == "exchange" and subject.rows < 2:
        raise ConfigError("occlusion: one row has no other to exchange with.\n  Give more rows.")
    x = subject.by_row(subject.x)
    instead = _mean(subject, x) if how == "hide" else subject.exchanged
    rows = []
    with undisturbed(subject.module), torch.no_grad():
        plain, loss = _at_end(subject, x)
        spread = float(plain.double().std(0, correction=0).square().mean().sqrt()) or 1.0
        chosen = sorted(every_lag(subject) if lags is None else lags)
        for lag, following in zip(chosen, [*chosen[1:], chosen[-1] + 1], strict=True):
            size = width or (following - lag if lags is None else 1)
            changed, worse = _at_end(subject, _with(subject, x, instead, lag, size))
            difference = float((changed - plain).double().square().mean().sqrt())
            rows.append((lag, difference / spread, float((worse - loss).mean())))
    return pd.DataFrame(rows, columns=["lag", "change", "loss"])


def integrated_gradients(
    subject: Subject, *, points: int = 32, output: Callable[[Tensor], Tensor] | None = None
) -> pd.DataFrame:
    """Integrated gradients of what is predicted at the end, against the step of the input.

    Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", 2017: the gradient along
    the straight line from the mean input to the input, times the way. What all steps together
    contribute is the difference of the two predictions, up to the error of the sum over `points`.
    Of tokens the line is drawn in the space of the module's embedding.

    Args:
        subject: the model and its data.
        points: of the line.
        output: what of the prediction at the end [B, ...] is attributed, one number a row; by
            default the sum of its entries; of classes (a loss of ``"cross_entropy"``), the
            logarithm of the likeliest one's probability.

    Returns:
        A row a lag: ``lag``; ``contribution``, the mean over rows of the absolute contribution of
        that step's input; ``signed``, the mean with its sign; ``unexplained``, the largest share
        of a row's difference that the sum leaves over.
    """
    return by_lag(subject, *attributions(subject, points=points, output=output))


def by_lag(subject: Subject, total: Tensor, gap: float) -> pd.DataFrame:
    """The table of `integrated_gradients`, from what `attributions` has found.

    Args:
        subject: the model and its data.
        total: the contribution of every row's step, [B, T].
        gap: the largest share that it leaves unexplained.
    """
    lags = torch.arange(-subject.ahead, int(subject.ends.max()) + 1)
    at = subject.ends.unsqueeze(1) - lags
    there = (at >= 0) & (at < subject.real.unsqueeze(1))
    values = total.cpu().double().gather(1, at.clamp(0, total.shape[1] - 1))
    values = values.where(there, torch.nan)
    columns = {"contribution": values.abs().nanmean(0), "signed": values.nanmean(0)}
    frame = pd.DataFrame({"lag": lags.numpy()} | {k: v.numpy() for k, v in columns.items()})
    return frame.assign(unexplained=gap)


def attributions(
    subject: Subject, *, points: int = 32, output: Callable[[Tensor], Tensor] | None = None
) -> tuple[Tensor, float]:
    """The contribution of every row's step, [B, T], and the largest share it leaves unexplained.

    Args:
        subject: the model and its data.
        points: of the line from the mean input to the input.
        output: as in `integrated_gradients`.
    """
    with undisturbed(subject.module), _as_numbers(subject) as (x, run):
        x = subject.by_row(x.detach())
        target = output or _output(subject, _end(subject, run(subject.by_row(x))))
        base = _mean(subject, x).expand_as(x)
        slopes = torch.zeros_like(x)
        for point in range(points):
            at = (base + (point + 0.5) / points * (x - base)).requires_grad_()
            value = target(_end(subject, run(subject.by_row(at)))).sum()
            (slope,) = torch.autograd.grad(value, at)
            slopes += slope / points
        found = ((x - base) * slopes).flatten(2).sum(2)
        with torch.no_grad():
            ends = [target(_end(subject, run(subject.by_row(v)))) for v in (x, base)]
        way = ends[0] - ends[1]
        gap = (found.sum(1) - way).abs().max() / way.abs().max().clamp(min=1e-12)
    return found, float(gap)


def loss_by_context(subject: Subject, contexts: Sequence[int] | None = None) -> pd.DataFrame:
    """The loss at the end when the model is given only so many steps before it.

    Args:
        subject: the model and its data.
        contexts: numbers of steps; by default about ten up to all, on a logarithmic scale.

    Returns:
        A row a context: ``context`` and ``loss``. Where the input cannot be cut, the steps further
        away are replaced by the mean input (of tokens, by another row's).
    """
    most = subject.steps if subject.at is None else max(int(subject.ends.max()), subject.ahead) + 1
    lengths = spread_lags(most, 10) if contexts is None else contexts
    x = subject.by_row(subject.x)
    instead = _mean(subject, x) if x.is_floating_point() else subject.exchanged
    rows = []
    with undisturbed(subject.module), torch.no_grad():
        for steps in lengths:
            if subject.cuts and steps >= 2:
                part = subject.last_steps(steps)
                loss = part.last_loss(part.losses())
            else:
                hidden = _where(_back(subject).abs() >= steps, instead, x)
                loss = _at_end(subject, hidden)[1]
            rows.append((steps, float(loss.mean())))
    return pd.DataFrame(rows, columns=["context", "loss"])


def every_lag(subject: Subject, most: int = 60) -> list[int]:
    """Every lag of a subject, or some evenly spread where there are more than `most`."""
    first, last = -subject.ahead, int(subject.ends.max())
    if last - first < most:
        return list(range(first, last + 1))
    return sorted({round(float(v)) for v in np.linspace(first, last, most)})


def _mean(subject: Subject, x: Tensor) -> Tensor:
    """The mean input over rows and real steps, [1, 1, ...]."""
    return subject.real_of(x).mean(dim=0)[None, None]


def _with(subject: Subject, x: Tensor, instead: Tensor, lag: int, width: int) -> Tensor:
    """Rows with the steps lag … lag + width − 1 back from where they are looked at replaced."""
    back = _back(subject)
    return _where((back >= lag) & (back < lag + width), instead, x)


def _back(subject: Subject) -> Tensor:
    """How far each step lies before the one that is looked at, [B, T]."""
    return subject.ends.unsqueeze(1) - torch.arange(subject.steps)


def _where(there: Tensor, instead: Tensor, x: Tensor) -> Tensor:
    """Rows x [B, T, ...], replaced at the steps `there` [B, T]."""
    places = there.to(x.device).reshape(*there.shape, *[1] * (x.dim() - 2))
    return torch.where(places, instead, x)


def _at_end(subject: Subject, x: Tensor) -> tuple[Tensor, Tensor]:
    """The prediction at the end and the loss there, of x [B, T, ...]."""
    prediction = subject.predict(subject.by_row(x))
    return _end(subject, prediction), subject.last_loss(subject.losses_of(prediction))


def _end(subject: Subject, prediction: Tensor) -> Tensor:
    """What is predicted at the end of each row, [B, ...]."""
    T, B = subject.steps, subject.rows
    along = (B, T) if subject.batch_first else (T, B)
    if tuple(prediction.shape[:2]) != along:
        return prediction
    if prediction.dim() == 2 and subject.losses_of(prediction).dim() == 1:
        return prediction  # one a row, of as many numbers as there are steps
    return subject.by_row(prediction)[torch.arange(B), subject.ends.to(prediction.device)]


def _output(subject: Subject, end: Tensor) -> Callable[[Tensor], Tensor]:
    """One number a row of what is predicted: its sum, or log p of the class that is likeliest."""
    if subject.loss != "cross_entropy":
        return lambda found: found.flatten(1).sum(1)
    best = end.detach().argmax(-1, keepdim=True)
    return lambda found: found.log_softmax(-1).gather(-1, best).flatten(1).sum(1)


@contextmanager
def _as_numbers(subject: Subject) -> Iterator[tuple[Tensor, Callable[[Tensor], Tensor]]]:
    """The input as numbers, and a function that runs the model on such: of tokens, embedded."""
    if subject.x.is_floating_point():
        yield subject.x, subject.predict
        return
    embedding = next((m for m in subject.module.modules() if isinstance(m, nn.Embedding)), None)
    if embedding is None:
        raise ConfigError(
            f"{subject.name}: x holds tokens, and the module has no torch.nn.Embedding.\n"
            "  Contributions of tokens are computed in the space of one."
        )
    given: list[Tensor] = []

    def replaced(*_: Any) -> Tensor | None:
        return given[0] if given else None

    def run(numbers: Tensor) -> Tensor:
        given[:] = [numbers]
        try:
            return subject.predict()
        finally:
            given.clear()

    hook = embedding.register_forward_hook(replaced)
    try:
        yield embedding(subject.x), run
    finally:
        hook.remove()
