"""A model of whole sequences from its folder, whichever it is."""

from __future__ import annotations

from pathlib import Path

from recurnn.models import folder as folder_
from recurnn.models.sequence_classifier import SequenceClassifier
from recurnn.models.sequence_regressor import SequenceRegressor


def load_sequence_model(folder: str | Path) -> SequenceClassifier | SequenceRegressor:
    """Read the folder of a classifier or a regressor.

    Raises:
        ModelFolderError: the folder is missing, damaged, or of another model.
    """
    if folder_.format_of(folder) == SequenceRegressor.format[0]:
        return SequenceRegressor.load(folder)
    return SequenceClassifier.load(folder)
