"""What a cell declares and what its step returns, held against each other.

A mistake in a declaration is an error where the cell is made, one in a step where it first runs.
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from recurnn.cells._weights import Weights
from recurnn.errors import ConfigError, RecurnnError, ShapeError, one_of, wrong_size

if TYPE_CHECKING:
    from recurnn.cells._cell import Cell

SUCH_AS = '{"W": "H I", "U": "H H", "b": "H"}'
PACKAGE = Path(__file__).parents[1]


def check_declaration(cell: Cell, sizes: Mapping[str, int], known: Iterable[str]) -> None:
    """Refuse a class whose declaration does not fit together, or sizes that it does not have.

    Args:
        cell: the cell, of which nothing but its class is there yet.
        sizes: I, H, and what else the constructor was given by name.
        known: the names of the arguments that the class takes.
    """
    name = type(cell).__name__
    _check_forms(name, cell)
    letters = _check_shapes(name, cell, sizes)
    for option in list(sizes)[2:]:
        if option not in letters:
            raise one_of(f"{name}: option", option, known)
    for letter in sorted(letters - set(sizes)):
        raise ConfigError(
            f"{name}: the size {letter} is not given.\n  A weight or a state has it in its "
            f"shape: give {letter}=..., a whole number of at least 1."
        )
    for letter, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ConfigError(
                f"{name}: the size {letter} is {size!r}; expected a whole number of at least 1."
            )
    _check_names(name, cell)
    _check_step(name, cell)


def _check_forms(name: str, cell: Cell) -> None:
    """Names to letters are mappings, names alone are in a tuple."""
    if not hasattr(cell, "weights"):
        raise ConfigError(
            f"{name}: the class declares no weights.\n"
            f"  Give it `weights`, name to shape, such as {SUCH_AS}."
        )
    for what, example in (
        ("weights", SUCH_AS), ("states", '{"h": "H"}'), ("inputs", '{"m": "H"}'), ("start", "{}"),
    ):  # fmt: skip
        given = getattr(cell, what)
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"{name}: `{what}` is {_kind(given)}.\n"
                f"  Expected a mapping by name, such as {what} = {example}."
            )
    for what, example in (("weights", SUCH_AS), ("states", '{"h": "H"}')):
        if not getattr(cell, what):
            raise ConfigError(
                f"{name}: `{what}` is empty.\n  A cell has at least one: {what} = {example}."
            )
    for what in ("gates", "constants"):
        given = getattr(cell, what)
        if isinstance(given, str):
            raise ConfigError(
                f"{name}: `{what}` is the string {given!r}, and not a tuple of names.\n"
                f'  With a comma it is one: {what} = ("{given}",).'
            )
    if cell.output not in cell.states:
        raise one_of(f"{name}: `output`: state", cell.output, cell.states)
    for constant in cell.constants:
        if constant not in cell.weights:
            raise one_of(f"{name}: `constants`: weight", constant, cell.weights)
    for pattern in cell.start:
        if not any(fnmatchcase(weight, pattern) for weight in cell.weights):
            raise one_of(f"{name}: `start`: weight", pattern, cell.weights)


def _check_shapes(name: str, cell: Cell, sizes: Mapping[str, int]) -> set[str]:
    """The letters of all shapes."""
    found: set[str] = set()
    for what, declared, most, one in (
        ("weight", cell.weights, 2, True), ("state", cell.states, 1, False),
        ("input", cell.inputs, 1, True),
    ):  # fmt: skip
        for key, shape in declared.items():
            letters = shape.split() if isinstance(shape, str) else []
            fits = 1 <= len(letters) <= most and (one or "1" not in letters)
            if not fits or not all(c in sizes or c == "1" or c.isidentifier() for c in letters):
                raise _no_shape(name, what, key, shape, sizes)
            if any(c not in sizes and c != "1" and _letters_in(c, sizes, most) for c in letters):
                raise _no_shape(name, what, key, shape, sizes)
            found |= set(letters)
    return found - {"1"}


def _letters_in(shape: str, sizes: Mapping[str, int], most: int) -> str:
    """Known letters of a shape in another spelling, as they are to be written; or nothing."""
    letters = re.sub(r"[^A-Za-z0-9]", "", shape).upper()
    known = 1 <= len(letters) <= most and all(c in sizes for c in letters)
    return " ".join(letters) if known else ""


def _no_shape(
    name: str, what: str, key: str, shape: object, sizes: Mapping[str, int]
) -> ConfigError:
    matrix = what == "weight"
    plain = isinstance(shape, str | tuple | list)
    meant = _letters_in(str(shape), sizes, 2 if matrix else 1) if plain else ""
    form = "one letter, or two with a blank between them" if matrix else "one letter"
    return ConfigError(
        f"{name}: the shape of the {what} {key} is {repr(shape) if plain else _kind(shape)}.\n"
        f"  Expected {form}, such as {'H I' if matrix else 'H'!r}."
        f"{f' Did you mean {meant!r}?' if meant else ''}\n"
        "  H is the number of units, I the size of x; any other is a size that the constructor "
        "takes by name."
    )


def _check_names(name: str, cell: Cell) -> None:
    """Names are Python's, and each names one thing."""
    for key in cell.inputs:
        if key in cell.weights or not key.isidentifier():
            raise ConfigError(
                f"{name}: the input {key!r} needs a name of its own.\n"
                f"  `step` finds it as p.{key}, beside the weights {', '.join(cell.weights)}."
            )
    seen: dict[str, str] = {}
    for what, names in (
        ("weight", cell.weights), ("state", cell.states), ("gate", cell.gates),
        ("input", cell.inputs),
    ):  # fmt: skip
        for key in names:
            # p.class would be no Python; what a step returns may be named so
            word = what in ("weight", "input") and keyword.iskeyword(key)
            if not isinstance(key, str) or not key.isidentifier() or word:
                raise ConfigError(
                    f"{name}: a {what} has the name {key!r}.\n"
                    "  Expected a name as Python's: letters, digits and _, no digit in front."
                )
            if key in seen:
                raise ConfigError(
                    f"{name}: {key!r} names a {seen[key]} and a {what}.\n"
                    "  Give one of them another name: `step` takes weights as p.name, and "
                    "returns states and gates by name."
                )
            if what == "weight" and (hasattr(cell, key) or hasattr(Weights, key)):
                raise ConfigError(
                    f"{name}: the weight {key!r} has the name of something else of the cell's.\n"
                    f"  The cell, or what `step` gets as p, has an attribute {key}: give the "
                    "weight another name."
                )
            seen[key] = what


