"""What `scan` is given, checked and brought into one form, with an error that says what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from recurnn.cells import Cell
from recurnn.compiler import Bound
from recurnn.errors import ConfigError, ShapeError, one_of

State = Tensor | Sequence[Tensor] | Mapping[str, Tensor]
"""The states of a cell: one tensor, several in the cell's order, or by name."""


def check_input(cell: Cell, x: Tensor) -> None:
    """Refuse an input that is not [T, B, I] of the cell."""
    if not isinstance(cell, Cell):
        raise ConfigError(
            f"scan: the cell is {cell!r}.\n"
            "  Expected a cell with its sizes, such as recurnn.cells.GRU(8, 32)."
        )
    name, size = type(cell).__name__, cell.input_size
    if not isinstance(x, Tensor):
        raise ShapeError(
            f"{name}: the input is a {type(x).__name__}.\n"
            "  Expected a torch.Tensor [T, B, I]: torch.as_tensor(x) makes one."
        )
    if x.dim() != 3:
        raise ShapeError(
            f"{name}: the input must have three dimensions.\n"
            f"  x is {list(x.shape)}; expected [T, B, I] with I = {size} of the cell."
        )
    if x.shape[-1] != size:
        raise ShapeError(
            f"{name}: the input does not fit the cell.\n"
            f"  x is {list(x.shape)}; expected [T, B, I] with I = {size}, because the cell was "
            f"made with input_size={size}.\n  I differs: {x.shape[-1]} in x, {size} in the cell."
        )


def check_parameters(cell: Cell, x: Tensor, parameters: Mapping[str, Tensor] | Bound) -> None:
    """Refuse weights that are not the cell's, or not of the input's type and device."""
    name = type(cell).__name__
    if isinstance(parameters, Bound):
        parameters = {parameters.binding.pieces[0][0]: parameters.tensors[0]}
    else:
        wanted = {k: cell.shape(s) for k, s in cell.weights.items() if k not in cell.absent}
        for key in parameters:
            if key not in wanted:
                raise one_of(f"{name}: weight", key, wanted)
        for key, shape in wanted.items():
            if key in cell.constants and key not in parameters:
                continue
            got = tuple(parameters[key].shape) if key in parameters else None
            if got != shape:
                raise ShapeError(
                    f"{name}: the given weights do not fit the cell.\n  {key} is "
                    f"{'missing' if got is None else list(got)}; expected {list(shape)}."
                )
    for key, weight in parameters.items():
        if weight.dtype != x.dtype or weight.device != x.device:
            raise ShapeError(
                f"{name}: the input and the weights differ in type or device.\n"
                f"  x is {x.dtype} on {x.device}; {key} is {weight.dtype} on {weight.device}.\n"
                "  Move one of them with .to(...)."
            )
        break  # one stands for all: they are made and moved together


def named_state(cell: Cell, x: Tensor, state: State | None, what: str) -> dict[str, Tensor] | None:
    """Any accepted form of the states as a mapping in the cell's order, checked; or None."""
    if state is None:
        return None
    name, B = type(cell).__name__, x.shape[1]
    sizes = {k: cell.sizes[letter] for k, letter in cell.states.items()}
    if isinstance(state, Mapping):
        named = dict(state)
    else:
        parts = [state] if isinstance(state, Tensor) else list(state)
        named = dict(zip(sizes, parts, strict=False)) if len(parts) == len(sizes) else {}
    if set(named) != set(sizes):
        raise ShapeError(
            f"{name}: {what} does not have the states of the cell.\n"
            f"  {what} has {_received(state)}; expected {', '.join(sizes)}, in this order or by "
            "name."
        )
    for k, size in sizes.items():
        if tuple(named[k].shape) != (B, size):
            raise ShapeError(_state_message(name, what, k, list(named[k].shape), x, size))
        if named[k].dtype != x.dtype or named[k].device != x.device:
            raise ShapeError(
                f"{name}: {what} and the input differ in type or device.\n"
                f"  {k} is {named[k].dtype} on {named[k].device}; x is {x.dtype} on {x.device}."
            )
    return {k: named[k] for k in sizes}


def _received(state: State) -> str:
    if isinstance(state, Mapping):
        return ", ".join(state) or "nothing"
    count = 1 if isinstance(state, Tensor) else len(state)
    return f"{count} tensor{'' if count == 1 else 's'}"


