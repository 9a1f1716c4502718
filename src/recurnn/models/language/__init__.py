"""Language models: text in; how likely a text is, new text, and what fills a gap, out."""

from recurnn.models.language.beam import Beam
from recurnn.models.language.filling import Candidate
from recurnn.models.language.model import LanguageModel
from recurnn.models.language.options import LanguageOptions
from recurnn.models.language.recipes import RECIPES
from recurnn.models.language.report import GapRow, TextRow
from recurnn.models.language.scoring import Cache
from recurnn.models.language.vocabularies import same_vocabulary

__all__ = [
    "LanguageModel", "LanguageOptions", "RECIPES", "Cache", "Candidate", "Beam", "TextRow",
    "GapRow", "same_vocabulary",
]  # fmt: skip
