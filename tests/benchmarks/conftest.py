"""The benchmarks' folder among those that modules come from, last: some names are the tests'."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
