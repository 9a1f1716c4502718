"""recurnn: recurrent neural networks, from the equations of a cell to an honest forecast."""

from recurnn import cells, errors, nn
from recurnn.explain import explain
from recurnn.models import Forecaster
from recurnn.norms import GradientNorms
from recurnn.scan import ScanResult, scan
from recurnn.stepper import Stepper, stepper

__version__ = "0.1.0"

__all__ = [
    "cells",
    "errors",
    "nn",
    "scan",
    "stepper",
    "explain",
    "Forecaster",
    "GradientNorms",
    "ScanResult",
    "Stepper",
    "__version__",
]
