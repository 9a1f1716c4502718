import json
import socket
from pathlib import Path

import numpy as np
import pytest
from uci import Served, serving

from recurnn.data.download import download
from recurnn.errors import DataError

CONTENT = np.random.default_rng(3).bytes(300_001)
OTHER = np.random.default_rng(4).bytes(300_001)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def get(served: Served, to: Path, **options: object) -> Path:
    return download(served.url, to, wait=0.0, **options)  # type: ignore[arg-type]


def whole(path: Path) -> None:
    if path.read_bytes() not in (CONTENT, OTHER):
        raise DataError("two versions in one file")


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def cut_off(served: Served, to: Path, after: int) -> None:
    served.cuts = [after]
    with pytest.raises(DataError, match="was cut 1 times"):
        get(served, to, attempts=1)
    assert to.with_name("f.zip.part").read_bytes() == served.content[:after]
    served.asked.clear()
    served.sent.clear()


def test_a_whole_download_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    with serving(CONTENT) as served:
        file = get(served, tmp_path / "sub" / "f.zip", report=lambda *now: seen.append(now))
    assert file.read_bytes() == CONTENT
    assert left(tmp_path / "sub") == ["f.zip"]
    assert seen[-1] == ("download", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})
    assert served.asked == [(None, None)]


def test_a_file_that_is_there_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "f.zip").write_bytes(b"mine")
    with serving(CONTENT) as served:
        get(served, tmp_path / "f.zip")
    assert (tmp_path / "f.zip").read_bytes() == b"mine"
    assert served.asked == []


@pytest.mark.parametrize(
    ("marks", "if_range"),
    [
        ({"etag": '"one"', "modified": "Sat, 01 Jan 2022 00:00:00 GMT"}, '"one"'),
        (
            {"etag": 'W/"one"', "modified": "Sat, 01 Jan 2022 00:00:00 GMT"},
            "Sat, 01 Jan 2022 00:00:00 GMT",
        ),
    ],
    ids=["strong", "weak"],
)
def test_a_later_call_asks_only_for_what_is_missing(
    tmp_path: Path, marks: dict[str, str], if_range: str
) -> None:
    with serving(CONTENT, **marks) as served:
        cut_off(served, tmp_path / "f.zip", 123_457)
        get(served, tmp_path / "f.zip")
    assert served.asked == [("bytes=123457-", if_range)]
    assert served.sent == [206]
    assert (tmp_path / "f.zip").read_bytes() == CONTENT
    assert left(tmp_path) == ["f.zip"]


