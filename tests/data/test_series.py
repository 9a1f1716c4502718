"""What is read, guessed, sorted and filled; and what the notes say of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recurnn.data import calendar_features, co2_weekly, future_times, read_series

t = np.arange(400)


def one(found, c=0):
    (series,) = found.series
    return series.values[:, c].tolist()


def write(tmp_path, text, name="load.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_the_default_series():
    found = read_series(co2_weekly())
    assert (found.columns, found.frequency, found.season) == (("co2",), "W-SAT", 52)
    assert found.series[0].values.shape == (2284, 1)
    filled = "interpolated 59 missing values in 'co2', linearly in time"
    assert f"{filled} (longest run 18; filled values count as data)" in found.notes
    # 1958-05-10 is missing between 317.5 and 317.9.
    raw = co2_weekly().set_index("date")["co2"]
    k = int(np.flatnonzero(raw.isna().to_numpy())[0])
    assert raw.iloc[[k - 1, k + 1]].notna().all()
    assert one(found)[k] == pytest.approx(raw.iloc[[k - 1, k + 1]].mean())


def test_semicolons_and_decimal_commas(tmp_path):
    path = write(tmp_path, '\ufeff"";MT_001;MT_002\n2011-01-01 00:15:00;0;1,5\n'
                 "2011-01-01 00:30:00;12,69;2\n2011-01-01 00:45:00;3,25;4\n")  # fmt: skip
    found = read_series(path)
    assert found.columns == ("MT_001", "MT_002")
    assert one(found) == [0, 12.69, 3.25]
    assert one(found, 1) == [1.5, 2, 4]
    assert found.frequency == "15min"
    assert "column 'unnamed 0' was taken as time" in found.notes
    assert found.series[0].name == "load"


def test_tabs_parquet_and_gzip(tmp_path):
    frame = pd.DataFrame(
        {"when": pd.date_range("2024-01-31", periods=4, freq="ME"), "v": [1, 5, 2, 8]}
    )
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    frame.to_csv(tmp_path / "a.csv.gz", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    for name in ("a.tsv", "a.csv.gz", "a.parquet"):
        found = read_series(tmp_path / name)
        assert (found.columns, found.frequency, one(found)) == (("v",), "ME", [1, 5, 2, 8])


def test_long_format_with_series_of_different_length():
    a, b = pd.date_range("2024-01-01", periods=5), pd.date_range("2024-02-01", periods=3)
    frame = pd.DataFrame(
        {"unique_id": [*"aaaaa", *"bbb"], "ds": [*a, *b], "y": [1, 2, 4, 7, 9, 5, 3, 8.0]}
    )
    mixed = read_series(frame.sample(frac=1, random_state=3))
    found = {s.name: s for s in mixed.series}
    assert found["a"].values[:, 0].tolist() == [1, 2, 4, 7, 9]
    assert found["b"].values[:, 0].tolist() == [5, 3, 8]
    assert (found["b"].times == b).all()
    assert "the rows of 2 series were not in order of time and were sorted" in mixed.notes
    assert [len(s.values) for s in read_series(frame, first=3).series] == [3, 3]


def test_numbered_steps_order_the_rows():
    frame = pd.DataFrame(
        {"unique_id": list("aaabb"), "ds": [3, 1, 2, 2, 1], "y": [30, 10, 20, 6, 7.0]}
    )
    found = {s.name: s.values[:, 0].tolist() for s in read_series(frame).series}
    assert found == {"a": [10, 20, 30], "b": [7, 6]}


def gappy():
    times = pd.to_datetime(
        ["2024-01-01", "2024-02-01", "2024-03-01", "2024-05-01", "2024-06-01", "2024-07-01"]
    )
    return pd.DataFrame({"t": times, "v": [np.nan, 10, 20, 81, 50, np.nan]})


def test_gap_policies():
    # April lies 31 of 61 days from March to May.
    inside = [10, 20, 20 + 61 * 31 / 61, 81, 50]
    found = read_series(gappy())
    assert found.frequency == "MS"
    assert one(found) == pytest.approx(inside)
    assert str(found.series[0].times[0].date()) == "2024-02-01"
    for note in (
        "time stamps missing from the regular steps (gaps): 1",
        "interpolated 1 missing value in 'v', linearly in time",
        "dropped the first 1 row, where values are missing",
        "dropped the last 1 row, where values are missing",
    ):
        assert note in found.notes
    previous = read_series(gappy(), gaps="previous")
    assert one(previous) == [10, 20, 20, 81, 50, 50]
    assert "filled 2 missing values in 'v' with the value before" in previous.notes
    assert one(read_series(gappy(), gaps="zero")) == [0, 10, 20, 0, 81, 50, 0]


def test_a_blank_line_is_a_gap_only_in_a_single_column(tmp_path):
    assert one(read_series(write(tmp_path, "y\n1\n\n5\n\n\n"))) == [1, 3, 5]
    assert one(read_series(write(tmp_path, "y,z\n1,4\n\n5,3\n"), value="y")) == [1, 5]


def test_clock_changes(tmp_path):
    zoned = "".join(f"2024-03-31T0{h}:00:00+0{1 + (h > 1)}:00,{h}\n" for h in (0, 1, 3, 4))
    found = read_series(write(tmp_path, "date,y\n" + zoned))
    assert one(found) == [0, 1, 3, 4]
    assert str(found.series[0].times[0]) == "2024-03-30 23:00:00"
    assert "times carry their offset; they were converted to UTC" in found.notes
    local = "".join(f"2024-03-31 0{h}:00,{h}\n" for h in (0, 1, 3, 4, 5, 6))
    assert one(read_series(write(tmp_path, "date,y\n" + local))) == [0, 1, 2, 3, 4, 5, 6]
    days = pd.date_range("2024-03-29", periods=5, tz="Europe/Lisbon")
    found = read_series(pd.DataFrame({"y": [1, 2, 3, 4, 6.0]}, index=days))
    assert (found.frequency, found.series[0].times.tz) == ("D", None)
    assert str(found.series[0].times[4].date()) == "2024-04-02"


def test_day_before_month(tmp_path):
    path = write(tmp_path, "date,y\n30/11/2024,1\n01/12/2024,3\n02/12/2024,2\n")
    found = read_series(path)
    assert [d.day for d in found.series[0].times] == [30, 1, 2]
    assert "times such as '30/11/2024' were read with the day before month" in found.notes


def test_several_columns_of_numbers_and_what_is_left_out():
    frame = pd.DataFrame(
        {"index": [0, 1, 2], "a": [1, 2, 4], "k": [7, 7, 7], "s": ["p", "q", "p"], "b": [3, 1, 2.0]}
    )
    found = read_series(frame)
    assert found.columns == ("a", "b")
    for note in (
        "column 'index' only counts the rows; it is not forecast",
        "the same value in every row, so not forecast: k",
        "no value column was named: all 2 columns of numbers are forecast",
    ):
        assert note in found.notes
    assert any(n.startswith("not numbers, so not used: ") and "s" in n for n in found.notes)
    assert list(frame.columns) == ["index", "a", "k", "s", "b"]


@pytest.mark.parametrize(
    ("freq", "season"),
    [
        ("15min", 96),
        ("h", 24),
        ("D", 7),
        ("W-WED", 52),
        ("MS", 12),
        ("ME", 12),
        ("QS-JAN", 4),
        ("B", 5),
    ],
)
def test_season_by_frequency(freq, season):
    noise = np.random.default_rng(5).normal(size=len(t))
    y = np.sin(2 * np.pi * t / season + 0.3) + 0.3 * noise + t / 50
    frame = pd.DataFrame({"time": pd.date_range("2001-01-01", periods=len(t), freq=freq), "y": y})
    found = read_series(frame)
    assert (found.frequency, found.season) == (freq, season)
    frame["y"] = noise
    assert read_series(frame).season == 1
    assert read_series(frame, season=9).season == 9


def test_season_without_times():
    rng = np.random.default_rng(8)
    y = np.sin(2 * np.pi * t / 31) + 0.2 * rng.normal(size=len(t)) - t / 40
    assert read_series(pd.DataFrame({"v": y})).season == 31
    walks = [
        read_series(pd.DataFrame({"v": rng.normal(size=600).cumsum()})).season for _ in range(20)
    ]
    assert walks.count(1) >= 18


def test_calendar_features():
    times = pd.DatetimeIndex(["2024-01-01 06:15", "2024-01-04 12:00"])  # a Monday, a Thursday
    features, names = calendar_features(times, "15min")
    assert names == tuple(
        f"{w} {c}" for c in ("hour", "day", "week", "year") for w in ("sin", "cos")
    )
    assert features[0, :4] == pytest.approx([1, 0, np.cos(np.pi / 48), -np.sin(np.pi / 48)])
    assert features[1, 4:6] == pytest.approx([np.sin(np.pi), np.cos(np.pi)], abs=1e-12)
    assert features[1, 6] == pytest.approx(np.sin(2 * np.pi * 3.5 / 365.2425))
    for freq, cycles in (("h", 3), ("D", 2), ("B", 2), ("W-SAT", 1), ("MS", 1), ("YS", 0)):
        assert calendar_features(times, freq)[0].shape == (2, 2 * cycles)


def test_future_times():
    times = pd.DatetimeIndex(["2024-01-05 10:00"])
    assert [str(x) for x in future_times(times, "B", 2)] == [
        "2024-01-08 10:00:00",
        "2024-01-09 10:00:00",
    ]
    assert len(future_times(times, "h", 0)) == 0


def test_tsf(tmp_path):
    head = "# caf\u00e9\n@attribute series_name string\n@attribute start_timestamp date\n"
    rows = "@frequency quarterly\n@data\nA:1990-04-30 00-00-00:1,?,4\nB:1991-01-01 00-00-00:5,6\n"
    path = write(tmp_path, head + rows, "a.tsf")
    found = read_series(path)
    assert [s.name for s in found.series] == ["A", "B"]
    assert found.series[0].values[:, 0].tolist() == pytest.approx([1, 1 + 3 * 91 / 183, 4])
    assert str(found.series[0].times[2].date()) == "1990-10-01"
    assert found.columns == ("y",)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "count", "steps", "frequency", "season"),
    [("electricity_weekly", 321, 156, "W-SUN", 52), ("m4_hourly", 414, 748, "h", 24)],
)
def test_monash_sets(name, count, steps, frequency, season):
    folder = os.environ.get("RECURNN_DATA")
    if folder is None:
        pytest.skip("RECURNN_DATA is not set")
    found = read_series(Path(folder) / name / f"{name}_dataset.tsf.xz")
    assert (len(found.series), len(found.series[0].values)) == (count, steps)
    assert (found.frequency, found.season) == (frequency, season)


def test_a_short_series_does_not_hide_the_common_frequency():
    days = pd.date_range("2024-01-01", periods=30)
    work = pd.bdate_range("2024-01-04", periods=6)
    frame = pd.DataFrame({"unique_id": ["b"] * 6 + ["a"] * 30, "ds": [*work, *days]})
    frame["y"] = np.arange(36.0) ** 2
    found = read_series(frame)
    assert found.frequency == "D"
    assert [len(s.values) for s in found.series] == [8, 30]


def test_a_series_and_an_array_are_read_like_a_frame():
    values = np.sin(np.arange(60.0))
    for source, name in (
        (pd.Series(values, name="kW"), "kW"),
        (values, "y"),
        (values[:, None], "y"),
    ):
        found = read_series(source, season=1)
        assert found.columns == (name,)
        np.testing.assert_array_equal(found.series[0].values[:, 0], values)
