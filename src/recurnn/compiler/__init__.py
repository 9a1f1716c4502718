"""The recurrence compiler: from a cell's step to fused kernels, forward and backward.

Its stages, each a module: `trace` (step to graph), `differentiate` (its backward), `plan`
(phases and where values live), `emit_cpp` (C++), `build` (library, cached), `kernel` (calls on
tensors), `engine` (one operation of torch). `show` prints each of them. ``vectors.h`` and
``recurrence.h`` are what every kernel shares.
"""

from recurnn.compiler.engine import prepare, run
from recurnn.compiler.ops import Unsupported
from recurnn.compiler.show import Summary, show, summary

__all__ = ["prepare", "run", "show", "summary", "Summary", "Unsupported"]
