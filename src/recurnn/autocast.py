"""What `torch.autocast` asks of layers that are not torch's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def autocast_on(device: str) -> bool:
    """Whether autocast is on for a kind of device.

    Args:
        device: such as ``"cpu"``.
    """
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def halves_products(weight: Tensor) -> bool:
    """Whether autocast wants products with a weight of float32 to be of bfloat16.

    Args:
        weight: the weight.
    """
    device = weight.device.type
    return (
        torch._C._is_any_autocast_enabled()
        and weight.dtype == torch.float32
        and autocast_on(device)
        and torch.get_autocast_dtype(device) == torch.bfloat16
    )


def in_type(values: Any, dtype: torch.dtype) -> Any:
    """Floating point in another type.

    Args:
        values: a tensor, or some by order or name; None stays None.
        dtype: the type.
    """
    if isinstance(values, Tensor):
        return values.to(dtype) if values.is_floating_point() else values
    if isinstance(values, Mapping):
        return {k: in_type(v, dtype) for k, v in values.items()}
    return values if values is None else [in_type(v, dtype) for v in values]
