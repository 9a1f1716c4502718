"""recurnn: recurrent neural networks, from the equations of a cell to an honest forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurnn import cells, errors, nn
from recurnn.clipping import GradientClip
from recurnn.explain import explain
from recurnn.norms import GradientNorms
from recurnn.scan import ScanResult, scan
from recurnn.stepper import Stepper, stepper
from recurnn.subject import Subject

if TYPE_CHECKING:
    from recurnn.models import (
        Forecaster,
        LanguageModel,
        Seq2Seq,
        SequenceClassifier,
        SequenceGenerator,
        SequenceRegressor,
        SequenceTagger,
    )

__version__ = "0.1.0"

__all__ = [
    "cells",
    "errors",
    "nn",
    "scan",
    "stepper",
    "explain",
    "Forecaster",
    "Seq2Seq",
    "SequenceClassifier",
    "SequenceGenerator",
    "SequenceRegressor",
    "SequenceTagger",
    "GradientClip",
    "LanguageModel",
    "GradientNorms",
    "ScanResult",
    "Stepper",
    "Subject",
    "__version__",
]

_MODELS = (
    "Forecaster", "LanguageModel", "Seq2Seq", "SequenceClassifier", "SequenceGenerator",
    "SequenceRegressor", "SequenceTagger",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    # Whoever wants a layer does not wait for pandas, statsmodels and scikit-learn.
    if name in _MODELS:
        from recurnn import models

        return getattr(models, name)
    if name == "insight":
        import importlib

        return importlib.import_module("recurnn.insight")
    raise AttributeError(f"module 'recurnn' has no attribute {name!r}")
