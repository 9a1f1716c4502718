"""Where everything lies that is run in spans of time: see `linear`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recurnn.compiler.differentiate import Backward
from recurnn.compiler.layout import Builder, array_names
from recurnn.compiler.plan_parts import Plan
from recurnn.compiler.structures import Layout


def span_names(
    kind: str, plan: Plan, states: Sequence[str], inputs: Sequence[str], wanted: Sequence[str],
    tensors: int,
) -> list[str]:  # fmt: skip
    """The arrays that a kernel of spans is given, in their order.

    Args:
        kind: of the kernel.
        plan: its plan.
        states: of the cell.
        inputs: what the cell is given beside x.
        wanted: the states and gates that are given at every step.
        tensors: how many tensors the weights lie in.
    """
    if kind == "ahead":
        gates = [k for k in wanted if k not in states]
        names = array_names(list(plan.last), inputs, gates, tensors, keep=False)
        return [*names, "saved", "front"]
    names = array_names(states, inputs, wanted, tensors, keep=True)
    if kind == "behind":
        carried = dict.fromkeys([*states, *plan.finish])
        names += [f"seed {k}" for k in wanted]
        names += [f"gradient last {k}" for k in carried] + [f"first {k}" for k in plan.finish]
    return [*names, "front"]


def behind_layout(build: Builder, shapes: Mapping[str, tuple[int, ...]], back: Backward) -> Layout:
    """Lay out the call that finds the gradients between spans of time; arguments as above."""
    plan, s, sizes = build.plan, build.shape, build.sizes
    before, after = (1, -1) if s.reverse else (-1, 1)
    build.inputs()
    for (k, g), start, last in zip(back.gradients.items(), s.starts, s.lasts, strict=True):
        n = sizes[g.width]
        build.whole(f"new_{k}", f"new {k}", n)
        build.again(
            f"old_{k}", f"new_{k}", shift=before, n=n, first=f"start {k}" if start else "",
            restart=f"restart {k}" if s.restarts else "", joined=True,
        )  # fmt: skip
        first = f"gradient last {k}" if last else ""
        build.nothing(f"carry_{k}", shift=after, first=first, n=n)
    for name, body in plan.finish.items():
        n, first = sizes[body.units], f"gradient last {name}"
        build.ring(f"next_{name}", n, 2)
        build.again(f"carry_{name}", f"next_{name}", shift=after, n=n,
                    first=first if name not in back.gradients else "")  # fmt: skip
        build.still(f"first_{name}", f"first {name}", n)
    for k, strides in zip(back.seeds, s.strides[1:], strict=True):
        if strides is not None:
            build.given(f"seed_{k}", f"seed {k}", strides)
    build.whole("saved", "saved", build.room("saved"))
    build.ring("kept", build.room("kept"), 1)
    for stream in plan.streams:
        if stream not in build.places:
            build.nothing(stream)
    return build.finish(shapes, descending=not s.reverse, chunk=min(64, max(build.steps, 1)))
