"""Writers of checkpoints that are killed; run as a program, so that each can be a fork of it.

`FOLDER N` kills N writers at random moments, `FOLDER every` one at each call that it makes to the
system. After each kill the folder is read, and written to, as a resumed run would. Prints a line
of JSON for each: how many were killed, how many of them in the midst of a save, and what was wrong.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import torch

from recurnn import files
from recurnn.training.checkpoints import Checkpoints

CALLS = [
    (os, "fsync"), (os, "replace"), (os, "link"), (Path, "unlink"), (Path, "mkdir"),
    (files, "write_all"), (files, "FileIO"),
]  # fmt: skip


def state(update: int) -> dict[str, Any]:
    weights = torch.arange(60_000.0) + update
    return {"weights": weights, "odd": weights[::3], "update": update, "best": update // 3 * 3}


def run(folder: Path, told: int, *, first: int) -> Iterator[None]:
    """Save and save; each that was begun, and each that is done, is told."""
    checkpoints = Checkpoints(folder, keep=2, on_failure="stop")
    for update in count(first):
        os.write(told, f"{update}\n".encode())
        checkpoints.save(update, state(update), best=update % 3 == 0)
        os.write(told, f"{update} done\n".encode())
        yield


def killed(writer: Callable[[int], None], patience: float | None) -> tuple[list[str], bool]:
    """What a writer told before it was killed, and whether it was."""
    read, told = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            writer(told)
        finally:
            os._exit(0)
    os.close(told)
    if patience is not None:
        time.sleep(patience)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(read) as lines:
        words = lines.read().splitlines()
    _, status = os.waitpid(child, 0)
    return words, os.WIFSIGNALED(status)


def problems(folder: Path, words: list[str], *, first: int = 0) -> list[str]:
    """What is wrong with a folder whose writer, from `first` on, told this, to one who resumes."""
    begun = [int(word) for word in words if "done" not in word]
    done = max((int(word.split()[0]) for word in words if "done" in word), default=first - 1)
    checkpoints = Checkpoints(folder, keep=2, on_failure="stop")
    found, best = checkpoints.newest(), checkpoints.best()
    wrong = []
    if found is None:
        wrong += [f"update {done} is lost"] if done >= 0 else []
    else:
        update, newest = found
        if not done <= update <= max(begun, default=done):
            wrong.append(f"found {update}; done {done}, begun {begun[-1:]}")
        if best is None or best["update"] != newest["best"]:
            wrong.append(f"the best is {best and best['update']} at update {update}")
        for kept in filter(None, (newest, best)):
            if not all(map(equal, kept.values(), state(kept["update"]).values())):
                wrong.append(f"update {update} has other values")
    then = 0 if found is None else found[0] + 1
    checkpoints.save(then, state(then), best=then % 3 == 0)
    after = checkpoints.newest()
    if after is None or after[0] != then or (checkpoints.best() or {})["update"] != then // 3 * 3:
        wrong.append(f"saved {then} after the kill, and found {after and after[0]}")
    names = sorted(path.name for path in folder.iterdir())
    numbered = [f"checkpoint-{n:08d}.safetensors" for n in (then - 1, then) if n >= 0]
    if names != ["best.safetensors", *numbered]:
        wrong.append(f"left behind: {names}")
    return wrong


def equal(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def at_random(times: int, folder: Path) -> Iterator[tuple[list[str], list[str]]]:
    generator = random.Random(5)

    def writer(told: int) -> None:
        for _ in run(folder, told, first=first):
            pass

    first = 0
    for _ in range(times):
        words, dead = killed(writer, generator.uniform(0.0, 0.1))
        yield words, problems(folder, words, first=first) + ([] if dead else ["it ended by itself"])
        first = (Checkpoints(folder).newest() or (-1,))[0] + 1


def at_every_call(base: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Writers of four checkpoints, the first killed at its first call, and so on, to the end."""
    for fatal in count(1):
        folder = base / str(fatal)

        def writer(told: int, folder: Path = folder, fatal: int = fatal) -> None:
            made = count(1)
            for where, name in CALLS:
                setattr(where, name, dying(getattr(where, name), made, fatal))
            for _, _ in zip(range(4), run(folder, told, first=0), strict=False):
                pass

        words, dead = killed(writer, None)
        if not dead:
            yield words, [] if words[-1] == "3 done" else [f"it ended at {words[-1:]}"]
            return
        yield words, problems(folder, words)


def dying(call: Callable[..., Any], made: Iterator[int], fatal: int) -> Callable[..., Any]:
    def instead(*args: Any, **options: Any) -> Any:
        if next(made) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)

    return instead


def main(folder: str, *what: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    for kind in what:
        base = Path(tempfile.mkdtemp(dir=folder))
        told = list(at_every_call(base) if kind == "every" else at_random(int(kind), base))
        shutil.rmtree(base)
        amid = sum(bool(words) and "done" not in words[-1] for words, _ in told)
        wrong = [text for _, texts in told for text in texts]
        print(json.dumps({"killed": len(told), "amid": amid, "wrong": wrong}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
