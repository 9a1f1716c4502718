"""The checkpoints of a training run: several kept, the best one too, each whole or not there."""

from __future__ import annotations

import errno
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from recurnn import files
from recurnn.errors import CheckpointError, CheckpointWarning, ConfigError, one_of
from recurnn.training import state_file
from recurnn.training.state_file import DamagedError, Head, Snapshot

BEST = "best.safetensors"
ON_FAILURE = ("warn", "stop")

_NAME = re.compile(r"checkpoint-(\d{8,})\.safetensors")
_FULL = "Free some space there, or keep fewer checkpoints."
_CLOSED = "Make it writable, or give another folder."
_GONE = "Make the folder again, or give another."
_FILE = "A file is where the folder should be: give another name."
_ADVICE = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "The system limits the size of files (ulimit -f): raise that limit.",
    errno.EROFS: _CLOSED,
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.ENOENT: _GONE,
    errno.ENOTDIR: _FILE,
    errno.EEXIST: _FILE,
}


class Checkpoints:
    """The checkpoints in a folder: `checkpoint-00001234.safetensors` after update 1234.

    A checkpoint is written beside its place, flushed to the disk, and then moved there, so that
    a kill at any moment leaves those before it whole. Checksums tell of every changed bit. One
    process writes to a folder at a time; any number may read.

    Args:
        folder: where they are; made by the first `save`.
        keep: how many to keep beside the best.
        on_failure: what `save` does when the disk refuses: ``"warn"``, once for each cause, or
            ``"stop"``.

    Raises:
        ConfigError: an option has a value that it cannot have.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoints = Checkpoints(folder)
        ...     saved = checkpoints.save(10, {"weights": torch.ones(2), "at": (1, float("inf"))})
        ...     print(saved, checkpoints.newest())
        True (10, {'weights': tensor([1., 1.]), 'at': (1, inf)})
    """

    def __init__(self, folder: str | Path, *, keep: int = 3, on_failure: str = "warn") -> None:
        if not isinstance(keep, int) or isinstance(keep, bool) or keep < 1:
            raise ConfigError(f"keep is {keep!r}; expected a whole number of at least 1.")
        if on_failure not in ON_FAILURE:
            raise one_of("on_failure", on_failure, ON_FAILURE)
        self.folder = Path(folder)
        self.keep = keep
        self.on_failure = on_failure
        self._begun = False
        self._owed: Path | None = None  # the checkpoint that best.safetensors should be
        self._damaged: set[Path] = set()
        self._told: set[tuple[str, int | None]] = set()  # what failed, and why, since the last save

    def save(self, update: int, state: Mapping[str, Any], *, best: bool = False) -> bool:
        """Write a checkpoint, then remove those beyond `keep`.

        Args:
            update: number of the update after which the state is; one of the same number is
                replaced.
            state: a nest of dicts, lists, tuples, text, numbers, True, False, None and dense
                tensors; it comes back exactly, with the plain type in place of a subclass and
                tensors on the CPU. Its entry ``"about"`` can be read alone.
            best: whether this is the best epoch so far; it is then kept as ``best.safetensors``.

        Returns:
            Whether it was written.

        Raises:
            CheckpointError: something in the state cannot be saved; or the disk refuses, with
                ``on_failure="stop"``.
            ConfigError: `update` is not a number of an update.
        """
        if not isinstance(update, int) or isinstance(update, bool) or update < 0:
            raise ConfigError(f"update is {update!r}; expected a whole number of at least 0.")
        snapshot = Snapshot(state, update=update, best=best)
        path = target = self.folder / f"checkpoint-{update:08d}.safetensors"
        try:
            self._begin()
            with files.replacing(path) as file:
                snapshot.write(file)
            self._damaged.discard(path)
            self._owed = path if best else self._owed
            self._prune(update)
            target = self.folder / BEST
            if self._owed is not None:
                files.link(self._owed, target)
                self._owed = None
        except OSError as error:
            self._failed(target, snapshot.size, error)
            return False
        self._told = {cause for cause in self._told if cause[0] == "remove"}
        return True

    def newest(self) -> tuple[int, dict[str, Any]] | None:
        """The newest checkpoint that is whole; a warning names those that are not.

        Returns:
            The number of its update and the state; None where there are no checkpoints.

        Raises:
            CheckpointError: there are checkpoints, and none is whole.
        """
        with self._reading():
            found = self._first_whole(self._numbered())
        return None if found is None else (found[0].update, found[1])

    def best(self) -> dict[str, Any] | None:
        """The state of the best epoch; where it is damaged, that of the best before, if kept.

        Returns:
            The state; None where none was saved as the best. A warning names damaged files.

        Raises:
            CheckpointError: some were saved as the best, and none is whole.
        """
        with self._reading():
            found = self._first_whole(self._best_first())
        return None if found is None else found[1]

    def about(self) -> dict[str, Any] | None:
        """What the newest checkpoint says about itself, without reading its tensors.

        Returns:
            The entries of ``state["about"]``, and ``"update"``; tensors in it are on the device
            ``meta``. None where there are no checkpoints.

        Raises:
            CheckpointError: there are checkpoints, and of none the header is whole.
        """
        reasons = {}
        with self._reading():
            paths = self._numbered()
        for path in paths:
            try:
                head = self._head(path)
                return {**(head.part("about") or {}), "update": head.update}
            except FileNotFoundError:  # removed meanwhile by the process that writes
                continue
            except (DamagedError, OSError) as error:
                reasons[path] = _reason(error)
        if reasons:
            self._none_whole(reasons)
        return None

    def _numbered(self) -> list[Path]:
        """The checkpoints, the newest first."""
        try:
            names = [path.name for path in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        numbers = {name: int(m[1]) for name in names if (m := _NAME.fullmatch(name))}
        return [self.folder / name for name in sorted(numbers, key=numbers.__getitem__)[::-1]]

    def _best_first(self) -> Iterator[Path]:
        """Where the best may be, the likeliest first.

        A writer killed in between has marked a later checkpoint as the best and not yet put it
        in its place. The last are those that were the best before.
        """
        best, former = self.folder / BEST, []
        try:
            known = self._head(best).update
        except (DamagedError, OSError):
            known = -1
        for path in self._numbered():
            try:
                head = self._head(path)
            except (DamagedError, OSError):
                continue
            if head.best and head.update > known:
                yield path
            elif head.best:
                former.append(path)
        yield from ([best] if best.exists() else []) + former

    def _first_whole(self, paths: Iterable[Path]) -> tuple[Head, dict[str, Any]] | None:
        reasons: dict[Path, str] = {}
        for path in paths:
            try:
                head, state = state_file.read(path)
                _check_number(path, head)
            except FileNotFoundError:  # removed meanwhile by the process that writes
                continue
            except (DamagedError, OSError) as error:
                reasons[path] = _reason(error)
                self._damaged.add(path)
                continue
            for damaged, reason in reasons.items():
                warnings.warn(
                    f"{damaged} was passed over: {reason}.\n  {path.name} is taken.",
                    CheckpointWarning,
                    stacklevel=3,
                )
            return head, state
        if reasons:
            self._none_whole(reasons)
        return None

    def _none_whole(self, reasons: dict[Path, str]) -> NoReturn:
        listed = "".join(f"  {path.name}: {reason}.\n" for path, reason in reasons.items())
        raise CheckpointError(
            f"{self.folder}: no checkpoint there is whole.\n{listed}"
            "  Copy the folder again, or train from the start in another folder."
        )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CheckpointError(
                f"{self.folder} cannot be read: {error.strerror}.\n"
                "  Give the folder that the checkpoints were written to."
            ) from error

    def _head(self, path: Path) -> Head:
        head = state_file.read_head(path)
        _check_number(path, head)
        return head

    def _begin(self) -> None:
        """Before the first save: make the folder, and mend what a killed writer left."""
        if self._begun:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("checkpoint", "best"):
            for path in files.leftovers(self.folder, f"{name}*.safetensors"):
                path.unlink(missing_ok=True)
        for path in self._best_first():
            if path.name == BEST:
                break
            try:
                state_file.read(path)
            except (DamagedError, OSError):
                continue
            self._owed = path
            break
        self._begun = True

    def _prune(self, update: int) -> None:
        """Remove what lies further back than the `keep` whole ones up to this update.

        Later ones are left alone: they are damaged, or of a run that went further.
        """
        older = [path for path in self._numbered() if _number(path) <= update]
        whole = [path for path in older if path not in self._damaged]
        oldest = min((_number(path) for path in whole[: self.keep]), default=0)
        for path in older:
            if path == self._owed or _number(path) >= oldest:
                continue
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                self._tell(("remove", error.errno), f"{path} cannot be removed: {error.strerror}.")

    def _failed(self, target: Path, size: int, error: OSError) -> None:
        need = f"It needs {_size(size)}"
        try:
            need += f"; {_size(shutil.disk_usage(self.folder).free)} are free there"
        except OSError:
            need += f" in {self.folder}"  # which is what is wrong
        text = (
            f"{target} was not written: {error.strerror or error}.\n"
            f"  {need}. The checkpoints before it are as they were.\n"
            f"  {_ADVICE.get(error.errno or 0, 'Give another folder.')}"
        )
        if self.on_failure == "stop":
            raise CheckpointError(text) from error
        self._tell(
            ("write", error.errno),
            f"{text}\n  Training goes on without; of the same cause nothing more is said until "
            "a checkpoint is written.",
        )

    def _tell(self, cause: tuple[str, int | None], text: str) -> None:
        if cause not in self._told:
            self._told.add(cause)
            warnings.warn(text, CheckpointWarning, stacklevel=4)


def _number(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else -1


def _check_number(path: Path, head: Head) -> None:
    if _number(path) not in (-1, head.update):
        raise DamagedError(f"it is the checkpoint of update {head.update:,} under another name")


def _reason(error: DamagedError | OSError) -> str:
    return str(getattr(error, "strerror", None) or error)


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} bytes"