def _check_step(name: str, cell: Any) -> None:
    """A step takes the weights, the input, and the states in their order."""
    step = getattr(type(cell), "step", None)
    expected = ["p", "x", *cell.states]
    written = f"def step(self, {', '.join(expected)})"
    if not callable(step) or getattr(step, "__qualname__", "") == "Cell.step":
        raise ConfigError(
            f"{name}: the class has no step.\n  Expected {written}, which returns "
            f"{', '.join([*cell.states, *cell.gates])} by name."
        )
    try:
        signature = inspect.signature(cell.step)
        taken = list(inspect.signature(step).parameters)
    except (TypeError, ValueError):
        return  # not written in Python: what it takes is seen when it runs
    places = [p.name for p in signature.parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD]
    turned = any(
        k in expected and expected.index(k) != at for at, k in enumerate(places[: len(expected)])
    )
    try:
        signature.bind(*expected)
    except TypeError:
        turned = True
    if turned:
        raise ConfigError(
            f"{name}: step takes ({', '.join(taken)}).\n"
            f"  Expected {written}: the weights, the input, and each of `states` in its order."
            f"{_place(step)}"
        )


def _place(step: Any) -> str:
    """The line that says where a step is written, if that is known."""
    code = getattr(step, "__code__", None)
    return "" if code is None else _line(code.co_filename, code.co_firstlineno)


def _line(file: str, line: int) -> str:
    return f"\n  See {Path(file).name}, line {line}."


