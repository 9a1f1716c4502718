"""Stage 2: the derivative of a step, itself a step that runs backward in time.

At each step it takes dL/dstate, made of what comes from the output (*seed*), of what the later
step left (*carry*), and of the products with the later step's dz (*past*), and gives the carry
for the earlier step and the dz of every product. The weight matrices' gradients are not in it:
they are one large product of all dz with all operands, after the loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from recurnn.compiler.ops import OPS, REDUCTIONS, Graph, Unsupported, Value, reachable
from recurnn.compiler.row_sums import row_sum
from recurnn.compiler.trace import Step


@dataclass
class Backward:
    """The backward step.

    Attributes:
        carries: the pointwise part of dL/d(old state), by state; absent where there is none.
        past: by state, the (matrix, dz) whose products complete dL/d(old state).
        gradients: what is carried of dL/d(new state), by state.
        outer: by matrix, the (dz, operand) pairs whose outer products are its gradient.
        vectors: by vector, its gradient in one row at one step.
        saved: the forward values to keep from the forward pass.
        seeds: the states and gates whose gradient comes in at every step.
        norms: by state, Σ (dL/dstate)² over its units; empty if not asked for.
        inputs: by input beside x, its gradient; empty if not asked for.
        clipped: by state, 1 for each unit whose carried gradient is beyond the limit, which is
            where it is clipped, and 0 for others; empty if not asked for.
    """

    graph: Graph
    carries: dict[str, Value]
    past: dict[str, list[tuple[str, Value]]]
    gradients: dict[str, Value]
    outer: dict[str, list[tuple[Value, Value]]]
    vectors: dict[str, Value]
    seeds: tuple[str, ...]
    saved: list[Value] = field(default_factory=list)
    norms: dict[str, Value] = field(default_factory=dict)
    inputs: dict[str, Value] = field(default_factory=dict)
    clipped: dict[str, Value] = field(default_factory=dict)


MORE = ("norms", "inputs", "clip")
"""What a backward step can give beside the gradients of x, of states and of weights; and whether
it clips what it carries, and counts."""


def differentiate(step: Step, seeds: tuple[str, ...], more: tuple[str, ...] = ()) -> Backward:
    """Reverse-mode derivative of a step.

    Args:
        step: the step; its graph grows by the backward values.
        seeds: the states and gates that are outputs at every step and may have a gradient.
        more: some of `MORE`.

    Raises:
        Unsupported: the input is used other than in products.
    """
    G = step.graph
    forward = list(G.values)
    live = reachable([*step.states.values(), *(step.value(k) for k in seeds)])
    fed = {v.data[0][2] for v in live if v.op == "product" and not v.data[0][1]}
    parts: dict[Value, list[Value]] = {}
    terms: dict[Value, list[tuple[str, bool, Value]]] = {}
    result = Backward(G, {}, {k: [] for k in step.old}, {}, {}, {}, seeds)
    for k, new in step.states.items():
        gradient = G.make("carry", width=new.width, data=k)
        if step.old[k] in fed:
            gradient = G.apply("add", gradient, G.make("past", width=new.width, data=k))
        if "clip" in more:
            limit = G.make("limit", width="1")
            result.clipped[k] = G.apply("gt", G.apply("abs", gradient), limit)
            gradient = G.apply("clip", gradient, limit)
        result.gradients[k] = gradient
        parts.setdefault(new, []).append(gradient)
    for k in seeds:
        value = step.value(k)
        seed = G.make("seed", width=value.width, data=k)
        parts.setdefault(value, []).insert(0, seed)
    made = set(forward)
    state_of = {v: k for k, v in step.old.items()}
    for value in reversed(forward):
        g = _sum_up(G, value, parts.get(value, []), terms.get(value, []), made)
        if g is None:
            continue
        if "norms" in more:
            _square(step, result, value, g)
        if value.op == "product":
            ((matrix, transposed, operand),) = value.data
            # dL/dW of W h is dz ⊗ h; of Wᵀ h it is h ⊗ dz. A copy of h lies with the other dz.
            pair = (g, operand)
            if transposed:
                pair = (G.make("spread", operand, width=operand.width), g)
            result.outer.setdefault(matrix, []).append(pair)
            if operand in state_of and not transposed:
                result.past[state_of[operand]].append((matrix, g))
            elif operand.op not in (("x",) if "inputs" in more else ("x", "input")):
                terms.setdefault(operand, []).append((matrix, not transposed, g))
        elif value.op == "sum":
            parts.setdefault(value.args[0], []).append(g)
        elif value.op == "vector":
            result.vectors[value.data] = g
        elif value.op == "state":
            result.carries[value.data] = g
        elif value.op == "input":
            if "inputs" in more:
                result.inputs[value.data] = g
        elif value.op == "x":
            raise Unsupported("the step uses its input other than in products")
        elif value.op in OPS:
            for a, ga in zip(
                value.args, OPS[value.op].derivative(G, g, value, *value.args), strict=True
            ):
                if ga is not None and a.op not in ("constant", "width"):
                    parts.setdefault(a, []).append(ga)
    result.saved = _choose_saved(step, result, forward)
    return result


def _square(step: Step, result: Backward, value: Value, g: Value) -> None:
    """The sum of squares of a gradient, for each state that this value is."""
    G = step.graph
    for k, new in step.states.items():
        if new is not value:
            continue
        if value.op == "state":  # its gradient is not complete before the step before
            raise Unsupported(f"the step hands on {k} as it came, whose gradient has no norm here")
        result.norms[k] = G.make("sum", G.apply("mul", g, g), width="1")


def _sum_up(
    G: Graph, value: Value, parts: list[Value], terms: list[tuple[str, bool, Value]],
    made: set[Value],
) -> Value | None:  # fmt: skip
    if terms:
        parts = [*parts, G.make("product", width=value.width, data=tuple(terms))]
    if value.width == "1" and parts:  # a number a row that units used collects their gradients
        return row_sum(G, parts, made)
    total = None
    for part in parts:
        total = part if total is None else G.apply("add", total, part)
    if total is not None and total.width != value.width:
        total = G.make("spread", total, width=value.width)
    return total


def roots(backward: Backward) -> list[Value]:
    """Every value that the backward step must produce."""
    pairs = [pair for pairs in backward.outer.values() for pair in pairs]
    dz = [g for g, _ in pairs]
    operands = [v for _, v in pairs if v.op not in ("x", "input", "state")]
    more = [*backward.norms.values(), *backward.inputs.values(), *backward.clipped.values()]
    return [*backward.carries.values(), *dz, *backward.vectors.values(), *operands, *more]


def _choose_saved(step: Step, backward: Backward, forward: list[Value]) -> list[Value]:
    """Save what the backward needs and cannot make from states, weights and other saved values.

    A number a row is saved rather than the values of units that can be made with it.
    """
    forward_set = set(forward)
    needed: set[Value] = set()
    queue = roots(backward)
    seen: set[Value] = set()
    while queue:
        value = queue.pop()
        if value in seen:
            continue
        seen.add(value)
        if value in forward_set:
            needed.add(value)
            continue
        queue += value.args
        if value.op == "product":
            queue += [operand for _, _, operand in value.data]
    known = set(step.states.values()) | set(step.old.values())
    saved: list[Value] = []

    def can_make(value: Value) -> bool:
        if value in known or value.op in ("input", "vector", "constant", "width"):
            return True
        if value.op in ("product", "x", *REDUCTIONS):
            return False
        return all(can_make(a) for a in value.args)

    def numbers(value: Value) -> set[Value]:
        """The numbers of a row with which a value can be made; none if it cannot be made so."""
        found: set[Value] = set()
        seen: set[Value] = set()
        queue = [value]
        while queue:
            v = queue.pop()
            if v in seen or can_make(v):
                continue
            seen.add(v)
            if v.width != "1" and v.op not in OPS:
                return set()
            found |= {v} if v.width == "1" else set()
            queue += () if v.width == "1" else v.args
        return found

    for value in sorted(needed, key=lambda v: v.index):
        if not can_make(value):
            some = sorted(numbers(value) or {value}, key=lambda v: v.index)
            saved += some
            known.update(some)
    return saved
