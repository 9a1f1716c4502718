from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner
from uci import CLIENTS, LATE, TIMES, serving, small, text, values, write_zip

from recurnn.cli import data as command
from recurnn.data.electricity import Written, hourly_means, write_electricity
from recurnn.data.uci_archive import UCI, fetch_archive, read_clients
from recurnn.errors import RecurnnError

MARCH = slice(11, 15)  # rows 01:00 to 01:45; the first row is 22:15
OCTOBER = slice(35, 39)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return write_zip(tmp_path / "cache" / "small.zip")


def written(
    archive: Path, name: str, clients: tuple[str, ...] = CLIENTS, **how: object
) -> tuple[Written, pd.DataFrame]:
    out = archive.parent / name
    told = write_electricity(out, clients, file=archive, archive=small(), **how)  # type: ignore[arg-type]
    reads = pd.read_parquet if out.suffix == ".parquet" else pd.read_csv
    frame = reads(out)
    for column in {"time", "ds"} & set(frame.columns):
        frame[column] = pd.to_datetime(frame[column])
    assert sorted(p.name for p in archive.parent.iterdir()) == sorted({archive.name, name})
    return told, frame


def test_the_facts_of_the_real_archive() -> None:
    assert UCI.name == "electricityloaddiagrams20112014.zip"
    assert (len(UCI.clients), UCI.clients[0], UCI.clients[-1]) == (370, "MT_001", "MT_370")
    assert UCI.rows == len(pd.date_range("2011-01-01 00:15", "2015-01-01", freq="15min"))


@pytest.mark.parametrize("name", ["o.csv", "o.parquet"])
def test_wide_every_value_to_the_last_bit(archive: Path, name: str) -> None:
    told, frame = written(archive, name)
    assert list(frame.columns) == ["time", *CLIENTS]
    assert (frame["time"] == TIMES).all()
    np.testing.assert_array_equal(frame[list(CLIENTS)].to_numpy(), values())
    assert (told.rows, told.first, told.last) == (len(TIMES), TIMES[0], TIMES[-1])
    assert told.late == {"MT_002": TIMES[5], "MT_250": TIMES[30]}
    assert told.marked == 0


def test_csv_text(archive: Path) -> None:
    written(archive, "o.csv", clients=("MT_003", "MT_001"))
    lines = (archive.parent / "o.csv").read_text().splitlines()
    assert lines[0] == "time,MT_003,MT_001"
    assert lines[1] == f"2013-03-30 22:15:00,{values()[0, 2]!r},{values()[0, 0]!r}".replace(
        "np.float64(", ""
    ).replace(")", "")


@pytest.mark.parametrize("chunk_rows", [1, 7, 1000])
def test_pieces_make_the_whole(archive: Path, chunk_rows: int) -> None:
    pieces = list(
        read_clients(archive, ("MT_003", "MT_002"), archive=small(), chunk_rows=chunk_rows)
    )
    assert max(map(len, pieces)) == min(chunk_rows, len(TIMES))
    whole = pd.concat(pieces, ignore_index=True)
    assert list(whole.columns) == ["time", "MT_003", "MT_002"]
    np.testing.assert_array_equal(whole[["MT_003", "MT_002"]], values()[:, [2, 1]])
    assert (whole["time"] == TIMES).all()


def test_trim_and_march_in_the_wide_format(archive: Path) -> None:
    told, frame = written(archive, "o.parquet", trim=True, clock_change="nan")
    expected = values()
    expected[MARCH] = np.nan
    for client, zeros in LATE.items():
        expected[:zeros, CLIENTS.index(client)] = np.nan
    np.testing.assert_array_equal(frame[list(CLIENTS)], expected)
    assert told.marked == 4 * 3  # MT_250 has not begun in March


def test_october_is_left_as_it_is(archive: Path) -> None:
    _, frame = written(archive, "o.parquet", clock_change="nan")
    np.testing.assert_array_equal(frame.loc[35:38, "MT_001"], values()[OCTOBER, 0])
    assert (TIMES[OCTOBER].hour == 1).all()
    assert (TIMES[MARCH].hour == 1).all()


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("name", ["o.csv", "o.parquet"])
def test_long_is_client_after_client(archive: Path, name: str, trim: bool) -> None:
    told, frame = written(archive, name, clients=("MT_250", "MT_001"), long=True, trim=trim)
    start = 30 if trim else 0
    assert list(frame.columns) == ["unique_id", "ds", "y"]
    rows = len(TIMES)
    assert list(frame["unique_id"]) == ["MT_250"] * (rows - start) + ["MT_001"] * rows
    assert list(frame["ds"]) == [*TIMES[start:], *TIMES]
    np.testing.assert_allclose(
        frame["y"], np.concatenate([values()[start:, 3], values()[:, 0]]), rtol=1e-15
    )
    assert (told.rows, told.first, told.last) == (2 * rows - start, TIMES[0], TIMES[-1])


