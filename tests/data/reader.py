"""What the child of `test_flat_memory` runs: read a file as a stream; the memory it held."""

import json
import sys
from pathlib import Path

import torch

from recurnn.data import Streams, open_array

CHUNK, LANES, EVERY = 200, 32, 16


def held() -> int:
    """KiB of memory that are the process's own."""
    found = Path("/proc/self/smaps_rollup").read_text().split()
    return int(found[found.index("Anonymous:") + 1])


def main() -> None:
    streams = Streams(open_array(sys.argv[1]), batch_size=LANES, dtype=torch.float32)
    seen, total = [], 0.0
    for t in range(0, streams.length - CHUNK, CHUNK):
        total += float(streams.chunk(t, t + CHUNK).x.sum(dtype=torch.float64))
        if t // CHUNK % EVERY == 0:
            seen.append(held())
    print(json.dumps({"seen": seen, "total": total}))


if __name__ == "__main__":
    main()
