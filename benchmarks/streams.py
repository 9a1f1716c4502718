"""Memory and speed of a stream of ten million steps, read and trained on, from each kind of file.

Each kind is read in a process of its own, chunk after chunk: what the process holds after the
first tenth of the steps and after all of them, beyond what it held before the file was opened.
The file itself is printed beside it. Then a network is trained on it for an epoch by truncated
backpropagation, in the same way. Aim: memory is flat.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import recurnn
from recurnn.data import Streams, open_array
from recurnn.training import Plan, Run, Update, Watch, fit

KINDS = {"npy": ".npy", "arrow": ".arrow", "arrow lz4": ".lz4.arrow", "parquet": ".parquet",
         "csv": ".csv"}  # fmt: skip
ROWS = 1 << 20  # written at once
HIDDEN = 32


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


class Memory(Watch):
    """What the process holds after every update, beyond what it held before the file was opened."""

    def __init__(self, before: float) -> None:
        self.before, self.seen = before, list[float]()

    def update(self, run: Run, update: Update) -> None:
        self.seen.append(resident() - self.before)


class Next(nn.Module):
    """The next numbers from those so far."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rnn = recurnn.nn.LSTM(width, HIDDEN)
        self.head = nn.Linear(HIDDEN, width)

    def forward(self, x: Tensor, state: Any = None, reset: Tensor | None = None) -> Any:
        h, state = self.rnn(x, state, reset=reset)
        return self.head(h), state


def train(streams: Streams, chunk: int, memory: Memory) -> None:
    """An epoch of truncated backpropagation."""
    plan = Plan(k1=chunk, epochs=1)
    fit(Next(streams.chunk(0, 1).x.shape[-1]), streams, None, plan, watch=memory)


def read(streams: Streams, chunk: int, memory: Memory) -> None:
    """All of it in order, a chunk at a time."""
    for t in range(0, streams.length, chunk):
        streams.chunk(t, min(t + chunk, streams.length))
        memory.seen.append(resident() - memory.before)


def run(work: str, path: Path, batch_size: int, chunk: int) -> dict[str, float]:
    """Read a file as a stream, or train on it; what it took."""
    work_on = {"read": read, "train": train}[work]
    few = Streams(np.zeros((10 * chunk, 2), np.float32), batch_size=2)
    work_on(few, chunk, Memory(0))  # whatever is loaded at first use
    memory, start = Memory(resident()), time.perf_counter()
    rows = open_array(path, cache=path.parent / "cache")
    opened = time.perf_counter() - start
    streams = Streams(rows, batch_size=batch_size, dtype=torch.float32)
    start = time.perf_counter()
    work_on(streams, chunk, memory)
    rate = streams.length * batch_size / (time.perf_counter() - start) / 1e6
    seen = memory.seen
    return {"opened": opened, "early": max(seen[: len(seen) // 10 + 1]), "most": max(seen),
            "last": seen[-1], "rate": rate}  # fmt: skip


def main() -> None:
    """Write, read in other processes, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000_000)
    parser.add_argument("--width", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--chunk", type=int, default=200)
    parser.add_argument("--one", choices=["read", "train"], help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(run(options.one, options.path, options.batch_size, options.chunk)))
        return
    print(f"{options.steps:,} steps of {options.width} float32, {options.batch_size} lanes, "
          f"chunks of {options.chunk}; MiB; "
          f"trained: LSTM of {HIDDEN}, k1 = k2 = {options.chunk}")  # fmt: skip
    print(f"{'':18} {'file':>6} {'first tenth':>12} {'most':>6} {'at the end':>11} "
          f"{'to open':>8} {'steps/s':>8}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.steps, options.width)
        for work in ("read", "train"):
            for kind, suffix in KINDS.items():
                path = Path(folder) / f"t{suffix}"
                sizes = ["--batch-size", str(options.batch_size), "--chunk", str(options.chunk)]
                command = [sys.executable, __file__, "--one", work, "--path", str(path), *sizes]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found = json.loads(done.stdout)
                print(f"{work + ', ' + kind:18} {path.stat().st_size / 2**20:6.0f} "
                      f"{found['early']:12.1f} {found['most']:6.1f} {found['last']:11.1f} "
                      f"{found['opened']:6.1f} s {found['rate']:6.2f} M", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
