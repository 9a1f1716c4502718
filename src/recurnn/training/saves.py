"""When a run is saved, and how it is taken up again with not a bit lost."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurnn.data import Streams
from recurnn.errors import CheckpointError, ConfigError
from recurnn.files import written_by
from recurnn.training import carry
from recurnn.training.averaging import Average
from recurnn.training.checkpoints import Checkpoints
from recurnn.training.feeds import Batches, part_of
from recurnn.training.history import Epoch
from recurnn.training.run import Run

_QUIET_SECONDS = 10.0
_SAMPLES = 16


@dataclass(frozen=True)
class Saves:
    """Where a run is saved and how often.

    Attributes:
        folder: of the checkpoints.
        every: updates between two of them; None for one at the end of every epoch that is the
            best or ten seconds after the last.
        keep: how many are kept besides the best.
        on_failure: ``"warn"``: say so and go on training; ``"stop"``: raise.
        resume: whether to go on from a checkpoint that is there. Workers that torchrun started
            again always do.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """

    folder: str | Path
    every: int | None = None
    keep: int = 3
    on_failure: str = "warn"
    resume: bool = False

    def __post_init__(self) -> None:
        for what in ("every", "keep"):
            value = getattr(self, what)
            if value is None and what == "every":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(
                    f"saves: {what} is {value!r}; expected a whole number of at least 1."
                )


class Saving:
    """Saves one run; the main process writes, all give what is theirs.

    Args:
        saves: where to; None for nowhere.
        run: the run.
        data: what it is trained on, of which a fingerprint is kept.

    Raises:
        CheckpointError: the folder holds checkpoints of another run, or ones that were not to be
            gone on from.
    """

    def __init__(self, saves: Saves | None, run: Run, data: Batches | Streams) -> None:
        self.run, self.saves = run, saves
        self._saved, self._when = -1, time.monotonic()
        if saves is None:
            return
        self.files = Checkpoints(saves.folder, keep=saves.keep, on_failure=saves.on_failure)
        self.about = _about(run, data)
        there = self.files.about()
        again = saves.resume or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
        if there is not None and not again:
            raise CheckpointError(
                f"{saves.folder} already holds checkpoints.\n"
                "  Nothing was trained. Go on from them (resume=True, --resume), or give another "
                "folder."
            )
        if there is not None:
            _check_same(Path(saves.folder), there, self.about)

    def resume(self) -> None:
        """Take the run up where the newest whole checkpoint left it."""
        if self.saves is None:
            return
        self.run.processes.wait()
        found = self.files.newest()
        if found is not None:
            begun, epochs = found[1]["epoch"], self.run.plan.epochs
            if begun > epochs:
                raise CheckpointError(
                    f"{self.saves.folder} holds checkpoints of a run that is further than this one "
                    f"is to go.\n  It is in epoch {begun}; epochs is {epochs}.\n"
                    f"  Nothing was trained. Give epochs of at least {begun}, or another folder."
                )
            unpack(self.run, found[1])
            self._saved = found[0]

    def between(self) -> None:
        """Between two updates of an epoch."""
        every = None if self.saves is None else self.saves.every
        if every is not None and self.run.history.updates % every == 0:
            self._save(best=False)

    def after_epoch(self, *, best: bool) -> None:
        """At the end of an epoch."""
        if self.saves is None or self.run.epoch == 0:
            return
        if best or self.saves.every is not None or (
            self.run.processes.count == 1 and time.monotonic() - self._when > _QUIET_SECONDS
        ):  # fmt: skip
            self._save(best=best)

    def last(self) -> None:
        """At the end of the run."""
        if self.saves is not None and self._saved != self.run.history.updates:
            self._save(best=False)

    def _save(self, *, best: bool) -> None:
        state = pack(self.run) | {"about": self.about}
        if self.run.processes.is_main:
            self.files.save(self.run.history.updates, state, best=best)
        self._saved, self._when = self.run.history.updates, time.monotonic()


def pack(run: Run) -> dict[str, Any]:
    """Everything that the rest of a run depends on; of several processes, what is each one's."""
    shares = run.processes.gathered(
        {
            "state": carry.each(run.state, lambda t: t.detach().cpu()),
            "random": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if run.processes.device.type == "cuda" else None,
        }
    )
    optimizer = run.optimizer.state_dict()
    history = {k: v for k, v in vars(run.history).items() if k != "epochs"}
    numbers = np.random.get_state(legacy=False)
    return {
        "module": dict(run.module.state_dict()),
        "optimizer": {
            "state": {str(k): v for k, v in optimizer["state"].items()},
            "param_groups": [dict(group) for group in optimizer["param_groups"]],
        },
        "kept": run.kept,
        "average": None
        if run.average is None
        else {"mean": run.average.mean, "count": run.average.count},
        "state": carry.joined([s["state"] for s in shares]) if run.state is not None else None,
        "random": [s["random"] for s in shares],
        "cuda": [s["cuda"] for s in shares],
        "python": random.getstate(),
        "numpy": {
            "key": torch.from_numpy(numbers["state"]["key"].astype(np.int64)),
            "pos": int(numbers["state"]["pos"]),
            "has_gauss": int(numbers["has_gauss"]),
            "gauss": float(numbers["gauss"]),
        },
        "epoch": run.epoch,
        "batch": run.batch,
        "patience": run.plan.patience,
        "totals": vars(run.totals),
        "lowest": run.lowest,
        "monitored": run.monitored,
        "history": history | {"epochs": [asdict(e) for e in run.history.epochs]},
    }


