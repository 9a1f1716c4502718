"""The recurrence compiler: from a cell's step to fused kernels, forward and backward.

Its stages, each a module: `trace` (step to graph, on `symbols`), `differentiate` (its backward),
`plan` (phases and where values live), `emit_cpp` (C++), `build` (library, cached), `layout` and
`structures` (what a kernel is told of one shape of call, with `sums` for the gradients of
weights), `kernel` (text and libraries), `engine` (which cells have one), `calls` (tensors in,
tensors out), `segments` (the same with less kept), `operation` (one operation of torch) and
`stepping` (one step a call). `show` prints the first of them. The headers are what every kernel
shares: ``vectors.h``, ``tiles.h`` (products of bfloat16 on a matrix unit), ``products.h``,
``threads.h``, ``call.h`` (what a kernel is told) and ``recurrence.h``, the loop over time. Beside
them stands `output_layer`, the output layer of a language model, on the same products and threads.
"""

from recurnn.compiler.binding import Binding, Bound, Piece
from recurnn.compiler.calls import Extra, Given
from recurnn.compiler.engine import Compiled, prepare
from recurnn.compiler.operation import run
from recurnn.compiler.ops import Unsupported
from recurnn.compiler.output_layer import Losses, cross_entropy, group_of, has_cross_entropy
from recurnn.compiler.segments import Segment, segments_of
from recurnn.compiler.show import Summary, show, summary
from recurnn.compiler.stepping import Steps

__all__ = [
    "Binding", "Bound", "Compiled", "Extra", "Given", "Losses", "Piece", "Segment", "Steps",
    "Summary", "Unsupported", "cross_entropy", "group_of", "has_cross_entropy", "prepare", "run",
    "segments_of", "show", "summary",
]  # fmt: skip
