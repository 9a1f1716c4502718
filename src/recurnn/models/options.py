"""The options that every model has: its recurrent layers and how it is trained, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn

from recurnn.cells import CELLS, Cell
from recurnn.errors import ConfigError, one_of
from recurnn.nn import GRU, LSTM, RNN, Bidirectional, Recurrent
from recurnn.training import Plan

_LAYERS: dict[str, type[RNN] | type[LSTM] | type[GRU]] = {"lstm": LSTM, "gru": GRU, "elman": RNN}


@dataclass(frozen=True)
class ModelOptions:
    """What every model is told; the models' docstrings say what each option means.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """

    cell: str = "lstm"
    hidden_size: int | tuple[int, ...] = 64
    num_layers: int = 1
    dropout: float = 0.0
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    batch_size: int | None = None
    epochs: int = 50
    patience: int | None = 8
    clip: float | None = 1.0
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        whole(self, "num_layers", 1)
        whole(self, "batch_size", 1, none=True)
        if self.cell not in CELLS:
            raise one_of("cell", self.cell, CELLS)
        self._check_dropout()
        self._check_hidden()
        self.plan()
        check_patience(self)

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Units of each layer."""
        if isinstance(self.hidden_size, int):
            return (self.hidden_size,) * self.num_layers
        return self.hidden_size

    def plan(self, *, validated: bool = True, **more: Any) -> Plan:
        """How to train.

        Args:
            validated: whether there is a validation part, for patience.
            **more: fields of the plan that are not options of every model.
        """
        own: dict[str, Any] = {
            "optimizer": self.optimizer, "learning_rate": self.learning_rate,
            "schedule": self.schedule, "batch_size": self.batch_size, "epochs": self.epochs,
            "patience": self.patience, "clip": self.clip, "precision": self.precision,
            "seed": self.seed,
        }  # fmt: skip
        if not validated:
            own["patience"] = None
        return Plan(**(own | more))

    def to_dict(self) -> dict[str, Any]:
        """The options by name, a model's own before those that all have."""
        found, common = asdict(self), [field.name for field in fields(ModelOptions)]
        return {k: v for k, v in found.items() if k not in common} | {k: found[k] for k in common}

    def _check_dropout(self) -> None:
        if not isinstance(self.dropout, (int, float)) or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"dropout is {self.dropout!r}; expected a share of at least 0 and below 1."
            )

    def _check_hidden(self) -> None:
        sizes: object = self.hidden_size
        if isinstance(sizes, Sequence) and not isinstance(sizes, str):
            object.__setattr__(self, "hidden_size", tuple(sizes))
            if self.num_layers not in (1, len(sizes)):
                raise ConfigError(
                    f"hidden_size and num_layers do not fit.\n  hidden_size is {tuple(sizes)}, "
                    f"that is {len(sizes)} layers; num_layers is {self.num_layers}.\n"
                    "  Leave num_layers out."
                )
        each = sizes if isinstance(sizes, Sequence) and not isinstance(sizes, str) else (sizes,)
        if not each or any(not is_whole(h, 1) for h in each):
            raise ConfigError(
                f"hidden_size is {sizes!r}; expected a whole number of at least 1, or one for "
                "each layer."
            )


def cell_of(name: str, size: int, units: int, **more: Any) -> Cell:
    """A cell of any kind, of a projected one with half as many outputs as units.

    Args:
        name: as `recurnn.cells.CELLS` has it.
        size: I.
        units: H.
        **more: as the cell takes them.
    """
    if name == "projected-lstm":
        more["proj_size"] = max(units // 2, 1)
    return CELLS[name](size, units, **more)


def name_of(cell: str) -> str:
    """What a network of these cells is called."""
    return "Elman network" if cell == "elman" else CELLS[cell].__name__


def layers_of(
    cell: str, size: int, hidden_sizes: Sequence[int], *, bidirectional: bool = False
) -> tuple[nn.ModuleList, int]:
    """Recurrent layers, batch first, one upon the other; and the width of the last one's outputs.

    Args:
        cell: as `recurnn.cells.CELLS` has it.
        size: I of the lowest.
        hidden_sizes: units of each layer and direction.
        bidirectional: whether each layer also reads from the end.
    """
    layers = nn.ModuleList()
    for units in hidden_sizes:
        if cell in _LAYERS:
            layers.append(_LAYERS[cell](size, units, batch_first=True, bidirectional=bidirectional))
            size = units
        else:
            layer = Recurrent(cell_of(cell, size, units), batch_first=True)
            size = layer.cell.output_size
            layers.append(Bidirectional(layer) if bidirectional else layer)
        size *= 2 if bidirectional else 1
    return layers, size


def check_patience(options: Any) -> None:
    """Refuse a patience of one's own where nothing is held out to be validated on."""
    usual = type(options).patience
    if options.validation == 0 and options.patience not in (None, usual):
        raise ConfigError(
            f"patience is {options.patience}, but validation is 0.\n"
            "  Hold out a part to validate on, or leave patience out."
        )


def is_whole(value: object, least: int) -> bool:
    """Whether a value is a whole number, not below the least."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def whole(options: object, name: str, least: int, *, none: bool = False) -> None:
    """Refuse an option that is not a whole number (or None, where that is allowed)."""
    value = getattr(options, name)
    if (none and value is None) or is_whole(value, least):
        return
    raise ConfigError(f"{name} is {value!r}; expected a whole number of at least {least}.")
