"""Linear recurrences in spans of time, side by side: tensors in, tensors out.

How a recurrence is found to be linear, and what each kernel makes, is in `linear`. The spans are
chosen by T and B alone, so that the number of threads changes no bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recurnn.compiler.arrays import scratch
from recurnn.compiler.linear import Linear
from recurnn.compiler.structures import Shape

if TYPE_CHECKING:
    from recurnn.compiler.calls import Given
    from recurnn.compiler.engine import Compiled

LEAST_STEPS = 1024  # of a span
MOST_ROWS = 8  # that are run at once; a batch of as many needs no spans


def spans_of(c: Compiled, T: int, B: int) -> int:
    """Into how many spans of time a scan is cut; 1: its steps are run one after another.

    Args:
        c: the compiled cell.
        T: steps.
        B: rows.
    """
    if c.kernel.linear is None or B == 0:
        return 1
    return max(1, min(MOST_ROWS // B, T // LEAST_STEPS))


def forward_in_spans(
    c: Compiled, given: Given, shape: Shape, out: Sequence[Tensor], more: Sequence[Tensor],
) -> None:  # fmt: skip
    """A forward call, in spans; what `calls.forward` gives is written into its arrays.

    Args:
        c: the compiled cell.
        given: dense arrays.
        shape: of the call, with its spans.
        out: what is wanted at every step, then the last states.
        more: what a backward pass needs beside.
    """
    found, K, x = _linear(c), shape.spans, given.x
    T, B, _ = x.shape
    begin = dict(zip(c.states, given.starts, strict=True))
    n = len(c.wanted)
    arrays = _arrays(c, given) | _named(c, out[:n], more)
    room = c.kernel.room("after", "front", c.cell.sizes)
    arrays["front"] = scratch(x, T * B * room, "front").view(-1)
    width = dict(zip(c.states, c.widths, strict=True))
    ends = {k: x.new_empty((K, B, width[k])) for k in found.states}
    through = {k: x.new_empty((K, B, width[k])) for k in found.states}
    both = ends | {found.through[k]: t for k, t in through.items()}
    ahead = {f"last {k}": t for k, t in both.items()}
    ahead |= {f"start {found.through[k]}": torch.ones_like(t) for k, t in through.items()}
    first = [k not in ends for k in both]
    _run(c, "ahead", shape._replace(starts=tuple(first)), arrays | ahead)
    cuts = _cuts(given, shape)
    starts: dict[str, Tensor | None] = {
        k: begin[k] if begin[k] is None else begin[k].expand(K, *begin[k].shape).contiguous()
        for k in c.states
    }
    for k in found.states:
        starts[k] = c.kernel.link(begin[k], ends[k], through[k], cuts, descending=given.reverse)
    lasts = {k: x.new_empty((K, B, width[k])) for k in c.states}
    after = {f"start {k}": s for k, s in starts.items()}
    after |= {f"last {k}": s for k, s in lasts.items()}
    _run(c, "after", shape._replace(starts=_there(starts.values())), arrays | after)
    where = _of_last_step(given, shape)
    for k, result in zip(c.states, out[n:], strict=True):
        result.copy_(lasts[k][where])


def gradients_between(
    c: Compiled, given: Given, shape: Shape, kept: Sequence[Tensor],
    seeds: Sequence[Tensor | None], lasts: Sequence[Tensor | None],
) -> list[Tensor | None]:  # fmt: skip
    """The gradients of the states with which each span ends, [K, B, its size], by state.

    Args:
        c: the compiled cell.
        given: dense arrays.
        shape: of the backward call, with its spans.
        kept: what the forward call kept.
        seeds: dL of each wanted value at every step, or None.
        lasts: dL of each last state, or None.
    """
    found, K, x = _linear(c), shape.spans, given.x
    B, n = x.shape[1], len(c.wanted)
    where = _of_last_step(given, shape)
    result: dict[str, Tensor | None] = {}
    for k, g, width in zip(c.states, lasts, c.widths, strict=True):
        result[k] = None if g is None else x.new_zeros((K, B, width)).index_put_(where, g)
    arrays = _arrays(c, given) | _named(c, kept[:n], kept[n:])
    arrays |= {f"start {k}": s for k, s in zip(c.states, given.starts, strict=True)}
    arrays |= {f"seed {k}": g for k, g in zip(c.wanted, seeds, strict=True)}
    width = dict(zip(c.states, c.widths, strict=True))
    firsts = {k: x.new_empty((K, B, width[k])) for k in found.states}
    through = {k: x.new_empty((K, B, width[k])) for k in found.states}
    arrays |= {f"first {k}": t for k, t in firsts.items()}
    for k, t in through.items():
        arrays |= {f"first {found.through[k]}": t}
        arrays |= {f"gradient last {found.through[k]}": torch.ones_like(t)}
    alone = {k: g for k, g in result.items() if k not in found.states}
    arrays |= {f"gradient last {k}": g for k, g in alone.items()}
    given_lasts = tuple(k in alone and result[k] is not None for k in c.states)
    _run(c, "behind", shape._replace(lasts=given_lasts), arrays)
    cuts = _cuts(given, shape)
    for k, g in zip(c.states, lasts, strict=True):
        if k in found.states:
            result[k] = c.kernel.link(g, firsts[k], through[k], cuts, descending=not given.reverse)
    return list(result.values())


def of_starts(c: Compiled, firsts: Sequence[Tensor], *, reverse: bool) -> list[Tensor]:
    """The gradients of the initial states, from those of every span's.

    Args:
        c: the compiled cell.
        firsts: by state, [K, B, its size].
        reverse: whether the scan runs from the last step to the first.
    """
    back = set(_linear(c).states) if reverse else set()
    return [g[-1 if k in back else 0] for k, g in zip(c.states, firsts, strict=True)]


def _linear(c: Compiled) -> Linear:
    found = c.kernel.linear
    assert found is not None
    return found


def _there(tensors: Iterable[Tensor | None]) -> tuple[bool, ...]:
    return tuple(t is not None for t in tensors)


def _arrays(c: Compiled, given: Given) -> dict[str, Tensor | None]:
    """What every call is given, by the names of `span_names`."""
    arrays = {"x": given.x, "lengths": given.lengths, "reset": given.reset}
    arrays |= {f"restart {k}": s for k, s in zip(c.states, given.restarts, strict=True)}
    arrays |= {f"input {k}": m for k, m in zip(c.inputs, given.inputs, strict=True)}
    return arrays | {f"weight {k}": w for k, w in enumerate(given.weights)}


def _named(c: Compiled, wanted: Sequence[Tensor], more: Sequence[Tensor]) -> dict[str, Tensor]:
    """What a forward call gives at every step, by those names."""
    arrays = {
        f"{'new' if k in c.states else 'seen'} {k}": t
        for k, t in zip(c.wanted, wanted, strict=True)
    }
    names = [*(f"new {k}" for k in c.kept), "saved"]
    return arrays | dict(zip(names, more, strict=True))


def _run(c: Compiled, kind: str, shape: Shape, arrays: Mapping[str, Tensor | None]) -> None:
    layout = c.layout(kind, shape)
    names = c.kernel.arrays(kind, c.binding.tensors)
    x = arrays["x"]
    assert x is not None
    arrays = {**arrays, "scratch": scratch(x, layout.scratch)}
    c.kernel.run(kind, layout, [arrays.get(name) for name in names])


def _of_last_step(given: Given, shape: Shape) -> tuple[Tensor, Tensor]:
    """For each row the span that has the step that is run last."""
    rows = torch.arange(shape.B)
    if given.reverse:
        return torch.zeros_like(rows), rows
    lengths = torch.full_like(rows, shape.T) if given.lengths is None else given.lengths
    return (lengths - 1).clamp(min=0) // shape.steps, rows


def _cuts(given: Given, shape: Shape) -> Tensor | None:
    """Whether no state passes through a span, [K, B]: a reset lies in it or at its edge."""
    if given.reset is None:
        return None
    T, K, steps = shape.T, shape.spans, shape.steps
    cut = given.reset.new_zeros((K * steps + 1, shape.B))
    cut[:T] = given.reset
    if given.lengths is not None:
        cut[:T] &= torch.arange(T).unsqueeze(1) < given.lengths
    if given.reverse:
        cut[0] = False  # what is before the first step is not run
    inside = cut[:-1].view(K, steps, shape.B).any(1)
    return inside | cut[steps::steps]
