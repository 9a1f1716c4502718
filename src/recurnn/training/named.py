"""Options by name: an unknown one is refused in words, a given one is told from a default.

An option that cannot act where it is given must not be ignored in silence. Its value does not say
whether somebody wanted it, so that the call is remembered.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

from recurnn.errors import KindError, nearest

Kind = TypeVar("Kind", bound="type[Any]")


class Named:
    """Base of a dataclass of options that is made by `remembers`."""

    _given: frozenset[str]

    def given(self, name: str) -> bool:
        """Whether an option was given a value, rather than None or left at its default."""
        return name in self._given and getattr(self, name) is not None


def remembers(elsewhere: Mapping[str, str]) -> Callable[[Kind], Kind]:
    """A decorator of a dataclass: it knows which options it was given, and refuses others.

    Args:
        elsewhere: names that are looked for in it, and what to write instead.
    """

    def changed(kind: Kind) -> Kind:
        known = {field.name: field for field in fields(kind)}
        init = kind.__init__

        @functools.wraps(init)
        def checked(self: Any, *values: Any, **options: Any) -> None:
            for name in options:
                if name not in known:
                    raise _unknown(kind.__name__, name, known, elsewhere)
            given = dict(zip(known, values, strict=False)) | options
            if len(given) == len(known):  # a copy, by dataclasses.replace
                given = {k: v for k, v in given.items() if v != _default(known[k])}
            object.__setattr__(self, "_given", frozenset(given))
            init(self, *values, **options)

        kind.__init__ = checked
        return kind

    return changed


def _unknown(
    kind: str, name: str, known: Mapping[str, Any], elsewhere: Mapping[str, str]
) -> KindError:
    there = f" Write {elsewhere[name]}." if name in elsewhere else nearest(name, known)
    return KindError(f"{kind} has no option {name!r}.\n  It has: {', '.join(known)}.{there}")


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
