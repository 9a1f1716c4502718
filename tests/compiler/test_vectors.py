"""The functions of vectors.h over the whole range, for each width of vector that it is made for.

The judge is the C library in a wider type: double for float32, long double for float64.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from recurnn.compiler import build

FUNCTIONS = {
    "exp": torch.exp, "expm1": torch.expm1, "log": torch.log, "log1p": torch.log1p,
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "softplus": F.softplus, "erf": torch.erf,
    "sqrt": torch.sqrt, "abs": torch.abs, "floor": torch.floor,
}  # fmt: skip
WITNESS = {
    "sigmoid": "x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x))",
    # beyond 20 it is x itself, as torch has it; the wide exp must not overflow before
    "softplus": "x > 20 ? x : std::log1p(std::exp(x))",
}
PORTABLE = "#undef __AVX512F__\n#undef __AVX__\n#undef __SSE2__\n"
SETS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "native": ("", (), ""),
    "avx2": ("avx2", ("-mavx2", "-mfma", "-mno-avx512f"), ""),
    "avx": ("avx", ("-mno-avx2", "-mno-fma", "-mno-avx512f"), ""),
    "sse2": ("sse2", ("-mno-avx",), ""),
    "portable": ("", (), PORTABLE),
}
"""For each width of vectors: what the processor must have, the flags, and what opens the text."""

LOOPS = """
#include <cmath>
#include <type_traits>
typedef std::conditional<DOUBLE, long double, double>::type Wide;
#define LOOP(f, witness) \\
    extern "C" void vectors_##f(T* y, const T* x, int64_t n) { \\
        for (int64_t k = 0; k < n; k += LANES) { \\
            int left = n - k < LANES ? n - k : LANES; \\
            store(y + k, f(load(x + k, left)), left); \\
        } \\
    } \\
    extern "C" void exact_##f(Wide* y, const T* from, int64_t n) { \\
        for (int64_t k = 0; k < n; k++) { Wide x = from[k]; y[k] = witness; } \\
    }
