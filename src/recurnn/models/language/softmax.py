"""The output layer: from a vector to the probabilities of all tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurnn.errors import ConfigError
from recurnn.nn import LinearCrossEntropy, linear_cross_entropy


class FullSoftmax(LinearCrossEntropy):
    """Softmax of W h + b: the mean of −log p of targets [N], given h [N, size], when called.

    Example:
        >>> chances = FullSoftmax(4, 9).log_probabilities(torch.zeros(2, 4)).exp()
        >>> bool(chances.sum(1).allclose(torch.ones(2)))
        True
    """

    def nats(self, h: Tensor, target: Tensor) -> Tensor:
        """−log p of each target, [N], without a gradient."""
        with torch.no_grad():
            found: Tensor = linear_cross_entropy(
                h, self.weight, target, self.bias, reduction="none"
            )
        return found

    def log_probabilities(self, h: Tensor) -> Tensor:
        """Log p of every token, [N, V]."""
        return F.log_softmax(self.logits(h), -1)


class AdaptiveSoftmax(nn.Module):
    """Tokens in clusters by rank: the frequent ones first, each later cluster in fewer dimensions.

    Grave, Joulin, Cissé, Grangier & Jégou, "Efficient softmax approximation for GPUs", 2017.

    Args:
        size: of h.
        vocabulary: V; tokens are numbered by rank.
        cutoffs: ranks at which clusters begin; by default after a tenth and a third of V.

    Raises:
        ConfigError: a cutoff that is not below V.
    """

    def __init__(self, size: int, vocabulary: int, cutoffs: Sequence[int] | None = None) -> None:
        super().__init__()
        if cutoffs is None:
            cutoffs = sorted({max(1, vocabulary // 10), max(2, vocabulary // 3)})
        if cutoffs[-1] >= vocabulary:
            raise ConfigError(
                f"cutoffs is {tuple(cutoffs)}; expected ranks below V = {vocabulary}, the size of "
                "the vocabulary."
            )
        # A cluster of no dimension would say nothing: a small h is divided by less. The little
        # that is taken off keeps rounding from making none of one.
        by = min(4.0, size ** (1 / len(cutoffs)) * (1 - 1e-9))
        self.layer = nn.AdaptiveLogSoftmaxWithLoss(
            size, vocabulary, cutoffs, div_value=by, head_bias=True
        )

    def forward(self, h: Tensor, target: Tensor) -> Tensor:
        """The mean of −log p of the targets [N], given h [N, size]."""
        loss: Tensor = self.layer(h, target).loss
        return loss

    def nats(self, h: Tensor, target: Tensor) -> Tensor:
        """−log p of each target, [N], without a gradient."""
        with torch.no_grad():
            output: Tensor = self.layer(h, target).output
        return -output

    def log_probabilities(self, h: Tensor) -> Tensor:
        """Log p of every token, [N, V]."""
        found: Tensor = self.layer.log_prob(h)
        return found
