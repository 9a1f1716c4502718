"""Streams and sequences against plain indexing; the order by length."""

from __future__ import annotations

import mmap
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recurnn.data import Sequences, Streams, bucketed
from recurnn.errors import ConfigError, DataError, ShapeError

# ---- streams


class Slices:
    """Rows that are read by slices only, and note which."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.dtype, self.shape = values, values.dtype, values.shape
        self.read: list[slice] = []

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, steps: slice) -> np.ndarray:
        assert isinstance(steps, slice)
        self.read.append(steps)
        return self.values[steps]


def naive(x: np.ndarray, y: np.ndarray, starts: Any, B: int, length: int, span: range) -> Any:
    """A chunk, an element at a time."""
    at = [[b * length + t for b in range(B)] for t in span]
    reset = [[i in starts for i in row] for row in at]
    return x[np.array(at)], y[np.array(at)], np.array(reset)


def source(kind: str, values: np.ndarray, folder: Path) -> Any:
    if kind == "mapped":
        np.save(folder / "values.npy", values)
        return np.load(folder / "values.npy", mmap_mode="r")
    kinds: dict[str, Any] = {
        "array": lambda: values, "tensor": lambda: torch.from_numpy(values),
        "slices": lambda: Slices(values), "list": lambda: values.tolist(),
        # every second row of a wider array, back to front
        "strided": lambda: np.repeat(values, 2, axis=0)[::-2][::-1],
    }  # fmt: skip
    return kinds[kind]()


@pytest.mark.parametrize("kind", ["array", "tensor", "slices", "list", "strided", "mapped"])
@pytest.mark.parametrize("own_targets", [False, True])
@settings(max_examples=8)
@given(data=st.data())
def test_chunks_are_what_indexing_gives(
    tmp_path_factory: Any, kind: str, own_targets: bool, data: Any
) -> None:
    N = data.draw(st.integers(6, 60), label="N")
    B = data.draw(st.integers(1, N - 1), label="B")
    wide = data.draw(st.booleans(), label="wide")
    starts = sorted(data.draw(st.sets(st.integers(0, N - 1), max_size=6), label="starts"))
    rng = np.random.default_rng(N)
    x = rng.normal(size=(N, 3)) if wide else rng.integers(0, 9, N)
    y = rng.normal(size=(N, 2)).astype(np.float32) if own_targets else np.r_[x[1:], x[:1]]
    folder = tmp_path_factory.mktemp("streams")
    streams = Streams(
        source(kind, x, folder), y if own_targets else None, batch_size=B, starts=starts
    )
    usable = N if own_targets else N - 1
    assert (streams.lanes, streams.length) == (B, usable // B)
    assert streams.left_out == usable - B * (usable // B)
    start = data.draw(st.integers(0, streams.length - 1), label="start")
    stop = data.draw(st.integers(start + 1, streams.length), label="stop")
    chunk = streams.chunk(start, stop)
    want = naive(x, y, starts, B, streams.length, range(start, stop))
    for got, expected in zip(chunk, want, strict=True):
        assert got.is_contiguous()
        assert got.numpy().dtype == expected.dtype
        assert np.array_equal(got.numpy(), expected)
    # Some lanes alone are those of the whole.
    some = slice(data.draw(st.integers(0, B - 1), label="lane"), None, 2)
    for got, expected in zip(streams.chunk(start, stop, some), chunk, strict=True):
        assert torch.equal(got, expected[:, some])


def test_chunks_in_order_are_the_sequence() -> None:
    text = np.random.default_rng(1).integers(0, 255, 1003).astype(np.uint8)
    streams = Streams(text, batch_size=7)
    chunks = [streams.chunk(t, min(t + 40, streams.length)) for t in range(0, streams.length, 40)]
    x, y = (torch.cat([c[k] for c in chunks]).T.flatten() for k in (0, 1))
    assert x.dtype == torch.int64
    assert streams.left_out == 1
    assert np.array_equal(x.numpy(), text[:-2])
    assert np.array_equal(y.numpy(), text[1:-1])
    assert not any(c.reset.any() for c in chunks)


@pytest.mark.parametrize("y", [None, np.zeros(20)])
def test_a_chunk_is_fresh_memory(y: Any) -> None:
    x = np.arange(20.0)
    streams = Streams(x, y, batch_size=2)
    chunk = streams.chunk(0, 3)
    chunk.x.fill_(-1)
    assert (chunk.y >= 0).all()
    chunk.y.fill_(-1)
    assert (x >= 0).all()
    assert streams.chunk(0, 3).x[2, 0] == 2


@pytest.mark.parametrize(
    ("stored", "dtype", "given_as"),
    [
        ("uint8", None, torch.int64), ("uint16", None, torch.int64), (">i4", None, torch.int64),
        ("bool", None, torch.int64), ("float32", None, torch.float32),
        (">f8", None, torch.float64), ("float64", torch.float32, torch.float32),
        ("int32", torch.float32, torch.int64), ("float16", None, torch.float16),
    ],
)  # fmt: skip
def test_whole_numbers_are_int64_and_others_keep_their_type(
    stored: str, dtype: Any, given_as: torch.dtype
) -> None:
    values = (np.arange(12) % 2).astype(stored)
    x = Streams(values, batch_size=3, dtype=dtype).chunk(0, 3).x
    assert x.dtype == given_as
    assert x.T.flatten().tolist() == values[:9].astype(float).tolist()


def test_a_bfloat16_tensor_is_read_too() -> None:
    x = torch.arange(12).bfloat16()
    chunk = Streams(x, batch_size=2).chunk(1, 3, slice(1, 2))
    assert chunk.x.dtype == torch.bfloat16
    assert (chunk.x.flatten().tolist(), chunk.y.flatten().tolist()) == ([6, 7], [7, 8])
    chunk.x.zero_()
    assert x[6] == 6


def test_only_the_steps_of_the_chunk_are_read() -> None:
    rows = Slices(np.arange(1000))
    Streams(rows, batch_size=2).chunk(10, 14)
    assert rows.read == [slice(10, 15), slice(509, 514)]


def resident(where: str) -> int:
    """KiB of a mapped file that lie in this process's memory."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = line.endswith(where)
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="the system takes no advice")
@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="no /proc")
def test_pages_behind_the_reader_are_given_back(tmp_path: Path) -> None:
    N = 4_000_000
    np.save(tmp_path / "long.npy", np.zeros(N, np.float32))
    streams = Streams(np.load(tmp_path / "long.npy", mmap_mode="r"), batch_size=4)
    most = 0
    for t in range(0, streams.length - 50_000, 50_000):
        streams.chunk(t, t + 50_000)
        most = max(most, resident(str(tmp_path / "long.npy")))
    assert 0 < most < 2_000  # of 15,625 KiB
    # A view of the array gives back its own pages only.
    view = Streams(np.load(tmp_path / "long.npy", mmap_mode="r")[1_000_000:], batch_size=1)
    view.chunk(0, 1_000_000)
    assert resident(str(tmp_path / "long.npy")) < 2_000


