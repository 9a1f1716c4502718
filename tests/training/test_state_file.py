"""One checkpoint as a file: every value comes back as it was, and no changed bit goes unseen."""

from __future__ import annotations

import json
import math
import os
import pickle
import random
import struct
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recurnn import files
from recurnn.errors import CheckpointError
from recurnn.training import state_file
from recurnn.training.nest import DEPTH
from recurnn.training.state_file import DamagedError, Snapshot

DTYPES = sorted({d for d in vars(torch).values() if isinstance(d, torch.dtype)}, key=str)
PLAIN = [d for d in DTYPES if not str(d).startswith(("torch.q", "torch.bits"))]


def write(path: Path, state: dict[Any, Any], *, update: int = 7, best: bool = False) -> Path:
    snapshot = Snapshot(state, update=update, best=best)
    with files.replacing(path) as file:
        snapshot.write(file)
    assert path.stat().st_size == snapshot.size
    return path


def again(path: Path, state: dict[Any, Any]) -> dict[str, Any]:
    return state_file.read(write(path, state))[1]


def bits(tensor: Tensor) -> bytes:
    flat = tensor.resolve_conj().resolve_neg().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def same(found: Any, expected: Any) -> None:
    """Equal in type, order and every bit, all the way down."""
    assert type(found) is type(expected), (found, expected)
    if isinstance(expected, dict):
        assert [(k, type(k)) for k in found] == [(k, type(k)) for k in expected]
        for key in expected:
            same(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, Tensor):
        assert (found.dtype, found.shape, found.device.type) == (
            expected.dtype,
            expected.shape,
            "cpu",
        )
        assert bits(found) == bits(expected)
    elif isinstance(expected, float):
        assert struct.pack(">d", found) == struct.pack(">d", expected)
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": (1,)}, {"a": [1]}),
        ({"a": 1}, {"a": True}),
        ({"a": 0.0}, {"a": -0.0}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1: 2}, {"1": 2}),
        ({"a": torch.zeros(1)}, {"a": -torch.zeros(1)}),
        ({"a": torch.zeros(1)}, {"a": torch.zeros(())}),
        ({"a": torch.zeros(1)}, {"a": torch.zeros(1, dtype=torch.int32)}),
    ],
)
def test_the_comparison_sees_what_differs(one: Any, other: Any) -> None:
    with pytest.raises(AssertionError):
        same(one, other)


def test_every_kind_of_value_comes_back(tmp_path: Path) -> None:
    nan = struct.unpack(">d", bytes.fromhex("fff8000000000abc"))[0]  # a NaN with a sign and a tale
    state = {
        "none": None, "yes": True, "no": False, "zero": 0, "int": -7, "long": 2**64 + 1,
        "edge": [2**53, 2**53 + 1, -(2**53) - 1, -(2**200)], "huge": 7**9000,
        "float": 0.1, "minus zero": -0.0, "tiny": 5e-324, "inf": math.inf, "minus": -math.inf,
        "nan": math.nan, "a nan of its own": nan,
        "text": "σ(W x)\n\"\\\x00", "surrogates": "\ud83d\ude00 \udc80", "": "no key",
        "empty": [{}, [], (), ""], "nest": [({"a": [(1,), [2.5]]},)],
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}, 1: {}}, 2**70: None, None: 1,
                      True: "a", 2.5: "b", math.inf: "c", "\udc80": "d"},
        "!tuple": [1, 2], "a tag": {"!tensor": "a"}, "second": {"a": 1, "!float": "x"},
        "generator": torch.get_rng_state(), "python": random.Random(3).getstate(),
        "scalar": torch.tensor(2.5), "nothing": torch.empty(0), "flat": torch.empty(3, 0, 2),
    }  # fmt: skip
    same(again(tmp_path / "a", state), state)


@pytest.mark.parametrize("dtype", PLAIN, ids=str)
@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
def test_every_dtype_comes_back(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {}
    for shape in ((), (1,), (0,), (2, 0), (3, 5), (2, 3, 4)):
        raw = torch.randint(256, (math.prod(shape) * dtype.itemsize,), dtype=torch.uint8)
        state[str(shape)] = raw.view(dtype).reshape(shape)
    same(again(tmp_path / "a", state), state)


PRINTABLE = [torch.bool, torch.uint8, torch.int64, torch.bfloat16, torch.float64, torch.complex64]


def numbers(draw: st.DrawFn) -> Tensor:
    dtype = draw(st.sampled_from(PRINTABLE))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    raw = draw(st.binary(min_size=(n := math.prod(shape) * dtype.itemsize), max_size=n))
    return torch.tensor(list(raw), dtype=torch.uint8).view(dtype).reshape(shape)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
NESTS = st.recursive(
    LEAVES | st.composite(numbers)(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(["!tuple", "a/b", "#"]), inner)
        | st.dictionaries(st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), NESTS, max_size=5))
def test_any_nest_comes_back(tmp_path_factory: pytest.TempPathFactory, state: dict) -> None:
    same(again(tmp_path_factory.getbasetemp() / "any-nest", state), state)


