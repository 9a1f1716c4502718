"""Sequences as a user has them (arrays, frames, lists, texts), checked and in one form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recurnn.errors import ConfigError, DataError, ShapeError, counted, one_of

Numbers = list[NDArray[np.float32]]
"""For each sequence [T_i, C]."""
Tokens = list[list[str]]
"""For each sequence its tokens."""
Inputs = Numbers | Tokens

TOKENS = (None, "characters", "words")
_WORD = re.compile(r"\w+|[^\w\s]")


def as_inputs(
    source: Any,
    *,
    tokens: str | None = None,
    max_length: int | None = None,
    where: Callable[[int], str] = "X[{}]".format,
) -> Inputs:
    """Sequences in any accepted form, in one of two.

    Args:
        source: of numbers an array [N, T] or [N, T, C], a frame whose rows are sequences, or a
            list of arrays [T_i] or [T_i, C]; of text a list, array or pandas series of strings,
            or a list of lists of strings.
        tokens: what texts are cut into: ``"characters"`` or ``"words"``; None decides by whether
            most of them have a space. Lists of strings are tokens as they are.
        max_length: most steps that a sequence may have; None for any.
        where: from a number to what the sequence is called in errors.

    Returns:
        For each sequence an array [T_i, C] of float32, or its tokens.

    Raises:
        DataError: there is none, one is empty or too long, or holds what is not a finite number.
        ShapeError: channels differ in number.
        ConfigError: no such `tokens`.

    Example:
        >>> [x.shape for x in as_inputs([[1.0, 2.0, 3.0], [4.0]])]
        [(3, 1), (1, 1)]
        >>> as_inputs(["ab", "c"]), as_inputs(["To be.", "Or not"])
        ([['a', 'b'], ['c']], [['to', 'be', '.'], ['or', 'not']])
    """
    source = _listed(source)
    kind = kind_of(source, tokens)
    _check_lengths(source, max_length, where)
    if kind == "numbers":
        return _numbers(source, where)
    if kind == "given":
        return [_own_tokens(x, where(i)) for i, x in enumerate(source)]
    found = _cut(source, kind, where)
    _check_lengths(found, max_length, where)  # a text of blanks has no words
    return found


def kind_of(source: Any, tokens: str | None = None) -> str:
    """What sequences are: ``"numbers"``, ``"characters"``, ``"words"``, or tokens as ``"given"``.

    Raises:
        DataError: there are none.
        ConfigError: no such `tokens`, or the sequences hold numbers.
    """
    if tokens not in TOKENS:
        raise one_of("tokens", tokens, [str(t) for t in TOKENS])
    source = _listed(source)
    if isinstance(source[0], str):
        if tokens is not None:
            return tokens
        spaced = sum(isinstance(text, str) and " " in text.strip() for text in source)
        return "words" if 2 * spaced > len(source) else "characters"
    first = source[0]
    if isinstance(first, list | tuple | np.ndarray) and len(first) and isinstance(first[0], str):
        return "given"
    if tokens is not None:
        raise ConfigError(
            f"tokens is {tokens!r}, but the sequences hold numbers.\n"
            "  Leave tokens out, or give strings."
        )
    return "numbers"


def _listed(source: Any) -> Any:
    """The sequences as something that can be counted and indexed from 0."""
    if isinstance(source, pd.DataFrame | pd.Series):
        source = source.to_numpy()
    elif hasattr(source, "__array__") and not hasattr(source, "__len__"):
        source = np.asarray(source)
    refuse_sparse(source, "The sequences are")
    if isinstance(source, str | bytes | Mapping | Set) or not hasattr(source, "__len__"):
        raise DataError(
            f"The sequences are of type {type(source).__name__}.\n"
            "  Expected an array [N, T] or [N, T, C], a frame, or a list of sequences."
        )
    if len(source) == 0:
        raise DataError("There are no sequences.\n  X is empty; give one sequence or more.")
    return source


def refuse_sparse(source: Any, what: str) -> None:
    """Refuse a sparse matrix.

    Args:
        source: anything.
        what: begins the sentence about it: ``"The sequences are"``.
    """
    if hasattr(source, "tocsr"):
        raise DataError(
            f"{what} a sparse matrix: sparse input is not supported.\n  Give an array: X.toarray()."
        )


def _check_lengths(
    source: Sequence[Any], max_length: int | None, where: Callable[[int], str]
) -> None:
    for i, x in enumerate(source):
        steps = len(x) if hasattr(x, "__len__") else 1
        if steps == 0:
            raise DataError(
                f"{where(i)} is empty.\n  A sequence has one step or more: leave it out."
            )
        if max_length is not None and steps > max_length and not isinstance(x, str):
            raise DataError(
                f"{where(i)} is too long.\n  It has {counted(steps, 'step')}; max_length is "
                f"{max_length:,}.\n  Cut it, or raise max_length."
            )


def _cut(source: Sequence[Any], kind: str, where: Callable[[int], str]) -> Tokens:
    for i, text in enumerate(source):
        if not isinstance(text, str):
            raise DataError(f"{where(i)} is {text!r}; expected a string, as {where(0)} is.")
    return [_WORD.findall(t.lower()) if kind == "words" else list(t) for t in source]


def _own_tokens(x: Any, what: str) -> list[str]:
    found = list(x)
    for k, token in enumerate(found):
        if not isinstance(token, str):
            raise DataError(f"{what}: token {k} is {token!r}; expected a string.")
    return [str(token) for token in found]


def _numbers(source: Any, where: Callable[[int], str]) -> Numbers:
    found: Numbers = []
    for i, x in enumerate(source):
        if hasattr(x, "dtype") and np.iscomplexobj(x):
            raise DataError(
                f"Complex data not supported: {where(i)} holds complex numbers.\n"
                "  Give the real and imaginary parts as two channels."
            )
        try:
            values = np.asarray(x, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{where(i)} does not hold numbers.\n  {uneven(x) or error}\n"
                "  Expected [T] or [T, C], every step with the same channels."
            ) from error
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2:
            raise ShapeError(f"{where(i)} has {values.ndim} dimensions; expected [T] or [T, C].")
        if values.shape[1] == 0:
            raise ShapeError(f"{where(i)} has no channels: it is {list(values.shape)}.")
        if found and values.shape[1] != found[0].shape[1]:
            raise ShapeError(
                f"{where(i)} does not fit the others.\n"
                f"  It has {_channels(values.shape[1])}; {where(0)} has "
                f"{_channels(found[0].shape[1])}.\n  Give all sequences the same channels."
            )
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            t, c = (int(k) for k in bad[0])
            shown = "NaN" if np.isnan(values[t, c]) else str(values[t, c])
            raise DataError(
                f"{where(i)} holds what is not a finite number.\n"
                f"  Step {t}, channel {c} is {shown}. Fill it, or leave the sequence out."
            )
        found.append(values)
    return found


def uneven(x: Any) -> str | None:
    """In words, the first step of a sequence that has not as many numbers as its first step."""
    steps = [np.size(step) for step in x] if hasattr(x, "__len__") else []
    t = next((t for t, size in enumerate(steps) if size != steps[0]), None)
    return None if t is None else f"Step {t} has {_numbered(steps[t])}; step 0 has {steps[0]}."


def _numbered(count: int) -> str:
    return f"{count} number{'' if count == 1 else 's'}"


def _channels(count: int) -> str:
    return f"{count} channel{'' if count == 1 else 's'}"


def ragged(rows: Sequence[Any]) -> NDArray[Any]:
    """Lists of unequal length as an array of objects, [N]."""
    found = np.empty(len(rows), dtype=object)
    for i, row in enumerate(rows):
        found[i] = row
    return found