def test_what_was_written_to_a_private_map_is_not_lost(tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", np.zeros(10_000))
    mapped = np.load(tmp_path / "values.npy", mmap_mode="c")
    mapped[:] = 1
    streams = Streams(mapped, batch_size=1)
    for _ in range(2):
        assert (streams.chunk(0, 9_000).x == 1).all()


@pytest.mark.parametrize(
    ("x", "options", "kind", "message"),
    [
        (np.zeros(5), {"batch_size": 5}, ConfigError, r"1 to 4(.|\n)*5 \(the last step is a"),
        (np.zeros(5), {"batch_size": 0}, ConfigError, "batch_size is 0"),
        (np.zeros(5), {"batch_size": 6, "y": np.zeros(5)}, ConfigError, "it must be 1 to 5"),
        (np.zeros(0), {"batch_size": 1}, ConfigError, "1 to 0"),
        (np.zeros(5), {"batch_size": 1, "y": np.zeros(4)}, ShapeError, "y has 4; expected 5"),
        (np.array(["a", "b"]), {"batch_size": 1}, DataError, "x does not hold numbers"),
        (np.float64(3), {"batch_size": 1}, ShapeError, "a single number"),
        (np.zeros(9), {"batch_size": 1, "starts": [3, 2]}, DataError, r"starts\[1\] = 2 comes"),
        (np.zeros(9), {"batch_size": 1, "starts": [3, 9]}, DataError, "from 3 to 9; (.|\n)*0 to 8"),
        (np.zeros(9), {"batch_size": 1, "starts": [-1]}, DataError, "begins outside"),
        (np.zeros(9), {"batch_size": 1, "starts": [0.5]}, ShapeError, "float64"),
        (np.zeros(9), {"batch_size": 1, "starts": [[1]]}, ShapeError, r"\[1, 1\]"),
    ],
)
def test_what_does_not_fit_is_refused(x: Any, options: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        Streams(x, **options)


@pytest.mark.parametrize(
    ("span", "lanes", "message"),
    [
        ((0, 11), None, "0 <= start < stop <= 10"), ((3, 3), None, "no steps 3 to 3"),
        ((-1, 3), None, "no steps -1 to 3"), ((0, 3), slice(2, 2), "names no lanes"),
        ((0, 3), slice(5, 9), "There are 2"), ((0, 3), slice(None, None, -1), "in their order"),
    ],
)  # fmt: skip
def test_steps_and_lanes_that_are_not_there(span: Any, lanes: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Streams(np.zeros(21), batch_size=2).chunk(*span, lanes)


# ---- sequences


def padded(rows: list[Tensor], fill: float) -> Tensor:
    out = torch.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), fill).to(rows[0].dtype)
    for b, row in enumerate(rows):
        out[b, : len(row)] = row
    return out


@given(data=st.data())
def test_batches_are_padded_rows(data: Any) -> None:
    lengths = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    tokens = data.draw(st.booleans(), label="tokens")
    per_step = data.draw(st.booleans(), label="per_step")
    inputs = [torch.randint(1, 9, (T,)) if tokens else torch.randn(T, 3) for T in lengths]
    targets: Any = [torch.randn(T, 2) for T in lengths] if per_step else torch.randn(len(lengths))
    found = Sequences(inputs, targets, padding=-7, target_padding=5)
    assert len(found) == len(lengths)
    assert found.lengths.tolist() == lengths
    index = torch.tensor(data.draw(st.permutations(range(len(lengths)))))[:4]
    (x, ends), y = found.batch(index)
    assert ends.tolist() == [lengths[i] for i in index]
    assert torch.equal(x, padded([inputs[i] for i in index], -7))
    if per_step:
        assert torch.equal(y, padded([targets[i] for i in index], 5))
    else:
        assert torch.equal(y, targets[index])
    x.zero_(), y.zero_()
    (again, _), _ = found.batch(index)
    assert torch.equal(again, padded([inputs[i] for i in index], -7))


def test_kinds_of_targets() -> None:
    inputs = [np.array([1, 2], np.uint8), np.array([3], np.uint8)]
    for targets in ([0, 1], np.array([0, 1]), torch.tensor([0, 1]), [np.int32(0), np.int32(1)]):
        found = Sequences(inputs, targets)
        (x, _), y = found.batch(torch.tensor([0, 1]))
        assert not found.per_step
        assert (x.dtype, y.dtype) == (torch.int64, torch.int64)
        assert (x.tolist(), y.tolist()) == ([[1, 2], [3, 0]], [0, 1])
    _, y = Sequences(inputs, [np.array([4, 5]), np.array([6])]).batch(torch.tensor([0, 1]))
    assert y.tolist() == [[4, 5], [6, -100]]
    _, y = Sequences(inputs, [np.array([4.0, 5]), np.array([6.0])]).batch(torch.tensor([0, 1]))
    assert y.tolist() == [[4, 5], [6, 0]]


@pytest.mark.parametrize(
    ("inputs", "targets", "kind", "message"),
    [
        ([], [], DataError, "inputs is empty"),
        ([[1], []], [0, 1], DataError, r"inputs\[1\] has no steps"),
        ([["a"]], [0], DataError, r"inputs\[0\] does not hold numbers"),
        ([torch.ones(2, 3), torch.ones(2, 4)], [0, 1], ShapeError, r"\[2, 4\].*\[T, 3\]"),
        ([torch.ones(2), torch.ones(2).long()], [0, 1], ShapeError, r"int64; expected \[T\] of"),
        ([torch.tensor(1)], [0], ShapeError, "a single number"),
        ([[1], [2]], [0], ShapeError, "targets has 1; inputs has 2"),
        ([[1], [2, 3]], [[1], [2]], ShapeError, r"targets\[1\](.|\n)*1 step; expected 2"),
        ([[1], [2]], [[1], [2.0]], ShapeError, r"targets\[1\] does not fit the others"),
    ],
)
def test_sequences_that_do_not_fit(inputs: Any, targets: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        Sequences(inputs, targets)


@pytest.mark.parametrize("index", [[-1], [2]])
def test_sequence_numbers_outside_are_refused(index: list[int]) -> None:
    with pytest.raises(IndexError, match="0 to 1"):
        Sequences([[1], [2]], [0, 1]).batch(torch.tensor(index))


# ---- the order by length


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    size=st.integers(1, 9),
    pool=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_every_sequence_is_in_one_batch(
    lengths: list[int], size: int, pool: int, seed: int
) -> None:
    def order() -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed)
        return [b.tolist() for b in bucketed(lengths, size, generator, pool=pool)]

    batches = order()
    assert batches == order()
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert sorted(map(len, batches), reverse=True)[:-1] == [size] * max(len(batches) - 1, 0)


def padding(lengths: Tensor, batches: list[Tensor]) -> float:
    room = sum(int(lengths[b].max()) * len(b) for b in batches)
    return 1 - int(lengths.sum()) / room


def test_little_is_padding_and_the_order_is_random() -> None:
    lengths = torch.randint(5, 200, (5000,))
    generator = torch.Generator().manual_seed(3)
    batches = bucketed(lengths, 32, generator)
    assert padding(lengths, batches) < 0.02
    assert padding(lengths, bucketed(lengths, 32, generator, pool=1)) > 0.4
    # Neither short batches first, nor the same batches in the next epoch.
    means = torch.stack([lengths[b].double().mean() for b in batches])
    place = torch.arange(len(means)).double()
    assert abs(torch.corrcoef(torch.stack([means, place]))[0, 1]) < 0.3
    again = bucketed(lengths, 32, generator)
    assert {frozenset(b.tolist()) for b in batches} & {
        frozenset(b.tolist()) for b in again
    } == set()


def test_sequences_of_equal_length_meet_at_random() -> None:
    lengths = torch.ones(64, dtype=torch.int64)
    first = bucketed(lengths, 8, torch.Generator().manual_seed(0))[0]
    assert first.tolist() != sorted(first.tolist())


@pytest.mark.parametrize(
    ("lengths", "options", "kind", "message"),
    [
        ([], {"batch_size": 1}, DataError, "lengths is empty"),
        ([1], {"batch_size": 0}, ConfigError, "batch_size is 0"),
        ([1], {"batch_size": 1, "pool": 0}, ConfigError, "pool is 0"),
        ([1.5], {"batch_size": 1}, ShapeError, "float32"),
        ([[1]], {"batch_size": 1}, ShapeError, r"\[1, 1\]"),
    ],
)
def test_orders_that_cannot_be(lengths: Any, options: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        bucketed(lengths, generator=torch.Generator(), **options)
