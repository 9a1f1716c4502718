"""Every error of `recurnn data electricity`, by its text."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner
from uci import CLIENTS, serving, small, text, write_zip

from recurnn.cli import data as command
from recurnn.data.electricity import write_electricity
from recurnn.data.uci_archive import check_archive, choose_clients, fetch_archive
from recurnn.data.writing import check_target
from recurnn.errors import ConfigError, DataError, RecurnnError

URL = small().url


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def refused(call: object, *arguments: object, **options: object) -> str:
    with pytest.raises(RecurnnError) as error:
        call(*arguments, **options)  # type: ignore[operator]
    return str(error.value)


def run(*arguments: str) -> RecurnnError:
    result = CliRunner().invoke(command.app, ["electricity", *arguments])
    assert isinstance(result.exception, RecurnnError), result.output
    return result.exception


def test_truncated_zip(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip")
    file.write_bytes(file.read_bytes()[:-300])
    assert refused(check_archive, file, archive=small()) == (
        f"{file}: the archive is cut or damaged.\n  File is not a zip file.\n"
        f"  Delete it and run the command without --archive, or fetch {URL} again."
    )


def test_a_changed_byte(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip")
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content)
    message = refused(check_archive, file, archive=small())
    assert message.startswith(f"{file}: the archive is cut or damaged.\n")


def test_a_text_file(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    file.write_text(text())
    assert refused(check_archive, file, archive=small()) == (
        f"{file}: is not a zip file.\n"
        "  Expected the archive as it is downloaded, small.zip.\n"
        f"  Delete it and run the command without --archive, or fetch {URL} again."
    )


def test_another_zip(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", member="iris.data")
    assert refused(check_archive, file, archive=small()) == (
        f"{file}: is not the electricity archive.\n"
        "  It holds iris.data, __MACOSX/._iris.data; expected LD2011_2014.txt.\n"
        f"  Give the file from {URL}."
    )


def test_no_archive(tmp_path: Path) -> None:
    assert refused(check_archive, tmp_path / "a.zip", archive=small()) == (
        f"{tmp_path / 'a.zip'}: there is no such file.\n  Expected the archive small.zip.\n"
        "  Without --archive it is downloaded."
    )


def test_a_folder_as_archive(tmp_path: Path) -> None:
    message = refused(check_archive, tmp_path, archive=small())
    assert message == f"{tmp_path}: cannot be read.\n  Is a directory."


@pytest.mark.parametrize(
    ("names", "where"),
    [
        (("MT_001", "MT_002", "MT_004", "MT_250"), "column 4 is 'MT_004'; expected 'MT_003'"),
        (CLIENTS[:3], "4 columns; expected 5: the time and one a client"),
    ],
)
def test_other_columns(tmp_path: Path, names: tuple[str, ...], where: str) -> None:
    file = write_zip(tmp_path / "a.zip", text(clients=names))
    assert refused(check_archive, file, archive=small()) == (
        f"{file}: LD2011_2014.txt is not the table of the electricity archive.\n"
        f"  Its header: {where}.\n  Give the file from {URL}."
    )


STAMP = '"2013-03-30 22:45:00"'  # row 3


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            STAMP,
            '"30/03/2013"',
            "row 3 has no time.\n  Received '30/03/2013';"
            " expected something like '2011-01-01 00:15:00'.",
        ),
        (
            STAMP,
            '"2013-03-30 22:30:00"',
            "the times do not rise at row 3.\n"
            "  2013-03-30 22:30:00 comes after 2013-03-30 22:30:00.",
        ),
        (
            STAMP + ";",
            STAMP + ";;",
            "row 3 has no value for MT_001.\n",
        ),
        (
            STAMP + ";",
            STAMP + ";off",
            "the table cannot be read after row 0.\n  ",
        ),
    ],
)
def test_a_damaged_row(tmp_path: Path, old: str, new: str, expected: str) -> None:
    file = write_zip(tmp_path / "a.zip", text().replace(old, new))
    message = refused(write_electricity, tmp_path / "o.csv", CLIENTS, file=file, archive=small())
    assert message.startswith(f"{file}: {expected}")
    assert not (tmp_path / "o.csv").exists()


@pytest.mark.parametrize("value", ["", "nan", "inf"])
def test_a_hole(tmp_path: Path, value: str) -> None:
    lines = text().splitlines()
    cells = lines[3].split(";")
    cells[2] = value
    file = write_zip(tmp_path / "a.zip", "\n".join([*lines[:3], ";".join(cells), *lines[4:]]))
    assert refused(write_electricity, tmp_path / "o.csv", CLIENTS, file=file, archive=small()) == (
        f"{file}: row 3 has no value for MT_002.\n"
        "  Expected a number of kW: the archive has no gaps."
    )


def test_rows_missing_at_the_end(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", "\n".join(text().splitlines()[:-1]))
    assert refused(write_electricity, tmp_path / "o.csv", CLIENTS, file=file, archive=small()) == (
        f"{file}: LD2011_2014.txt has 47 rows.\n  Expected 48, every quarter hour of four years."
        f"\n  Fetch {URL} again."
    )


def test_a_damaged_file_is_not_kept_in_the_cache(tmp_path: Path) -> None:
    content = write_zip(tmp_path / "a.zip").read_bytes()[:-300]
    with serving(content) as served:
        message = refused(fetch_archive, tmp_path / "cache", archive=small(served.url))
    assert message.splitlines()[0] == ("small.zip: what the server sent is damaged or incomplete.")
    assert message.splitlines()[-1] == (
        f"  Or fetch {served.url} by hand, on any machine, and give it with --archive FILE."
    )
    assert list((tmp_path / "cache").iterdir()) == []


def test_only_zeros_and_trim(tmp_path: Path) -> None:
    lines = text().splitlines()
    body = [lines[0]] + [";".join([*line.split(";")[:-1], "0"]) for line in lines[1:]]
    file = write_zip(tmp_path / "a.zip", "\n".join(body))
    options = {"file": file, "archive": small(), "long": True, "trim": True}
    assert refused(write_electricity, tmp_path / "o.csv", ["MT_250"], **options) == (
        f"{tmp_path / 'o.csv'}: nothing is left to write.\n"
        "  MT_250: zero from beginning to end, and --trim takes zeros away."
    )


def test_unknown_client() -> None:
    assert refused(choose_clients, ["MT_001", "MT_371"]) == (
        "clients: there is no 'MT_371' in the archive.\n"
        "  It has 370, MT_001 to MT_370. Did you mean 'MT_370'?"
    )


def test_clients_all_or_none(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "o.csv"))
    assert str(run(*out)) == (
        "clients: none was named.\n  Expected some of MT_001 to MT_370, or --all."
    )
    assert str(run(*out, "--all", "--clients", "MT_002")) == (
        "clients: --all and MT_002 exclude each other.\n  Give one or the other."
    )


def test_existing_out_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "UCI", small())  # a port that nobody serves: not even asked
    out = tmp_path / "o.csv"
    out.write_text("mine")
    error = run("--out", str(out), "--all")
    assert isinstance(error, DataError)
    assert str(error) == (
        f"{out}: exists already and is left as it is.\n"
        "  Give another name, or --overwrite to replace it."
    )
    assert out.read_text() == "mine"


def test_clock_change(tmp_path: Path) -> None:
    error = run("--out", str(tmp_path / "o.csv"), "--all", "--clock-change", "nann")
    assert isinstance(error, ConfigError)
    assert str(error) == (
        "clock-change: there is no 'nann'.\n  Known: keep, nan. Did you mean 'nan'?"
    )


def test_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(check_target, Path("o.xlsx")) == (
        "o.xlsx: the ending does not tell the format.\n"
        "  Received '.xlsx'; expected .csv or .parquet.\n"
        "  Name the file so, or say --format csv or --format parquet."
    )
    assert refused(check_target, Path("o"), kind="parket") == (
        "format: there is no 'parket'.\n  Known: csv, parquet. Did you mean 'parquet'?"
    )
    (tmp_path / "d.csv").mkdir()
    assert refused(check_target, tmp_path / "d.csv") == (
        f"{tmp_path / 'd.csv'}: is a folder.\n  Expected the name of the file to write."
    )
    assert refused(check_target, tmp_path / "no" / "o.csv") == (
        f"{tmp_path / 'no' / 'o.csv'}: its folder does not exist.\n"
        f"  Expected the folder {tmp_path / 'no'}; make it first, or name another."
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refused(check_target, tmp_path / "o.parquet") == (
        f"{tmp_path / 'o.parquet'}: Parquet needs pyarrow, which is not installed.\n"
        "  pip install 'recurnn[parquet]', or write a .csv file."
    )


def test_a_folder_that_disappears(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip")
    (tmp_path / "locked").mkdir()

    def lose_the_folder(*_: object) -> None:
        shutil.rmtree(tmp_path / "locked", ignore_errors=True)

    message = refused(
        write_electricity,
        tmp_path / "locked" / "o.csv",
        CLIENTS,
        file=file,
        archive=small(),
        report=lose_the_folder,
    )
    assert message == (
        f"{tmp_path / 'locked' / 'o.csv'}: its folder does not exist.\n"
        f"  Expected the folder {tmp_path / 'locked'}; make it first, or name another."
    )


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    file = write_zip(tmp_path / "a.zip")
    monkeypatch.setattr("pandas.DataFrame.to_csv", full)
    message = refused(write_electricity, tmp_path / "o.csv", CLIENTS, file=file, archive=small())
    assert message == (
        f"{tmp_path / 'o.csv'}: cannot be written.\n  No space left on device.\n"
        "  Free some space there, or name another folder."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
