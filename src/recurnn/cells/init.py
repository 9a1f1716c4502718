"""How weights start, a gate at a time.

A scheme is a number (fill), the name of one of `SCHEMES`, or a function that fills a tensor in
place. An `Init` is the name of one of `PRESETS`, or a mapping from weight-name patterns to
schemes, of which the last match wins; what no pattern matches starts as in torch. Weights with a
start of their own (the gains of layer normalisation) keep it unless a pattern other than ``"*"``
matches them.

    LSTM(64, 128, init="glorot")
    LSTM(64, 128, init={"U_*": "orthogonal", "b_f": 1.0})
    LSTM(64, 128, init=PRESETS["glorot"] | {"b_f": 1.0})
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recurnn.errors import ConfigError, one_of

if TYPE_CHECKING:
    from recurnn.cells._cell import Cell

Scheme = float | str | Callable[[Tensor], object]
Init = str | Mapping[str, Scheme]

SCHEMES: dict[str, Callable[[Tensor], object]] = {
    "zeros": nn.init.zeros_,
    "ones": nn.init.ones_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_uniform": nn.init.kaiming_uniform_,
    "orthogonal": nn.init.orthogonal_,
    "identity": nn.init.eye_,
}

PRESETS: dict[str, dict[str, Scheme]] = {
    # torch: every weight from U(-1/√H, 1/√H)
    "uniform": {"*": "uniform"},
    # Glorot & Bengio 2010 for what enters, Saxe et al. 2014 for what recurs, as in Keras;
    # orthogonal a gate at a time, where Keras draws the stacked matrix.
    "glorot": {"*": "zeros", "[WV]*": "xavier_uniform", "U*": "orthogonal"},
}


def initialise(cell: Cell, init: Init = "uniform") -> None:
    """Fill the parameters of a cell in place.

    Args:
        cell: the cell.
        init: a preset's name, or a mapping of name patterns to schemes.

    Raises:
        ConfigError: an unknown preset or scheme, or a pattern that matches no weight.
    """
    if isinstance(init, str):
        if init not in PRESETS:
            raise one_of("init", init, PRESETS)
        rules = [*PRESETS[init].items(), *cell.start.items()]
    else:
        _every_pattern_matches(cell, init)
        # A list, not a merged dict: there a pattern named twice would keep its first place.
        rules = [*PRESETS["uniform"].items(), *cell.start.items(), *init.items()]
    bound = 1 / math.sqrt(cell.hidden_size)
    constants = [(k, getattr(cell, k)) for k in cell.constants]
    for name, weight in [*cell.named_parameters(), *constants]:
        own = any(fnmatchcase(name, pattern) for pattern in cell.start)
        scheme = [s for k, s in rules if fnmatchcase(name, k) and not (own and k == "*")][-1]
        if weight.is_meta:
            continue  # no numbers to draw; and under torch.func.vmap drawing is an error
        if isinstance(scheme, int | float):
            nn.init.constant_(weight, float(scheme))
        elif scheme == "uniform":
            nn.init.uniform_(weight, -bound, bound)
        elif isinstance(scheme, str):
            if scheme not in SCHEMES:
                raise one_of(f"init of {name}", scheme, ["uniform", *SCHEMES])
            if weight.dim() < 2 and scheme not in ("zeros", "ones"):
                raise ConfigError(f"init of {name}: {scheme!r} needs a matrix; {name} is a vector.")
            SCHEMES[scheme](weight)
        else:
            scheme(weight)


def _every_pattern_matches(cell: Cell, init: Mapping[str, Scheme]) -> None:
    # A preset's patterns are general ("U*"), so only the patterns of no preset are held to match.
    general = {pattern for preset in PRESETS.values() for pattern in preset}
    for pattern in init:
        if pattern not in general and not any(fnmatchcase(name, pattern) for name in cell.weights):
            raise one_of(f"init of {type(cell).__name__}: weight", pattern, cell.weights)


def chrono(steps: int, *, sign: int = 1) -> Callable[[Tensor], object]:
    """A scheme for the bias of a gate that keeps: times up to `steps`, spread over the units.

    The chrono initialisation of Tallec & Ollivier 2018, section 3: a gate σ(b) forgets within
    1 + exp(b) steps, and b is log U(1, T - 1). Here the times are spread evenly and not drawn, so
    that the opposite start of the input gate fits the forget gate unit by unit, as in the paper.

    Args:
        steps: T, the longest time that matters.
        sign: 1 for a gate that keeps when it is open, -1 for one that overwrites.

    Returns:
        A function that fills a bias [H] in place.

    Example:
        >>> from recurnn.cells import LSTM
        >>> cell = LSTM(2, 4, init={"b_f": chrono(100), "b_i": chrono(100, sign=-1)})
        >>> (1 + cell.b_f.exp()).round().tolist()
        [14.0, 39.0, 63.0, 88.0]
    """
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 2:
        raise ConfigError(f"chrono: steps is {steps!r}; expected a whole number of at least 2.")

    def fill(bias: Tensor) -> None:
        units = bias.shape[0]
        at = (torch.arange(units, dtype=torch.float64) + 0.5) / units
        with torch.no_grad():
            bias.copy_(sign * torch.log(1 + (steps - 2) * at))

    return fill