def unpack(run: Run, saved: Mapping[str, Any]) -> None:
    """Put a run where it was when it was packed, on any number of processes."""
    rank, processes = run.processes.rank, run.processes.count
    run.module.load_state_dict(saved["module"])
    state = {int(k): v for k, v in saved["optimizer"]["state"].items()}
    run.optimizer.load_state_dict(
        {"state": state, "param_groups": saved["optimizer"]["param_groups"]}
    )
    device = run.processes.device
    run.kept = None if saved["kept"] is None else _on(saved["kept"], device)
    if saved["average"] is not None:
        run.average = Average(run.weights)
        run.average.mean = _on(saved["average"]["mean"], device)
        run.average.count = saved["average"]["count"]
    run.state = None
    if saved["state"] is not None:
        lanes = carry.tensors(saved["state"])[0].shape[-2]
        run.state = _on(carry.lanes(saved["state"], *part_of(lanes, rank, processes)), device)
    if len(saved["random"]) == processes:
        torch.set_rng_state(saved["random"][rank])
        if device.type == "cuda" and saved["cuda"][rank] is not None:
            torch.cuda.set_rng_state(saved["cuda"][rank])
    random.setstate(saved["python"])
    numbers = saved["numpy"]
    np.random.set_state(
        (
            "MT19937", numbers["key"].numpy().astype(np.uint32), numbers["pos"],
            numbers["has_gauss"], numbers["gauss"],
        )
    )  # fmt: skip
    run.epoch, run.batch = saved["epoch"], saved["batch"]
    vars(run.totals).update(saved["totals"])
    run.lowest, run.monitored = saved["lowest"], list(saved["monitored"])
    history = dict(saved["history"])
    run.history.epochs = [Epoch(**e) for e in history.pop("epochs")]
    vars(run.history).update(history | {"interrupted": False})
    run.history.resumed = run.history.updates
    ended, patience = run.batch == 0, saved["patience"]  # of an epoch; it may have more now
    if ended and patience is not None and run.epoch - run.history.best >= patience:
        run.history.stopped_early = run.out_of_patience()


def _on(nest: Any, device: torch.device) -> Any:
    return carry.each(nest, lambda t: t.to(device))


def _about(run: Run, data: Batches | Streams) -> dict[str, Any]:
    """What a run must have in common with one that takes it up."""
    plan = run.plan.to_dict()
    if run.plan.schedule == "constant" or not isinstance(run.plan.schedule, str):
        plan.pop("epochs")  # more epochs change nothing of those before
    plan.pop("patience")
    return {
        "recurnn": written_by(),
        "weights": {
            k: f"{str(v.dtype).removeprefix('torch.')} {list(v.shape)}"
            for k, v in run.module.state_dict().items()
        },
        "plan": json.loads(json.dumps(plan)),
        "optimizer": json.loads(json.dumps(_settings(run.optimizer))),
        "data": {
            "kind": type(data).__name__,
            "size": data.length * data.lanes if isinstance(data, Streams) else len(data),
            "sample": _fingerprint(data),
        },
    }


def _settings(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The settings of each group of weights, as the run begins with them.

    A plan has a function of the user's by its name only, and what that function makes may have
    changed. A checkpoint's settings would silently take the place of its own.
    """
    found: dict[str, Any] = {"kind": type(optimizer).__name__}
    groups = optimizer.param_groups
    for number, group in enumerate(groups, start=1):
        of = f" of group {number}" if len(groups) > 1 else ""
        for name, value in group.items():
            if name == "params":
                found[f"number of tensors{of}"] = len(value)
            elif isinstance(value, Tensor):
                found[name + of] = value.tolist()
            else:
                plain = value is None or isinstance(value, (bool, int, float, str, tuple, list))
                found[name + of] = value if plain else repr(value)
    return found


def _fingerprint(data: Batches | Streams) -> str:
    """A hash of some samples, or of the first and the last steps of a stream."""
    digest = hashlib.sha256()
    parts: list[Any]
    if isinstance(data, Streams):
        few = min(_SAMPLES, data.length)
        chunks = [data.chunk(0, few), data.chunk(data.length - few, data.length)]
        parts = [(c.x, c.y, c.reset) for c in chunks]
    else:
        parts = [data.batch(torch.linspace(0, len(data) - 1, _SAMPLES).long())]

    def note(tensor: Tensor) -> Tensor:
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().tobytes())
        return tensor

    carry.each([list(p) for p in parts], note)
    return digest.hexdigest()[:16]


def _check_same(folder: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another model, plan, data set or version; say what differs."""
    titles = {"weights": "model", "data": "data set", "plan": "plan", "optimizer": "optimizer"}
    for what, title in titles.items():
        old, new = dict(there.get(what, {})), here[what]
        for key in [*new, *(k for k in old if k not in new)]:
            if old.get(key) != new.get(key):
                raise CheckpointError(
                    f"{folder} holds checkpoints of a run with another {title}.\n"
                    f"  {key} is {_said(old.get(key))} there and {_said(new.get(key))} here.\n"
                    "  Nothing was trained. Give what that run was given, or another folder."
                )
    if there.get("recurnn") != here["recurnn"]:
        raise CheckpointError(
            f"{folder} holds checkpoints of another version of recurnn.\n"
            f"  They were written by {there.get('recurnn')}; this is {here['recurnn']}, which may "
            "round elsewhere.\n  Use that version to go on, or begin anew in another folder."
        )


def _said(value: Any) -> str:
    return "missing" if value is None else str(value)
