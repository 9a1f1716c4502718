"""One checkpoint as one file: safetensors, with the nest and two checksums in its metadata.

    8 bytes        length of the header
    header         JSON: {"__metadata__": {"sha256": ..., "data_sha256": ..., "state": ...}, ...}
    data           the tensors, without gaps

`data_sha256` is over the data, `sha256` over the 8 bytes and the header, `data_sha256` included,
with zeros in its own place. So each bit of the file is vouched for, the header can be trusted
before anything is made of it, and it can be read alone. The file is written here, not by the
safetensors library, which opens it: so the bytes are hashed while they are written, no copy of
the state is made, and an error keeps its number. Nothing in it is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recurnn import files
from recurnn.errors import CheckpointError
from recurnn.training.nest import Nest, together

KIND, VERSION = "recurnn checkpoint", "1"
MAX_HEADER = 100_000_000  # what readers of safetensors accept

_DTYPES = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.int16: "I16",
    torch.uint16: "U16", torch.int32: "I32", torch.uint32: "U32", torch.int64: "I64",
    torch.uint64: "U64", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32", torch.float64: "F64",
}  # fmt: skip
_NAMES = {name: dtype for dtype, name in _DTYPES.items()}
_START = b'{"__metadata__":{"sha256":"'
_ZEROS = b"0" * 64
_HEAD_SUM = slice(8 + len(_START), 8 + len(_START) + 64)  # where the checksums stand
_DATA_SUM = slice(_HEAD_SUM.stop + len('","data_sha256":"'), _HEAD_SUM.stop + 17 + 64)
_BESIDE = 1 << 20  # bytes from which on a thread hashes while the disk works
_EARLY = 1 << 24  # bytes from which on the disk is sent to work before the hash is ready


class DamagedError(Exception):
    """A file is not a whole checkpoint; the text says why."""


class Snapshot:
    """A state laid out as a file, before anything is written.

    Args:
        state: as `Nest` takes it.
        update: number of the update after which it was.
        best: whether it is that of the best epoch so far.

    Attributes:
        size: bytes of the file.

    Raises:
        CheckpointError: something in the state cannot be saved.
    """

    def __init__(self, state: Mapping[str, Any], *, update: int, best: bool) -> None:
        nest = Nest(state, reserved=("__metadata__",))
        # Wide elements first: then each tensor is aligned to its elements.
        self._tensors = dict(sorted(nest.tensors.items(), key=lambda item: -item[1].itemsize))
        meta = {
            "sha256": _ZEROS.decode(),
            "data_sha256": _ZEROS.decode(),
            "format": "pt",
            "kind": KIND,
            "version": VERSION,
            "written_by": files.written_by(),
            "update": str(update),
            "best": str(best),
            "state": _json(nest.json),
        }
        entries: dict[str, Any] = {"__metadata__": meta}
        raw, end = {}, 0
        for name, tensor in self._tensors.items():
            start, end = end, end + tensor.numel() * tensor.itemsize
            shape = list(tensor.shape)
            if tensor.dtype not in _DTYPES:
                raw[name] = [str(tensor.dtype).removeprefix("torch."), shape]
                shape = [end - start]
            dtype = _DTYPES.get(tensor.dtype, "U8")
            entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        if raw:  # what safetensors has no dtype for is kept as bytes
            meta["raw"] = _json(raw)
        text = _json(entries).encode()
        text += b" " * (-len(text) % 8)
        if len(text) > MAX_HEADER:
            raise CheckpointError(
                f"The state cannot be saved: beside its tensors it takes {len(text):,} bytes.\n"
                f"  At most {MAX_HEADER:,} are possible. Keep long lists of numbers as tensors."
            )
        self._header = bytearray(struct.pack("<Q", len(text)) + text)
        self._data = end
        self.size = len(self._header) + end

    def write(self, file: FileIO) -> None:
        """Write the file, from its beginning.

        Raises:
            OSError: the disk refuses.
        """
        head = self._header.copy()
        files.write_all(file, memoryview(head))
        with _Hash() as data:
            for tensor in self._tensors.values():
                _put(tensor, file, data)
            if self._data >= _EARLY:
                os.fsync(file.fileno())
            head[_DATA_SUM] = data.hex()
        head[_HEAD_SUM] = hashlib.sha256(head).hexdigest().encode()
        file.seek(0)
        files.write_all(file, memoryview(head))


@dataclass(frozen=True)
class Head:
    """What a file says about itself, checked.

    Attributes:
        update: number of the update after which the state was.
        best: whether it is that of the best epoch so far.
    """

    update: int
    best: bool
    _meta: dict[str, str]
    _entries: dict[str, tuple[torch.dtype, list[int], int]]  # dtype, shape and bytes, in order

    def part(self, key: str) -> Any:
        """One entry of the state, its tensors without values; None where there is none."""
        with _decoding():
            nest = json.loads(self._meta["state"])
            return together(nest, self._empty).get(key)

    def _empty(self, name: str) -> Tensor:
        dtype, shape, _ = self._entries[name]
        return torch.empty(shape, dtype=dtype, device="meta")


def read_head(path: Path) -> Head:
    """Read and check the header alone.

    Raises:
        DamagedError: it is not that of a whole checkpoint.
        OSError: the file cannot be read.
    """
    with FileIO(path) as file:
        return _head(file)


def read(path: Path) -> tuple[Head, dict[str, Any]]:
    """Read a whole file and check it.

    Returns:
        The header, and the state as it was saved, each tensor on the CPU in memory of its own.

    Raises:
        DamagedError: it is not a whole checkpoint.
        OSError: the file cannot be read.
    """
    with FileIO(path) as file:
        head = _head(file)
        tensors = {}
        with _Hash() as data:
            for name, (dtype, shape, count) in head._entries.items():
                block = torch.empty(count, dtype=torch.uint8)
                if not files.read_into(file, _bytes(block)):
                    raise DamagedError("it was cut short while it was read")
                data.add(_bytes(block))
                tensors[name] = block.view(dtype).reshape(shape).detach()  # no longer a view
            if data.hex() != head._meta["data_sha256"].encode():
                raise DamagedError("its tensors do not match their checksum")
    with _decoding():
        return head, together(json.loads(head._meta["state"]), tensors.__getitem__)


def _head(file: FileIO) -> Head:
    size = os.fstat(file.fileno()).st_size
    start = bytearray(_HEAD_SUM.start)
    if not files.read_into(file, memoryview(start)):
        raise DamagedError(f"it has only {size:,} bytes")
    (length,) = struct.unpack_from("<Q", start)
    if start[8:] != _START:
        raise DamagedError("it does not begin as a checkpoint does")
    if not _DATA_SUM.stop <= 8 + length <= size:
        raise DamagedError(f"it has {size:,} bytes and a header of {length:,}")
    head = bytearray(8 + length)
    file.seek(0)
    if not files.read_into(file, memoryview(head)):
        raise DamagedError("it was cut short while it was read")
    stated, head[_HEAD_SUM] = head[_HEAD_SUM], _ZEROS
    if hashlib.sha256(head).hexdigest().encode() != stated:
        raise DamagedError("its header does not match its checksum")
    with _decoding():
        entries = json.loads(head[8:])
        found = _understood(entries.pop("__metadata__"), entries)
    data = sum(count for _, _, count in found._entries.values())
    if size != len(head) + data:
        raise DamagedError(f"it has {size:,} of {len(head) + data:,} bytes")
    return found


def _understood(meta: dict[str, str], entries: dict[str, Any]) -> Head:
    if (meta["kind"], meta["version"]) != (KIND, VERSION):
        raise DamagedError(
            f"it holds a {meta['kind']} of version {meta['version']}, written by recurnn "
            f"{meta['written_by']}; recurnn {files.written_by()} reads {KIND}s of version {VERSION}"
        )
    raw = json.loads(meta.get("raw", "{}"))
    found, place = {}, 0
    for name, entry in entries.items():
        dtype, shape = _NAMES[entry["dtype"]], entry["shape"]
        if name in raw:
            dtype, shape = getattr(torch, raw[name][0]), raw[name][1]
        count = prod(shape) * dtype.itemsize
        if not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError(f"{name} has no shape")
        if entry["data_offsets"] != [place, place + count]:
            raise ValueError(f"{name} is not where it should be")
        found[name] = dtype, shape, count
        place += count
    return Head(int(meta["update"]), meta["best"] == "True", meta, found)


class _decoding:  # noqa: N801 - reads as a verb in a with statement
    """Turns what a header that was not written here leads to into a reason."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        wrong = (AttributeError, KeyError, TypeError, ValueError, struct.error, RecursionError)
        if isinstance(error, wrong):
            raise DamagedError("its header is not one that recurnn wrote") from error


class _Hash:
    """sha256 of blocks in their order; a thread hashes large ones while the disk works."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self._pool: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None

    def __enter__(self) -> _Hash:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def add(self, block: memoryview) -> None:
        if self._last is None and len(block) < _BESIDE:
            self._sha.update(block)
            return
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="recurnn-sha256")
        self._last = self._pool.submit(self._take, [block])

    def _take(self, blocks: list[memoryview]) -> None:
        self._sha.update(blocks.pop())  # and let its memory go before anyone stops waiting

    def wait(self) -> None:
        """Until every block so far is hashed."""
        if self._last is not None:
            self._last.result()
            self._last = None

    def hex(self) -> bytes:
        self.wait()
        return self._sha.hexdigest().encode()


def _put(tensor: Tensor, file: FileIO, data: _Hash) -> None:
    """Write one tensor; where that takes a copy of it, the copy is gone at the end."""
    values = tensor.resolve_conj().resolve_neg().cpu().contiguous()
    block = _bytes(values)
    data.add(block)
    files.write_all(file, block)
    if values.data_ptr() != tensor.data_ptr():
        data.wait()


def _bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor on the CPU."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
