"""Layer normalisation within a step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def normalise(*parts: Tensor) -> tuple[Tensor, ...]:
    """Zero mean and unit variance over all parts together: each [B, H] in, each [B, H] out."""
    whole = torch.cat(parts, dim=-1)
    return F.layer_norm(whole, whole.shape[-1:]).chunk(len(parts), dim=-1)
