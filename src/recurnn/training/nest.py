"""Any nest of Python values and tensors as JSON, with the tensors beside it by name.

What JSON has is written as it is. The rest is a dict of one entry whose key begins with `!`:

    {"!tuple": [...]}          a tuple
    {"!dict": [[k, v], ...]}   a dict with keys that JSON has not, or that begin with `!`
    {"!float": "7ff0..."}      an infinity or NaN, by its bits (big-endian, hexadecimal)
    {"!int": "0x1..."}         a whole number of more than 53 bits
    {"!text": "eda080"}        text that is not Unicode (lone surrogates), as bytes
    {"!tensor": "a/b"}         the tensor of that name
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from recurnn.errors import CheckpointError

DEPTH = 100
_EXACT = 1 << 53  # whole numbers up to here are exact in every reader of JSON


class Nest:
    """A nest taken apart.

    Args:
        value: a nest of dict, list, tuple, str, int, float, bool, None and tensors. Subclasses
            of these (an OrderedDict, a Parameter) come back as the plain type.
        reserved: names that no tensor may have.

    Attributes:
        json: the nest, fit for JSON.
        tensors: its tensors, by the path to them: ``module/head.weight``.

    Raises:
        CheckpointError: something else is in it, or it is too deep.
    """

    def __init__(self, value: Mapping[str, Any], *, reserved: tuple[str, ...] = ()) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._reserved = reserved
        self.json = self._encode(value, ())

    def _encode(self, value: Any, path: tuple[str, ...]) -> Any:
        if len(path) > DEPTH:
            raise CheckpointError(
                f"The state cannot be saved: {_place(path[:4])}/... is nested too deep.\n"
                f"  At most {DEPTH} levels are possible; something may contain itself."
            )
        match value:
            case None | bool() | int() | float() | str():
                return _scalar(value)
            case Tensor():
                return {"!tensor": self._add(value, path)}
            case tuple():
                return {"!tuple": self._items(value, path)}
            case list():
                return self._items(value, path)
            case Mapping():
                return self._dict(value, path)
        raise _unsavable(path, f"is of the type {type(value).__module__}.{type(value).__name__}")

    def _items(self, value: list[Any] | tuple[Any, ...], path: tuple[str, ...]) -> list[Any]:
        return [self._encode(item, (*path, str(i))) for i, item in enumerate(value)]

    def _dict(self, value: Mapping[Any, Any], path: tuple[str, ...]) -> Any:
        for key in value:
            if not (key is None or isinstance(key, str | int | float)):
                raise _unsavable(path, f"has the key {key!r}")
        items = [(_scalar(key), self._encode(v, (*path, str(key)))) for key, v in value.items()]
        if all(isinstance(key, str) and not key.startswith("!") for key, _ in items):
            return dict(items)
        return {"!dict": [list(item) for item in items]}

    def _add(self, tensor: Tensor, path: tuple[str, ...]) -> str:
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
            kind = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
            raise _unsavable(path, f"is a {'quantized' if tensor.is_quantized else kind} tensor")
        if tensor.is_meta:
            raise _unsavable(path, "is a tensor on the device meta, which has no values")
        name = "/".join(path).encode("utf-8", "replace").decode()
        while not name or name in self.tensors or name in self._reserved:
            name += "#"
        self.tensors[name] = tensor.detach()
        return name


def together(value: Any, tensor: Callable[[str], Tensor]) -> Any:
    """The nest again.

    Args:
        value: what `Nest.json` was.
        tensor: gives the tensor of a name.

    Raises:
        KeyError, TypeError, ValueError, struct.error: it never was that.
    """
    if isinstance(value, list):
        return [together(item, tensor) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next(iter(value), "")
    if not tag.startswith("!"):
        return {key: together(item, tensor) for key, item in value.items()}
    body = value[tag]
    match tag:
        case "!tuple":
            return tuple(together(item, tensor) for item in body)
        case "!dict":
            return {together(key, tensor): together(item, tensor) for key, item in body}
        case "!float":
            return struct.unpack(">d", bytes.fromhex(body))[0]
        case "!int":
            return int(body, 16)
        case "!text":
            return bytes.fromhex(body).decode("utf-8", "surrogatepass")
        case "!tensor":
            return tensor(body)
    raise ValueError(f"unknown kind of value {tag!r}")


def _scalar(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"!float": struct.pack(">d", value).hex()}
    if isinstance(value, int) and not -_EXACT <= value <= _EXACT:
        return {"!int": hex(value)}
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return {"!text": value.encode("utf-8", "surrogatepass").hex()}
    return value


def _place(path: tuple[str, ...]) -> str:
    return "/".join(("state", *path))


def _unsavable(path: tuple[str, ...], what: str) -> CheckpointError:
    return CheckpointError(
        f"The state cannot be saved: {_place(path)} {what}.\n"
        "  A checkpoint holds dicts, lists, tuples, text, numbers, True, False, None and dense "
        "tensors.\n  Turn it into these, or leave it out."
    )
