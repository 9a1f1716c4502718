"""Ready-made models for the jobs that people do with sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurnn.errors import NotFittedError
from recurnn.models.comparison import Row
from recurnn.models.forecaster import Forecaster
from recurnn.models.language import LanguageModel

if TYPE_CHECKING:
    from recurnn.models.generator.model import SequenceGenerator
    from recurnn.models.seq2seq.model import Seq2Seq
    from recurnn.models.sequence_classifier import SequenceClassifier
    from recurnn.models.sequence_regressor import SequenceRegressor
    from recurnn.models.sequence_tagger import SequenceTagger

__all__ = [
    "Forecaster",
    "LanguageModel",
    "Seq2Seq",
    "SequenceClassifier",
    "SequenceGenerator",
    "SequenceRegressor",
    "SequenceTagger",
    "Row",
    "NotFittedError",
]


def __getattr__(name: str) -> Any:
    # Whoever forecasts does not wait for scikit-learn.
    if name == "Seq2Seq":
        from recurnn.models.seq2seq.model import Seq2Seq

        return Seq2Seq
    if name == "SequenceGenerator":
        from recurnn.models.generator.model import SequenceGenerator

        return SequenceGenerator
    if name == "SequenceClassifier":
        from recurnn.models.sequence_classifier import SequenceClassifier

        return SequenceClassifier
    if name == "SequenceRegressor":
        from recurnn.models.sequence_regressor import SequenceRegressor

        return SequenceRegressor
    if name == "SequenceTagger":
        from recurnn.models.sequence_tagger import SequenceTagger

        return SequenceTagger
    raise AttributeError(f"module 'recurnn.models' has no attribute {name!r}")
