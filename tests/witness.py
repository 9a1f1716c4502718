"""Every cell's equations once more, in numpy, for one row of a batch, from the papers.

Nothing here knows recurnn: weights come as a dictionary of float64 arrays, a bias that a cell
does not have is missing from it. Each function returns everything that one step computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
W = dict[str, Array]


def sigma(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def relu(z: Array) -> Array:
    return np.where(z > 0, z, 0.0)


def same(z: Array) -> Array:
    return z


def drive(w: W, gate: str, x: Array, h: Array) -> Array:
    """W x + U h + b of one gate."""
    total = w[f"W_{gate}"] @ x + w[f"U_{gate}"] @ h
    return total + w[f"b_{gate}"] if f"b_{gate}" in w else total


def elman(phi: Callable[[Array], Array]) -> Callable[..., dict[str, Array]]:
    def step(w: W, x: Array, h: Array) -> dict[str, Array]:
        return {"h": phi(w["W"] @ x + w["U"] @ h + w.get("b", 0.0))}

    return step


def jordan(phi: Any, psi: Any) -> Callable[..., dict[str, Array]]:
    def step(w: W, x: Array, y: Array) -> dict[str, Array]:
        hidden = phi(w["W"] @ x + w["U"] @ y + w.get("b", 0.0))
        return {"y": psi(w["V"] @ hidden + w.get("b_y", 0.0)), "h": hidden}

    return step


def lstm(w: W, x: Array, h: Array, c: Array) -> dict[str, Array]:
    i, f, o = (sigma(drive(w, gate, x, h)) for gate in "ifo")
    g = np.tanh(drive(w, "g", x, h))
    new = i * g + f * c
    return {"i": i, "f": f, "g": g, "o": o, "c": new, "h": np.tanh(new) * o}


def peephole(w: W, x: Array, h: Array, c: Array) -> dict[str, Array]:
    i = sigma(drive(w, "i", x, h) + np.diag(w["p_i"]) @ c)
    f = sigma(drive(w, "f", x, h) + np.diag(w["p_f"]) @ c)
    g = np.tanh(drive(w, "g", x, h))
    new = i * g + f * c
    o = sigma(drive(w, "o", x, h) + np.diag(w["p_o"]) @ new)
    return {"i": i, "f": f, "g": g, "o": o, "c": new, "h": np.tanh(new) * o}


def coupled(w: W, x: Array, h: Array, c: Array) -> dict[str, Array]:
    i, o = sigma(drive(w, "i", x, h)), sigma(drive(w, "o", x, h))
    g = np.tanh(drive(w, "g", x, h))
    new = c + i * (g - c)
    return {"i": i, "g": g, "o": o, "c": new, "h": np.tanh(new) * o}


def projected(w: W, x: Array, h: Array, c: Array) -> dict[str, Array]:
    values = lstm(w, x, h, c)
    return values | {"h": w["W_p"] @ values["h"]}


def standardise(z: Array) -> Array:
    centred = z - z.sum() / z.size
    return centred / np.sqrt((centred**2).sum() / z.size + 1e-5)


def layer_norm(w: W, x: Array, h: Array, c: Array) -> dict[str, Array]:
    H = c.size
    from_x = standardise(np.concatenate([w[f"W_{k}"] @ x for k in "ifgo"]))
    from_h = standardise(np.concatenate([w[f"U_{k}"] @ h for k in "ifgo"]))
    z = {}
    for n, k in enumerate("ifgo"):
        rows = slice(n * H, (n + 1) * H)
        z[k] = w[f"alpha_{k}"] * from_x[rows] + w[f"beta_{k}"] * from_h[rows]
        z[k] = z[k] + w.get(f"b_{k}", 0.0)
    i, f, g, o = sigma(z["i"]), sigma(z["f"]), np.tanh(z["g"]), sigma(z["o"])
    new = i * g + f * c
    shown = np.tanh(w["gamma"] * standardise(new) + w.get("b_c", 0.0))
    return {"i": i, "f": f, "g": g, "o": o, "c": new, "h": o * shown}


def gru(w: W, x: Array, h: Array) -> dict[str, Array]:
    r, z = sigma(drive(w, "r", x, h)), sigma(drive(w, "z", x, h))
    recurrent = w["U_n"] @ h + w.get("b_u", 0.0)
    n = np.tanh(w["W_n"] @ x + w.get("b_n", 0.0) + r * recurrent)
    return {"r": r, "z": z, "n": n, "h": n + z * (h - n)}


def reset_before_gru(w: W, x: Array, h: Array) -> dict[str, Array]:
    r, z = sigma(drive(w, "r", x, h)), sigma(drive(w, "z", x, h))
    n = np.tanh(drive(w, "n", x, r * h))
    return {"r": r, "z": z, "n": n, "h": n + z * (h - n)}


def run(step: Any, w: W, x: Array, states: dict[str, Array]) -> dict[str, Array]:
    """A step along x [T, B, I], row by row: every value of every step, name to [T, B, size]."""
    T, B, _ = x.shape
    rows: list[list[dict[str, Array]]] = []
    for b in range(B):
        state = {k: s[b] for k, s in states.items()}
        rows.append([])
        for t in range(T):
            values = step(w, x[t, b], *state.values())
            state = {k: values[k] for k in state}
            rows[b].append(values)
    return {k: np.stack([[rows[b][t][k] for b in range(B)] for t in range(T)]) for k in values}
