"""Every error of the data part, by its text."""
# ruff: noqa: E501 (a message stays in one piece, beside the file that causes it)

from __future__ import annotations

import lzma
import re

import numpy as np
import pandas as pd
import pytest
import torch

from recurnn.data import Scaler, Windows, calendar_features, future_times, read_series, split
from recurnn.errors import ConfigError, DataError, ShapeError

LONG = "unique_id,ds,y\n" + "".join(f"a,2024-01-0{i},{i}\n" for i in range(1, 6))


def dated(*rows: str) -> str:
    return "date,y\n" + "".join(f"2024-{row}\n" for row in rows)


FILES = [
    ("a.csv", b"", {}, "{path}: the file is empty."),
    ("a.csv", b"\n \n", {}, "{path}: the file is empty."),
    ("a.csv", b"date,y\n", {}, "{path}: there are column names but no rows."),
    ("a.csv", b"y\nNA\n?\n", {}, "{path}: there are column names but no rows."),
    ("a.csv", b"y\n1\n\xff\n", {}, "not UTF-8 text.\n  Line 3 has the byte 0xff at place 1."),
    ("a.txt", b"y\n1\n", {}, "files of this kind (.txt) cannot be read.\n  Known: .csv, .csv.gz"),
    ("a.csv.xz", b"abc", {}, "the compressed file is damaged or cut short."),
    ("a.csv.gz", b"abc", {}, "the compressed file is damaged or cut short."),
    ("a.csv.xz", lzma.compress(b"y\n" + b"1\n2\n" * 99)[:-30], {}, "damaged or cut short."),
    ("a.parquet", b"abc", {}, "this is not a readable Parquet file."),
    ("a.csv", "load,x\n1,2\n", {"value": "laod"}, "no column 'laod'.\n  Columns: load, x. Did you mean 'load'?"),
    ("a.csv", "load,x\n1,2\n", {"time": "zeit"}, "there is no column 'zeit'.\n  Columns: load, x."),
    ("a.csv", "y\n1\n2\n", {"value": ["y", "y"]}, "column 'y' is named twice."),
    ("a.csv", "y\n1\nfoo\n3\nbar\n", {}, "column 'y' has text where a number belongs.\n  At line 3: 'foo'.\n  Values of this column that are no numbers: 2."),
    ("a.csv", "\n\na,b\n1,x\n\n2,y\n", {"value": "b"}, "At line 4: 'x'."),
    ("a.csv", "a,b\nx,u\ny,v\n", {}, "there is no column of numbers.\n  Columns: a, b.\n  The first row: x, u."),
    ("a.csv", "y\n1\n-inf\n3\n", {}, "column 'y' has an infinite value at line 3.\n  Infinite values in all: 1."),
    ("a.csv", "y,x\n,1\n,2\n", {}, "every value of column 'y' is missing."),
    ("a.csv", "a\n1\n\n3\n", {"gaps": "raise"}, "'a' has gaps.\n  Missing values: 1 of 3; the first is in column 'a' at line 3."),
    ("a.csv", dated("01-01,1", "01-02,2", "01-03,4", "01-05,6", "01-06,9"), {"gaps": "raise"}, "the first is at 2024-01-04 00:00:00, a time stamp that is not there."),
    ("a.csv", dated("01-01,1", "01-02,2", "01-02,3"), {}, "the time 2024-01-02 00:00:00 comes twice in 'a'.\n  At line 3 and line 4; times that come again: 1."),
    ("a.csv", dated("01-01,1", "01-02 foo,2", "01-03,3"), {}, "the time at line 3 cannot be read.\n  Column 'date' has '2024-01-02 foo' there; its first time is '2024-01-01'."),
    ("a.csv", "date,y\n2024-01-01,1\n,2\n2024-01-03,2\n", {}, "the time is missing at line 3.\n  Column 'date' has no time in 1 of 3 rows."),
    ("a.csv", dated("01-01,1", "01-02,2"), {}, "2 rows are too few to find the frequency."),
    ("a.csv", dated(*[f"01-0{i},{i}" for i in range(1, 8)], *[f"0{i}-08,{i}" for i in range(2, 8)]), {}, "the times of 'a' are not at regular steps.\n  Steps between them: 1 days 00:00:00 (6 times)"),
    ("a.csv", dated("01-01,1", "01-02,2", "01-03,4"), {"frequency": "W"}, "the times of 'a' do not lie at 'W-SUN' steps."),
    ("a.csv", LONG + "".join(f"b,2024-0{i}-01,{i}\n" for i in range(1, 6)), {}, "the series do not have one frequency.\n  'a' has D, 'b' has MS."),
    ("a.csv", LONG + ",2024-01-06,2\n", {}, "column 'unique_id' is empty at line 7."),
    ("a.csv", LONG + "".join(f"b,2024-01-0{i},7\n" for i in range(1, 6)), {}, "column 'y' of 'b' is constant.\n  All 5 values are 7; there is nothing to learn."),
    ("a.csv", LONG + "".join(f"b,2024-01-0{i},\n" for i in range(1, 6)), {}, "every value of column 'y' of 'b' is missing."),
    ("a.csv", "t,y\n5,1\n5,2\n", {"time": "t"}, "column 't' holds numbers that are no times.\n  It begins with 5, 5;"),
    ("a.csv", "load\n5\n5\n5\n", {}, "column 'load' is constant.\n  All 3 values are 5;"),
    ("a.csv", "1.5;2,5\n2;3\n", {}, "the first line holds numbers, not the names of columns.\n  Line 1 is '1.5;2,5'."),
    ("a.csv", "a,b\n" + "1,2\n" * 30 + "1,2,3\n", {}, "line 32 has more fields than there are columns.\n  It has 3, separated by commas; the header names 2: a, b."),
    ("a.csv", "a;b\n1;2;3\n", {}, "line 2 has more fields than there are columns.\n  It has 3, separated by semicolons"),
    ("a.csv", "a,a\n1,2\n", {}, "two columns are named 'a'."),
    ("a.csv", 'y\n"1\n2\n', {}, "this is not a table of text."),
    ("a.csv", "y\nTrue\nFalse\n", {"value": "y"}, "column 'y' holds truth values; write them as 0 and 1."),
    ("a.csv", "a,b\n1,\n,2\n", {}, "No row is left in which every column has a value"),
    ("a.tsf", "@attribute series_name string\n@data\nT1:1,x\n", {}, "line 3 has text where a number belongs: 'x'."),
    ("a.tsf", "@attribute series_name string\n@data\nT1:3:1,2\n", {}, "line 3 does not fit the header.\n  It has 2 fields before its values; the header declares 1: series_name."),
    ("a.tsf", "@attribute series_name string\n@attribute start_timestamp date\n@frequency hourly\n@data\nT1:now:1,2\n", {}, "the start time on line 5 cannot be read.\n  It is 'now'"),
    ("a.tsf", "@attribute series_name string\n@attribute start_timestamp date\n@frequency often\n@data\nT1:2012-01-01 00-00-00:1,2\n", {}, "the frequency 'often' is not known.\n  Known: 4_seconds"),
    ("a.tsf", "hello\n", {}, "there are no series."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "options", "message"), FILES)
