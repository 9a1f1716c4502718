"""What the models that learn from sequences do differently: what is learned, and how it is told."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from recurnn.models.sequence_comparison import Scored
from recurnn.training.objective import Loss


class SequenceTarget:
    """What a model has to say of its target, to be a `SequenceModel`.

    Attributes:
        format: name and version of the model's folder.
        decides: the score that decides, and whether it is a share.
        metrics: measured on the validation part.
    """

    format: tuple[str, int]
    decides: tuple[str, bool]
    metrics: tuple[str, ...] = ()

    def _learn_target(self, y: NDArray[Any]) -> None:
        """Learn classes, or the scale of the numbers."""
        raise NotImplementedError

    def _encoded(self, y: NDArray[Any]) -> Tensor:
        """What the network is trained to say."""
        raise NotImplementedError

    def _size(self) -> int:
        """How many numbers the network says."""
        raise NotImplementedError

    def _loss(self, y: NDArray[Any]) -> str | Loss:
        raise NotImplementedError

    def _predicted(self, outputs: Tensor) -> NDArray[Any]:
        raise NotImplementedError

    def _scored(
        self, name: str, found: Any, y: NDArray[Any], seconds: float, *, recurrent: bool = False
    ) -> Scored:
        raise NotImplementedError

    def _baselines(self) -> dict[str, Any]:
        raise NotImplementedError

    def _groups(self, y: NDArray[Any]) -> NDArray[Any]:
        """Of which the validation part has the same share each, [N]."""
        return np.zeros(len(y), dtype=int)

    def _target_in_words(self) -> str:
        raise NotImplementedError

    def _target_config(self) -> dict[str, Any]:
        raise NotImplementedError

    def _restore_target(self, config: dict[str, Any]) -> None:
        raise NotImplementedError
