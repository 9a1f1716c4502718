"""The folder of checkpoints: which are kept, which are taken, what a killed writer leaves."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
import torch
from checkpoint_states import at, filled, names, numbered, spoil, state

from recurnn import files
from recurnn.errors import CheckpointError, CheckpointWarning
from recurnn.training.checkpoints import Checkpoints


def test_a_new_folder_has_nothing(tmp_path: Path) -> None:
    for folder in (tmp_path / "not there", tmp_path):
        checkpoints = Checkpoints(folder)
        assert (checkpoints.newest(), checkpoints.best(), checkpoints.about()) == (None,) * 3
    assert names(tmp_path) == []  # reading makes nothing


def test_the_newest_is_by_number_and_not_by_name(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path / "a" / "b", 99_999_999, 100_000_000)
    update, found = checkpoints.newest() or (None, None)
    assert (update, at(found)) == (100_000_000, 100_000_000)
    assert names(tmp_path / "a" / "b") == [
        "checkpoint-100000000.safetensors",
        "checkpoint-99999999.safetensors",
    ]


def test_the_last_ones_and_the_best_are_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "checkpoint-1.safetensors").write_text("not of our form")
    checkpoints = filled(tmp_path, *range(8), best=(0, 2), keep=3)
    assert names(tmp_path) == sorted(
        ["best.safetensors", "notes.txt", "checkpoint-1.safetensors", *numbered(5, 6, 7)]
    )
    assert at(checkpoints.best()) == 2
    checkpoints.save(8, state(8), best=True)
    assert at(Checkpoints(tmp_path).best()) == 8
    assert (tmp_path / "best.safetensors").samefile(tmp_path / numbered(8)[0])


def test_a_checkpoint_of_the_same_number_is_replaced(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 4, best=(4,))
    checkpoints.save(4, {"w": torch.tensor([40.0])})
    assert at((checkpoints.newest() or (0, None))[1]) == 40
    assert at(checkpoints.best()) == 4  # a file of its own by now


def test_pruning_never_takes_the_last_whole_one(tmp_path: Path) -> None:
    filled(tmp_path, 1, 2, 3, best=(3,))
    for update in (2, 3):
        spoil(tmp_path / numbered(update)[0])
    checkpoints = Checkpoints(tmp_path, keep=2)
    with pytest.warns(CheckpointWarning):
        assert (checkpoints.newest() or (0,))[0] == 1
    assert checkpoints.save(2, state(20))
    assert names(tmp_path) == ["best.safetensors", *numbered(1, 2, 3)]
    assert checkpoints.save(3, state(30))
    assert names(tmp_path) == ["best.safetensors", *numbered(2, 3)]
    assert Checkpoints(tmp_path).newest() is not None


def test_damaged_ones_do_not_count_among_those_to_keep(tmp_path: Path) -> None:
    filled(tmp_path, 0, 1, 2, 3)
    for update in (2, 3):
        spoil(tmp_path / numbered(update)[0])
    checkpoints = Checkpoints(tmp_path, keep=2)
    with pytest.warns(CheckpointWarning):
        assert (checkpoints.newest() or (0,))[0] == 1
    assert checkpoints.save(4, state(4))
    assert names(tmp_path) == numbered(1, 2, 3, 4)
    assert checkpoints.save(5, state(5))
    assert names(tmp_path) == numbered(4, 5)


def test_a_damaged_one_is_passed_over_with_its_name_and_the_reason(tmp_path: Path) -> None:
    filled(tmp_path, 1, 2, 3, 4, 5)
    file = [tmp_path / name for name in numbered(1, 2, 3, 4, 5)]
    spoil(file[4])
    spoil(file[3], 300)
    file[2].write_bytes(file[2].read_bytes()[:-5])
    size = file[2].stat().st_size
    file[1].unlink()
    file[1].mkdir()
    with pytest.warns(CheckpointWarning) as caught:
        update, found = Checkpoints(tmp_path).newest() or (None, None)
    assert (update, at(found)) == (1, 1)
    end = ".\n  checkpoint-00000001.safetensors is taken."
    assert [str(warning.message) for warning in caught] == [
        f"{file[4]} was passed over: its tensors do not match their checksum{end}",
        f"{file[3]} was passed over: its header does not match its checksum{end}",
        f"{file[2]} was passed over: it has {size:,} of {size + 5:,} bytes{end}",
        f"{file[1]} was passed over: Is a directory{end}",
    ]
    assert caught[0].filename == __file__


def test_none_whole_is_an_error(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 1, 2)
    for name in numbered(1, 2):
        spoil(tmp_path / name, 20)
    reasons = "".join(
        f"  {name}: it does not begin as a checkpoint does.\n" for name in numbered(2, 1)
    )
    text = (
        f"{tmp_path}: no checkpoint there is whole.\n{reasons}"
        "  Copy the folder again, or train from the start in another folder."
    )
    for read in (checkpoints.newest, checkpoints.about):
        with pytest.raises(CheckpointError, match=f"^{re.escape(text)}$"):
            read()


def test_a_checkpoint_under_another_number_is_not_taken(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 1, 2)
    (tmp_path / numbered(1)[0]).rename(tmp_path / numbered(7)[0])
    with pytest.warns(CheckpointWarning, match="it is the checkpoint of update 1 under another"):
        assert (checkpoints.newest() or (0,))[0] == 2
    assert (checkpoints.about() or {})["update"] == 2


def test_about_reads_the_header_alone(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 1, 2)
    spoil(tmp_path / numbered(2)[0])
    assert checkpoints.about() == {"data": "load", "k": (1, 2), "update": 2}
    spoil(tmp_path / numbered(2)[0], 300)
    assert checkpoints.about() == {"data": "load", "k": (1, 1), "update": 1}
    checkpoints.save(3, {"w": torch.ones(1)})
    assert checkpoints.about() == {"update": 3}


class Crash(BaseException):
    """Ends a save as a kill does."""


def test_a_kill_before_the_best_is_in_its_place_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise Crash

    checkpoints = filled(tmp_path, 1, 2, best=(1,))
    monkeypatch.setattr(files, "link", crash)
    with pytest.raises(Crash):
        checkpoints.save(3, state(3), best=True)
    monkeypatch.undo()
    resumed = Checkpoints(tmp_path, keep=1)
    assert (at(resumed.best()), (resumed.newest() or (0,))[0]) == (3, 3)
    resumed.save(4, state(4))
    assert names(tmp_path) == ["best.safetensors", *numbered(3, 4)]  # 3 was still to be linked
    resumed.save(5, state(5))
    assert names(tmp_path) == ["best.safetensors", *numbered(5)]
    assert at(Checkpoints(tmp_path).best()) == 3


def test_a_damaged_one_never_takes_the_place_of_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = filled(tmp_path, 1, 2, best=(1,))
    monkeypatch.setattr(files, "link", lambda *_: None)
    checkpoints.save(3, state(3), best=True)
    monkeypatch.undo()
    spoil(tmp_path / numbered(3)[0])
    resumed = Checkpoints(tmp_path)
    with pytest.warns(CheckpointWarning, match="best.safetensors is taken"):
        assert at(resumed.best()) == 1
    resumed.save(3, state(33))
    assert at(Checkpoints(tmp_path).best()) == 1


def test_a_damaged_best_falls_back_to_the_one_before(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 1, 2, 3, best=(1, 3))
    spoil(tmp_path / "best.safetensors")
    with pytest.warns(CheckpointWarning) as caught:
        assert at(checkpoints.best()) == 1
    assert len(caught) == 2  # the file has two names
    spoil(tmp_path / numbered(1)[0])
    with pytest.raises(CheckpointError, match=r"best.safetensors: its tensors do not match"):
        checkpoints.best()


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_the_best_is_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    checkpoints = filled(tmp_path, 1, 2, best=(1, 2))
    assert at(checkpoints.best()) == 2
    assert not (tmp_path / "best.safetensors").samefile(tmp_path / numbered(2)[0])
    assert names(tmp_path) == ["best.safetensors", *numbered(1, 2)]


def test_leftovers_go_at_the_first_save_and_nothing_else_does(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    ours = [".checkpoint-00000002.safetensors-0a1b2c3d.part", ".best.safetensors-0a1b2c3d.part"]
    theirs = [".model.safetensors-0a1b2c3d.part", "checkpoint-00000002.safetensors.part", ".x"]
    for name in ours + theirs:
        (tmp_path / name).write_bytes(b"half")
    checkpoints = Checkpoints(tmp_path)
    assert (checkpoints.newest() or (0,))[0] == 1
    assert set(ours) < set(names(tmp_path))  # one who only reads may be beside one who writes
    checkpoints.save(2, state(2))
    assert names(tmp_path) == sorted([*theirs, *numbered(1, 2)])


def test_an_interrupted_save_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    checkpoints = filled(tmp_path, 1)
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(2, state(2))
    assert names(tmp_path) == numbered(1)


def test_the_bytes_are_on_the_disk_before_the_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, object]] = []
    fsync, replace = os.fsync, os.replace

    def flush(handle: int) -> None:
        done.append(("flush", os.fstat(handle).st_ino))
        fsync(handle)

    def rename(old: Path, new: Path) -> None:
        done.append(("rename", new))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    filled(tmp_path, 1)
    path = tmp_path / numbered(1)[0]
    assert done == [
        ("flush", path.stat().st_ino), ("rename", path), ("flush", tmp_path.stat().st_ino),
    ]  # fmt: skip
