"""The model folder: `model.safetensors` and `config.json`, nothing pickled.

A folder is written beside its place first and then moved there, so that a program that dies
midway leaves no half-written model; a checksum in the config finds a damaged or foreign weight
file before anything is computed with it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from recurnn import files
from recurnn.errors import ModelFolderError

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
HISTORY = "history.csv"
"""The log of the training that a command leaves beside the model, a row an epoch."""


def check_free(folder: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a folder that must not be written to.

    Args:
        folder: where a model is to be written.
        overwrite: whether a model there may be replaced.

    Raises:
        ModelFolderError: something is there and `overwrite` is false, or what is there is not a
            model folder.
    """
    folder = Path(folder)
    _try_to_write(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir():
        raise ModelFolderError(f"{folder} is a file.\n  Give the name of a folder to write.")
    if not (folder / CONFIG).is_file():
        raise ModelFolderError(
            f"{folder} exists and is not a model folder: it has no {CONFIG}.\n"
            "  Nothing was written. Give the name of a new folder."
        )
    if not overwrite:
        raise ModelFolderError(
            f"{folder} already holds a model.\n"
            "  Nothing was written. Give another folder, or allow overwriting "
            "(--overwrite, overwrite=True)."
        )


def _try_to_write(folder: Path) -> None:
    """Find out before training, not after it, that nothing can be written there."""
    parent = next(p for p in (folder.absolute().parent, *folder.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=".recurnn-"):
            pass
    except OSError as error:
        raise ModelFolderError(
            f"{folder} cannot be written: {error.strerror}.\n"
            "  Nothing was written. Give a folder in a place where you may write."
        ) from error


@contextmanager
def written(folder: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder whose files are moved to `folder` when the block ends well.

    Files of the same name are replaced; other files in `folder` are left alone.

    Raises:
        ModelFolderError: as `check_free`, or the place cannot be written to.
    """
    folder = Path(folder)
    check_free(folder, overwrite=overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = files.beside(folder.parent / (folder.name or "model"))
        temporary.mkdir()
    except OSError as error:
        raise ModelFolderError(f"{folder} cannot be written: {error.strerror}.") from error
    try:
        yield temporary
        if not folder.exists():
            temporary.rename(folder)
        else:
            # The config goes last: until it is there, its old checksum tells of the change.
            for file in sorted(temporary.iterdir(), key=lambda f: f.name == CONFIG):
                file.replace(folder / file.name)
            files.sync(folder)
        files.sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write(
    folder: Path, format: tuple[str, int], config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write weights and config into a folder that exists.

    Args:
        folder: where to.
        format: name and version of the format.
        config: what else to keep; must be JSON.
        tensors: the weights by name.

    Raises:
        ModelFolderError: the disk refuses.
    """
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    head = {
        "format": format[0],
        "format_version": format[1],
        "recurnn": files.written_by(),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    text = json.dumps(head | dict(config), indent=2, ensure_ascii=False, allow_nan=False)
    try:
        files.write(folder / WEIGHTS, data)
        files.write(folder / CONFIG, (text + "\n").encode())
    except OSError as error:
        raise ModelFolderError(
            f"The model cannot be written in {folder.absolute().parent}: {error.strerror}.\n"
            f"  Its weights take {len(data):,} bytes. Nothing was written. Free some space "
            "there, or give another folder."
        ) from error


def read(
    folder: str | Path, format: tuple[str, int], fields: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a model folder and check it.

    Args:
        folder: where from.
        format: name and version of the format that is expected.
        fields: what the config must have besides.

    Returns:
        The config, and the weights by name.

    Raises:
        ModelFolderError: the folder is missing, not a model folder, of another kind or version,
            incomplete or damaged.
    """
    folder = Path(folder)
    config = _config(folder, format, fields)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ModelFolderError(
            f"{folder}: the weights are missing.\n"
            f"  There is a {CONFIG} but no {WEIGHTS}. Copy the whole folder, or train again."
        )
    data = weights.read_bytes()
    if hashlib.sha256(data).hexdigest() != config["sha256"]:
        raise ModelFolderError(
            f"{weights} is damaged: it is not the file that {CONFIG} was written with.\n"
            f"  It has {len(data)} bytes and another checksum. Copy the folder again, or train "
            "again."
        )
    return config, load(data)


def format_of(folder: str | Path) -> str | None:
    """Name of the format that a model folder says it has; None where it says none."""
    try:
        config = json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return config.get("format") if isinstance(config, dict) else None


def does_not_fit(folder: str | Path, error: Exception) -> ModelFolderError:
    """The error for a config and weights that do not make a model."""
    return ModelFolderError(
        f"{folder}: the config and the weights do not make a model.\n"
        f"  {str(error).splitlines()[0]}\n"
        "  The config was changed or is damaged. Copy the folder again, or train again."
    )


def _config(folder: Path, format: tuple[str, int], fields: tuple[str, ...]) -> dict[str, Any]:
    if not folder.exists():
        raise ModelFolderError(
            f"There is no model folder {folder}.\n"
            "  Expected the folder that `--out` or `save` wrote. Mend the name, or train first."
        )
    if not (folder / CONFIG).is_file():
        raise ModelFolderError(
            f"{folder} is not a model folder: it has no {CONFIG}.\n"
            "  Give the folder that `--out` or `save` wrote."
        )
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFolderError(
            f"{folder / CONFIG} is damaged: it is not JSON.\n"
            "  Copy the folder again, or train again."
        ) from error
    name, version = format
    if not isinstance(config, dict) or config.get("format") != name:
        found = config.get("format") if isinstance(config, dict) else None
        raise ModelFolderError(
            f"{folder} does not hold a {name} model.\n"
            f"  Its {CONFIG} names the format {found!r}; expected {name!r}."
        )
    if config.get("format_version") != version:
        raise ModelFolderError(
            f"{folder} was written in another version of the format.\n"
            f"  It has version {config.get('format_version')}, written by recurnn "
            f"{config.get('recurnn')}; recurnn {files.written_by()} reads version {version}.\n"
            "  Use that recurnn, or train again."
        )
    missing = [key for key in ("sha256", *fields) if key not in config]
    if missing:
        raise ModelFolderError(
            f"{folder / CONFIG} is incomplete.\n"
            f"  Missing: {', '.join(missing)}. Copy the folder again, or train again."
        )
    return config