def test_files(tmp_path, name, text, options, message):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=re.escape(message.format(path=path))):
        read_series(path, **options)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match=r"no\.csv: there is no such file\."):
        read_series(tmp_path / "no.csv")
    with pytest.raises(DataError, match="is a folder, not a file"):
        read_series(str(tmp_path))


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r'needs pyarrow.*\n  Install .*"recurnn\[parquet\]"'):
        read_series(tmp_path / "a.parquet")


FRAMES = [
    ({"y": []}, "the frame: there are no rows."),
    ({"y": [1 + 2j, 3j]}, "column 'y' holds complex numbers;"),
    ({"y": pd.to_datetime(["2024-01-01", "2024-01-02"])}, "column 'y' holds dates; name it as"),
    ({"y": pd.to_timedelta([1, 2], unit="s")}, "column 'y' holds durations;"),
    ({"y": [1.0, np.inf]}, "column 'y' has an infinite value at row 1."),
    ({"y": [1.0, "no"]}, "At row 1: 'no'."),
]


@pytest.mark.parametrize(("columns", "message"), FRAMES)
def test_frames(columns, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read_series(pd.DataFrame(columns), value="y")


OPTIONS = [
    ({"gaps": "interpolat"}, "gaps: there is no 'interpolat'.\n  Known: interpolate, previous, zero, raise. Did you mean 'interpolate'?"),
    ({"season": 0}, "season: 0 is not a number of steps, 1 or more."),
    ({"first": -3}, "first: -3 is not a number of steps, 1 or more."),
    ({"frequency": "often"}, "frequency: 'often' is not known."),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_options(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_series(pd.DataFrame({"y": [1.0, 2.0]}), **options)


def test_splits():
    with pytest.raises(ConfigError, match=r"test: the size of this part cannot be -1\."):
        split(100, validation=0.1, test=-1)
    with pytest.raises(
        DataError, match=r"The series has 30 steps; validation takes 15 and test 15"
    ):
        split(30, validation=0.5, test=15)


def test_scaling():
    x = np.array([[1.0, 4.0], [2.0, 4.0]])
    with pytest.raises(DataError, match=r"Column 'b' of 'load' is constant in the training part"):
        Scaler.fit([x], kind="minmax", names=["load"], columns=["a", "b"])
    with pytest.raises(ConfigError, match=r"scaling: there is no 'standart'.*\n.*mean 'standard'"):
        Scaler.fit([x], kind="standart")
    with pytest.raises(DataError, match="scale finite and not zero"):
        Scaler.fit([x], kind=(1.0, 0.0))
    with pytest.raises(
        ShapeError, match=r"have 3 columns.\n  They are \[5, 3\]; expected \[..., 2\]"
    ):
        Scaler.fit([x], kind="none").transform(np.zeros((5, 3)))
    with pytest.raises(ShapeError, match=r"shift is \[1, 2\], scale \[2, 1\]"):
        Scaler(np.zeros((1, 2)), np.ones((2, 1)))


def windows(T=20, **options):
    y = torch.randn(T, 1)
    options = {"context": 5, "horizon": 2, "ranges": [(0, T)], "names": ["load"]} | options
    return Windows([y], [y], **options)


def test_windows():
    with pytest.raises(DataError, match=r"load is too short .*\n  It has 7 steps; a window needs 8"
                       r" = context 5 \+ gap 1 \+ horizon 2"):  # fmt: skip
        windows(7, gap=1)
    with pytest.raises(DataError, match=r"The test part does not hold a single window.\n  It has 1"
                       r" steps; all 2 targets .* and 5 steps \(context 5\) before"):  # fmt: skip
        windows(20, ranges=[(19, 20)], part="test")
    with pytest.raises(ConfigError, match="context is 0; it must be 1 or more"):
        windows(context=0)
    with pytest.raises(ConfigError, match="gap is -1; it must be 0 or more"):
        windows(gap=-1)
    with pytest.raises(ConfigError, match="nothing is known of the future"):
        windows().future(torch.tensor([0]))
    with pytest.raises(ShapeError, match="ranges has 2 entries; there are 1 series"):
        windows(ranges=[(0, 9), (0, 9)])
    with pytest.raises(DataError, match="there is no series"):
        Windows([], [], context=1, horizon=1, ranges=[])
    x, y = torch.randn(9, 2), torch.randn(8, 1)
    with pytest.raises(ShapeError, match=r"targets has 2; inputs has 1"):
        Windows([x], [y, y], context=1, horizon=1, ranges=[(0, 9)])
    with pytest.raises(ShapeError, match=r"targets\[0\] does not fit.\n  It is \[8, 1\]; expected"
                       r" \[T, 1\] = \[9, 1\], because inputs\[0\] is \[9, 2\]"):  # fmt: skip
        Windows([x], [y], context=1, horizon=1, ranges=[(0, 9)])


def test_future_times():
    with pytest.raises(DataError, match=r"does not lie at 'MS' steps.\n  It is 2024-01-15"):
        future_times(pd.DatetimeIndex(["2024-01-15"]), "MS", 3)
    with pytest.raises(DataError, match="the series is empty"):
        future_times(pd.DatetimeIndex([]), "D", 3)
    assert calendar_features(pd.DatetimeIndex(["2024-01-15"]), "YS")[0].shape == (1, 0)