def test_tensors_that_share_or_skip_memory_come_back_on_their_own(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    wave = torch.randn(3, dtype=torch.complex64)
    state = {
        "base": base, "again": base, "turned": base.T, "skipped": base[::2, 1::2],
        "part": base[1], "expanded": torch.tensor([2.0]).expand(3, 2), "conj": wave.conj(),
        "negative": wave.conj().imag, "moved": torch.randn(2, 3, 4, 5).to(
            memory_format=torch.channels_last),
    }  # fmt: skip
    found = again(tmp_path / "a", state)
    same(found, state)
    found["base"].zero_()
    same({k: v for k, v in found.items() if k != "base"},
         {k: v for k, v in state.items() if k != "base"})  # fmt: skip


def test_subclasses_come_back_as_the_plain_type(tmp_path: Path) -> None:
    state = OrderedDict(w=nn.Parameter(torch.ones(2)), shape=torch.Size([2, 3]))
    same(again(tmp_path / "a", state), {"w": torch.ones(2), "shape": (2, 3)})


def test_a_module_and_its_optimizer_go_on_as_before(tmp_path: Path) -> None:
    def made() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(2)
        module = nn.GRU(3, 5)
        return module, torch.optim.AdamW(module.parameters(), amsgrad=True)

    def step(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        module(torch.ones(4, 2, 3))[0].square().sum().backward()
        optimizer.step()

    module, optimizer = made()
    step(module, optimizer)
    state = {"module": module.state_dict(), "optimizer": optimizer.state_dict()}
    found = again(tmp_path / "a", state)
    step(module, optimizer)
    other, resumed = made()
    other.load_state_dict(found["module"])
    resumed.load_state_dict(found["optimizer"])
    step(other, resumed)
    same(dict(other.state_dict()), dict(module.state_dict()))


def test_safetensors_opens_it(tmp_path: Path) -> None:
    state = {
        "odd": torch.arange(5, dtype=torch.uint8),  # before wider ones, which must be aligned
        "module": {"head.weight": torch.randn(3, 2).to(torch.bfloat16), "none": torch.empty(0, 3)},
        "optimizer": {"state": {0: {"exp_avg": torch.randn(2, 3).T}}},
        "a": {"b": torch.tensor(1)}, "a/b": torch.tensor(2), "__metadata__": torch.tensor(3),
        "": torch.tensor(4), "list": [torch.tensor(5.0, dtype=torch.float64)],
        "wave": torch.tensor([1j, 2]),
    }  # fmt: skip
    path = write(tmp_path / "a.safetensors", state, update=12)
    found = load_file(path)
    same(found["module/head.weight"], state["module"]["head.weight"])
    same(found["optimizer/state/0/exp_avg"], state["optimizer"]["state"][0]["exp_avg"])
    assert set(found) == {
        "odd", "module/head.weight", "module/none", "optimizer/state/0/exp_avg", "a/b", "a/b#",
        "__metadata__#", "#", "list/0", "wave",
    }  # fmt: skip
    same([found["a/b"], found["a/b#"], found["__metadata__#"], found["#"], found["list/0"]],
         [torch.tensor(1), torch.tensor(2), torch.tensor(3), torch.tensor(4),
          state["list"][0]])  # fmt: skip
    same(found["wave"].view(torch.complex64), state["wave"])
    with safe_open(path, "pt") as file:
        meta = file.metadata()
    assert (meta["kind"], meta["update"], meta["format"]) == ("recurnn checkpoint", "12", "pt")
    assert json.loads(meta["state"])["list"] == [{"!tensor": "list/0"}]
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    entries = json.loads(path.read_bytes()[8 : 8 + length])
    starts = {name: entries[name]["data_offsets"][0] + length for name in found}
    assert all(starts[name] % found[name].itemsize == 0 for name in found)
    same(state_file.read(path)[1], state)


SMALL = {"w": torch.tensor([1.5, -2.0]), "step": torch.tensor(3), "about": {"data": "a"}, "x": (1,)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("whole") / "a", SMALL).read_bytes()


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(DamagedError) as caught:
        state_file.read(path)
    return str(caught.value)


def test_every_flipped_bit_is_noticed(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(whole)
    same(state_file.read(path)[1], SMALL)
    generator = random.Random(4)
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << generator.randrange(8)
        refused(path, data)


def test_every_cut_is_noticed(tmp_path: Path, whole: bytes) -> None:
    for length in {*range(0, len(whole), 7), *range(40), *range(len(whole) - 40, len(whole))}:
        refused(tmp_path / "a", whole[:length])
    assert refused(tmp_path / "a", whole[:-1]).endswith(
        f"it has {len(whole) - 1:,} of {len(whole):,} bytes"
    )
    assert refused(tmp_path / "a", whole + b"\0") == f"it has {len(whole) + 1:,} of " + (
        f"{len(whole):,} bytes"
    )
    assert refused(tmp_path / "a", b"") == "it has only 0 bytes"


@pytest.mark.parametrize("large", [2_000_000, 20_000_000], ids=["a thread", "an early flush"])
def test_a_flipped_bit_of_a_large_file_is_noticed(tmp_path: Path, large: int) -> None:
    generator = random.Random(large)
    state = {
        "turned": torch.randn(999, 2).T,
        "large": torch.randint(256, (large,), dtype=torch.uint8),
    } | {str(i): torch.tensor([generator.randrange(256)], dtype=torch.uint8) for i in range(20)}
    path = write(tmp_path / "a", state)
    same(state_file.read(path)[1], state)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - large // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 16]))
    with pytest.raises(DamagedError, match="its tensors do not match their checksum"):
        state_file.read(path)


class Trap:
    """What a pickle may hold: a call. Here one that would be noticed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


def test_foreign_files_are_refused_and_never_run(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a"
    save_file({"w": torch.ones(2)}, path, metadata={"kind": "recurnn checkpoint", "update": "7"})
    assert "begin" in refused(path, path.read_bytes())
    with path.open("wb") as file:
        pickle.dump([Trap(), "x" * 1000], file)
    assert "begin" in refused(path, path.read_bytes())
    save_file({"padding": torch.zeros(900)}, path)
    assert "begin" in refused(path, path.read_bytes())


def forged(whole: bytes, old: bytes, new: bytes) -> bytes:
    """The file with other words in its header, and checksums that fit again."""
    (length,) = struct.unpack("<Q", whole[:8])
    assert whole.count(old) == 1
    text = whole[8 : 8 + length].replace(old, new)
    head = bytearray(struct.pack("<Q", len(text)) + text)
    head[state_file._HEAD_SUM] = b"0" * 64
    head[state_file._HEAD_SUM] = state_file.hashlib.sha256(head).hexdigest().encode()
    return bytes(head) + whole[8 + length :]


def test_another_version_and_a_forged_header_are_refused(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(forged(whole, b'"update":"7"', b'"update":"8"'))
    assert state_file.read_head(path).update == 8  # so the forgery is well made
    assert refused(path, forged(whole, b'"version":"1"', b'"version":"2"')) == (
        "it holds a recurnn checkpoint of version 2, written by recurnn "
        f"{files.written_by()}; recurnn {files.written_by()} reads recurnn checkpoints of version 1"
    )
    for old, new in (
        (b'"update":"7"', b'"update":"x"'),
        (b'"shape":[2]', b'"shape":[-1]'),
        (b'"shape":[2]', b'"shape":[200000000000]'),
        (b'"I64"', b'"I65"'),
        (b"!tuple", b"!class"),
        (b'{\\"!tensor\\":\\"w\\"}', b'{\\"!tensor\\":\\"v\\"}'),
    ):
        assert "not one that recurnn wrote" in refused(path, forged(whole, old, new)), new


def test_the_header_is_read_without_the_tensors(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(whole[:-1] + b"\xff")
    head = state_file.read_head(path)
    assert (head.update, head.best, head.part("about"), head.part("x")) == (
        7, False, {"data": "a"}, (1,),
    )  # fmt: skip
    assert head.part("missing") is None
    assert (head.part("w").device.type, head.part("w").shape) == ("meta", (2,))


def deep(levels: int) -> dict[str, Any]:
    return {"a": deep(levels - 1)} if levels else {}


def loop() -> dict[str, Any]:
    state: dict[str, Any] = {}
    state["again"] = [state]
    return state


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"a": [0, {1, 2}]}, "state/a/1 is of the type builtins.set."),
        ({"a": {"b": len}}, "state/a/b is of the type builtins.builtin_function_or_method."),
        ({"a": {"b": b"x"}}, "state/a/b is of the type builtins.bytes."),
        ({"a": {(1, 2): 3}}, "state/a has the key (1, 2)."),
        ({"a": torch.eye(2).to_sparse()}, "state/a is a sparse_coo tensor."),
        ({"a": torch.empty(2, device="meta")}, "state/a is a tensor on the device meta, which"),
        (loop(), "state/again/0/again/0/... is nested too deep.\n  At most 100 levels"),
        (deep(DEPTH + 1), "state/a/a/a/a/... is nested too deep"),
    ],
    ids=str,
)
def test_what_cannot_be_saved_is_named(state: dict[str, Any], text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        Snapshot(state, update=1, best=False)
    assert str(caught.value).startswith(f"The state cannot be saved: {text}")


def test_the_deepest_nest_comes_back(tmp_path: Path) -> None:
    same(again(tmp_path / "a", deep(DEPTH)), deep(DEPTH))


def test_too_much_beside_the_tensors_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_file, "MAX_HEADER", 1000)
    with pytest.raises(CheckpointError, match=r"beside its tensors it takes 4,\d\d\d bytes"):
        Snapshot({"losses": [1.25] * 800}, update=1, best=False)


@pytest.fixture(autouse=True)
def _no_hidden_files(tmp_path: Path) -> Iterator[None]:
    yield
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