extern "C" int vector_bytes() { return VECTOR_BYTES; }
extern "C" void two(T* y, const T* a, const T* b, int n) {
    store(y, maximum(load(a, n), load(b, n)), n);
    store(y + n, minimum(load(a, n), load(b, n)), n);
}
extern "C" T total_of(const T* x, int n) { return total(only(load(x), n)); }
extern "C" T highest_of(const T* x, int n) { return highest(only_or_lowest(load(x), n)); }
"""
Floats = NDArray[np.floating]


@cache
def library(dtype: str, which: str, mistake: tuple[str, str] = ("", "")) -> ctypes.CDLL:
    """The header with a loop around each function, for one set of instructions."""
    needs, flags, opening = SETS[which]
    cpuinfo = Path("/proc/cpuinfo")
    if needs and needs not in (cpuinfo.read_text().split() if cpuinfo.exists() else ()):
        pytest.skip(f"the processor has no {needs}")
    header = resources.files("recurnn.compiler").joinpath("vectors.h").read_text()
    assert mistake[0] in header
    text = opening + header.replace(*mistake) if mistake[0] else opening + header
    text += LOOPS + "".join(f"LOOP({f}, {WITNESS.get(f, f'std::{f}(x)')})\n" for f in FUNCTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "FLAGS", (*build.FLAGS, *flags))
        return build.load(text, {"f32": "float", "f64": "double"}[dtype], f"vectors-{which}")


def calls(built: ctypes.CDLL, function: str, x: Floats) -> tuple[Floats, Floats]:
    """What the header has for each of x, and the value in the wider type."""
    wide = np.longdouble if x.dtype == np.float64 else np.float64
    got, exact = np.full_like(x, np.nan), np.empty(x.shape, wide)
    for name, y in (("vectors", got), ("exact", exact)):
        built[f"{name}_{function}"](
            ctypes.c_void_p(y.ctypes.data), ctypes.c_void_p(x.ctypes.data), ctypes.c_int64(x.size)
        )
    return got, exact


def errors_in_ulp(got: Floats, exact: Floats) -> NDArray[np.float64]:
    """The distance in units in the last place; infinite where it must be the same and is not.

    The same: NaN, and infinities and zeros with their signs, where the exact value is one.
    """
    info = np.finfo(got.dtype)
    beyond = np.ldexp(exact.dtype.type(1), info.maxexp)  # where an infinity stands in the distance
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(np.clip(np.nan_to_num(exact, nan=0.0), -info.max, info.max))
        ulp = np.ldexp(exact.dtype.type(1), np.maximum(exponent, info.minexp + 1) - info.nmant - 1)
        error = np.abs(
            np.clip(got.astype(exact.dtype), -beyond, beyond) - np.clip(exact, -beyond, beyond)
        )
        error = (error / ulp).astype(np.float64)
    same = np.isnan(got) == np.isnan(exact)
    fixed = np.isinf(exact) | (exact == 0)
    same &= ~fixed | ((got == exact) & (np.signbit(got) == np.signbit(exact)))
    error[np.isnan(exact) | fixed] = 0
    error[~same] = np.inf
    return error


def within_four_ulp(built: ctypes.CDLL, function: str, x: Floats) -> float:
    """Assert that a function is exact enough at each of x; the greatest error."""
    got, exact = calls(built, function, x)
    error = errors_in_ulp(got, exact)
    k = int(error.argmax())
    assert error[k] <= 4, (
        f"{function}({x[k]!r}) is {got[k]!r}, not {exact[k]!r}: {error[k]:.1f} ulp; "
        f"{(error > 4).sum()} of {x.size} are wrong"
    )
    return float(error[k])


SPECIAL = [
    0.0,
    math.inf,
    math.nan,
    1.0,
    0.5,
    2.0,
    20.0,
    18.0,
    38.0,
    88.0,
    88.8,
    104.0,
    710.0,
    746.0,
]


def special(dtype: str) -> Floats:
    """Ends, bounds and their neighbours, with both signs."""
    info = np.finfo({"f32": np.float32, "f64": np.float64}[dtype])
    ends = [info.tiny, info.max, info.smallest_subnormal, info.eps]
    values = np.array([*SPECIAL, *ends], info.dtype)
    with np.errstate(all="ignore"):
        near = [np.nextafter(values, info.dtype.type(to)) for to in (-np.inf, np.inf)]
    values = np.concatenate([values, *near])
    return np.concatenate([values, -values])


def sweep32(stride: int) -> Iterator[Floats]:
    """Float32 of every `stride`-th bit pattern, or near it."""
    block = 2**32 // 64
    for start in range(0, 2**32, block):
        bits = np.arange(start, start + block, stride, dtype=np.uint64)
        yield (bits + bits % 7 % stride).astype(np.uint32).view(np.float32)


def sweep64(count: int) -> Floats:
    """Float64 of every exponent, most of them where the functions bend."""
    random = np.random.default_rng(1)
    bits = random.integers(0, 2**64, count // 4, dtype=np.uint64).view(np.float64)
    bent = np.ldexp(random.uniform(1, 2, count // 2), random.integers(-60, 11, count // 2))
    bent *= random.choice([-1.0, 1.0], bent.size)
    return np.concatenate([bits, bent, random.uniform(-750, 720, count // 8), 1 + bent / 2**8])


WHERE = [
    pytest.param("f32", "native"),
    pytest.param("f64", "native"),
    pytest.param("f32", "avx2"),
    pytest.param("f32", "portable"),
    *(pytest.param("f64", which, marks=pytest.mark.slow) for which in SETS if which != "native"),
    *(pytest.param("f32", which, marks=pytest.mark.slow) for which in ("avx", "sse2")),
]


@pytest.mark.parametrize(("dtype", "which"), WHERE)
def test_every_function_is_within_four_ulp(dtype: str, which: str) -> None:
    if dtype == "f64" and np.finfo(np.longdouble).nmant <= np.finfo(np.float64).nmant:
        pytest.skip("long double is no wider than double here")
    built = library(dtype, which)
    values = np.concatenate([*sweep32(4099)]) if dtype == "f32" else sweep64(100_000)
    values = np.concatenate([special(dtype), values])
    for function in FUNCTIONS:
        within_four_ulp(built, function, values)


@pytest.mark.slow
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_sixteenth_float32_is_within_four_ulp(function: str) -> None:
    for values in sweep32(16):
        within_four_ulp(library("f32", "native"), function, values)


@pytest.mark.parametrize(("dtype", "which"), WHERE)
def test_special_values_are_torchs(dtype: str, which: str) -> None:
    x = np.array([0.0, -0.0, math.inf, -math.inf, math.nan, -1.0, -2.0, 200.0, -200.0, 1e4, -1e4])
    x = x.astype({"f32": np.float32, "f64": np.float64}[dtype])
    for function, torchs in FUNCTIONS.items():
        got, _ = calls(library(dtype, which), function, x)
        want = torchs(torch.from_numpy(x)).numpy()
        fixed = np.isnan(want) | np.isinf(want) | (want == 0) | (np.abs(want) == 1)
        np.testing.assert_array_equal(got[fixed], want[fixed], err_msg=function)
        same = np.isnan(want) | (np.signbit(got) == np.signbit(want))
        assert same.all(), (function, x[~same], got[~same])


@pytest.mark.parametrize("which", ["native", "avx2", "portable"])
def test_maximum_and_minimum_pass_nan_on_and_touch_only_their_lanes(which: str) -> None:
    built = library("f32", which)
    for n in range(1, built.vector_bytes() // 4 + 1):
        a = torch.tensor([math.nan, 1.0, -math.inf, 3.0]).repeat(4)[:n].contiguous()
        b = torch.tensor([0.0, math.nan, 2.0, math.inf, -1.0]).repeat(4)[:n].contiguous()
        y = torch.full((2 * n + 1,), 7.0)
        built.two(*(ctypes.c_void_p(t.data_ptr()) for t in (y, a, b)), n)
        want = torch.cat([torch.maximum(a, b), torch.minimum(a, b), torch.tensor([7.0])])
        assert torch.equal(y.nan_to_num(nan=99.0), want.nan_to_num(nan=99.0))


@pytest.mark.parametrize("which", ["native", "avx2", "portable"])
def test_a_total_is_of_the_first_lanes(which: str) -> None:
    built = library("f32", which)
    built.total_of.restype = ctypes.c_float
    x = np.full(16, np.nan, np.float32)
    for n in range(built.vector_bytes() // 4 + 1):
        x[:n] = np.arange(1, n + 1)
        assert built.total_of(ctypes.c_void_p(x.ctypes.data), n) == n * (n + 1) / 2


@pytest.mark.parametrize("which", ["native", "avx2", "portable"])
def test_the_highest_is_of_the_first_lanes(which: str) -> None:
    built = library("f32", which)
    built.highest_of.restype = ctypes.c_float
    for n in range(1, built.vector_bytes() // 4 + 1):
        for k in range(n):
            x = np.full(16, np.nan, np.float32)
            x[:n] = -5
            x[k] = -3
            assert built.highest_of(ctypes.c_void_p(x.ctypes.data), n) == -3
        x[k] = np.nan
        assert math.isnan(built.highest_of(ctypes.c_void_p(x.ctypes.data), n))


@pytest.mark.parametrize(
    ("function", "right", "wrong", "at"),
    [
        ("exp", "0.041898392f", "0.0418f", 0.34),
        ("tanh", "1.3333235f", "1.333f", 0.17),
        ("sigmoid", "DOUBLE ? 38 : 18", "DOUBLE ? 38 : 12", 13.0),
        ("sigmoid", "e = reduce(clamp(x, DOUBLE ? -746 : -104, DOUBLE ? 38",
         "e = reduce(clamp(x, DOUBLE ? -746 : -87, DOUBLE ? 38", -95.0),
        ("log", "T(__builtin_nan(\"\"))", "T(0)", -1.0),
        ("tanh", "return greater(broadcast(low), lesser(broadcast(high), x));",
         "return greater(lesser(x, broadcast(high)), broadcast(low));", math.nan),
        ("tanh", "- (1 - power)", "+ (power - 1)", -0.0),
        ("log", "subnormal ? x * up : x", "x", 1e-40),
    ],
)  # fmt: skip
def test_a_planted_mistake_is_refused(function: str, right: str, wrong: str, at: float) -> None:
    x = np.array([at], np.float32)
    within_four_ulp(library("f32", "native"), function, x)
    with pytest.raises(AssertionError, match="ulp"):
        within_four_ulp(library("f32", "native", (right, wrong)), function, x)


def test_the_comparison_refuses_what_is_not_the_same() -> None:
    def error(got: float, exact: float) -> float:
        return float(errors_in_ulp(np.array([got], np.float32), np.array([exact]))[0])

    assert error(1 + 2**-23, 1.0) == 1
    assert error(1 - 2**-24, 1.0) == 0.5
    assert error(2**-149, 1e-60) == pytest.approx(1)
    assert error(math.nan, math.nan) == error(math.inf, math.inf) == error(0.0, 0.0) == 0
    assert error(math.inf, 2.0**128 - 2**103) == pytest.approx(0.5)
    for got, exact in [
        (math.nan, 1.0), (1.0, math.nan), (math.inf, -math.inf), (3.4e38, math.inf), (-0.0, 0.0),
        (1e-45, 0.0), (math.inf, 1e38), (-1.0, 1.0),
    ]:  # fmt: skip
        assert error(got, exact) > 4, (got, exact)
