"""How to train: every option, checked before any work is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import nn

from recurnn.errors import ConfigError, KindError, one_of
from recurnn.training.averaging import Averaging
from recurnn.training.clipping import Clip
from recurnn.training.history import TrainingError
from recurnn.training.named import Named, remembers
from recurnn.training.objective import LOSSES, Loss
from recurnn.training.schedules import SCHEDULES, Schedule, Warmup

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type)
    and issubclass(kind, torch.optim.Optimizer)
    and kind not in (torch.optim.Optimizer, torch.optim.LBFGS, torch.optim.SparseAdam)
}
"""The optimizers of torch.optim, by their names in small letters.

All but two: L-BFGS runs the network several times an update, and SparseAdam takes sparse gradients
only.
"""

Optimizer = str | Callable[[list[nn.Parameter]], torch.optim.Optimizer]

PRECISIONS = ("float32", "bfloat16")
NON_FINITE = ("raise", "warn", "off")
_BATCH = 128
_ELSEWHERE = {
    "lr": "learning_rate=...",
    "scheduler": "schedule=...",
    "metrics": "fit(..., metrics=...)",
    "log": "fit(..., log=...)",
    "momentum": 'optimizer_options={"momentum": ...}',
    "weight_decay": 'optimizer_options={"weight_decay": ...}',
    "betas": 'optimizer_options={"betas": ...}',
    "eps": 'optimizer_options={"eps": ...}',
}


@remembers(elsewhere=_ELSEWHERE)
@dataclass(frozen=True)
class Plan(Named):
    """How to train.

    An option that could not act is refused: `learning_rate` where a function makes the optimizer,
    `batch_size` of a stream, `k1` and `k2` of anything else, `patience` without a validation part.

    Attributes:
        loss: ``"mse"``, ``"mae"``, ``"cross_entropy"`` or ``"binary_cross_entropy"``, or a
            function of output and target that returns the mean, or the mean and over how many.
        optimizer: the name of an optimizer of torch.optim, or a function that makes one of a list
            of weights.
        learning_rate: of the optimizer, if it is given by its name.
        optimizer_options: what else it is given then: ``{"momentum": 0.9}``.
        batch_size: samples in a batch, over all processes; ``"all"`` for full batches; None for
            128, or all where there are fewer. A stream has its own.
        epochs: passes over the training part, at most.
        clip: greatest global norm of the gradient, or a `Clip`; None for no clipping.
        patience: epochs without a better validation loss before training stops; None for never.
        monitor: what decides which epoch is best: ``"loss"``, or the name of a metric.
        schedule: ``"constant"``, ``"cosine"``, ``"linear"``, or a function of a `Position`, such
            as `Decay`, `Plateau` and `Warmup`.
        averaging: when the mean of the weights begins to be what is validated and kept; None for
            never.
        accumulate: batches whose gradients are summed for one update.
        bucket: whether sequences of similar length are batched together.
        k1: steps of a stream after which the weights are updated; 35 by default, as in the larger
            networks of Zaremba et al. 2014.
        k2: steps that the gradient goes back from there; as many as `k1` by default (Williams and
            Peng 1990).
        precision: ``"float32"``, or ``"bfloat16"``: autocast, the weights staying float32.
        non_finite: what to do when the loss or the gradient is not finite: ``"raise"``,
            ``"warn"`` (leave the update out, say so, go on) or ``"off"``.
        seed: of the order of the samples and of dropout.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """

    loss: str | Loss = "mse"
    optimizer: Optimizer = "adam"
    learning_rate: float = 1e-3
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | str | None = None
    epochs: int = 50
    clip: float | Clip | None = 1.0
    patience: int | None = 8
    monitor: str = "loss"
    schedule: str | Schedule = "constant"
    averaging: Averaging | None = None
    accumulate: int = 1
    bucket: bool = False
    k1: int = 35
    k2: int | None = None
    precision: str = "float32"
    non_finite: str = "raise"
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_names()
        whole = (
            ("batch_size", 1), ("epochs", 0), ("patience", 1), ("accumulate", 1), ("k1", 1),
            ("k2", 1), ("seed", 0),
        )  # fmt: skip
        for what, least in whole:
            value = getattr(self, what)
            if value is None and what in ("batch_size", "patience", "k2"):
                continue
            if what == "batch_size" and value == "all":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(
                    f"{what} is {value!r}; expected a whole number of at least {least}."
                )
        rate = self.learning_rate
        if not isinstance(rate, (int, float)) or not 0 < rate < math.inf:
            raise ConfigError(f"learning_rate is {rate!r}; expected a number above 0.")
        for what in ("learning_rate", "optimizer_options"):
            if not isinstance(self.optimizer, str) and self.given(what):
                raise ConfigError(
                    f"{what} is {getattr(self, what)!r}, but optimizer is a function, which gives "
                    "the optimizer its own.\n"
                    "  Give it there: lambda weights: torch.optim.SGD(weights, lr=0.1)."
                )
        self.clipping()
        if self.k2 is not None and self.k1 > self.k2:
            raise ConfigError(
                f"k1 is {self.k1}, more than k2, which is {self.k2}.\n"
                "  The weights are updated every k1 steps and the gradient goes back k2 steps: "
                "with a smaller k2 some steps would never be learned from.\n"
                "  Give a k2 of at least k1."
            )

    def _check_names(self) -> None:
        for what, known in (
            ("loss", LOSSES),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("precision", PRECISIONS),
            ("non_finite", NON_FINITE),
        ):
            value = getattr(self, what)
            if isinstance(value, torch.optim.Optimizer):
                raise KindError(
                    f"optimizer is a {type(value).__name__} that was made already.\n"
                    "  Expected its name, or a function of the weights: "
                    f"lambda weights: {type(value).__name__}(weights, lr=0.1)."
                )
            named = what in ("precision", "non_finite") or not callable(value)
            if named and value not in known:
                raise one_of(what, value, known)
        then = self.schedule.then if isinstance(self.schedule, Warmup) else None
        if isinstance(then, str) and then not in SCHEDULES:
            raise one_of("schedule: then", then, SCHEDULES)

    def samples(self, there: int) -> int:
        """Samples in a batch, where there are so many in all.

        Raises:
            ConfigError: `batch_size` is more than that.
        """
        if isinstance(self.batch_size, int):
            if self.batch_size > there:
                raise ConfigError(
                    f"batch_size is {self.batch_size}, more than the training part has: {there}.\n"
                    '  Give a smaller one, or "all" for all of it at once.'
                )
            return self.batch_size
        return there if self.batch_size == "all" else min(_BATCH, there)

    def clipping(self) -> Clip:
        """The limits on the gradient."""
        return self.clip if isinstance(self.clip, Clip) else Clip(norm=self.clip)

    @property
    def window(self) -> int:
        """Steps of a stream that the gradient goes back: `k2`, or `k1` where it is not given."""
        return self.k1 if self.k2 is None else self.k2

    def factor(self) -> Schedule:
        """The schedule."""
        return SCHEDULES[self.schedule] if isinstance(self.schedule, str) else self.schedule

    def optimizer_of(self, module: nn.Module, name: str) -> torch.optim.Optimizer:
        """The optimizer over the weights of a network that are trained.

        Raises:
            TrainingError: the network has none.
            ConfigError: the optimizer does not take its options.
        """
        weights = [p for p in module.parameters() if p.requires_grad]
        if not weights:
            raise TrainingError(
                f"{name}: there is nothing to train.\n"
                f"  The network has {sum(p.numel() for p in module.parameters())} weights, and "
                "none of them requires a gradient."
            )
        if not isinstance(self.optimizer, str):
            return _holding(self.optimizer(weights), weights)
        try:
            return OPTIMIZERS[self.optimizer](
                weights, lr=self.learning_rate, **self.optimizer_options
            )  # type: ignore[call-arg]
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{self.optimizer} cannot be made with these options.\n"
                f"  optimizer_options is {dict(self.optimizer_options)!r}: {error}."
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """The options as plain values, functions by name."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        plain["clip"] = {k: v for k, v in vars(self.clipping()).items() if v is not None}
        plain["averaging"] = None if self.averaging is None else dict(vars(self.averaging))
        plain["optimizer_options"] = {k: repr(v) for k, v in self.optimizer_options.items()}
        for name in ("loss", "optimizer", "schedule"):
            if not isinstance(plain[name], str):
                kind = plain[name]
                named = getattr(kind, "__qualname__", None)
                plain[name] = repr(kind) if named is None else f"{kind.__module__}.{named}"
        return plain


def _holding(optimizer: Any, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    """What a user's function made, if it changes weights of the network."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise KindError(
            f"optimizer returned a {type(optimizer).__name__}.\n"
            "  Expected a function of the weights that returns a torch.optim.Optimizer."
        )
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if held.isdisjoint(id(p) for p in weights):
        raise ConfigError(
            "optimizer holds none of the network's weights.\n"
            "  Make it of the weights that the function is called with."
        )
    for group in optimizer.param_groups:
        if not 0 <= float(group["lr"]) < math.inf:
            raise ConfigError(
                f"optimizer has the learning rate {float(group['lr'])!r}; expected a finite number "
                "of at least 0."
            )
    return optimizer
