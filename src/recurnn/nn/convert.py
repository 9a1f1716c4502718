"""Exchange torch's recurrent layers in a model for ours, and back."""

from __future__ import annotations

import warnings
from typing import Any, Literal, TypeVar

from torch import nn
from torch.nn.utils import parametrize

from recurnn.errors import ConfigError, one_of
from recurnn.nn.base import TorchLayer
from recurnn.nn.dropin import GRU, LSTM, RNN
from recurnn.nn.steps import GRUCell, LSTMCell, OneStep, RNNCell

Model = TypeVar("Model", bound=nn.Module)

PAIRS: dict[type[nn.Module], type[nn.Module]] = {
    nn.RNN: RNN, nn.GRU: GRU, nn.LSTM: LSTM,
    nn.RNNCell: RNNCell, nn.GRUCell: GRUCell, nn.LSTMCell: LSTMCell,
}  # fmt: skip
# What every module has: parameters, buffers, hooks, the training flag.
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def convert(model: Model, to: Literal["recurnn", "torch"] = "recurnn") -> Model:
    """Exchange the recurrent layers of a model, in place.

    The new layers have the same parameters (the same objects, so an optimizer goes on), hooks,
    parametrizations and training flag. A subclass of one of torch's layers stays as it is, since
    its own code would be lost; and so does what is not registered as a submodule.

    Args:
        model: the model; or a layer itself, of which the other is returned.
        to: ``"recurnn"``, or ``"torch"`` for the way back.

    Returns:
        The model.

    Raises:
        ConfigError: `to` is neither; or a layer has an option that torch's layer has not.

    Example:
        >>> import torch, recurnn
        >>> model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GRU(4, 8))
        >>> recurnn.nn.convert(model)[1]
        GRU(4, 8)
        >>> type(model[1]) is recurnn.nn.GRU
        True
    """
    if to not in ("recurnn", "torch"):
        raise one_of("convert: to", to, ("recurnn", "torch"))
    pairs = PAIRS if to == "recurnn" else {ours: theirs for theirs, ours in PAIRS.items()}
    made: dict[int, nn.Module] = {}  # a layer in several places stays one layer

    def exchanged(module: nn.Module) -> nn.Module:
        kind = _kind(module)
        if kind not in pairs:
            return module
        if id(module) not in made:
            made[id(module)] = _exchange(module, pairs[kind])
        return made[id(module)]

    found = exchanged(model)
    if found is not model:
        return found  # type: ignore[return-value]
    for module in list(model.modules()):
        for name, child in list(module._modules.items()):
            if child is not None and (new := exchanged(child)) is not child:
                module._modules[name] = new
                if module.__dict__.get(name) is child:
                    module.__dict__[name] = new
    return model


def _kind(module: nn.Module) -> type[nn.Module]:
    """The class of a module, below the one that torch's parametrizations put over it."""
    kind = type(module)
    return kind.__bases__[0] if parametrize.is_parametrized(module) else kind


def _exchange(old: nn.Module, kind: type[nn.Module]) -> nn.Module:
    """A layer of another class with everything of the old one."""
    if kind in PAIRS:
        _only_torchs(old)
    new = kind(*_arguments(old), **_options(old), device="meta")
    for name in _OF_EVERY_MODULE:
        new.__dict__[name] = old.__dict__[name]
    weights = set(_names(old))
    for name in weights & set(old.__dict__):  # what pruning and weight_norm put there
        new.__dict__[name] = old.__dict__[name]
    if parametrize.is_parametrized(old):
        parametrize._inject_new_class(new)
        parametrizations: Any = old.parametrizations
        for name in parametrizations:
            parametrize._inject_property(new, name)
    if isinstance(new, nn.RNNBase):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            new._init_flat_weights()
    return new


def _names(layer: Any) -> list[str]:
    if isinstance(layer, nn.RNNCellBase | OneStep):
        return ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    return list(layer._flat_weights_names)


def _arguments(old: Any) -> list[Any]:
    return [old.input_size, old.hidden_size]


def _options(old: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"bias": old.bias}
    if isinstance(old, nn.RNNBase | TorchLayer):
        names = ["num_layers", "batch_first", "bidirectional"]
        found |= {name: getattr(old, name) for name in names}
        # With one layer dropout does nothing, and a warning about it was given once.
        found["dropout"] = old.dropout if old.num_layers > 1 else 0.0
        if old.proj_size:
            found["proj_size"] = old.proj_size
    if hasattr(old, "nonlinearity"):
        found["nonlinearity"] = old.nonlinearity
    return found


def _only_torchs(old: nn.Module) -> None:
    """Refuse a layer with options that torch's has not."""
    beyond = {k: v for k, v in getattr(old, "beyond", {}).items() if k != "memory"}
    if beyond:
        given = ", ".join(f"{k}={v!r}" for k, v in beyond.items())
        raise ConfigError(
            f"convert: a {_kind(old).__name__} has {given}"
            f".\n  torch.nn.{_kind(old).__name__} has no such option."
        )
