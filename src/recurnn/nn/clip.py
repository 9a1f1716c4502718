"""Clipping of the gradient inside the recurrence, as an option of layers and of whole models."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from recurnn.clipping import GradientClip
from recurnn.errors import ConfigError
from recurnn.nn.steps import OneStep


class Clips:
    """What a layer has that can clip the gradient inside its recurrence."""

    _clip: GradientClip | None = None

    @property
    def clip_gradient(self) -> float | None:
        """The limit to which dL/dstate is clipped as it passes from step to step, or None."""
        return None if self._clip is None else self._clip.limit

    @clip_gradient.setter
    def clip_gradient(self, limit: float | None) -> None:
        if limit is None or self._clip is None:
            self._clip = None if limit is None else GradientClip(limit)
        else:
            self._clip.limit = limit
        self._clip_changed()

    def _clip_changed(self) -> None:
        """For a layer that keeps the limit in another place too."""


class ClipCounts(NamedTuple):
    """How often the gradient inside the recurrences of a model was clipped.

    Attributes:
        clipped: components that were beyond the limit.
        passed: components that have passed from a step to the one before, clipped ones included.
    """

    clipped: int
    passed: int

    @property
    def rate(self) -> float:
        """The share of components that were clipped; 0 where none has passed."""
        return self.clipped / max(self.passed, 1)


def set_clip_gradient(module: nn.Module, limit: float | None) -> None:
    """Clip the gradient inside the recurrence of every recurrent layer of a model.

    Args:
        module: the model, or a layer.
        limit: as `clip_gradient` of the layers; None to clip no more.

    Raises:
        ConfigError: the limit is not a positive number, there is no recurrent layer, or one that
            cannot clip: torch's own, or a cell of one step, whose loop is not ours.

    Example:
        >>> import torch, recurnn
        >>> model = torch.nn.Sequential(recurnn.nn.LSTM(3, 8))
        >>> recurnn.nn.set_clip_gradient(model, 0.01)
        >>> model(torch.randn(7, 2, 3))[0].sum().backward()
        >>> recurnn.nn.clip_counts(model).passed
        192
    """
    layers = _layers(module)
    if limit is not None:
        for name, part in module.named_modules():
            if isinstance(part, nn.RNNBase | nn.RNNCellBase | OneStep):
                raise ConfigError(
                    f"set_clip_gradient: {name or 'the module'} is a {type(part).__name__}, which "
                    "cannot clip the gradient inside its recurrence.\n"
                    "  Use a layer of recurnn.nn; recurnn.nn.convert(model) exchanges torch's."
                )
        if not layers:
            raise ConfigError(
                f"set_clip_gradient: there is no recurrent layer in this {type(module).__name__}.\n"
                "  Give it a model with layers of recurnn.nn."
            )
    for layer in layers:
        layer.clip_gradient = limit


def clip_counts(module: nn.Module, *, reset: bool = False) -> ClipCounts:
    """How often the gradient was clipped inside the recurrences of a model, in all its layers.

    Args:
        module: the model, or a layer.
        reset: whether to begin to count anew.
    """
    clips = [layer._clip for layer in _layers(module) if layer._clip is not None]
    found = ClipCounts(sum(c.clipped for c in clips), sum(c.passed for c in clips))
    if reset:
        for clip in clips:
            clip.reset()
    return found


def _layers(module: nn.Module) -> list[Clips]:
    return [part for part in module.modules() if isinstance(part, Clips)]
