"""Memory and speed of a stream of ten million steps, from each kind of file.

Each kind is read in a process of its own, chunk after chunk: what the process holds after the
first tenth of the steps and after all of them, beyond what it held before the file was opened.
The file itself is printed beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

KINDS = {"npy": ".npy", "arrow": ".arrow", "arrow lz4": ".lz4.arrow", "parquet": ".parquet",
         "csv": ".csv"}  # fmt: skip
ROWS = 1 << 20  # written at once


def write(folder: Path, N: int, width: int) -> None:
    """The same numbers in every kind of file, in pieces."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(f"x{k}", pa.float32()) for k in range(width)])
    lz4 = pa.ipc.IpcWriteOptions(compression="lz4")
    array = np.lib.format.open_memmap(folder / "t.npy", "w+", np.float32, (N, width))
    with (
        pa.ipc.new_file(folder / "t.arrow", schema) as plain,
        pa.ipc.new_file(folder / "t.lz4.arrow", schema, options=lz4) as packed,
        parquet.ParquetWriter(folder / "t.parquet", schema) as columns,
        (folder / "t.csv").open("w") as text,
    ):
        for begin in range(0, N, ROWS):
            size = min(ROWS, N - begin)
            part = np.random.default_rng(begin).random((size, width), np.float32).round(3)
            array[begin : begin + size] = part
            table = pa.Table.from_arrays(
                [pa.array(part[:, k]) for k in range(width)], schema=schema
            )
            plain.write_table(table, max_chunksize=1 << 16)
            packed.write_table(table, max_chunksize=1 << 16)
            columns.write_table(table, row_group_size=1 << 18)
            frame = pd.DataFrame(part, columns=schema.names)
            frame.to_csv(text, index=False, header=begin == 0, float_format="%.3f")
    array.flush()


def resident() -> float:
    """MiB of memory that this process holds."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("the system does not say how much memory a process holds")


def read(path: Path, batch_size: int, chunk: int) -> dict[str, float]:
    """Read a file as a stream; what it took."""
    from recurnn.data import Streams, open_array

    Streams(np.zeros((1000, 2)), batch_size=2).chunk(0, 10)
    before, start = resident(), time.perf_counter()
    rows = open_array(path, cache=path.parent / "cache")
    opened = time.perf_counter() - start
    streams = Streams(rows, batch_size=batch_size)
    seen, total, start = [], 0.0, time.perf_counter()
    for t in range(0, streams.length, chunk):
        x, *_ = streams.chunk(t, min(t + chunk, streams.length))
        total += float(x.sum())
        seen.append(resident() - before)
    rate = streams.length * batch_size / (time.perf_counter() - start) / 1e6
    tenth = len(seen) // 10
    return {"opened": opened, "early": max(seen[: tenth + 1]), "most": max(seen), "last": seen[-1],
            "rate": rate, "sum": total}  # fmt: skip


def main() -> None:
    """Write, read in other processes, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000_000)
    parser.add_argument("--width", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--chunk", type=int, default=200)
    parser.add_argument("--read", type=Path, help="read this file and print as JSON")
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read(options.read, options.batch_size, options.chunk)))
        return
    print(f"{options.steps:,} steps of {options.width} float32, {options.batch_size} lanes, "
          f"chunks of {options.chunk}; MiB")  # fmt: skip
    print(f"{'':10} {'file':>6} {'first tenth':>12} {'most':>6} {'at the end':>11} "
          f"{'to open':>8} {'steps/s':>8}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.steps, options.width)
        for kind, suffix in KINDS.items():
            path = Path(folder) / f"t{suffix}"
            sizes = ["--batch-size", str(options.batch_size), "--chunk", str(options.chunk)]
            command = [sys.executable, __file__, "--read", str(path), *sizes]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            print(f"{kind:10} {path.stat().st_size / 2**20:6.0f} {found['early']:12.1f} "
                  f"{found['most']:6.1f} {found['last']:11.1f} {found['opened']:6.1f} s "
                  f"{found['rate']:6.2f} M", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
