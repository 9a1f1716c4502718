"""What ``classify``, ``tag`` and ``inspect`` share: options of the data, parts, checks."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from recurnn.cli.options import option
from recurnn.data.labelled import Labelled, Roles
from recurnn.data.sequence_inputs import as_inputs
from recurnn.errors import ConfigError, DataError, counted
from recurnn.models.sequence_preparation import parts_of, plain

READING = "reading.json"
SHOWN = 12  # classes or tags up to which the confusion matrix is printed, and that errors name
_SHARE = 0.2  # of the sequences that are tested on, by default


_READ, _CUT = "Data", "Parts"

Header = Annotated[
    bool | None, option(_READ, "Whether the first line names columns.", "--header/--no-header")
]
Test = Annotated[
    str | None,
    option(_CUT, "A file, a condition on a column (take<5), a share or a number (0.2)."),
]
Validation = Annotated[float | None, option(_CUT, "Share that decides when to stop (0.1).")]
MaxLength = Annotated[int | None, option(_READ, "Longer sequences are an error.")]
Part = Annotated[str | None, option(_CUT, "Of a file with parts: train, test or all (test).")]


def parts(
    data: Labelled, test: str | None, groups: NDArray[Any] | None, seed: int
) -> tuple[Labelled, Labelled, str]:
    """What is trained on, what is tested on, and a sentence on how they were parted.

    Args:
        data: the sequences.
        test: a condition, a share or a number; None for the file's own parts, or a fifth.
        groups: of which the test part has the same share each, [N].
        seed: of the draw.

    Raises:
        ConfigError: `test` is none of these, or leaves a part empty.
    """
    if test is None and data.parts is not None and "test" in data.parts:
        chosen = data.parts == "test"
        return _cut(data, chosen, "the file's own test part")
    share = _SHARE if test is None else _number(test)
    if share is None:
        assert test is not None
        if not any(sign in test for sign in "<>=!"):
            raise ConfigError(
                f"test is {test!r}, and there is no such file.\n  Expected a file, a condition on "
                "a column (take<5), a share or a number."
            )
        return _cut(data, data.matching(test), f"tested on: {test}")
    whole = share < 1 or share % 1 == 0
    share = share / len(data) if share >= 1 else share
    if not (whole and 0 < share < 1):
        raise ConfigError(
            f"test is {test}; expected a share between 0 and 1, or a whole number of "
            f"sequences below the {len(data)} that there are."
        )
    each = np.zeros(len(data), dtype=int) if groups is None else groups
    chosen = np.zeros(len(data), dtype=bool)
    chosen[parts_of(each, share, seed)[1]] = True
    return _cut(data, chosen, f"a share of {share:.3g} drawn by the seed is tested on")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _cut(data: Labelled, chosen: NDArray[np.bool_], note: str) -> tuple[Labelled, Labelled, str]:
    rest, test = data.take(np.flatnonzero(~chosen)), data.take(np.flatnonzero(chosen))
    if not len(rest) or not len(test):
        raise ConfigError(
            f"{data.origin}: {'nothing' if not len(test) else 'everything'} would be tested on.\n"
            f"  Of {counted(len(data), 'sequence')} {len(test):,} are in the test part ({note})."
        )
    return rest, test, f"{note}: {counted(len(rest), 'sequence')} to train, {len(test):,} to test"


def of_part(data: Labelled, part: str | None) -> Labelled:
    """The part of a file that has parts: the one named, or ``"test"``.

    Raises:
        ConfigError: there is none of this name.
    """
    if data.parts is None or part == "all":
        return data
    wanted = part or "test"
    if wanted not in data.parts:
        raise ConfigError(
            f"{data.origin} has no part {wanted!r}.\n  It has {', '.join(np.unique(data.parts))}; "
            "--part all takes all of it."
        )
    return data.take(np.flatnonzero(data.parts == wanted))


def keep_roles(folder: Path, roles: Roles) -> None:
    """Write how the data were read, so that further files are read alike."""
    text = json.dumps(asdict(roles), indent=2, ensure_ascii=False)
    (folder / READING).write_text(text + "\n", encoding="utf-8")


def kept_roles(folder: Path) -> dict[str, Any]:
    """How the data of a model were read; nothing where it was not written."""
    file = folder / READING
    if not file.is_file():
        return {}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found | {k: tuple(found[k]) for k in ("label", "sequence")}


def check_lengths(model: Any, data: Labelled) -> None:
    """Name the place of a sequence that is longer than the model may read, or cannot be read.

    Args:
        model: with a ``max_length``.
        data: the sequences.
    """
    as_inputs(data.sequences, max_length=model.get_params()["max_length"], where=data.where)


def check_classes(classes: Any, data: Labelled) -> None:
    """Name the place of a class that the model is not, or was not, trained on."""
    assert data.labels is not None
    known = sorted({plain(k) for k in classes})
    for i, label in enumerate(data.labels):
        if plain(label) not in known:
            raise DataError(
                f"{data.where(i)} has the class {plain(label)!r}, which the training part has not."
                f"\n  It has: {', '.join(str(k) for k in known[:SHOWN])}."
            )


def check_numbers(data: Labelled) -> None:
    """Name the place of a label that is no number, where numbers are learned."""
    assert data.labels is not None
    for i, label in enumerate([] if data.labels.dtype.kind in "iufb" else data.labels):
        if _number(str(label)) is None:
            raise DataError(
                f"{data.where(i)} has the label {plain(label)!r}, which is no number.\n  Numbers "
                "are learned from numbers. Mend it, name another column (--label), or learn "
                "classes (--classes)."
            )


def check_tags(tags: NDArray[Any], data: Labelled) -> None:
    """Name the sequence of a tag that the model does not know."""
    assert data.labels is not None
    known = set(tags.tolist())
    for i, given in enumerate(data.labels):
        for t, tag in enumerate(given):
            if tag not in known:
                raise DataError(
                    f"{data.where(i)}, step {t + 1}, has the tag {tag!r}, which the model was not "
                    f"trained on.\n  It knows: {', '.join(map(str, tags[:SHOWN]))}."
                )
