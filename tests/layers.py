"""The drop-in layers beside torch's, on the same weights and the same input."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from problems import normal
from tolerance import agree

F32, F64 = torch.float32, torch.float64


@dataclass(frozen=True)
class Case:
    """One layer and one input, in a line that can be pasted."""

    kind: str
    I: int = 5  # noqa: E741 - the field's own letter
    H: int = 7
    L: int = 1
    T: int = 6
    B: int | None = 3
    """None: an input without a batch."""
    dtype: torch.dtype = F64
    bidirectional: bool = False
    batch_first: bool = False
    bias: bool = True
    proj_size: int = 0
    dropout: float = 0.0
    nonlinearity: str = "tanh"
    state: bool = True
    contiguous: bool = True

    def __str__(self) -> str:
        values = [(f.name, getattr(self, f.name), f.default) for f in fields(self)[1:]]
        return " ".join([self.kind, *(f"{k}={v}" for k, v, usual in values if v != usual)])

    def make(self, where: Any) -> Any:
        """The layer of this name in `torch.nn` or `recurnn.nn`, with random weights."""
        options: dict[str, Any] = {"num_layers": self.L, "dtype": self.dtype}
        for name in ("bidirectional", "batch_first", "bias", "dropout"):
            options[name] = getattr(self, name)
        if self.kind == "LSTM":
            options["proj_size"] = self.proj_size
        if self.kind == "RNN":
            options["nonlinearity"] = self.nonlinearity
        torch.manual_seed(5)
        return getattr(where, self.kind)(self.I, self.H, **options).eval()

    def inputs(self) -> dict[str, Tensor]:
        """The input and the initial states."""
        batch = () if self.B is None else (self.B,)
        shape = (self.T, *batch, self.I)
        if self.batch_first and batch:
            shape = (*batch, self.T, self.I)
        if self.contiguous:
            x = normal(*shape, seed=1, dtype=self.dtype)
        else:
            x = normal(*shape[:-1], 2 * self.I, seed=1, dtype=self.dtype).detach()[..., 1::2]
            x.requires_grad_()
        found = {"x": x}
        if self.state:
            count = self.L * (2 if self.bidirectional else 1)
            sizes = {"h": self.proj_size or self.H} | ({"c": self.H} if self.kind == "LSTM" else {})
            for n, (k, size) in enumerate(sizes.items()):
                found[k] = normal(count, *batch, size, seed=2 + n, dtype=self.dtype)
        return found


def outcome(layer: torch.nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Outputs, final states, and the gradient to everything."""
    states = [inputs[k] for k in ("h", "c") if k in inputs]
    hx: Any = None if not states else tuple(states) if len(states) == 2 else states[0]
    y, last = layer(inputs["x"], hx)
    outputs = {"y": y} | dict(zip("hc", last if isinstance(last, tuple) else (last,), strict=False))
    return with_gradients(outputs, inputs | dict(layer.named_parameters()))


def compare(case: Case) -> None:
    """Assert that ours and torch's agree on everything."""
    theirs, ours = case.make(torch.nn), case.make(recurnn.nn)
    ours.load_state_dict(theirs.state_dict())
    inputs = case.inputs()
    got, want = outcome(ours, inputs), outcome(theirs, inputs)
    width = max(case.I, 2 * case.H) + case.H
    agree(got, want, terms=case.L * case.T * (width + (case.B or 1)))
