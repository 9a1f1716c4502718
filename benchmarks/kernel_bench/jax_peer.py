"""The same layer in jax: ``jit`` of ``lax.scan``, the input product hoisted by hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kernel_bench.timing import Run


def jax_peer(cell: str, layer: nn.RNNBase, x: Tensor, dy: Tensor) -> tuple[Run, Run] | None:
    """Forward, and forward with gradients as `ours.results` names them; None without jax."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return None
    weights = [jnp.asarray(p.detach().numpy()) for p in layer.parameters()]
    inputs, cotangent = jnp.asarray(x.numpy()), jnp.asarray(dy.numpy())
    run = _layer(cell, layer.hidden_size)
    forward = jax.jit(run)

    @jax.jit
    def train(weights: Any, inputs: Any, cotangent: Any) -> Any:
        y, pull = jax.vjp(run, weights, inputs)
        return y, pull(cotangent)

    return (
        lambda: jax.block_until_ready(forward(weights, inputs)),
        lambda: jax.block_until_ready(train(weights, inputs, cotangent)),
    )


def jax_results(layer: nn.RNNBase, runs: tuple[Run, Run]) -> dict[str, Tensor]:
    """What jax computes, under the names of `ours.results`."""
    y, (weights, dx) = runs[1]()
    found = {"y": y, "dx": dx, "y without gradients": runs[0]()}
    names = (f"d{name}" for name, _ in layer.named_parameters())
    found |= dict(zip(names, weights, strict=True))
    return {name: torch.from_numpy(np.array(value)) for name, value in found.items()}


def _layer(cell: str, H: int) -> Callable[[Any, Any], Any]:
    """(weights, x [T, B, I]) to y [T, B, H], the weights in torch's order and stacking."""
    import jax
    import jax.numpy as jnp
    from jax.nn import sigmoid

    def step(carry: Any, z: Any, U: Any, b: Any) -> Any:
        h, c = carry
        u = h @ U.T + b
        if cell == "elman":
            h = jnp.tanh(z + u)
        elif cell == "lstm":
            i, f, g, o = jnp.split(z + u, 4, axis=-1)
            c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
            h = sigmoid(o) * jnp.tanh(c)
        else:
            (zr, zz, zn), (ur, uz, un) = jnp.split(z, 3, axis=-1), jnp.split(u, 3, axis=-1)
            r, k = sigmoid(zr + ur), sigmoid(zz + uz)
            h = (1 - k) * jnp.tanh(zn + r * un) + k * h
        return (h, c), h

    def run(weights: Any, x: Any) -> Any:
        W, U, b_W, b_U = weights
        z = x @ W.T + b_W
        zeros = jnp.zeros((x.shape[1], H))
        return jax.lax.scan(lambda carry, z: step(carry, z, U, b_U), (zeros, zeros), z)[1]

    return run
