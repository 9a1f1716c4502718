"""Loss and metrics of a network on data, without training it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from recurnn.data import Streams
from recurnn.training.feeds import Batches, Feed, InOrder, Streamed
from recurnn.training.objective import (
    LOSSES,
    Loss,
    Metric,
    Objective,
    Supervised,
    metrics_of,
    split_mean,
)
from recurnn.training.processes import Processes, device_of

BATCH = 1024
"""Samples in a batch when nothing is trained."""


def evaluate(
    module: nn.Module,
    data: Batches | Streams,
    *,
    loss: str | Loss = "mse",
    objective: Objective | None = None,
    metrics: Mapping[str, Metric] | tuple[str, ...] | list[str] = (),
    batch_size: int = BATCH,
    precision: str = "float32",
) -> dict[str, float]:
    """The loss and the metrics of a network on all of the data.

    Args:
        module: the network; it is left in the mode that it was in, and runs where its weights are.
        data: numbered pairs, or a stream (whose states are carried from its start to its end).
        loss: as in `Plan`.
        objective: instead of a loss.
        metrics: names, or `Metric` by name.
        batch_size: samples in a batch; of a stream, steps in a chunk.
        precision: as in `Plan`.

    Returns:
        ``"loss"`` and the metrics by name, each a mean.
    """
    function = LOSSES[loss] if isinstance(loss, str) else loss
    feed = evaluation_feed(data, batch_size)
    return measure(
        module, feed, objective or Supervised(function), metrics_of(metrics), Processes(precision)
    )


def mean_loss(module: nn.Module, data: Batches | Streams, loss: str | Loss = "mse") -> float:
    """The loss of a network on all of the data, without training it."""
    return evaluate(module, data, loss=loss)["loss"]


def evaluation_feed(data: Batches | Streams, batch_size: int = BATCH) -> Feed:
    """The data in their own order."""
    if isinstance(data, Streams):
        steps = min(batch_size, data.length)
        return Streamed(data, steps, steps)
    return InOrder(data, batch_size)


def measure(
    module: nn.Module,
    feed: Feed,
    objective: Objective,
    metrics: Mapping[str, Metric],
    processes: Processes,
) -> dict[str, float]:
    """The loss and the metrics over a feed; every process computes its part."""
    was_training, device = module.training, device_of(module)
    module.eval()
    sums = [0.0] * (1 + len(metrics))
    counts = [0.0] * (1 + len(metrics))
    state = None
    with torch.inference_mode():
        for item in feed.order(0):
            batch = feed.batch(item, processes.rank, processes.count)
            if batch.count == 0:
                continue
            with processes.autocast():
                outcome = objective(module, batch.to(device), state)
            state = outcome.state
            sums[0] += float(outcome.loss) * outcome.count
            counts[0] += outcome.count
            for k, metric in enumerate(metrics.values(), start=1):
                value, over = split_mean(metric.function(outcome.output, outcome.target))
                over = outcome.count if over is None else over
                sums[k] += float(value) * over
                counts[k] += over
    module.train(was_training)
    totals = processes.total([*sums, *counts])
    names = ["loss", *metrics]
    return {name: totals[k] / totals[len(names) + k] for k, name in enumerate(names)}