def test_hourly_is_the_mean_of_what_ends_within_the_hour(archive: Path) -> None:
    _, frame = written(archive, "o.parquet", hourly=True, trim=True, clock_change="nan")
    raw = values()
    assert list(frame["time"][:3]) == list(
        pd.to_datetime(["2013-03-30 23:00", "2013-03-31 00:00", "2013-03-31 01:00"])
    )
    assert len(frame) == len(TIMES) // 4
    # 22:15, 22:30, 22:45, 23:00 are rows 0 to 3.
    np.testing.assert_allclose(frame["MT_001"][0], raw[0:4, 0].sum() / 4, rtol=1e-14)
    np.testing.assert_allclose(frame["MT_001"][7], raw[28:32, 0].sum() / 4, rtol=1e-14)
    # The stamps 01:00 (hour 2) and 01:15 to 01:45 (hour 3) are missing, so both hours are.
    assert list(np.flatnonzero(frame["MT_001"].isna())) == [2, 3]
    # MT_002 begins at row 5, within hour 1.
    assert list(np.flatnonzero(frame["MT_002"].isna())) == [0, 1, 2, 3]


@pytest.mark.parametrize("chunk_rows", [1, 3, 4, 5])
def test_hours_do_not_depend_on_the_pieces(archive: Path, chunk_rows: int) -> None:
    def hours(rows: int) -> pd.DataFrame:
        pieces = read_clients(archive, CLIENTS, archive=small(), chunk_rows=rows)
        return pd.concat(list(hourly_means(pieces)), ignore_index=True)

    pd.testing.assert_frame_equal(hours(chunk_rows), hours(1000), check_exact=True)


def test_the_download_is_checked_and_kept(tmp_path: Path) -> None:
    content = write_zip(tmp_path / "source.zip").read_bytes()
    with serving(content) as served:
        first = fetch_archive(tmp_path / "cache", archive=small(served.url))
        again = fetch_archive(tmp_path / "cache", archive=small(served.url))
    assert first == again == tmp_path / "cache" / "small.zip"
    assert first.read_bytes() == content
    assert len(served.asked) == 1


def test_the_command_from_download_to_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    out = tmp_path / "o.csv"
    with serving(write_zip(tmp_path / "s.zip").read_bytes()) as served:
        monkeypatch.setattr(command, "UCI", small(served.url))
        arguments = ["electricity", "--out", str(out), "--clients", "MT_250", "MT_001", "--hourly"]
        result = CliRunner().invoke(command.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert out.read_text().splitlines()[0] == "time,MT_250,MT_001"
    assert len(out.read_text().splitlines()) == 1 + len(TIMES) // 4
    assert result.stdout.splitlines() == [
        f"{out}: 12 rows, 2 clients, kW, 2013-03-30 23:00:00 to 2013-10-27 04:00:00.",
        "1 of them begin with zeros (MT_250 has values from 2013-10-26 23:45:00); "
        "these zeros were left; --trim takes them away.",
        "Data: A. Trindade (2015), doi 10.24432/C58C86, CC BY 4.0.",
    ]
    assert (tmp_path / "xdg" / "recurnn" / "small.zip").exists()


def test_the_command_with_all_clients_from_a_file_by_hand(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "UCI", small())
    out = tmp_path / "o.parquet"
    arguments = ["electricity", "--all", "--long", "--trim", "--clock-change", "nan"]
    arguments += ["--archive", str(archive), "--out", str(out)]
    result = CliRunner().invoke(command.app, arguments, catch_exceptions=False)
    assert len(pd.read_parquet(out)) == 4 * len(TIMES) - sum(LATE.values())
    assert "12 values of the hour skipped in March are now missing." in result.stdout


def test_an_error_leaves_no_file(archive: Path) -> None:
    cut = text().splitlines()[:20]
    write_zip(archive, "\n".join(cut) + "\n")
    with pytest.raises(RecurnnError):
        write_electricity(archive.parent / "o.csv", CLIENTS, file=archive, archive=small())
    assert [p.name for p in archive.parent.iterdir()] == ["small.zip"]


def test_overwrite_replaces(archive: Path) -> None:
    out = archive.parent / "o.csv"
    out.write_text("mine")
    write_electricity(out, CLIENTS[:1], file=archive, archive=small(), overwrite=True)
    assert out.read_text().startswith("time,MT_001\n")
