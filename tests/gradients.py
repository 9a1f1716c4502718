"""The derivative of everything with respect to everything, under random cotangents."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def with_gradients(
    outputs: Mapping[str, Tensor], inputs: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The outputs, and `d name` for each input: the gradient of a random weighted sum of them.

    The weights depend on the names and shapes of the outputs only, so two implementations of one
    thing get the same ones.
    """
    random = torch.Generator().manual_seed(7)
    total = torch.zeros((), dtype=torch.float64)
    for name in sorted(outputs):
        value = outputs[name]
        cotangent = torch.randn(value.shape, generator=random, dtype=torch.float64).to(value.dtype)
        if value.requires_grad:
            total = total + (cotangent * value).sum()
    wanted = list(inputs.values())
    if total.requires_grad:
        slopes = torch.autograd.grad(total, wanted, materialize_grads=True)
    else:  # nothing was computed from the inputs, as in a sequence of no steps
        slopes = tuple(torch.zeros_like(value) for value in wanted)
    found = {f"d {name}": slope for name, slope in zip(inputs, slopes, strict=True)}
    return {name: value.detach() for name, value in outputs.items()} | found
