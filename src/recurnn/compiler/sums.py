"""Where the sums over steps and rows go that are the gradients of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recurnn.compiler.differentiate import Backward
from recurnn.compiler.ops import Value
from recurnn.compiler.plan_parts import dz_place
from recurnn.compiler.structures import NONE, Columns, FactorAt, RowSumAt, SumAt

if TYPE_CHECKING:
    from recurnn.compiler.layout import Builder


class Sums:
    """Which dz is summed with which factor into which gradient."""

    def __init__(
        self, build: Builder, shapes: Mapping[str, tuple[int, ...]], back: Backward
    ) -> None:
        self.build, self.shapes, self.back = build, shapes, back
        self.extra: list[tuple[int, int, int]] = []

    def fields(self) -> dict[str, Any]:
        """The fields of the call."""
        build, plan = self.build, self.build.plan
        into: dict[tuple[Value, Value | None], Any] = {}
        for matrix, pairs in self.back.outer.items():
            for nth, (dz, operand) in enumerate(pairs):
                into[dz, operand] = self.place(matrix, second=nth > 0)
        for vector, dz in plan.columns.items():
            into[dz, None] = self.place(vector)
        into = {k: v for k, v in into.items() if v is not None}
        blocks = list(dict.fromkeys(dz for dz, _ in into))
        factors = list(dict.fromkeys(operand for _, operand in into))
        no_sum = SumAt(NONE, 0, 0, NONE, 0)
        row_sums: list[Any] = []
        before: list[str] = []
        for vector, value in plan.sums.items():
            place = self.place(vector)
            if place is not None:
                row_sums.append(
                    RowSumAt(
                        build.offset(before), build.sizes[value.width], place.array, place.offset,
                        place.copy, place.copy_offset,
                    )
                )  # fmt: skip
            before.append(value.width)
        return {
            "columns": build.table(
                Columns,
                [
                    Columns(build.offset(dz_place(plan, dz).before), build.sizes[dz.width])
                    for dz in blocks
                ],
            ),
            "factor": build.table(FactorAt, [self.factor(v) for v in factors]),
            "sum": build.table(SumAt, [into.get((b, f), no_sum) for b in blocks for f in factors]),
            "row_sum": build.table(RowSumAt, row_sums),
            "blocks": len(blocks), "factors": len(factors), "row_sums": len(row_sums),
        }  # fmt: skip

    def place(self, name: str, *, second: bool = False) -> Any | None:
        """Where the gradient of a weight goes; None if nobody wants it."""
        pieces, shape = self.build.pieces[name], self.shapes[name]
        wants = self.build.shape.wants[1:]
        stride = shape[1] if len(shape) == 2 else 1
        wanted = [p for p in pieces if wants[p.tensor]]
        if not wanted:
            return None
        if second:  # the same matrix multiplies two things in a step: a sum of its own for each
            array = self.build.number(f"extra {len(self.extra)}")
            self.extra.append((pieces[0].tensor, pieces[0].row, shape[0]))
            return SumAt(array, 0, stride, NONE, 0)
        at = [self.build.number(f"gradient {p.tensor}") for p in wanted] + [NONE]
        rows = [p.row * stride for p in wanted] + [0]
        return SumAt(at[0], rows[0], stride, at[1], rows[1])

    def factor(self, operand: Value | None) -> Any:
        """Where the operand of a product is found at each step; None: ones."""
        plan, build = self.build.plan, self.build
        if operand is None:
            return FactorAt(0, 0, 0)
        width = build.sizes[operand.width]
        if operand.op == "x":
            return FactorAt(plan.streams.index("x"), 0, width)
        # Not where it lives for one step only, if it is kept for the sums too.
        kept = (p for p in plan.stores.get(operand, []) if p.stream == "operands")
        place = next(kept, None) or plan.homes[operand]
        return FactorAt(plan.streams.index(place.stream), build.offset(place.before), width)
