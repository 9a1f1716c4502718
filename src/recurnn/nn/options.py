"""What the drop-in layers have beyond torch: keyword-only options, their defaults and checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from recurnn.cells.activated import Activation
from recurnn.cells.init import Init
from recurnn.clipping import check_limit
from recurnn.errors import ConfigError, KindError, one_of

MERGES = ("concat", "sum", "mean", "mul", None)
SHARES = ("input", "recurrent", "both", None)
INITIALS = ("zeros", "learned")
CONNECTIONS = ("residual", "dense", None)
MEMORIES = ("high", "low")

Zoneout = float | Mapping[str, float]


# What Keras and others call the options.
ELSEWHERE = {
    "recurrent_dropout": "state_dropout", "variational_dropout": "state_dropout",
    "recurrent_activation": "gate_activation", "merge_mode": "merge", "go_backwards": "reverse",
    "unit_forget_bias": "forget_bias", "layer_normalization": "layer_norm",
    "return_sequences": "return_states",
}  # fmt: skip


@dataclass(frozen=True)
class Beyond:
    """The options that torch's layers do not have.

    Attributes:
        merge: of two directions: ``"concat"``, ``"sum"``, ``"mean"``, ``"mul"``; or None for a
            pair of outputs (layers below the last one concatenate).
        share: weights that both directions have in common: ``"input"`` (weight_ih and bias_ih),
            ``"recurrent"`` (weight_hh, bias_hh, weight_hr), ``"both"``, or None.
        reverse: run from the last step to the first.
        initial: states where none are given: ``"zeros"`` or ``"learned"``, which begin at zero.
        stateful: begin where the last call ended; see `reset_states`.
        connections: ``"residual"``: every layer but the first adds its input to its output;
            ``"dense"``: every layer sees the input and the outputs of all layers below.
        input_dropout: probability for the input of every layer, one mask for all steps.
        state_dropout: probability for what the recurrent matrices multiply, one mask for all steps.
        weight_dropout: probability for the recurrent matrices, one mask a call.
        zoneout: probability for a unit to keep its state, for all states or by name.
        layer_norm: use the layer-normed cell.
        activation: in place of tanh, a name or a function.
        gate_activation: in place of the logistic function of the gates.
        forget_bias: where the forget gate's bias starts.
        memory: ``"low"`` to keep the states at every √T-th step only, and to compute what lies
            between again in the backward pass; as in `recurnn.scan`.
        clip_gradient: c, to which dL/dstate is clipped, component by component, as it passes from
            a step to the one before; see `recurnn.GradientClip`.
        init: how the weights start, as in `recurnn.cells.init`; torch's way by default.
    """

    merge: str | None = "concat"
    share: str | None = None
    reverse: bool = False
    initial: str = "zeros"
    stateful: bool = False
    connections: str | None = None
    input_dropout: float = 0.0
    state_dropout: float = 0.0
    weight_dropout: float = 0.0
    zoneout: Zoneout = 0.0
    layer_norm: bool = False
    activation: Activation | None = None
    gate_activation: Activation | None = None
    forget_bias: float | None = None
    memory: str = "high"
    clip_gradient: float | None = None
    init: Init | None = None

    @property
    def given(self) -> dict[str, Any]:
        """Those that differ from the defaults."""
        pairs = {f.name: (getattr(self, f.name), f.default) for f in fields(self)}
        return {k: value for k, (value, usual) in pairs.items() if value != usual}


def beyond(name: str, options: Mapping[str, Any]) -> Beyond:
    """The options of a layer, checked.

    Args:
        name: of the layer, for errors.
        options: as the user gave them.

    Raises:
        KindError: there is no such option.
        ConfigError: a value is out of range.
    """
    known = [f.name for f in fields(Beyond)]
    for option in options:
        if option not in known:
            here = ELSEWHERE.get(option)
            if here is not None:
                raise KindError(f"{name}: there is no option {option!r}.\n  It is {here!r} here.")
            raise KindError(str(one_of(f"{name}: option", option, [*TORCHS, *known])))
    found = Beyond(**options)
    for option, values in (
        ("merge", MERGES), ("share", SHARES), ("initial", INITIALS), ("connections", CONNECTIONS),
        ("memory", MEMORIES),
    ):  # fmt: skip
        if getattr(found, option) not in values:
            given = getattr(found, option)
            raise one_of(f"{name}: {option}", given, [str(value) for value in values])
    for option in ("input_dropout", "state_dropout", "weight_dropout"):
        check_rate(name, option, getattr(found, option))
    for option in ("reverse", "stateful", "layer_norm"):
        if not isinstance(getattr(found, option), bool):
            raise KindError(
                f"{name}: {option} is {getattr(found, option)!r}.\n  Expected True or False."
            )
    bias = found.forget_bias
    if bias is not None and (isinstance(bias, bool) or not isinstance(bias, int | float)):
        raise KindError(f"{name}: forget_bias is {bias!r}.\n  Expected a number.")
    if found.clip_gradient is not None:
        check_limit(name, found.clip_gradient)
    return found


TORCHS = (
    "num_layers", "nonlinearity", "bias", "batch_first", "dropout", "bidirectional", "proj_size",
    "device", "dtype",
)  # fmt: skip


def check_rate(name: str, option: str, rate: Any) -> None:
    """Refuse a probability that is not one, or that leaves nothing."""
    number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if not number or not 0 <= rate < 1:
        raise ConfigError(
            f"{name}: {option} is {rate!r}.\n  Expected a probability: at least 0 and below 1."
        )


def zoneout_rates(name: str, zoneout: Any, states: Mapping[str, object]) -> dict[str, float]:
    """The probability of each state that has one.

    Args:
        name: of the layer, for errors.
        zoneout: one for all, or by name.
        states: of the cell.
    """
    if isinstance(zoneout, Mapping):
        for state in zoneout:
            if state not in states:
                raise one_of(f"{name}: zoneout: state", state, states)
        given = dict(zoneout)
    else:
        given = dict.fromkeys(states, zoneout)
    for rate in given.values():
        check_rate(name, "zoneout", rate)
    return {state: given[state] for state in states if given.get(state)}
