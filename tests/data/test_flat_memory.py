"""A file of any length is read in the memory of a few pieces of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from test_streams import resident

from children import child, ended
from recurnn.data import Streams, open_array

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="no /proc that tells"
)
N, WIDTH, AT_ONCE = 4_000_000, 4, 1 << 17
MIB = 1 << 10  # in KiB


def write(path: Path) -> None:
    """Random numbers with three decimals, in pieces."""
    schema = pa.schema([(f"x{k}", pa.float32()) for k in range(WIDTH)])
    kind = parquet.ParquetWriter if path.suffix == ".parquet" else pa.ipc.new_file
    with kind(path, schema) as file:
        for begin in range(0, N, AT_ONCE):
            part = np.random.default_rng(begin).random((AT_ONCE, WIDTH), np.float32).round(3)
            columns = [pa.array(part[: N - begin, k]) for k in range(WIDTH)]
            file.write_table(pa.Table.from_arrays(columns, schema=schema))


def test_memory_does_not_grow_with_what_was_decoded(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet")
    reader = Path(__file__).with_name("reader.py")
    with child([sys.executable, str(reader), str(tmp_path / "t.parquet")]) as process:
        status, printed, errors = ended(process, within=120)
    assert status == 0, errors
    told = json.loads(printed)
    assert told["total"] == pytest.approx(N * WIDTH / 2, rel=0.01)
    seen = told["seen"]  # from when every lane has decoded something
    assert max(seen) < seen[0] + 8 * MIB  # it grew by twice that


def test_of_a_mapped_file_only_what_is_being_read_stays(tmp_path: Path) -> None:
    write(tmp_path / "t.arrow")
    streams = Streams(open_array(tmp_path / "t.arrow"), batch_size=4)
    most = 0
    for t in range(0, streams.length - 2000, 2000):
        streams.chunk(t, t + 2000)
        if t % 20_000 == 0:
            most = max(most, resident(str(tmp_path / "t.arrow")))
    assert 0 < most < 3 * MIB  # of 61