def test_cuts_within_one_call_are_taken_up_again(tmp_path: Path) -> None:
    with serving(CONTENT, cuts=[70_000, 0, 100_000]) as served:
        get(served, tmp_path / "f.zip")
    assert [asked for asked, _ in served.asked] == [
        None,
        "bytes=70000-",
        "bytes=70000-",
        "bytes=170000-",
    ]
    assert (tmp_path / "f.zip").read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_sends_all_of_it_again(tmp_path: Path) -> None:
    with serving(CONTENT, ranges=False) as served:
        cut_off(served, tmp_path / "f.zip", 99_999)
        get(served, tmp_path / "f.zip")
    assert served.sent == [200]
    assert (tmp_path / "f.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("careless", [False, True])
def test_a_file_that_changed_is_fetched_anew(tmp_path: Path, careless: bool) -> None:
    with serving(CONTENT, ignore_if_range=careless) as served:
        cut_off(served, tmp_path / "f.zip", 99_999)
        served.content, served.etag = OTHER, '"two"'
        get(served, tmp_path / "f.zip")
    assert served.sent == ([206, 200] if careless else [200])
    assert (tmp_path / "f.zip").read_bytes() == OTHER


def test_a_part_of_another_address_is_not_continued(tmp_path: Path) -> None:
    with serving(CONTENT) as served:
        cut_off(served, tmp_path / "f.zip", 99_999)
        note = tmp_path / "f.zip.part.json"
        note.write_text(json.dumps({"url": "http://elsewhere/f.zip", "etag": '"one"'}))
        get(served, tmp_path / "f.zip")
    assert served.asked == [(None, None)]


@pytest.mark.parametrize(("check", "asked"), [(None, None), (whole, "bytes=99999-")])
def test_without_marks_only_a_checked_file_is_resumed(
    tmp_path: Path, check: object, asked: str | None
) -> None:
    with serving(CONTENT, etag=None) as served:
        cut_off(served, tmp_path / "f.zip", 99_999)
        get(served, tmp_path / "f.zip", check=check)
    assert served.asked == [(asked, None)]
    assert (tmp_path / "f.zip").read_bytes() == CONTENT


def test_without_a_length_the_check_notices_the_cut_and_the_next_call_resumes(
    tmp_path: Path,
) -> None:
    seen: list[int | None] = []
    with serving(CONTENT, length=False, cuts=[99_999]) as served:
        with pytest.raises(DataError, match=r"99,999 bytes that came are kept in .*f\.zip\.part"):
            get(served, tmp_path / "f.zip", check=whole, report=lambda *now: seen.append(now[2]))
        assert set(seen) == {None}
        get(served, tmp_path / "f.zip", check=whole)
    assert served.sent == [200, 206]
    assert (tmp_path / "f.zip").read_bytes() == CONTENT


def test_a_complete_part_is_only_renamed(tmp_path: Path) -> None:
    with serving(CONTENT) as served:
        cut_off(served, tmp_path / "f.zip", 99_999)
        (tmp_path / "f.zip.part").write_bytes(CONTENT)
        get(served, tmp_path / "f.zip", check=whole)
    assert served.sent == [416]
    assert left(tmp_path) == ["f.zip"]


def test_a_part_longer_than_the_file_is_fetched_anew(tmp_path: Path) -> None:
    with serving(CONTENT) as served:
        cut_off(served, tmp_path / "f.zip", 99_999)
        (tmp_path / "f.zip.part").write_bytes(CONTENT + b"more")
        get(served, tmp_path / "f.zip")
    assert served.sent == [416, 200]
    assert (tmp_path / "f.zip").read_bytes() == CONTENT


def test_a_file_that_fails_its_check_is_removed_and_never_gets_its_name(tmp_path: Path) -> None:
    with serving(CONTENT[:-1]) as served, pytest.raises(DataError) as error:
        get(served, tmp_path / "f.zip", check=whole, advice="Or by hand.")
    assert str(error.value) == (
        "f.zip: what the server sent is damaged or incomplete.\n  two versions in one file\n"
        "  It has been removed. Run the command again.\n  Or by hand."
    )
    assert left(tmp_path) == []


def test_no_network_is_said_plainly(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: the port refuses
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/f.zip"
        (tmp_path / "f.zip.part").write_bytes(b"12345")
        with pytest.raises(DataError) as error:
            download(url, tmp_path / "f.zip", advice="Or by hand.")
    lines = str(error.value).splitlines()
    assert lines[0] == "No connection to 127.0.0.1: is there a network?"
    assert lines[1].startswith(f"  Tried {url}; ")
    assert "refused" in lines[1]
    assert lines[1].endswith(f" The 5 bytes that came are kept in {tmp_path / 'f.zip.part'}.")
    assert lines[2:] == ["  Or by hand."]


def test_a_refusal_names_address_and_status(tmp_path: Path) -> None:
    with serving(CONTENT, status=404) as served, pytest.raises(DataError) as error:
        get(served, tmp_path / "f.zip", advice="Or by hand.")
    assert str(error.value) == (
        "127.0.0.1 does not give the file.\n"
        f"  Asked for {served.url}; the answer was 404 Not Found.\n  Or by hand."
    )
    assert left(tmp_path) == []


def test_a_connection_that_is_always_cut_says_what_it_kept(tmp_path: Path) -> None:
    with serving(CONTENT, cuts=[10, 0]) as served, pytest.raises(DataError) as error:
        get(served, tmp_path / "f.zip", attempts=2, advice="Or by hand.")
    assert str(error.value) == (
        "f.zip: the connection to 127.0.0.1 was cut 2 times.\n"
        "  The last time: 10 of 300,001 bytes came. "
        f"The 10 bytes that came are kept in {tmp_path / 'f.zip.part'}.\n  Or by hand."
    )


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with serving(CONTENT) as served, pytest.raises(DataError) as error:
        get(served, tmp_path / "file" / "f.zip")
    assert (
        str(error.value).splitlines()[0]
        == f"{tmp_path / 'file' / 'f.zip.part'}: cannot be written."
    )
