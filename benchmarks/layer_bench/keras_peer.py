"""The same options as Keras has them, on its torch backend.

It has no zoneout, weight drop, layer norm, reset or learned initial state in a recurrent layer.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from kernel_bench.agreement import Disagreement, agree
from kernel_bench.shapes import LAYERS
from kernel_bench.timing import Run

if TYPE_CHECKING:
    from layer_bench.options import Case

DROPOUTS = {"state dropout": {"recurrent_dropout": 0.2}, "input dropout": {"dropout": 0.2}}
MASKED = ("lengths", "mask with gaps")
HAS = (
    "plain", *DROPOUTS, *MASKED, "two directions, concat", "two directions, sum", "two layers",
    "two layers, residual",
)  # fmt: skip
ORDER = {"lstm": ("i", "f", "g", "o"), "gru": ("z", "r", "n")}
TORCHS = {"lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n")}


def keras_runs(case: Case) -> dict[str, Run]:
    """Both passes in Keras, checked; none if it lacks the option, is not installed, or disagrees.

    Args:
        case: with our layer, whose weights are used.
    """
    if case.name not in HAS or importlib.util.find_spec("keras") is None:
        return {}
    net, mask = _network(case), _mask(case)
    # [B, T, I], in memory as Keras likes it.
    x, dy = (v.transpose(0, 1).contiguous() for v in (case.x, case.dy))
    weights = [w.value for w in net.trainable_weights]

    def forward() -> Tensor:
        with torch.no_grad():
            y: Tensor = net(x, mask=mask, training=True)
            return y

    def train() -> list[Tensor]:
        given = x.detach().requires_grad_()
        y = net(given, mask=mask, training=True)
        return [y, *torch.autograd.grad(y, [given, *weights], dy)]

    return {"forward": forward, "train": train} if _agrees(case, net, x, mask) else {}


def _agrees(case: Case, net: Any, x: Tensor, mask: Tensor | None) -> bool:
    """Whether Keras gives our output, its dropouts off; where a step is real."""
    case.layer.eval()
    with torch.no_grad():
        want = case.layer(case.x, **case.how)[0]
        got = net(x, mask=mask, training=False).transpose(0, 1)
    case.layer.train()
    if mask is not None:  # past a row's end Keras repeats, we have zeros
        real = mask.t().unsqueeze(-1)
        got, want = (torch.where(real, y, 0) for y in (got, want))
    try:
        agree({"y": got}, {"y": want}, case.shape)
    except Disagreement as wrong:
        print(f"keras not timed: {case.cell}, {case.name}: {wrong}")
        return False
    return True


@functools.cache
def _keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    return keras


def _mask(case: Case) -> Tensor | None:
    """The real steps, [B, T]."""
    if "lengths" in case.how:
        return torch.arange(len(case.x)) < case.how["lengths"].unsqueeze(1)
    return case.how["mask"].t().contiguous() if "mask" in case.how else None


def _network(case: Case) -> Any:
    """The layers as a Keras user writes them, with our weights."""
    k, (T, B, I, H) = _keras(), case.shape  # noqa: E741 - the letters of the design

    def one() -> Any:
        kind = getattr(k.layers, LAYERS[case.cell])
        return kind(H, return_sequences=True, **DROPOUTS.get(case.name, {}))

    x = k.Input((T, I), batch_size=B)
    if case.name.startswith("two directions"):
        layer = k.layers.Bidirectional(one(), merge_mode=case.name.split(", ")[1])
        layers, net = [layer], _Called(layer)
    elif case.name.startswith("two layers"):
        first, second = one(), one()
        y = first(x)
        z = second(y)
        layers, net = [first, second], k.Model(x, z + y if "residual" in case.name else z)
    else:
        layer = one()
        layers, net = [layer], _Called(layer)
    for each in layers:
        if not each.built:
            each.build((B, T, I))
    weights = [
        array
        for tail in ("_l0", "_l0_reverse", "_l1")
        if hasattr(case.layer, f"weight_ih{tail}")
        for array in _arrays(case, tail)
    ]
    for each, some in zip(layers, np.split(np.arange(len(weights)), len(layers)), strict=True):
        each.set_weights([weights[n] for n in some])
    return net


class _Called:
    """A layer as it is called alone, the mask by name."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    @property
    def trainable_weights(self) -> Any:
        return self.layer.trainable_weights

    def __call__(self, x: Tensor, *, mask: Tensor | None, training: bool) -> Tensor:
        found: Tensor = self.layer(x, mask=mask, training=training)
        return found


def _arrays(case: Case, tail: str) -> list[Any]:
    """Kernel, recurrent kernel and bias of one direction, in Keras's order of gates."""
    order = [TORCHS[case.cell].index(gate) for gate in ORDER[case.cell]]

    def turned(name: str) -> Any:
        parts = getattr(case.layer, f"{name}{tail}").detach().chunk(len(order))
        return torch.cat([parts[n] for n in order]).numpy()

    b, u = turned("bias_ih"), turned("bias_hh")
    bias = np.stack([b, u]) if case.cell == "gru" else b + u
    return [turned("weight_ih").T, turned("weight_hh").T, bias]
