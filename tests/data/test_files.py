"""Files that are read by slices, each beside the same numbers in memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from recurnn.data import Streams, open_array, text_rows
from recurnn.errors import ConfigError, DataError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

N = 5_003


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "load": rng.normal(size=N),
            "warm": rng.normal(size=N).astype(np.float32),
            "token": rng.integers(0, 300, N),
        }
    )


def write_arrow(frame: pd.DataFrame, path: Path, **options: Any) -> None:
    """In record batches of uneven size."""
    batches = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_file(path, batches.schema, options=pa.ipc.IpcWriteOptions(**options)) as file:
        for begin, end in ((0, 1), (1, 700), (700, 701), (701, 3000), (3000, N)):
            file.write_table(batches.slice(begin, end - begin))


def write_parquet(frame: pd.DataFrame, path: Path, group: int = 900) -> None:
    frame.to_parquet(path, row_group_size=group, index=False)


WRITERS: dict[str, tuple[str, Callable[..., None]]] = {
    "arrow": ("t.arrow", write_arrow),
    "feather": ("t.feather", lambda f, path: write_arrow(f, path, compression="lz4")),
    "parquet": ("t.parquet", write_parquet),
    "one-group": ("t.parquet", lambda f, path: write_parquet(f, path, N)),
    "csv": ("t.csv", lambda f, path: f.to_csv(path, index=False)),
    "csv.gz": ("t.csv.gz", lambda f, path: f.to_csv(path, index=False)),
    "semicolons": ("t.csv", lambda f, path: f.to_csv(path, sep=";", decimal=",", index=False)),
    "tsv": ("t.tsv", lambda f, path: f.to_csv(path, sep="\t", index=False)),
}


def written(kind: str, frame: pd.DataFrame, folder: Path) -> Path:
    name, write = WRITERS[kind]
    write(frame, folder / name)
    return folder / name


def as_text(kind: str, frame: pd.DataFrame) -> pd.DataFrame:
    """What a table of text keeps of a table: no narrow types, and decimals that pandas rounds."""
    if kind in ("csv", "csv.gz", "semicolons", "tsv"):
        return pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    return frame


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several pieces of every file."""
    monkeypatch.setattr(text_rows, "AT_ONCE", 512)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("columns", [None, ["token", "load"], "token", "warm"])
def test_slices_are_those_of_the_table(
    kind: str, columns: Any, table: pd.DataFrame, tmp_path: Path
) -> None:
    found = open_array(written(kind, table, tmp_path), columns)
    table = as_text(kind, table)
    want = table.to_numpy() if columns is None else table[columns].to_numpy()
    assert found.shape == want.shape
    assert len(found) == N
    assert found.dtype == want.dtype
    for start, stop in ((0, 3), (690, 3100), (3, 4), (N - 2, N + 9), (10, 10), (0, N)):
        got = found[start:stop]
        assert got.dtype == found.dtype
        assert np.array_equal(got, want[start:stop])
    assert np.array_equal(found[:], want)


@pytest.mark.parametrize("kind", WRITERS)
def test_streams_are_those_of_memory(kind: str, table: pd.DataFrame, tmp_path: Path) -> None:
    path = written(kind, table, tmp_path)
    x, y = open_array(path, ["load", "warm"]), open_array(path, "token")
    table = as_text(kind, table)
    ours = Streams(x, y, batch_size=7, starts=[5, 4000])
    plain = Streams(
        table[["load", "warm"]].to_numpy(), table["token"].to_numpy(), batch_size=7,
        starts=[5, 4000],
    )  # fmt: skip
    text, plain_text = Streams(y, batch_size=3), Streams(table["token"].to_numpy(), batch_size=3)
    for _epoch in range(2):
        for streams, memory in ((ours, plain), (text, plain_text)):
            for t in range(0, streams.length, 101):
                stop = min(t + 101, streams.length)
                for got, want in zip(streams.chunk(t, stop), memory.chunk(t, stop), strict=True):
                    assert torch.equal(got, want)
                some = slice(1, None, 2)
                assert torch.equal(streams.chunk(t, stop, some).x, memory.chunk(t, stop, some).x)


