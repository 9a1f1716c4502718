"""What happens where the disk refuses, or the caller asks for what cannot be."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from checkpoint_states import at, filled, names, numbered, state

from recurnn.errors import CheckpointError, CheckpointWarning, ConfigError
from recurnn.training.checkpoints import Checkpoints


@contextmanager
def largest_file(count: int) -> Iterator[None]:
    """The system refuses larger files, root's too; Python ignores the signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_refused_write_is_told_once_and_training_goes_on(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.save(1, state(1), best=True)
    with largest_file(300_000):
        with pytest.warns(CheckpointWarning) as caught:
            assert not checkpoints.save(2, state(2, 100_000), best=True)
        assert not checkpoints.save(3, state(3, 100_000))  # a warning would be an error
        assert names(tmp_path) == ["best.safetensors", *numbered(1)]
        assert (at(checkpoints.best()), (checkpoints.newest() or (0,))[0]) == (1, 1)
        assert checkpoints.save(4, state(4))
        with pytest.warns(CheckpointWarning, match="checkpoint-00000005"):  # told anew
            assert not checkpoints.save(5, state(5, 100_000))
    assert checkpoints.save(6, state(6, 100_000), best=True)
    assert names(tmp_path) == ["best.safetensors", *numbered(1, 4, 6)]
    free = re.sub(r"; [\d,.]+ (MB|bytes) are free", "; FREE are free", str(caught[0].message))
    assert free == (
        f"{tmp_path}/checkpoint-00000002.safetensors was not written: File too large.\n"
        "  It needs 0.4 MB; FREE are free there. The checkpoints before it are as they were.\n"
        "  The system limits the size of files (ulimit -f): raise that limit.\n"
        "  Training goes on without; of the same cause nothing more is said until a checkpoint is "
        "written."
    )
    assert caught[0].filename == __file__


def test_a_refused_write_stops_where_that_was_asked(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 1, best=(1,))
    with largest_file(300_000), pytest.raises(CheckpointError) as caught:
        checkpoints.save(2, state(2, 100_000))
    assert str(caught.value).endswith("(ulimit -f): raise that limit.")
    assert names(tmp_path) == ["best.safetensors", *numbered(1)]
    assert (checkpoints.newest() or (0,))[0] == 1


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of a megabyte, where this user may mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "recurnn-test", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder):
        checkpoints = Checkpoints(folder, keep=1)
        assert checkpoints.save(1, state(1, 100_000), best=True)
        with pytest.warns(CheckpointWarning) as caught:
            assert not checkpoints.save(2, state(2, 200_000), best=True)
        assert names(folder) == ["best.safetensors", *numbered(1)]
        assert (at(checkpoints.best()), (checkpoints.newest() or (0,))[0]) == (1, 1)
        assert checkpoints.save(3, state(3, 100_000))  # there is room for this one
        with pytest.raises(CheckpointError, match="Free some space there, or keep fewer"):
            Checkpoints(folder, on_failure="stop").save(4, state(4, 200_000))
    assert str(caught[0].message).startswith(
        f"{folder}/checkpoint-00000002.safetensors was not written: No space left on device.\n"
        "  It needs 0.8 MB; 0.6 MB are free there."
    )


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    checkpoints = Checkpoints(tmp_path / "a")
    with pytest.warns(CheckpointWarning, match="A file is where the folder should be"):
        assert not checkpoints.save(1, state(1))
    with pytest.raises(CheckpointError, match="cannot be read: Not a directory"):
        checkpoints.newest()
    with pytest.warns(CheckpointWarning, match="A file is where the folder should be"):
        assert not Checkpoints(tmp_path / "a" / "b").save(1, state(1))
    assert (tmp_path / "a").read_text() == "mine"


def test_a_folder_that_is_gone_is_told_and_not_made_again(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "a")
    assert checkpoints.save(1, state(1))
    shutil.rmtree(tmp_path / "a")
    with pytest.warns(CheckpointWarning, match="No such file or directory") as caught:
        assert not checkpoints.save(2, state(2))
    assert f" bytes in {tmp_path}/a. The checkpoints" in str(caught[0].message)
    assert names(tmp_path) == []
    (tmp_path / "a").mkdir()
    assert checkpoints.save(3, state(3))


def test_an_old_one_that_cannot_be_removed_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    checkpoints = Checkpoints(tmp_path, keep=1)
    assert checkpoints.save(1, state(1))
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.warns(CheckpointWarning, match=r"00001.safetensors cannot be removed: Operation"):
        assert checkpoints.save(2, state(2))
    assert checkpoints.save(3, state(3))
    monkeypatch.undo()
    assert checkpoints.save(4, state(4))
    assert names(tmp_path) == numbered(4)


def test_what_cannot_be_saved_is_an_error_whatever_was_asked(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"state/rng is of the type builtins.bytes"):
        Checkpoints(tmp_path, on_failure="warn").save(1, {"rng": b"x"})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"keep": 0}, "keep is 0; expected a whole number of at least 1."),
        ({"keep": True}, "keep is True; expected a whole number of at least 1."),
        ({"keep": 1.5}, "keep is 1.5; expected a whole number of at least 1."),
        (
            {"on_failure": "stopp"},
            "on_failure: there is no 'stopp'.\n  Known: warn, stop. Did you mean 'stop'?",
        ),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        Checkpoints("folder", **options)


@pytest.mark.parametrize("update", [-1, True, 1.0, "1"])
def test_an_update_that_cannot_be(tmp_path: Path, update: Any) -> None:
    with pytest.raises(ConfigError, match=r"update is .*; expected a whole number of at least 0"):
        Checkpoints(tmp_path).save(update, {})
    assert names(tmp_path) == []
