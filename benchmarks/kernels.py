"""The compiled kernels beside the peers, on the shapes where recurrent networks are used.

Every case is first checked against torch and refused if it does not agree, then timed: forward,
and forward plus backward to inputs and weights (train). Medians in milliseconds; the runs of all
engines are interleaved, so that a drift of the machine's speed meets all alike.

    python benchmarks/kernels.py [--cells lstm gru elman] [--runs 15] [--write-readme]

Peers: torch always; jax (``jit`` of ``lax.scan``, the input product hoisted by hand) where it is
installed. A missing peer is a dash.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import recurnn

SHAPES = [
    (5, 512, 1, 50), (5, 512, 50, 200), (96, 32, 8, 64), (100, 64, 128, 128), (100, 32, 256, 256),
    (64, 128, 512, 512), (35, 20, 650, 650), (256, 16, 1024, 1024), (1000, 1, 64, 128),
    (1, 1, 64, 128),
]  # fmt: skip
GATES = {"elman": 1, "gru": 3, "lstm": 4}
LAYERS = {"elman": "RNN", "gru": "GRU", "lstm": "LSTM"}
RESULTS = Path(__file__).parent / "results" / "kernels.json"
README = Path(__file__).parent.parent / "README.md"

Runs = dict[str, Callable[[], Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Kernels beside their peers.")
    parser.add_argument("--cells", nargs="+", default=["lstm", "gru", "elman"], choices=GATES)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--write-readme", action="store_true")
    arguments = parser.parse_args()
    peak = fma_peak()
    print(f"{machine()}; {peak:.0f} GFLOP/s in a square product of torch's")
    rows = []
    for cell in arguments.cells:
        for shape in SHAPES:
            row = case(cell, shape, arguments.runs)
            rows.append(row)
            print(line(row), flush=True)
        print(summary(cell, rows), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine(), "peak": peak, "rows": rows}, indent=1))
    if arguments.write_readme:
        write_readme(rows, arguments.cells)


def case(cell: str, shape: tuple[int, int, int, int], runs: int) -> dict[str, Any]:
    """Check that ours agrees with torch, then time all engines on one shape."""
    T, B, I, H = shape  # noqa: E741 - the letters of the design
    torch.manual_seed(0)
    theirs = getattr(torch.nn, LAYERS[cell])(I, H)
    ours = getattr(recurnn.nn, LAYERS[cell])(I, H)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(T, B, I)
    dy = torch.randn(T, B, H)
    agree(theirs, ours, x, dy)
    forward: Runs = {"recurnn": lambda: without_gradient(ours, x),
                     "torch": lambda: without_gradient(theirs, x)}  # fmt: skip
    train: Runs = {"recurnn": lambda: trained(ours, x, dy), "torch": lambda: trained(theirs, x, dy)}
    jax = jax_runs(cell, theirs, x, dy)
    if jax:
        forward["jax"], train["jax"] = jax
    flops = 2 * T * B * GATES[cell] * H * (I + H)
    return {
        "cell": cell, "shape": shape, "flops": flops,
        "forward": timed(forward, runs), "train": timed(train, runs),
    }  # fmt: skip


def without_gradient(layer: torch.nn.Module, x: torch.Tensor) -> None:
    with torch.no_grad():
        layer(x)


def trained(layer: torch.nn.Module, x: torch.Tensor, dy: torch.Tensor) -> list[torch.Tensor]:
    x = x.detach().requires_grad_()
    y, _ = layer(x)
    return list(torch.autograd.grad(y, [x, *layer.parameters()], dy))


def agree(
    theirs: torch.nn.Module, ours: torch.nn.Module, x: torch.Tensor, dy: torch.Tensor
) -> None:
    """Refuse to time what is wrong."""
    with torch.no_grad():
        pairs = [(ours(x)[0], theirs(x)[0])]
    pairs += list(zip(trained(ours, x, dy), trained(theirs, x, dy), strict=True))
    for got, want in pairs:
        scale = want.abs().max().item()
        terms = x.shape[0] * x.shape[1] * want.shape[-1]
        allowed = 8 * torch.finfo(want.dtype).eps * (math.sqrt(terms) * scale + 1)
        worst = (got - want).abs().max().item()
        if not worst <= allowed:
            raise SystemExit(f"not timed: off by {worst:.3g}, allowed {allowed:.3g}")


def timed(runs: Runs, count: int) -> dict[str, float]:
    """Median milliseconds of each, one of each in turn."""
    for run in runs.values():
        run()
        run()
    once = {}
    for name, run in runs.items():
        began = time.perf_counter()
        run()
        once[name] = time.perf_counter() - began
    repeats = max(1, int(2e-3 / max(min(once.values()), 1e-6)))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(count):
        for name, run in runs.items():
            began = time.perf_counter()
            for _ in range(repeats):
                run()
            seconds[name].append((time.perf_counter() - began) / repeats)
    return {name: 1e3 * statistics.median(values) for name, values in seconds.items()}


def jax_runs(
    cell: str, layer: torch.nn.Module, x: torch.Tensor, dy: torch.Tensor
) -> tuple[Callable[[], Any], Callable[[], Any]] | None:
    """The same layer in jax: forward, and value and gradients; None without jax."""
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return None
    H = layer.hidden_size
    weights = [jnp.asarray(p.detach().numpy()) for p in layer.parameters()]
    data, cotangent = jnp.asarray(x.numpy()), jnp.asarray(dy.numpy())

    def step(carry: Any, z: Any, U: Any, b: Any) -> Any:
        h, c = carry
        u = h @ U.T + b
        if cell == "elman":
            h = jnp.tanh(z + u)
        elif cell == "lstm":
            i, f, g, o = jnp.split(z + u, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
        else:
            (zr, zz, zn), (ur, uz, un) = jnp.split(z, 3, axis=-1), jnp.split(u, 3, axis=-1)
            r, k = jax.nn.sigmoid(zr + ur), jax.nn.sigmoid(zz + uz)
            h = (1 - k) * jnp.tanh(zn + r * un) + k * h
        return (h, c), h

    def run(weights: Any, data: Any) -> Any:
        W, U, b_W, b_U = weights
        z = data @ W.T + b_W
        start = (jnp.zeros((data.shape[1], H)), jnp.zeros((data.shape[1], H)))
        return jax.lax.scan(lambda carry, z: step(carry, z, U, b_U), start, z)[1]

    forward = jax.jit(run)

    @jax.jit
    def gradients(weights: Any, data: Any) -> Any:
        y, pull = jax.vjp(run, weights, data)
        return y, pull(cotangent)

    return (
        lambda: jax.block_until_ready(forward(weights, data)),
        lambda: jax.block_until_ready(gradients(weights, data)),
    )


def fma_peak() -> float:
    """What a large square product reaches here, as a yardstick."""
    a = torch.randn(1024, 1024)
    best = min(_seconds(lambda: a @ a) for _ in range(10))
    return 2 * 1024**3 / best / 1e9


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def machine() -> str:
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*: (.*)", cpuinfo.read_text())
        name = found[1] if found else name
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32"


def ratio(times: dict[str, float]) -> float:
    """How many times faster than the fastest peer."""
    return min(v for k, v in times.items() if k != "recurnn") / times["recurnn"]


def line(row: dict[str, Any]) -> str:
    text = f"{row['cell']:6} {tuple(row['shape'])!s:24}"
    for kind, passes in (("forward", 1), ("train", 3)):
        times = row[kind]
        speed = passes * row["flops"] / times["recurnn"] / 1e6
        peers = "  ".join(f"{n} {times[n]:8.3f}" if n in times else f"{n} —"
                          for n in ("torch", "jax"))  # fmt: skip
        text += f" | {kind} {times['recurnn']:8.3f} ms {speed:4.0f} GFLOP/s  {peers}"
        text += f"  ×{ratio(times):.2f}"
    return text


def geometric(values: list[float]) -> float:
    return math.exp(statistics.mean(math.log(v) for v in values))


def summary(cell: str, rows: list[dict[str, Any]]) -> str:
    mine = [row for row in rows if row["cell"] == cell]
    parts = []
    for kind in ("forward", "train"):
        torchs = geometric([row[kind]["torch"] / row[kind]["recurnn"] for row in mine])
        lost = sum(ratio(row[kind]) < 0.97 for row in mine)
        parts.append(f"{kind} ×{torchs:.2f} of torch, slower than the best peer on {lost} shapes")
    return f"{cell}: geometric mean {'; '.join(parts)}"


def write_readme(rows: list[dict[str, Any]], cells: list[str]) -> None:
    """Put the table between the marks in the README."""
    head = "| T, B, I, H | " + " | ".join(f"{c} forward | {c} train" for c in cells) + " |"
    lines = [head, "|---" * (1 + 2 * len(cells)) + "|"]
    for shape in SHAPES:
        texts = []
        for cell in cells:
            row = next(r for r in rows if r["cell"] == cell and tuple(r["shape"]) == shape)
            texts += [f"{row[k]['recurnn']:.3g} ms, ×{ratio(row[k]):.2f}"
                      for k in ("forward", "train")]  # fmt: skip
        lines.append(f"| {', '.join(map(str, shape))} | " + " | ".join(texts) + " |")
    lines += ["", "; ".join(summary(c, rows) for c in cells) + f". {machine()}."]
    text = README.read_text()
    block = "<!-- bench:kernels -->\n" + "\n".join(lines) + "\n<!-- /bench:kernels -->"
    pattern = r"<!-- bench:kernels -->.*<!-- /bench:kernels -->"
    README.write_text(re.sub(pattern, lambda _: block, text, flags=re.DOTALL))


if __name__ == "__main__":
    main()
