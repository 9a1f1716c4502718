"""What the figures were taken on: processor, versions, and the peak of its multiply-adds."""

from __future__ import annotations

import ctypes
import importlib.metadata
import platform
import re
import threading
import time
from pathlib import Path

import torch

from recurnn.compiler import Unsupported, build

PEAK = r"""// The most multiply-adds a core can do: chains that do not wait for one another.
// Each chain is a variable of its own: in an array they might be kept in memory.
#define TWELVE(X, k) X(k##0) X(k##1) X(k##2) X(k##3) X(k##4) X(k##5) \
                     X(k##6) X(k##7) X(k##8) X(k##9) X(k##a) X(k##b)
#if defined(__AVX512F__) || defined(__aarch64__) // 32 registers
#define EACH(X) TWELVE(X, l) TWELVE(X, r)
constexpr int CHAINS = 24;
#else // 16 registers
#define EACH(X) TWELVE(X, l)
constexpr int CHAINS = 12;
#endif
#if defined(__AVX512F__)
constexpr int BYTES = 64;
#elif defined(__AVX__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif
typedef REAL V __attribute__((vector_size(BYTES)));

extern "C" long flops_a_round() { return 2L * CHAINS * BYTES / sizeof(REAL); }

extern "C" REAL rounds(long n, REAL start) {
    V a = V{} + start, b = V{} + REAL(1) - start, all = V{};
#define BEGIN(k) V sum_##k = a * REAL(__COUNTER__); // equal chains would be made one
#define STEP(k) sum_##k = sum_##k * b + a;
#define END(k) all += sum_##k;
    EACH(BEGIN)
    for (long i = 0; i < n; i++) { EACH(STEP) }
    EACH(END)
    return all[0];
}
"""


def fma_peak(threads: int, seconds: float = 0.05, attempts: int = 5) -> float | None:
    """GFLOP/s of multiply-adds in registers on that many threads; None without a compiler."""
    try:
        library = build.load(PEAK, "float", "fma-peak")
    except Unsupported:
        return None
    library.flops_a_round.restype = ctypes.c_long
    library.rounds.restype = ctypes.c_float
    library.rounds.argtypes = [ctypes.c_long, ctypes.c_float]
    work = library.flops_a_round()
    n = 100_000
    while (took := _together(library, n, 1)) < seconds / 4:
        n *= 2
    n = max(1, int(n * seconds / took))
    return max(threads * n * work / _together(library, n, threads) / 1e9 for _ in range(attempts))


def _together(library: ctypes.CDLL, n: int, threads: int) -> float:
    """Seconds from the first thread's start to the last one's end; ctypes lets go of the GIL."""
    times: list[tuple[float, float]] = []
    gate = threading.Barrier(threads)

    def work() -> None:
        gate.wait()
        began = time.perf_counter()
        library.rounds(n, 1e-3)
        times.append((began, time.perf_counter()))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return max(end for _, end in times) - min(began for began, _ in times)


def machine() -> str:
    """Processor, threads and versions, in one line."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*: (.*)", cpuinfo.read_text())
        name = found[1] if found else name
    versions = [f"{p} {v}" for p in ("torch", "jax", "onnxruntime") if (v := _version(p))]
    return f"{name}, {torch.get_num_threads()} threads, {', '.join(versions)}, float32"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
