"""The recurrence compiler: from a cell's step to fused kernels, forward and backward.

Its stages, each a module: `trace` (step to graph), `differentiate` (its backward), `plan`
(phases and where values live), `emit_cpp` (C++), `build` (library, cached), `layout` (what a
kernel is told of one shape of call), `kernel` (text, libraries, calls), `engine` (one operation
of torch). `show` prints each of them. The headers are what every kernel shares: ``vectors.h``,
``products.h``, ``threads.h`` and ``recurrence.h``, the loop over time.
"""

from recurnn.compiler.binding import Binding, Bound, Piece
from recurnn.compiler.engine import prepare, run
from recurnn.compiler.ops import Unsupported
from recurnn.compiler.show import Summary, show, summary
from recurnn.compiler.stepping import Steps

__all__ = [
    "Binding", "Bound", "Piece", "prepare", "run", "show", "summary", "Steps", "Summary",
    "Unsupported",
]  # fmt: skip
