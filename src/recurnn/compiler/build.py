"""Stage 5: C++ text becomes a loaded library, compiled once and cached by its hash."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recurnn.compiler import turns
from recurnn.compiler.ops import Unsupported

FLAGS = (
    "-std=c++17", "-O2", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fPIC",
    "-shared", "-pthread",
)  # fmt: skip
SLOW = 10.0  # seconds of compilation that are told of
log = logging.getLogger("recurnn")


def cache_folder() -> Path:
    """Where compiled kernels are kept: RECURNN_CACHE, or the user's cache folder."""
    if "RECURNN_CACHE" in os.environ:
        return Path(os.environ["RECURNN_CACHE"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "recurnn"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "recurnn"


@functools.cache
def compiler() -> str:
    """The C++ compiler: the environment's CXX, g++ or clang++.

    Raises:
        Unsupported: there is none.
    """
    named = os.environ.get("CXX")
    for name in (named,) if named else ("g++", "clang++"):
        found = shutil.which(name)
        if found:
            return found
    if named:
        raise Unsupported(f"the C++ compiler that the variable CXX names is not there: {named}")
    raise Unsupported("there is no C++ compiler (g++, clang++ or the variable CXX)")


@functools.cache
def _machine() -> str:
    """What a binary for this machine depends on beside its text."""
    version = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=False)
    return f"{version.stdout}{platform.machine()}{platform.processor()}{processor_flags()}"


@functools.cache
def processor_flags() -> str:
    """What Linux says that the processor can do; empty elsewhere."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


@functools.cache
def matrix_unit() -> bool:
    """Whether there are products of bfloat16 by tiles (AMX), and this process may use them.

    Linux gives the tiles' state to a process that asks for it; its threads have it then, those to
    come too, and so have its children.
    """
    if sys.platform != "linux" or "amx_bf16" not in processor_flags():
        return False
    arch_prctl, request, tile_data = 158, 0x1023, 18  # ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return int(ctypes.CDLL(None).syscall(arch_prctl, request, tile_data)) == 0


def load(text: str, dtype: str, name: str) -> ctypes.CDLL:
    """Compile a kernel, or take it from the cache, and load it.

    The file appears under its name only when it is whole, so that a process that is killed leaves
    nothing broken; a file that is not what was built, by the hash that lies beside it, is built
    anew. Of several processes that want the same kernel one builds it, see `turns`.

    Args:
        text: the C++.
        dtype: ``"float"`` or ``"double"``.
        name: how a person finds the kernel in the cache folder.

    Raises:
        Unsupported: no compiler, or it does not accept the text.
    """
    key = hashlib.sha256(
        "\0".join([text, dtype, _machine(), "sha256", *FLAGS]).encode()
    ).hexdigest()[:20]
    target = cache_folder() / f"{name}-{dtype}-{key}.so"
    if not _is_whole(target):
        if target.exists():
            log.warning("the cached kernel %s is damaged and is built anew", target.name)
        with turns.turn(target, lambda: _is_whole(target)):
            if not _is_whole(target):
                _compile(text, dtype, target)
    return ctypes.CDLL(str(target))


def _is_whole(path: Path) -> bool:
    """Whether a library is what was built: loading one that was cut short kills the process."""
    try:
        return path.with_suffix(".sha256").read_text() == _hash(path)
    except (OSError, UnicodeDecodeError):
        return False


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _compile(text: str, dtype: str, target: Path) -> None:
    start = time.perf_counter()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(dir=target.parent, prefix=".build-")
    except OSError as error:
        raise Unsupported(
            f"the cache folder cannot be written: {error} (RECURNN_CACHE names another one)"
        ) from error
    try:
        source, built = Path(folder, "kernel.cpp"), Path(folder, "kernel.so")
        source.write_text(text)
        done = subprocess.run(
            [compiler(), *FLAGS, f"-DREAL={dtype}", str(source), "-o", str(built)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), "")
            raise Unsupported(f"the C++ compiler failed: {first or done.stderr[-300:]}")
        sum_ = Path(folder, "kernel.sha256")
        sum_.write_text(_hash(built))
        os.replace(source, target.with_suffix(".cpp"))
        os.replace(sum_, target.with_suffix(".sha256"))
        os.replace(built, target)  # last: where it is, the others are
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    took = time.perf_counter() - start
    level = logging.WARNING if took > SLOW else logging.INFO  # who waits wants to know for what
    log.log(level, "compiled %s in %.1f s; it is kept", target.name, took)
