"""Ready-made models for the jobs that people do with sequences."""

from recurnn.errors import NotFittedError
from recurnn.models.comparison import Row
from recurnn.models.forecaster import Forecaster
from recurnn.models.language import LanguageModel

__all__ = ["Forecaster", "LanguageModel", "Row", "NotFittedError"]
