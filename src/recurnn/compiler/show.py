"""Every stage of the compiler as text for people: pure functions, nothing is compiled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from recurnn.compiler.differentiate import Backward, differentiate
from recurnn.compiler.emit_cpp import emit
from recurnn.compiler.ops import Value, reachable
from recurnn.compiler.plan import plan_backward, plan_forward
from recurnn.compiler.plan_parts import LEAVES, Body, Phase, Plan
from recurnn.compiler.trace import Step, trace

INFIX = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2), "div": ("/", 2), "gt": (">", 0)}
INFIX |= {"ge": (">=", 0)}
ALWAYS_INLINE = (*LEAVES, "past", "spread")


class Text:
    """Values as expressions; those with a name, or used more than once, as lines of their own.

    Args:
        names: the names to print.
        shown: every value that is printed at all, in order of evaluation.
    """

    def __init__(self, names: dict[Value, str], shown: Iterable[Value]) -> None:
        uses: Counter[Value] = Counter()
        shown = list(shown)
        for value in shown:
            uses.update(value.args)
            if value.op == "product":
                uses.update(operand for _, _, operand in value.data)
        self.names = dict(names)
        for value in shown:
            if uses[value] > 1 and value.op not in (*ALWAYS_INLINE, "neg"):
                self.names.setdefault(value, f"v{value.index}")

    def ref(self, value: Value, strength: int = 0) -> str:
        """A value where it is used: its name, or its expression if it has none."""
        return self.names.get(value) or self.expression(value, strength)

    def expression(self, value: Value, strength: int = 0) -> str:
        """What a value is computed from; in brackets if its operation binds less than asked."""
        op, args = value.op, value.args
        if op in INFIX:
            sign, own = INFIX[op]
            tight = op in ("sub", "div") or args[1].op == "div"
            right = self.ref(args[1], own + tight)
            text = f"{self.ref(args[0], own)} {sign} {right}"
            return f"({text})" if own < strength else text
        if op == "neg":
            return f"-{self.ref(args[0], 3)}"
        if op == "product":
            terms = [f"{m}{'ᵀ' if t else ''} @ {self.ref(v, 4)}" for m, t, v in value.data]
            text = " + ".join(terms)
            return f"({text})" if len(terms) > 1 and strength > 1 else text
        leaves: dict[str, Callable[[], str]] = {
            "x": lambda: "x",
            "input": lambda: str(value.data),
            "state": lambda: f"old {value.data}",
            "vector": lambda: str(value.data),
            "constant": lambda: f"{value.data:g}",
            "width": lambda: str(value.data),
            "carry": lambda: f"carried {value.data}",
            "seed": lambda: f"given {value.data}",
            "limit": lambda: "limit",
            "past": lambda: f"past {value.data}",
            "spread": lambda: self.ref(args[0], strength),
        }
        if op in leaves:
            return leaves[op]()
        return f"{op}({', '.join(self.ref(a) for a in args)})"

    def lines(self, values: Iterable[Value]) -> list[str]:
        """``name = expression`` for each value that is not written inside another."""
        return [f"{self.names[v]} = {self.expression(v)}" for v in values if v in self.names]


def show_trace(step: Step) -> str:
    """The graph of a step, a named value a line."""
    shown = reachable([*step.states.values(), *step.observed.values()])
    return "\n".join(Text(step.graph.names, shown).lines(shown)) + "\n"


def show_plan(plan: Plan, names: dict[Value, str], shown: list[Value]) -> str:
    """The phases of a plan: products, bodies, and the arrays that they write."""
    needed = {v: f"v{v.index}" for v in plan.stores if v.op not in ALWAYS_INLINE}
    text = Text(needed | names, shown)
    lines: list[str] = []
    for group in plan.hoisted:
        lines += ["hoisted, many steps at once:", "    " + _products(text, group.outputs)]
    for k, phase in enumerate(plan.phases, 1):
        lines += [f"phase {k}:", *_phase(text, plan, phase)]
    return "\n".join(lines) + "\n"


def _products(text: Text, outputs: tuple[Value, ...]) -> str:
    named = [(f"{text.names[v]} = " if v in text.names else "", v) for v in outputs]
    return "one product: " + ", ".join(name + text.expression(v) for name, v in named)


def _phase(text: Text, plan: Plan, phase: Phase) -> list[str]:
    lines = []
    scalars = text.lines(phase.scalars)
    if scalars:
        lines += ["    for each row:"] + [f"        {line}" for line in scalars]
    for body in phase.bodies.values():
        lines.append(f"    for each unit of {body.units}:")
        lines += [f"        {line}" for line in _body(text, plan, body)]
    return lines


def _body(text: Text, plan: Plan, body: Body) -> list[str]:
    lines = [_products(text, group.outputs) for group in body.groups]
    made = [v for group in body.groups for v in group.outputs] + body.values
    lines += text.lines(body.values)
    lines += [f"sum over units: {text.ref(v.args[0])}" for v in body.sums]
    for value in made:
        places = plan.stores.get(value, [])
        if places:
            lines.append(f"{text.ref(value)} → {', '.join(p.stream for p in places)}")
    return lines


def show_backward(step: Step, back: Backward) -> str:
    """The derivative of a step: its phases, what is carried, and the products after the loop."""
    names = step.graph.names | gradient_names(back)
    plan = plan_backward(step, back)
    ends = [*back.carries.values(), *back.vectors.values(), *(g for g in _dz(back))]
    # What the forward pass has left is read, not computed: nothing is shown of how it was made.
    shown = [v for v in reachable(ends) if v not in plan.homes or v in plan.stores]
    text = Text(names, shown)
    parts = [show_plan(plan, text.names, shown)]
    for state, terms in back.past.items():
        if terms:
            total = " + ".join(f"{m}ᵀ @ {text.ref(g)} of the later step" for m, g in terms)
            parts.append(f"past {state} = {total}\n")
    parts.append("after the loop, summed over steps and rows:\n")
    for matrix, pairs in back.outer.items():
        outer = " + ".join(f"{text.ref(g)} ⊗ {text.ref(v)}" for g, v in pairs)
        parts.append(f"    dL/d{matrix} = Σ {outer}\n")
    parts += [f"    dL/d{vector} = Σ {text.ref(g)}\n" for vector, g in back.vectors.items()]
    kept = ", ".join(text.ref(v) for v in back.saved) or "nothing but the states"
    return "".join(parts) + f"saved by the forward pass: {kept}\n"


def _dz(back: Backward) -> list[Value]:
    return [g for pairs in back.outer.values() for g, _ in pairs]


def gradient_names(back: Backward) -> dict[Value, str]:
    """``dz_i`` for the gradient of the products of W_i and U_i; ``next_c`` for what is carried."""
    by_value: dict[Value, list[str]] = {}
    for matrix, pairs in back.outer.items():
        for g, _ in pairs:
            by_value.setdefault(g, []).append(matrix)
    found: dict[Value, str] = {}
    for g, matrices in by_value.items():
        tails = {m.partition("_")[2] for m in matrices}
        name = "dz_" + tails.pop() if len(tails) == 1 else "dz_" + "_".join(matrices)
        name = name.rstrip("_")
        found[g] = name if name not in found.values() else f"dz_{'_'.join(matrices)}"
    for state, value in back.carries.items():
        found.setdefault(value, f"next_{state}")
    return found


def show_kernel(cell: Any, step: Step, back: Backward) -> str:
    """The generated C++, forward, inference and backward, without the headers."""
    plans = {
        "forward": plan_forward(step, back.saved, ()),
        "inference": plan_forward(step, [], ()),
        "backward": plan_backward(step, back),
    }
    names, texts = step.graph.names, []
    for kind, plan in plans.items():
        header = f"// {type(cell).__name__}, {kind}:\n" + "".join(
            f"//     {line}\n" for line in cell.equations().splitlines()
        )
        letters, vectors = list(cell.sizes), list(step.vectors)
        texts.append(emit(plan, kind, letters, vectors, names, header).text)
    return "\n".join(texts)


@dataclass(frozen=True)
class Summary:
    """What a compiled cell does, in short.

    Attributes:
        hoisted: the products that run for many steps at once, as text.
        phases: the phases of a step.
        backward_phases: the phases of a backward step.
        names: what is kept for the backward pass, as far as it has a name.
        kept: the width of all that is kept, as letters.
        row_sums: whether there is a sum over units, so that threads share rows only.
    """

    hoisted: str
    phases: int
    backward_phases: int
    names: list[str]
    kept: list[str]
    row_sums: bool


def summary(cell: Any) -> Summary:
    """What a compiled cell does, in short; raises `Unsupported` as `show` does."""
    step = trace(cell)
    back = differentiate(step, (cell.output,))
    forward, backward = plan_forward(step, back.saved, ()), plan_backward(step, back)
    text = Text(step.graph.names, [])
    hoisted = ", ".join(text.expression(v) for group in forward.hoisted for v in group.outputs)
    kept = [*step.states.values(), *back.saved]
    names = [*step.states, *(text.names[v] for v in back.saved if v in text.names)]
    return Summary(
        hoisted, len(forward.phases), len(backward.phases), names, [v.width for v in kept],
        forward.has_row_sums,
    )  # fmt: skip


STAGES = ("trace", "stages", "backward", "kernel")


def show(cell: Any, stage: str) -> str:
    """One stage of the compiler for a cell, as text.

    Args:
        cell: a `recurnn.cells.Cell`.
        stage: one of `STAGES`.

    Raises:
        Unsupported: the step cannot be compiled, with the reason.
    """
    step = trace(cell)
    if stage == "trace":
        return show_trace(step)
    back = differentiate(step, (cell.output,))
    if stage == "kernel":
        return show_kernel(cell, step, back)
    if stage == "backward":
        return show_backward(step, back)
    shown = reachable([*step.states.values(), *back.saved])
    return show_plan(plan_forward(step, back.saved, ()), step.graph.names, shown)
