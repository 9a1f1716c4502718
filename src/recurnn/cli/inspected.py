"""Which model a folder holds, and that model with data, as what is looked into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from recurnn.errors import ConfigError
from recurnn.models import Forecaster, LanguageModel
from recurnn.models.folder import format_of
from recurnn.subject import Subject

Found = tuple[Subject, Sequence[str]]
"""What is looked into, and a sentence for everything guessed."""


def subject_of(
    folder: Path, data: Path, *, rows: int, lag: int | None, steps: int | None
) -> Found:  # fmt: skip
    """The model of a folder on some data.

    Args:
        folder: that a command of recurnn, or `save`, wrote.
        data: a file of the kind that the model was trained on.
        rows: of the data.
        lag: how many steps back the task reaches, if that is known.
        steps: of a row, where the model does not say.

    Raises:
        ModelFolderError: the folder is missing, damaged, or of no model that is looked into.
        DataError: the data cannot be read, or do not fit the model.
        ConfigError: an option of another model.
    """
    read = READERS.get(format_of(folder) or "", _forecaster)  # which says what is wrong with it
    return read(folder, data, rows, lag, steps)


def _forecaster(folder: Path, data: Path, rows: int, lag: int | None, steps: int | None) -> Found:
    model = Forecaster.load(folder)
    _no_steps(steps, f"a forecaster's rows have its context, {model.options.context} steps")
    return model.subject(data, rows=rows, lag=lag), model.notes


def _language(folder: Path, data: Path, rows: int, lag: int | None, steps: int | None) -> Found:
    model = LanguageModel.load(folder)
    subject = model.subject(data, rows=rows, steps=steps)
    return (subject if lag is None else replace(subject, lag=lag)), model.notes


def _no_steps(steps: int | None, why: str) -> None:
    if steps is not None:
        raise ConfigError(f"--steps: {why}.\n  Leave it out.")


READERS: dict[str, Callable[[Path, Path, int, int | None, int | None], Found]] = {
    "recurnn-forecaster": _forecaster,
    "recurnn-language-model": _language,
}
"""By the format that a folder's config names."""
