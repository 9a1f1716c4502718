"""Clipping of the gradient, and how often it bites."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recurnn.errors import ConfigError
from recurnn.nn import clip_counts, set_clip_gradient

Groups = Sequence[Sequence[nn.Parameter]]


@dataclass(frozen=True)
class Clip:
    """Limits on the gradient; those given are applied in this order.

    Attributes:
        inside: greatest size of each component of dL/dh_t on its way from step t + 1 to step t,
            inside the recurrence, as in Graves 2013 (arXiv 1308.0850).
        value: greatest size of each component of the gradient of a weight.
        layer_norm: greatest norm of the gradient of the weights of each layer.
        norm: greatest norm of the gradient of all weights (Pascanu et al. 2013).

    Raises:
        ConfigError: a limit is not a number above 0.
    """

    inside: float | None = None
    value: float | None = None
    layer_norm: float | None = None
    norm: float | None = None

    def __post_init__(self) -> None:
        for name, limit in vars(self).items():
            if limit is None:
                continue
            if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not (
                0 < limit < math.inf
            ):  # fmt: skip
                what = "clip" if name == "norm" else f"clip: {name}"
                raise ConfigError(f"{what} is {limit!r}; expected a number above 0.")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that are on."""
        return tuple(name for name, limit in vars(self).items() if limit is not None)


class Clipper:
    """Clips the gradients of a network and counts what it changed.

    Args:
        module: the network; the limit inside the recurrence is set on its recurrent layers.
        clip: the limits.
        measure: whether the global norm is wanted even where nothing is clipped by it.
    """

    def __init__(self, module: nn.Module, clip: Clip, *, measure: bool = False) -> None:
        self.clip, self.measure, self.module = clip, measure, module
        self.layers = layers(module)
        self.weights = [p for p in module.parameters() if p.requires_grad]
        if clip.inside is not None:
            set_clip_gradient(module, clip.inside)

    def __call__(self) -> tuple[float | None, dict[str, float]]:
        """Clip the gradients in place.

        Returns:
            The global norm before clipping (None where nothing asked for it), and for each kind
            the share of what it looks at that it changed.
        """
        clip, hits = self.clip, {}
        gradients = [p.grad for p in self.weights if p.grad is not None]
        norm = None
        if self.measure or clip.norm is not None:
            norm = float(nn.utils.get_total_norm(gradients))
        if clip.inside is not None:
            hits["inside"] = clip_counts(self.module, reset=True).rate
        if clip.value is not None:
            hits["value"] = _by_value(gradients, clip.value)
        if clip.layer_norm is not None:
            hits["layer_norm"] = _by_layer(self.layers, clip.layer_norm)
        if clip.norm is not None:
            assert norm is not None
            now = norm
            if clip.value is not None or clip.layer_norm is not None:
                now = float(nn.utils.get_total_norm(gradients))
            hits["norm"] = float(now > clip.norm)
            if now > clip.norm:
                total = torch.tensor(now, device=gradients[0].device)
                nn.utils.clip_grads_with_norm_(self.weights, clip.norm, total)
        return norm, hits

    def close(self) -> None:
        """Take the limit inside the recurrence off again."""
        if self.clip.inside is not None:
            set_clip_gradient(self.module, None)


def layers(module: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The weights that are trained, by the name of the layer that owns them; shared ones once."""
    found: dict[str, list[nn.Parameter]] = {}
    seen: set[int] = set()
    for name, layer in module.named_modules():
        own = [p for p in layer.parameters(recurse=False) if p.requires_grad]
        own = [p for p in own if id(p) not in seen]
        seen |= {id(p) for p in own}
        if own:
            found[name or type(module).__name__] = own
    return found


def _by_value(gradients: Sequence[Tensor], limit: float) -> float:
    over = sum(int((g.abs() > limit).sum()) for g in gradients)
    if over:
        torch._foreach_clamp_min_(list(gradients), -limit)
        torch._foreach_clamp_max_(list(gradients), limit)
    return over / sum(g.numel() for g in gradients)


def _by_layer(groups: dict[str, list[nn.Parameter]], limit: float) -> float:
    over = 0
    for weights in groups.values():
        gradients = [p.grad for p in weights if p.grad is not None]
        total = nn.utils.get_total_norm(gradients)
        if float(total) > limit:
            over += 1
            nn.utils.clip_grads_with_norm_(weights, limit, total)
    return over / max(1, len(groups))
