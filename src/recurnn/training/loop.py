"""The loop of training: epochs of updates, early stopping, the best weights kept.

Nothing is printed here; whoever wants to watch passes a `Watch`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from recurnn.data import Streams
from recurnn.training.evaluation import evaluation_feed
from recurnn.training.feeds import Batches, Feed, Shuffled, Streamed
from recurnn.training.given import check_given, check_together
from recurnn.training.history import History, Watch
from recurnn.training.logs import LogFile
from recurnn.training.objective import LOSSES, Metric, Objective, Supervised, metrics_of
from recurnn.training.plan import Plan
from recurnn.training.processes import Processes, device_of
from recurnn.training.run import Run
from recurnn.training.saves import Saves, Saving
from recurnn.training.signals import Signals


def fit(
    module: nn.Module,
    train: Batches | Streams,
    validation: Batches | Streams | None,
    plan: Plan,
    *,
    name: str = "network",
    watch: Watch | Sequence[Watch] | None = None,
    objective: Objective | None = None,
    metrics: Mapping[str, Metric] | Sequence[str] = (),
    saves: Saves | None = None,
    log: str | Path | None = None,
) -> History:
    """Train a network and leave it with its best weights, in evaluation mode.

    The best weights are those of the epoch with the best ``plan.monitor`` on the validation part,
    the untrained network being a candidate; without a validation part, the last ones. Ctrl-C ends
    the training, not the program: the best weights so far are kept and ``history.interrupted`` is
    set. Random numbers come from ``plan.seed`` alone and torch's global generator is left as it
    was.

    A stream (`recurnn.data.Streams`) is trained by truncated backpropagation through time: the
    network is called with a chunk [k, B, ...] and the state that it returned for the chunk
    before, and returns output and state. Memory is bounded by the chunk. A chunk is of
    ``plan.k1`` steps, 35 by default, and no gradient goes further back than ``plan.k2``.

    Under torchrun or ``accelerate launch`` every process calls this with the same arguments; each
    batch, and the lanes of a stream, are divided among them, and all end with the same weights.

    Args:
        module: maps x of a batch to what the loss compares with y.
        train: what to train on: windows, sequences, anything with numbered pairs, or a stream.
        validation: what decides when to stop and what to keep.
        plan: how to train.
        name: what to call the network in errors and progress.
        watch: is told of every update and epoch; one, or several.
        objective: from a batch to what is minimised, instead of ``plan.loss``.
        metrics: measured on the validation part: names, or `Metric` by name.
        saves: where checkpoints go, and whether to go on from one; a log lies there too
            (``log.csv``).
        log: file of a log, ``.csv`` or ``.jsonl``: a row an epoch, as training goes. For a row of
            every so many updates, give a `LogFile` as a `watch`.

    Returns:
        Losses and times of every epoch, and which one was kept.

    Raises:
        TrainingError: nothing to train, or the loss or the gradient is not finite.
        ConfigError: an argument is of another kind, or options do not fit the data.
        DataError: there are no samples.
        CheckpointError: checkpoints that do not fit this run, or cannot be written.
    """
    check_given(module, train, validation, plan, saves)
    processes = Processes(plan.precision)
    chosen = metrics_of(metrics if isinstance(metrics, Mapping) else tuple(metrics))
    check_together(plan, train, validation, chosen, objective, processes.count)
    home = device_of(module)
    module.to(processes.device)
    run = Run(
        module,
        _feed(train, plan),
        None if validation is None else evaluation_feed(validation),
        plan,
        name,
        _watches(watch, saves, log),
        objective or Supervised(LOSSES[plan.loss] if isinstance(plan.loss, str) else plan.loss),
        chosen,
        processes,
    )
    saving = Saving(saves, run, train)
    devices = [processes.device] if processes.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), Signals(terminate=saves is not None) as signals:
        torch.manual_seed(plan.seed + processes.rank)
        try:
            _train(run, saving, signals)
        except KeyboardInterrupt:
            run.history.interrupted = True
        except BaseException:
            for one in run.watches:
                one.broken(run)
            raise
        finally:
            run.clipper.close()
    run.restore_best()
    module.to(home)
    for one in run.watches:
        one.end(run)
    if signals.received is not None and saves is not None and signals.received != 2:
        sys.exit(128 + signals.received)
    return run.history


def _watches(
    watch: Watch | Sequence[Watch] | None, saves: Saves | None, log: str | Path | None
) -> list[Watch]:
    """Those who are told; a log is among them where one is asked for, and in every folder."""
    given = [watch] if isinstance(watch, Watch) else list(watch or ())
    paths = [] if log is None else [log]
    if saves is not None:
        paths.append(Path(saves.folder) / "log.csv")
    return [*given, *map(LogFile, paths)]


def _train(run: Run, saving: Saving, signals: Signals) -> None:
    run.processes.same_start(run.module)
    saving.resume()
    run.start_clock()
    for watch in run.watches:
        watch.start(run)
    done = False if run.history.epochs else _close(run, saving, signals)
    while not done and not run.history.stopped_early and run.epochs_done < run.plan.epochs:
        done = _epoch(run, saving, signals) or _close(run, saving, signals)
    run.tick()
    saving.last()


def _epoch(run: Run, saving: Saving, signals: Signals) -> bool:
    """Train the rest of an epoch; whether training ends in it."""
    run.epoch = run.epochs_done + 1
    run.module.train()
    order, n = run.feed.order(run.epoch), run.plan.accumulate
    began = time.perf_counter() - run.totals.seconds
    while run.batch < len(order):
        update = run.update(order[run.batch : run.batch + n])
        run.totals.seconds = time.perf_counter() - began
        wishes = [watch.update(run, update) for watch in run.watches]
        if _stop(run, signals, wish=any(wishes)):
            return True
        if run.batch < len(order):
            run.tick()
            saving.between()
    return False


def _close(run: Run, saving: Saving, signals: Signals) -> bool:
    """End an epoch; whether training ends with it."""
    epoch, best = run.close_epoch()
    run.tick()
    wishes = [watch.epoch(run, epoch, best=best) for watch in run.watches]
    if run.epoch and run.epoch < run.plan.epochs and run.out_of_patience():
        run.history.stopped_early = True
    done = _stop(run, signals, wish=any(wishes)) or run.history.stopped_early
    saving.after_epoch(best=best)
    return done


def _stop(run: Run, signals: Signals, *, wish: bool) -> bool:
    """Whether a signal came to any process, or a watch wants to end."""
    came = signals.received is not None
    if run.processes.count > 1:
        came, wish = (v > 0 for v in run.processes.total([float(came), float(wish)]))
    run.history.interrupted = run.history.interrupted or came
    run.history.stopped_early = run.history.stopped_early or wish
    return came or wish


def _feed(train: Batches | Streams, plan: Plan) -> Feed:
    if isinstance(train, Streams):
        return Streamed(train, plan.k1, plan.window)
    return Shuffled(train, plan.samples(len(train)), seed=plan.seed, bucket=plan.bucket)
