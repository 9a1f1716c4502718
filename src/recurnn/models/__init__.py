"""Ready-made models for the jobs that people do with sequences."""

from recurnn.models.comparison import Row
from recurnn.models.forecaster import Forecaster, NotFittedError

__all__ = ["Forecaster", "Row", "NotFittedError"]
