"""What a sceptic would try first, and the one function that scores every model."""

from recurnn.baselines.evaluation import (
    NetworkPredictor,
    Predictor,
    Scores,
    Units,
    evaluate,
    naive_error,
)
from recurnn.baselines.features import flat, relative, width
from recurnn.baselines.linear import LinearAutoregression
from recurnn.baselines.naive import Persistence, SeasonalNaive
from recurnn.baselines.ngram import Ngram
from recurnn.baselines.ngram_counts import NgramCounts
from recurnn.baselines.ngram_table import NgramRow, compare_ngrams
from recurnn.baselines.sampling import Sampling
from recurnn.baselines.text_scores import TextScores
from recurnn.baselines.window_mlp import WindowMLP

__all__ = [
    "Persistence", "SeasonalNaive", "LinearAutoregression", "WindowMLP",
    "Predictor", "NetworkPredictor", "Units", "Scores", "evaluate", "naive_error",
    "flat", "relative", "width",
    "Ngram", "NgramCounts", "NgramRow", "compare_ngrams", "Sampling", "TextScores",
]  # fmt: skip
