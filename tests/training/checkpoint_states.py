"""States that tell by their values of which update they are, and folders full of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from recurnn.training.checkpoints import Checkpoints


def state(update: int, size: int = 3) -> dict[str, Any]:
    return {"w": torch.arange(float(size)) + update, "about": {"data": "load", "k": (1, update)}}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def numbered(*updates: int) -> list[str]:
    return [f"checkpoint-{update:08d}.safetensors" for update in updates]


def spoil(path: Path, place: int = -1) -> None:
    """Flip a bit; by default of the last tensor."""
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)  # in place: a hard link sees it too


def filled(folder: Path, *updates: int, best: tuple[int, ...] = (), keep: int = 9) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep=keep, on_failure="stop")
    for update in updates:
        assert checkpoints.save(update, state(update), best=update in best)
    return checkpoints


def at(found: dict[str, Any] | None) -> int | None:
    """The update of a state, by its values."""
    return None if found is None else int(found["w"][0])