def place(error: RecurnnError, cell: Cell, raised: Exception) -> None:
    """Say in an error of a step of which cell it is, and which line of the user's made it.

    Args:
        error: the error; one that has said so stays as it is.
        cell: the cell.
        raised: what the step has raised: the same, or what the error stands for.
    """
    text = str(error)
    if not text.startswith(("The step", "step: ")):
        return
    lines = []
    traceback = raised.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if PACKAGE not in Path(file).parents and "/torch/" not in Path(file).as_posix():
            lines.append(_line(file, traceback.tb_lineno))
        traceback = traceback.tb_next
    error.args = (f"{type(cell).__name__}: {text[0].lower()}{text[1:]}{''.join(lines[-1:])}",)


def check_returned(cell: Cell, values: Any) -> None:
    """Refuse what a step returns if it is not every state and every gate, by name.

    Raises:
        ConfigError: it is not a dict, a state or a gate is missing, a value is not declared, or
            is not a tensor.
    """
    name = type(cell).__name__
    if not isinstance(values, dict):
        got = "None" if values is None else f"a {_type(values)}"
        raise ConfigError(
            f"{name}: step does not return a dict, but {got}.\n"
            f"  Expected a dict by name: {', '.join([*cell.states, *cell.gates])}."
        )
    for what, declared in (("state", cell.states), ("gate", cell.gates)):
        for key in declared:
            if key not in values:
                raise ConfigError(
                    f"{name}: step does not return the {what} {key!r}.\n"
                    f"  It returns {', '.join(map(str, values)) or 'nothing'}; the cell declares "
                    f"{key!r} in `{what}s`."
                )
    if len(values) > len(cell.states) + len(cell.gates):
        more = next(k for k in values if k not in cell.states and k not in cell.gates)
        raise ConfigError(
            f"{name}: step returns {more!r}, which the cell does not declare.\n"
            f"  It declares {', '.join([*cell.states, *cell.gates])}: name {more!r} in `gates`, or "
            "do not return it."
        )
    for key, value in values.items():
        if not isinstance(value, Tensor) and _type(value) != "Tensor":
            raise _no_row(cell, key, value)


def check_values(cell: Cell, values: Mapping[str, Any], x: Tensor) -> None:
    """Refuse values of a step that are not rows of the sizes that the cell declares.

    Args:
        cell: the cell.
        values: what `step` has returned.
        x: the input of the step, [B, I].
    """
    for key, letter in cell.states.items():
        value, size = values[key], cell.sizes[letter]
        if tuple(value.shape) != (x.shape[0], size):
            got, rows = list(value.shape), x.shape[0]
            raise wrong_size(
                type(cell).__name__, key, f"{got}", (letter, size), f"[{rows}, {size}]"
            )
        if value.dtype != x.dtype:
            raise ShapeError(
                f"{type(cell).__name__}: step returns the state {key!r} in another type.\n"
                f"  {key} is {value.dtype}; expected {x.dtype}, because x is of that type."
            )
    for key in cell.gates:
        value = values[key]
        if value.dim() != 2 or value.shape[0] != x.shape[0]:
            raise ShapeError(
                f"{type(cell).__name__}: step returns the gate {key!r} in a shape that has no "
                f"rows.\n  {key} is {list(value.shape)}; expected [B, its size] with B = "
                f"{x.shape[0]}, because x is {list(x.shape)}."
            )


def _no_row(cell: Cell, key: str, value: Any) -> ConfigError:
    """The error of a value that is not a tensor."""
    got = "None" if value is None else f"a {_type(value)}"
    what, size = "gate", "its size"
    if key in cell.states:
        what, size = "state", cell.states[key]
    return ConfigError(
        f"{type(cell).__name__}: step returns the {what} {key!r} as {got}.\n"
        f"  Expected a tensor [B, {size}], a row for each row of x."
    )


def _kind(value: object) -> str:
    return f"the string {value!r}" if isinstance(value, str) else f"a {type(value).__name__}"


def _type(value: object) -> str:
    """The type's name; what stands in for a tensor while the step is traced is one to the user."""
    like_tensor = hasattr(type(value), "__torch_function__")
    return "Tensor" if like_tensor else type(value).__name__
