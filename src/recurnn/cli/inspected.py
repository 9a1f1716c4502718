"""Which model a folder holds, and that model with data, as what is looked into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from recurnn.cli import labelled as l
from recurnn.cli.generate import as_learned, read_sequences
from recurnn.cli.translate import read_pairs
from recurnn.data.labelled import Roles, read_labelled
from recurnn.data.labelled_tags import read_tagged
from recurnn.errors import ConfigError, ModelFolderError
from recurnn.models import (
    Forecaster,
    LanguageModel,
    Seq2Seq,
    SequenceClassifier,
    SequenceGenerator,
    SequenceRegressor,
    SequenceTagger,
)
from recurnn.models.folder import format_of
from recurnn.models.sequence_loading import load_sequence_model
from recurnn.subject import Subject

Found = tuple[Subject, Sequence[str]]
"""What is looked into, and a sentence for everything guessed."""

_WHOLE = "this model reads whole sequences"


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
    format = format_of(folder)
    if format is not None and format not in READERS:
        raise ModelFolderError(
            f"{folder} holds a model that cannot be looked into.\n  Its format is {format!r}; "
            f"known: {', '.join(READERS)}."
        )
    read = READERS.get(format or "", _forecaster)  # which says what is wrong with the folder
    return read(folder, data, rows, lag, steps)


def _forecaster(folder: Path, data: Path, rows: int, lag: int | None, steps: int | None) -> Found:
    model = Forecaster.load(folder)
    _no_steps(steps, f"a forecaster's rows have its context, {model.options.context} steps")
    return model.subject(data, rows=rows, lag=lag), model.notes


def _language(folder: Path, data: Path, rows: int, lag: int | None, steps: int | None) -> Found:
    model = LanguageModel.load(folder)
    subject = model.subject(data, rows=rows, steps=steps)
    return (subject if lag is None else replace(subject, lag=lag)), model.notes


def _sequences(folder: Path, data: Path, rows: int, lag: int | None, steps: int | None) -> Found:
    model = load_sequence_model(folder)
    _no_steps(steps, _WHOLE)
    read = read_labelled(data, Roles(**l.kept_roles(folder)))
    found = l.of_part(read, None if read.parts is not None and "test" in read.parts else "all")
    l.check_lengths(model, found)
    if isinstance(model, SequenceClassifier):
        l.check_classes(model.classes_, found)
    else:
        l.check_numbers(found)
    return model.subject(found.sequences, found.labels, rows=rows, lag=lag), found.notes


def _tags(folder: Path, data: Path, rows: int, lag: int | None, steps: int | None) -> Found:
    model = SequenceTagger.load(folder)
    _no_steps(steps, _WHOLE)
    found = read_tagged(data, Roles(**l.kept_roles(folder)))
    l.check_lengths(model, found)
    l.check_tags(model.classes_, found)
    return model.subject(found.sequences, found.labels, rows=rows, lag=lag), found.notes


def _pairs(folder: Path, data: Path, rows: int, lag: int | None, steps: int | None) -> Found:
    model = Seq2Seq.load(folder)
    _no_steps(steps, _WHOLE)
    sources, targets, _, note, _ = read_pairs(data, folder)
    return model.subject(sources, targets, rows=rows, lag=lag), [note]


def _generated(folder: Path, data: Path, rows: int, lag: int | None, steps: int | None) -> Found:
    model = SequenceGenerator.load(folder)
    _no_steps(steps, _WHOLE)
    conditions, targets, _, note, _ = read_sequences(data, folder)
    return model.subject(as_learned(model, conditions), targets, rows=rows, lag=lag), [note]


def _no_steps(steps: int | None, why: str) -> None:
    if steps is not None:
        raise ConfigError(f"--steps: {why}.\n  Leave it out.")


READERS: dict[str, Callable[[Path, Path, int, int | None, int | None], Found]] = {
    "recurnn-forecaster": _forecaster,
    "recurnn-language-model": _language,
    SequenceClassifier.format[0]: _sequences,
    SequenceRegressor.format[0]: _sequences,
    SequenceTagger.format[0]: _tags,
    Seq2Seq.format[0]: _pairs,
    SequenceGenerator.format[0]: _generated,
}
"""By the format that a folder's config names."""
