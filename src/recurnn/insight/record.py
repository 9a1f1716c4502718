"""What the recurrent layers of a model do while it runs: `Record`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from recurnn.cells import Cell
from recurnn.errors import ConfigError, one_of
from recurnn.nn.base import TorchLayer
from recurnn.recorder import Seen, recording


@dataclass
class Layer:
    """One recurrent layer, in one direction, with everything it did while the record was on.

    Attributes:
        name: where it is in the model; of one of several, with torch's tail: ``rnn.l1_reverse``.
        calls: its scans, in order. Steps of several calls are laid end to end.
    """

    name: str
    calls: list[Seen] = field(default_factory=list)

    @property
    def cell(self) -> Cell:
        """Its cell, with or without weights."""
        return self.calls[-1].cell

    @property
    def reverse(self) -> bool:
        """Whether it runs from the last step to the first."""
        return self.calls[-1].reverse

    @property
    def lengths(self) -> Tensor | None:
        """Real steps of each row, [B], if it was called once with lengths."""
        return self.calls[0].lengths if len(self.calls) == 1 else None

    @property
    def values(self) -> dict[str, Tensor]:
        """States and gates at every step, as far as recorded: name to [T, B, its size]."""
        names = self.calls[0].values
        return {k: torch.cat([call.values[k] for call in self.calls]) for k in names}

    @property
    def norms(self) -> dict[str, Tensor]:
        """The norm of dL/dstate at every step, state to [T, B], after a backward pass."""
        found: dict[str, list[Tensor]] = {k: [] for k in self.cell.states}
        for call in self.calls:
            for k, norms in found.items():
                if call.norms is None or not call.norms.ready:  # no gradient came here
                    norms.append(torch.zeros(call.steps, call.rows))
                else:
                    norms.append(call.norms[k])
        return {k: torch.cat(norms) for k, norms in found.items()}


class _Call:
    """A module that is running: where it is in the model, and how many scans it has made."""

    __slots__ = ("module", "path", "scans")

    def __init__(self, path: str, module: nn.Module) -> None:
        self.path, self.module, self.scans = path, module, 0


class _Noted:
    """A module's forward, which notes that it runs, for less than torch's hooks cost.

    It stands among the module's attributes for a while. A copy of the module made meanwhile, or
    a pickle, has the forward that was there before.
    """

    def __init__(self, path: str, module: nn.Module, running: list[_Call]) -> None:
        self._path, self._module, self._running = path, module, running
        self._own = vars(module).get("forward")
        self.__wrapped__ = module.forward  # for who asks what arguments it takes

    def __call__(self, *given: Any, **more: Any) -> Any:
        self._running.append(_Call(self._path, self._module))
        try:
            return self.__wrapped__(*given, **more)
        finally:
            self._running.pop()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_same, (self._own,)) if self._own else (getattr, (self._module, "forward"))

    def put(self, until: ExitStack) -> None:
        """In the place of the module's forward, until the end."""
        vars(self._module)["forward"] = self
        until.callback(self._take_out)

    def _take_out(self) -> None:
        del vars(self._module)["forward"]
        if self._own is not None:
            vars(self._module)["forward"] = self._own


def _same(value: Any) -> Any:
    return value


class Record:
    """Everything that the recurrent layers of a model do while this is on.

    The results of the model stay what they are, up to rounding where another kernel runs. Where
    only norms are recorded, a training step costs a few per cent more; let the record be on for
    many of them, and `clear` it before each. What torch.compile has compiled runs uncompiled
    meanwhile, so that it is seen.

    Args:
        module: the model. Its layers are those of `recurnn.nn`, alone or within others, or its
            own modules that call `recurnn.scan`.
        states: whether to keep each state at every step.
        gates: whether to keep each gate at every step.
        norms: whether the backward pass leaves the norm of dL/dstate of every step.

    Example:
        >>> import torch, recurnn
        >>> model = recurnn.nn.Stack(recurnn.nn.LSTM(3, 8, num_layers=2), torch.nn.Linear(8, 1))
        >>> with recurnn.insight.Record(model, gates=True) as record:
        ...     model(torch.randn(20, 4, 3)).output[-1].sum().backward()
        >>> list(record.layers)
        ['layers.0.l0', 'layers.0.l1']
        >>> record["layers.0.l1"].norms["c"].shape, record["layers.0.l0"].values["f"].shape
        (torch.Size([20, 4]), torch.Size([20, 4, 8]))
    """

    def __init__(
        self, module: nn.Module, *, states: bool = False, gates: bool = False, norms: bool = True
    ) -> None:
        self.module, self.states, self.gates, self.norms = module, states, gates, norms
        self._layers: dict[str, Layer] = {}
        self._running: list[_Call] = []
        self._open = ExitStack()

    def __enter__(self) -> Record:
        for path, module in self.module.named_modules():
            if _may_scan(module):
                _Noted(path, module, self._running).put(self._open)
        if "torch._dynamo" in sys.modules:  # what is compiled would run past the recorder
            self._open.enter_context(torch.compiler.set_stance("force_eager"))
        self._open.enter_context(recording(self))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        self._running.clear()

    def clear(self) -> None:
        """Forget what was seen so far, and look on."""
        self._layers = {}

    def saw(self, scan: Seen) -> None:
        """A scan has run forward within the module, or beside it."""
        if not self._running:
            return
        call = self._running[-1]
        name = _name(call.path, call.module, call.scans)
        call.scans += 1
        self._layers.setdefault(name, Layer(name)).calls.append(scan)

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers by name, the first to run first.

        Raises:
            ConfigError: none has run.
        """
        if not self._layers:
            raise ConfigError(
                f"No recurrent layer of recurnn has run in this {type(self.module).__name__}.\n"
                + (
                    "  It has layers of torch: recurnn.nn.convert(model) exchanges them."
                    if any(isinstance(m, nn.RNNBase) for m in self.module.modules())
                    else "  Expected layers of recurnn.nn, or modules that call recurnn.scan."
                )
            )
        return self._layers

    def __getitem__(self, name: str) -> Layer:
        layers = self.layers
        if name not in layers:
            raise one_of("layer", name, layers)
        return layers[name]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers.values())


def _may_scan(module: nn.Module) -> bool:
    """Not torch's own modules, nor cells: they are many, and to note each would cost time."""
    plain = type(module).__module__.startswith("torch.nn.") or isinstance(module, Cell)
    return not plain or "forward" in vars(module)


def _name(path: str, module: nn.Module, number: int) -> str:
    """What a layer is called: its place, and which of the scans of one call it is."""
    path = path or type(module).__name__
    if isinstance(module, TorchLayer):
        if module.num_layers * module.directions == 1:
            return path
        k, back = divmod(number, module.directions)
        return f"{path}.l{k}{'_reverse' if back else ''}"
    return f"{path}.{number}" if number else path