def _state_message(name: str, what: str, k: str, got: list[int], x: Tensor, size: int) -> str:
    B = x.shape[1]
    lines = [
        f"{name}: the {'initial state' if what == 'state' else what} does not fit the input.",
        f"  {k} is {got}; expected [B, {size}] = [{B}, {size}], because x is {list(x.shape)} "
        f"and {k} has {size} units.",
    ]
    if len(got) == 2 and got[0] != B:
        lines.append(f"  B differs: {got[0]} in {k}, {B} in x.")
    return "\n".join(lines)


def check_lengths(name: str, x: Tensor, lengths: Tensor | Sequence[int] | None) -> Tensor | None:
    """The real steps of each row, int64 [B] on the input's device; None if every step is real.

    Args:
        name: of the cell or layer, for errors.
        x: input, [T, B, ...].
        lengths: as the user gave them.
    """
    if lengths is None:
        return None
    T, B = x.shape[:2]
    if not isinstance(lengths, Tensor) and (
        isinstance(lengths, str | bytes) or not hasattr(lengths, "__len__")
    ):
        raise ShapeError(
            f"{name}: lengths must be whole numbers, one a row.\n"
            f"  lengths is {lengths!r}; expected a tensor or a list [B] = [{B}]."
        )
    # An empty list has no type of its own, and torch would take it for floating point.
    empty = not isinstance(lengths, Tensor) and len(lengths) == 0
    lengths = torch.as_tensor(lengths, dtype=torch.int64 if empty else None, device=x.device)
    if lengths.dtype.is_floating_point or lengths.dtype == torch.bool or lengths.dim() != 1:
        raise ShapeError(
            f"{name}: lengths must be whole numbers, one a row.\n"
            f"  lengths is {list(lengths.shape)} of {lengths.dtype}; expected [B] = [{B}]."
        )
    if lengths.shape[0] != B:
        raise ShapeError(
            f"{name}: lengths does not fit the input.\n"
            f"  lengths is [{lengths.shape[0]}]; expected [B] = [{B}], because x is "
            f"{list(x.shape)}."
        )
    if B and not torch.compiler.is_compiling():
        low, high = int(lengths.min()), int(lengths.max())
        if low < 0 or high > T:
            raise ShapeError(
                f"{name}: a length is out of range.\n"
                f"  lengths go from {low} to {high}; expected 0 to T = {T}, because x is "
                f"{list(x.shape)}."
            )
    return lengths.to(torch.int64)


def check_reset(name: str, x: Tensor, reset: Tensor | None) -> Tensor | None:
    """The reset mask on the input's device, or None."""
    if reset is None:
        return None
    reset = torch.as_tensor(reset)
    if reset.shape != x.shape[:2] or reset.dtype != torch.bool:
        raise ShapeError(
            f"{name}: reset does not fit the input.\n"
            f"  reset is {list(reset.shape)} of {reset.dtype}; expected booleans "
            f"[T, B] = {list(x.shape[:2])}, because x is {list(x.shape)}."
        )
    return reset.to(x.device)


def check_inputs(cell: Cell, x: Tensor, inputs: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """The inputs beside x in the cell's order, each [T, B, its size] or [B, its size]."""
    if not cell.inputs and not inputs:
        return {}
    name, given, (T, B) = type(cell).__name__, dict(inputs or {}), x.shape[:2]
    for key in given:
        if not cell.inputs:
            raise ConfigError(f"{name}: the cell declares no inputs beside x; {key} is given.")
        if key not in cell.inputs:
            raise one_of(f"{name}: input", key, cell.inputs)
    for key, letter in cell.inputs.items():
        size = 1 if letter == "1" else cell.sizes[letter]
        shapes = f"[T, B, {letter}] = [{T}, {B}, {size}] or [B, {letter}] = [{B}, {size}]"
        if key not in given:
            raise ShapeError(
                f"{name}: an input beside x is missing.\n  Give inputs={{{key!r}: ...}}, {shapes}."
            )
        value = given[key]
        if not isinstance(value, Tensor) or tuple(value.shape) not in ((T, B, size), (B, size)):
            got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ShapeError(
                f"{name}: the input {key} does not fit x.\n  {key} is {got}; expected {shapes}, "
                f"because x is {list(x.shape)}."
            )
        if value.dtype != x.dtype or value.device != x.device:
            raise ShapeError(
                f"{name}: the input {key} and x differ in type or device.\n  {key} is "
                f"{value.dtype} on {value.device}; x is {x.dtype} on {x.device}."
            )
    return {key: given[key] for key in cell.inputs}