def test_parquet_is_decoded_once_an_epoch(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recurnn.data import arrow

    opened: list[int] = []
    real = arrow.ParquetRows._from

    def counted(self: Any, group: int) -> Any:
        opened.append(group)
        return real(self, group)

    monkeypatch.setattr(arrow.ParquetRows, "_from", counted)
    streams = Streams(open_array(written("parquet", table, tmp_path), "load"), batch_size=5)
    for epoch in (1, 2):
        for t in range(0, streams.length - 50, 50):
            streams.chunk(t, t + 50)
        assert len(opened) == 5 * epoch


def test_npy_is_mapped_and_can_be_of_any_shape(tmp_path: Path) -> None:
    for k, values in enumerate((np.arange(9), np.zeros((4, 2, 3)), np.asfortranarray(np.eye(5)))):
        np.save(tmp_path / f"{k}.npy", values)
        found = open_array(tmp_path / f"{k}.npy")
        assert np.array_equal(found[1:4], values[1:4])
        found[1:4][:] = 7  # fresh memory
        assert np.array_equal(found[:], values)


def test_a_copy_of_text_is_made_once_and_again_for_another_file(tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    copies = tmp_path / "cache" / "recurnn" / "tables"
    for _ in range(2):
        assert open_array(path)[:].tolist() == [[1, 2], [3, 4]]
        assert open_array(path, "b").dtype == np.int64
    assert len(list(copies.iterdir())) == 2
    path.write_text("a,b\n5,6.5\n")
    assert open_array(path)[:].tolist() == [[5, 6.5]]
    assert open_array(path, cache=tmp_path / "here")[:].tolist() == [[5, 6.5]]
    assert [p.suffix for p in (tmp_path / "here").iterdir()] == [".npy"]


@pytest.mark.parametrize("at", [3, 511, 512, 700])
def test_whole_numbers_stay_whole_until_one_is_not(at: int, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    values = [str(2**60 + k) for k in range(1000)]
    path.write_text("a,b\n" + "\n".join(f"{v},1" for v in values))
    assert open_array(path, "a")[990:].tolist() == [2**60 + k for k in range(990, 1000)]
    values[at] = "0.5"
    path.write_text("a,b\n" + "\n".join(f"{v},1" for v in values))
    found = open_array(path, "a")
    assert found.dtype == np.float64
    assert found[:].tolist() == [float(v) for v in values]


def test_blank_lines_of_a_single_column_are_missing_but_for_the_last(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n" + "1\n" * 511 + "\n\n" + "2\n" * 3 + "\n\n")
    found = open_array(path, "a", missing="keep")[:]
    assert len(found) == 516
    assert np.flatnonzero(np.isnan(found)).tolist() == [511, 512]
    path.write_text("a,b\n1,2\n\n3,4\n\n")
    assert open_array(path)[:].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("kind", ["arrow", "feather", "parquet", "csv"])
def test_missing_values_are_refused_or_kept(kind: str, table: pd.DataFrame, tmp_path: Path) -> None:
    table.loc[1234, "warm"] = np.nan
    path = written(kind, table, tmp_path)
    found = open_array(path, ["load", "warm"])
    assert np.isfinite(found[:1234]).all()
    with pytest.raises(DataError, match="row 1234, counted from 0, has no value of column 'warm'"):
        found[1000:2000]
    kept = open_array(path, ["load", "warm"], missing="keep")
    assert np.argwhere(np.isnan(kept[:])).tolist() == [[1234, 1]]


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_whole_numbers_cannot_be_missing(kind: str, table: pd.DataFrame, tmp_path: Path) -> None:
    table["token"] = table["token"].astype("Int64")
    table.loc[7, "token"] = pd.NA
    path = written(kind, table, tmp_path)
    with pytest.raises(DataError, match="'token' has no value in some rows"):
        open_array(path, "token", missing="keep")[:]
    assert np.isnan(open_array(path, missing="keep")[7:8][0, 2])


def test_missing_values_of_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.array([1, np.nan]))
    with pytest.raises(DataError, match=r"row 1, counted from 0, has no value\.\n.*missing='keep'"):
        open_array(tmp_path / "t.npy")[0:2]
    assert np.isnan(open_array(tmp_path / "t.npy", missing="keep")[1:])


def spoilt(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def cut(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = written(kind, pd.DataFrame({"a": np.arange(9000.0)}).head(N), folder)
        path.write_bytes(path.read_bytes()[:-200])
        return path

    return make


def saved(values: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        np.save(folder / "t.npy", values, allow_pickle=True)
        return folder / "t.npy"

    return make


def frame(kind: str, **columns: Any) -> Callable[[Path], Path]:
    return lambda folder: written(kind, pd.DataFrame(columns), folder)


@pytest.mark.parametrize(
    ("make", "columns", "message"),
    [
        (lambda f: f / "no.npy", None, "there is no such file"),
        (lambda f: f, None, "is a folder"),
        (spoilt("t.xlsx", b"x"), None, r"this kind \(.xlsx\) cannot be read by slices"),
        (spoilt("t.npy", b""), None, "the file is empty"),
        (spoilt("t.npy", b"PK\x03\x04"), None, r"not a readable \.npy"),
        (spoilt("t.parquet", b"PAR1"), None, "not a readable Parquet"),
        (spoilt("t.arrow", b"ARROW1"), None, "not a readable Arrow"),
        (cut("parquet"), None, "not a readable Parquet"),
        (cut("arrow"), None, "not a readable Arrow"),
        (cut("csv.gz"), None, "damaged or cut short"),
        (saved(np.array(["a"])), None, r"\[1\] of <U1; expected \[N\]"),
        (saved(np.float64(1)), None, r"does not hold rows of numbers"),
        (saved(np.array([None])), None, r"not a readable \.npy"),
        (saved(np.zeros(0)), None, "there are no rows"),
        (frame("csv", load=[1.0]), "laod", r"no column 'laod'\.\n.*Did you mean 'load'"),
        (frame("parquet", load=[1.0]), "laod", r"no column 'laod'\.\n.*Did you mean 'load'"),
        (frame("csv", a=[1.0]), ["a", "a"], "named twice"),
        (frame("csv", a=[1.0]), [], "no column is named"),
        (frame("parquet", a=["x"], b=[1]), None, r"'a' does not hold numbers(.|\n)*of a, b"),
        (frame("parquet", a=[pd.Timestamp(0)]), None, r"'a' does not hold numbers.\n.*timestamp"),
        (frame("csv", a=[1.0, "x"]), None, r"'x' in row 1, counted from 0"),
        (frame("csv", a=[]), None, "column names but no rows"),
        (frame("parquet", a=np.zeros(0)), None, "there are no rows"),
    ],
)
def test_files_that_cannot_be_read(
    make: Callable[[Path], Path], columns: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        open_array(make(tmp_path), columns)
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_damage_within_a_parquet_file_is_met_when_it_is_read(tmp_path: Path) -> None:
    path = written("parquet", pd.DataFrame({"a": np.random.rand(N)}), tmp_path)
    content = bytearray(path.read_bytes())
    content[4:40] = b"\xff" * 36  # the head of the first page
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged or cut short"):
        open_array(path, missing="keep")[:]


def test_options_that_cannot_be(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.zeros(3))
    with pytest.raises(ConfigError, match="no names of columns"):
        open_array(tmp_path / "t.npy", "a")
    with pytest.raises(ConfigError, match="Did you mean 'keep'"):
        open_array(tmp_path / "t.npy", missing="kept")
    for steps in (3, slice(0, 3, 2), slice(None, None, -1)):
        with pytest.raises(ConfigError, match="read by slices"):
            open_array(tmp_path / "t.npy")[steps]  # type: ignore[index]


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    path = written("csv", pd.DataFrame({"a": [1]}), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written.\n(.|\n)*cache=\.\.\."):
        open_array(path, cache=tmp_path / "file" / "sub")
