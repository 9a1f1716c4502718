"""Every error that recurnn raises on purpose.

Each says on its first line where and what is wrong, then what was received, what was expected
and where that number comes from, and last what to do. The command line prints the text without
a traceback and ends with exit status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RecurnnError(ValueError):
    """Base of all errors that a user can mend."""


class ShapeError(RecurnnError):
    """A tensor does not have the shape, dtype or device that the others imply."""


class ConfigError(RecurnnError):
    """An option has a value that it cannot have."""


class CallError(ShapeError, RuntimeError):
    """A `ShapeError` of a layer that stands in for torch's, which raises RuntimeError there."""


class KindError(ConfigError, TypeError):
    """An option is of the wrong kind: a `ConfigError`, and a TypeError, which torch raises."""


class EngineError(RecurnnError):
    """An engine asked for by name cannot run this cell here."""


class DataError(RecurnnError):
    """A file, a table or a series cannot be used as it is."""


class ModelFolderError(RecurnnError):
    """A model folder is missing, damaged, of another version, or not a model folder."""


class NotFittedError(RecurnnError):
    """Something was asked of a model that only a fitted one has."""


class CheckpointError(RecurnnError):
    """A checkpoint cannot be written or read."""


class CheckpointWarning(UserWarning):
    """A checkpoint was not written, or a damaged one was passed over; training goes on."""


def one_of(what: str, received: object, known: Iterable[str]) -> ConfigError:
    """The error for a name that is not among the known ones; suggests the nearest.

    Args:
        what: what is being named, in the user's words: ``"engine"``, ``"cell"``.
        received: what was given.
        known: the names that exist.
    """
    names = list(known)
    return ConfigError(
        f"{what}: there is no {received!r}.\n  Known: {', '.join(names)}.{nearest(received, names)}"
    )


def nearest(received: object, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the known name closest to the received one, or nothing."""
    close = difflib.get_close_matches(str(received), list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def counted(count: int, one: str, many: str = "") -> str:
    """A number of things in words, one of them in the singular.

    Args:
        count: how many.
        one: what one of them is called.
        many: what several are called; by default the same with an s.

    Example:
        >>> counted(1, "token"), counted(2310, "token"), counted(1, "class", "classes")
        ('1 token', '2,310 tokens', '1 class')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def changed_in_place(what: str, instead: str = "a new tensor") -> ConfigError:
    """The error of a step that changes a tensor in place.

    Args:
        what: the method, or what was changed.
        instead: what to write.
    """
    return ConfigError(
        f"The step changes a tensor in place: {what}.\n"
        f"  Later steps and gradients would see the change. Use {instead}."
    )


def wrong_size(cell: str, state: str, got: str, size: tuple[str, int], expected: str) -> ShapeError:
    """The error of a step from which a state comes with another size than it goes in with.

    Args:
        cell: the name of its class.
        state: the state.
        got: the shape that it has.
        size: the letter of its size, and the size.
        expected: the shape that it should have.
    """
    letter, number = size
    return ShapeError(
        f"{cell}: step returns the state {state!r} in another shape.\n"
        f"  {state} is {got}; expected [B, {letter}] = {expected}, because `states` gives "
        f"{state} the size {letter} = {number}."
    )
