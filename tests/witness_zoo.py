"""The equations of the other cells once more, in numpy, for one row: as in `witness`.

Written otherwise than the cells are, where that is possible: with the matrices joined, with the
convex combinations as a correction of the old value, with full matrices in place of vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from witness import Array, W, drive, relu, sigma, standardise

Values = dict[str, Array]


def plain(w: W, gate: str, x: Array) -> Array:
    """W x + b of one gate."""
    return w[f"W_{gate}"] @ x + w.get(f"b_{gate}", 0.0)


def joined(w: W, x: Array, h: Array) -> Array:
    """[W U] (x, h) + b of a cell without named gates."""
    return np.hstack([w["W"], w["U"]]) @ np.concatenate([x, h]) + w.get("b", 0.0)


# Fewer gates


def mgu(w: W, x: Array, h: Array) -> Values:
    f = sigma(drive(w, "f", x, h))
    n = np.tanh(drive(w, "n", x, f * h))
    return {"f": f, "n": n, "h": h + f * (n - h)}


def janet(beta: float) -> Callable[..., Values]:
    def step(w: W, x: Array, h: Array) -> Values:
        s, n = drive(w, "f", x, h), np.tanh(drive(w, "n", x, h))
        return {"s": s, "n": n, "h": h / (1 + np.exp(-s)) + n / (1 + np.exp(s - beta))}

    return step


def update_gate(gate: str, phi: Callable[[Array], Array]) -> Callable[..., Values]:
    """One gate that keeps the old; LiGRU and UGRNN."""

    def step(w: W, x: Array, h: Array) -> Values:
        g, n = sigma(drive(w, gate, x, h)), phi(drive(w, "n", x, h))
        return {gate: g, "n": n, "h": n + g * (h - n)}

    return step


def minimal(w: W, x: Array, h: Array) -> Values:
    z = np.tanh(w["W"] @ x + w.get("b", 0.0))
    u = sigma(np.hstack([w["U_h"], w["U_z"]]) @ np.concatenate([h, z]) + w.get("b_u", 0.0))
    return {"z": z, "u": u, "h": z + u * (h - z)}


def light_ru(w: W, x: Array, h: Array) -> Values:
    n, f = np.tanh(plain(w, "n", x)), sigma(drive(w, "f", x, h))
    return {"n": n, "f": f, "h": h + f * (n - h)}


def atr(w: W, x: Array, h: Array) -> Values:
    p, q = w["W"] @ x, w["U"] @ h + w.get("b", 0.0)
    i, f = 1 / (1 + np.exp(-p - q)), 1 / (1 + np.exp(q - p))
    return {"p": p, "q": q, "i": i, "f": f, "h": p * i + h * f}


def star(w: W, x: Array, h: Array) -> Values:
    z, k = np.tanh(plain(w, "z", x)), sigma(drive(w, "k", x, h))
    return {"z": z, "k": k, "h": np.tanh(h + k * (z - h))}


# Additive


def ran(w: W, x: Array, h: Array, c: Array) -> Values:
    i, f = sigma(drive(w, "i", x, h)), sigma(drive(w, "f", x, h))
    n = w["W_n"] @ x
    new = f * c + i * n
    return {"n": n, "i": i, "f": f, "c": new, "h": np.tanh(new)}


def cfn(w: W, x: Array, h: Array) -> Values:
    theta, eta = sigma(drive(w, "theta", x, h)), sigma(drive(w, "eta", x, h))
    n = w["W_n"] @ x
    return {"theta": theta, "eta": eta, "n": n, "h": eta * np.tanh(n) + theta * np.tanh(h)}


# Each unit for itself


def indrnn(phi: Callable[[Array], Array]) -> Callable[..., Values]:
    def step(w: W, x: Array, h: Array) -> Values:
        return {"h": phi(w["W"] @ x + np.diag(w["u"]) @ h + w.get("b", 0.0))}

    return step


def sru(w: W, x: Array, h: Array, c: Array) -> Values:
    n = w["W"] @ x
    f = sigma(np.diag(w["v_f"]) @ c + plain(w, "f", x))
    r = sigma(np.diag(w["v_r"]) @ c + plain(w, "r", x))
    new, past = n + f * (c - n), w["V"] @ x
    return {"n": n, "f": f, "r": r, "c": new, "h": past + r * (new - past)}


def qrnn(w: W, x: Array, h: Array, c: Array) -> Values:
    z, f, o = np.tanh(plain(w, "z", x)), sigma(plain(w, "f", x)), sigma(plain(w, "o", x))
    new = z + f * (c - z)
    return {"z": z, "f": f, "o": o, "c": new, "h": new * o}


def strongly_typed(w: W, x: Array, h: Array) -> Values:
    n, f = w["W"] @ x, sigma(w["V"] @ x + w.get("b", 0.0))
    return {"n": n, "f": f, "h": n + f * (h - n)}


def min_gru(w: W, x: Array, h: Array) -> Values:
    z, n = sigma(plain(w, "z", x)), plain(w, "n", x)
    return {"z": z, "n": n, "h": h + z * (n - h)}


def min_lstm(w: W, x: Array, h: Array) -> Values:
    f, i, n = sigma(plain(w, "f", x)), sigma(plain(w, "i", x)), plain(w, "n", x)
    return {"f": f, "i": i, "n": n, "h": (f * h + i * n) / (f + i)}


def rg_lru(w: W, x: Array, h: Array) -> Values:
    r, i = sigma(plain(w, "r", x)), sigma(plain(w, "i", x))
    a = sigma(w["Lambda"]) ** (8 * r)
    return {"r": r, "i": i, "a": a, "h": a * h + np.sqrt((1 - a) * (1 + a)) * (i * (w["W"] @ x))}


# Bistable


def brc(w: W, x: Array, h: Array) -> Values:
    return nbrc(w | {"U_a": np.diag(w["u_a"]), "U_c": np.diag(w["u_c"])}, x, h)


def nbrc(w: W, x: Array, h: Array) -> Values:
    a, c = 1 + np.tanh(drive(w, "a", x, h)), sigma(drive(w, "c", x, h))
    n = np.tanh(a * h + w["W"] @ x + w.get("b", 0.0))
    return {"a": a, "c": c, "h": n + c * (h - n)}


# For small machines


def fast_rnn(w: W, x: Array, h: Array) -> Values:
    n = np.tanh(joined(w, x, h))
    return {"n": n, "h": sigma(w["alpha"]) * n + sigma(w["beta"]) * h}


def fast_grnn(w: W, x: Array, h: Array) -> Values:
    both = joined(w, x, h)
    z, n = sigma(both + w.get("b_z", 0.0)), np.tanh(both + w.get("b_n", 0.0))
    let_in = sigma(w["zeta"]) - sigma(w["zeta"]) * z + sigma(w["nu"])
    return {"z": z, "n": n, "h": z * h + let_in * n}


# Differential equations


def leaky(alpha: float) -> Callable[..., Values]:
    def step(w: W, x: Array, h: Array) -> Values:
        n = np.tanh(joined(w, x, h))
        return {"n": n, "h": h + alpha * (n - h)}

    return step


def skew(U: Array, gamma: float) -> Array:
    return U - U.T - gamma * np.eye(len(U))


def antisymmetric(epsilon: float, gamma: float) -> Callable[..., Values]:
    def step(w: W, x: Array, h: Array) -> Values:
        n = np.tanh(joined(w | {"U": skew(w["U"], gamma)}, x, h))
        return {"n": n, "h": h + epsilon * n}

    return step


def gated_antisymmetric(epsilon: float, gamma: float) -> Callable[..., Values]:
    def step(w: W, x: Array, h: Array) -> Values:
        a = skew(w["U"], gamma) @ h
        z, n = sigma(plain(w, "z", x) + a), np.tanh(plain(w, "n", x) + a)
        return {"z": z, "n": n, "h": h + epsilon * (z * n)}

    return step


def lipschitz(beta: float, gamma: float, epsilon: float) -> Callable[..., Values]:
    def mixed(M: Array) -> Array:
        return (1 - beta) * (M + M.T) + beta * (M - M.T) - gamma * np.eye(len(M))

    def step(w: W, x: Array, h: Array) -> Values:
        a, n = mixed(w["A"]) @ h, np.tanh(joined(w | {"U": mixed(w["U"])}, x, h))
        return {"a": a, "n": n, "h": h + epsilon * a + epsilon * n}

    return step


def lem(dt: float) -> Callable[..., Values]:
    def step(w: W, x: Array, h: Array, z: Array) -> Values:
        d, e = dt * sigma(drive(w, "d", x, h)), dt * sigma(drive(w, "e", x, h))
        new = z + d * (np.tanh(drive(w, "z", x, h)) - z)
        return {"d": d, "e": e, "z": new, "h": h + e * (np.tanh(drive(w, "h", x, new)) - h)}

    return step


def cfc(w: W, x: Array, h: Array) -> Values:
    a = np.tanh(joined(w, x, h))
    f, g, k = (w[f"V_{name}"] @ a + w.get(f"b_{name}", 0.0) for name in "fgk")
    g, k = np.tanh(g), np.tanh(k)
    return {"a": a, "f": f, "g": g, "k": k, "h": k + (g - k) / (1 + np.exp(f))}


# Oscillators


def cornn(dt: float, gamma: float, epsilon: float) -> Callable[..., Values]:
    def step(w: W, x: Array, h: Array, z: Array) -> Values:
        force = np.tanh(joined(w, x, h) + w["V"] @ z)
        new = z + dt * force - dt * gamma * h - dt * epsilon * z
        return {"z": new, "h": h + dt * new}

    return step


def unicornn(dt: float, alpha: float) -> Callable[..., Values]:
    def step(w: W, x: Array, h: Array, z: Array) -> Values:
        time = dt * sigma(w["c"])
        force = np.tanh(np.diag(w["w"]) @ h + w["W"] @ x + w.get("b", 0.0))
        new = z - time * force - time * alpha * h
        return {"z": new, "h": h + time * new}

    return step


# Context, depth


def scrn(alpha: float) -> Callable[..., Values]:
    def step(w: W, x: Array, y: Array, h: Array, s: Array) -> Values:
        slow = w["W_s"] @ x + alpha * (s - w["W_s"] @ x)
        new = sigma(joined(w, x, h) + w["P"] @ slow)
        out = np.hstack([w["V_h"], w["V_s"]]) @ np.concatenate([new, slow])
        return {"s": slow, "h": new, "y": out + w.get("b_y", 0.0)}

    return step


def lmu(w: W, x: Array, h: Array, m: Array) -> Values:
    read = np.hstack([w["E_x"], w["E_h"], w["E_m"]])
    u = read @ np.concatenate([x, h, m])
    new = w["A"] @ m + w["B"][:, 0] * u
    return {"u": u, "m": new, "h": np.tanh(joined(w, x, h) + w["V"] @ new)}


def rhn(depth: int) -> Callable[..., Values]:
    def step(w: W, x: Array, s: Array) -> Values:
        values: Values = {}
        for n in range(1, depth + 1):
            z = {k: w[f"U_{k}_{n}"] @ s + w.get(f"b_{k}_{n}", 0.0) for k in "ht"}
            if n == 1:
                z = {k: z[k] + w[f"W_{k}"] @ x for k in "ht"}
            h, t = np.tanh(z["h"]), sigma(z["t"])
            s = s + t * (h - s)
            values |= {f"h_{n}": h, f"t_{n}": t}
        return values | {"s": s}

    return step


def intersection(w: W, x: Array, y: Array, h: Array) -> Values:
    a, n = relu(drive(w, "a", x, h)), np.tanh(drive(w, "n", x, h))
    g, f = sigma(drive(w, "g", x, h)), sigma(drive(w, "f", x, h))
    return {"a": a, "n": n, "g": g, "f": f, "y": a + g * (w["V"] @ x - a), "h": n + f * (h - n)}


# Found by search


def mut(z_of: Callable[..., Array], n_of: Callable[..., Array]) -> Callable[..., Values]:
    def step(w: W, x: Array, h: Array) -> Values:
        z, r = sigma(z_of(w, x, h)), sigma(drive(w, "r", x, h))
        n = np.tanh(n_of(w, x, r * h))
        return {"z": z, "r": r, "n": n, "h": h + z * (n - h)}

    return step


def state_of_mut1(w: W, x: Array, h: Array) -> Array:
    return w["U_n"] @ h + np.tanh(w["W_n"] @ x) + w.get("b_n", 0.0)


mut1 = mut(lambda w, x, h: plain(w, "z", x), state_of_mut1)
mut2 = mut(lambda w, x, h: drive(w, "z", x, h), lambda w, x, h: drive(w, "n", x, h))
mut3 = mut(lambda w, x, h: drive(w, "z", x, np.tanh(h)), lambda w, x, h: drive(w, "n", x, h))


def nas(w: W, x: Array, h: Array, c: Array) -> Values:
    v: Values = {k: sigma(drive(w, k, x, h)) for k in "afjl"}
    v |= {k: np.tanh(drive(w, k, x, h)) for k in "ik"}
    v["e"] = relu(drive(w, "e", x, h))
    v["g"] = relu((w["W_g"] @ x) * (w["U_g"] @ h + w.get("b_g", 0.0)))
    left, right = np.tanh(v["a"] * v["e"]), np.tanh(v["f"] + v["g"])
    new = np.tanh(left + c) * right
    shown = np.tanh(np.tanh(v["i"] * v["j"]) + sigma(v["k"] + v["l"]))
    return v | {"c": new, "h": np.tanh(new * shown)}


# Variants of the LSTM and the GRU


def lstm_1997(w: W, x: Array, h: Array, c: Array) -> Values:
    i, g, o = sigma(drive(w, "i", x, h)), np.tanh(drive(w, "g", x, h)), sigma(drive(w, "o", x, h))
    return {"i": i, "g": g, "o": o, "c": c + i * g, "h": np.tanh(c + i * g) * o}


def multiplicative(w: W, x: Array, h: Array, c: Array) -> Values:
    m = np.diag(w["W_m"] @ x) @ w["U_m"] @ h
    i, f, o = (sigma(drive(w, k, x, m)) for k in "ifo")
    g = np.tanh(drive(w, "g", x, m))
    new = i * g + f * c
    return {"m": m, "i": i, "f": f, "g": g, "o": o, "c": new, "h": np.tanh(new) * o}


def working_memory(w: W, x: Array, h: Array, c: Array) -> Values:
    i, f = (sigma(drive(w, k, x, h) + np.tanh(w[f"V_{k}"] @ c)) for k in "if")
    g = np.tanh(drive(w, "g", x, h))
    new = i * g + f * c
    o = sigma(drive(w, "o", x, h) + np.tanh(w["V_o"] @ new))
    return {"i": i, "f": f, "g": g, "o": o, "c": new, "h": np.tanh(new) * o}


def slstm(w: W, x: Array, h: Array, c: Array, n: Array, m: Array) -> Values:
    a, z, o = drive(w, "i", x, h), np.tanh(drive(w, "z", x, h)), sigma(drive(w, "o", x, h))
    forget = sigma(drive(w, "f", x, h))
    old = np.log(forget) + m
    k = np.where(old > a, old, a)
    i, f = np.exp(a) / np.exp(k), forget * np.exp(m) / np.exp(k)
    total, weight = f * c + i * z, f * n + i
    return {
        "a": a, "l": old, "z": z, "o": o, "i": i, "f": f, "m": k,
        "c": total, "n": weight, "h": o * (total / weight),
    }  # fmt: skip


def layer_norm_elman(w: W, x: Array, h: Array) -> Values:
    a = standardise(w["W"] @ x + w["U"] @ h)
    return {"h": np.tanh(w.get("b", 0.0) + a * w["gamma"])}


def layer_norm_gru(w: W, x: Array, h: Array) -> Values:
    H = h.size
    from_x = standardise(np.concatenate([w["W_r"] @ x, w["W_z"] @ x]))
    from_h = standardise(np.concatenate([w["U_r"] @ h, w["U_z"] @ h]))
    gate: dict[str, Any] = {}
    for k, rows in (("r", slice(0, H)), ("z", slice(H, 2 * H))):
        z = w[f"alpha_{k}"] * from_x[rows] + w[f"beta_{k}"] * from_h[rows]
        gate[k] = sigma(z + w.get(f"b_{k}", 0.0))
    recurrent = w["beta_n"] * standardise(w["U_n"] @ h) + w.get("b_u", 0.0)
    new = w["alpha_n"] * standardise(w["W_n"] @ x) + w.get("b_n", 0.0)
    n = np.tanh(new + gate["r"] * recurrent)
    return gate | {"n": n, "h": h + gate["z"] * (n - h)}


def nested(w: W, x: Array, h: Array, c: Array, m: Array) -> Values:
    i, f, o = (sigma(drive(w, k, x, h)) for k in "ifo")
    g = np.tanh(drive(w, "g", x, h))
    y, s = g * i, c * f
    j, k, q = (sigma(drive(w, name, y, s)) for name in "jkq")
    new = np.tanh(drive(w, "l", y, s))
    inner = j * new + k * m
    outer = np.tanh(inner) * q
    return {
        "i": i, "f": f, "g": g, "o": o, "j": j, "k": k, "l": new, "q": q, "m": inner, "c": outer,
        "h": np.tanh(outer) * o,
    }  # fmt: skip


def residual(w: W, x: Array, h: Array, c: Array) -> Values:
    i, f = (sigma(drive(w, k, x, h) + np.diag(w[f"p_{k}"]) @ c) for k in "if")
    g = np.tanh(drive(w, "g", x, h))
    new = g * i + c * f
    o = sigma(drive(w, "o", x, h) + np.diag(w["p_o"]) @ new)
    out = np.hstack([w["V"], w["W_r"]]) @ np.concatenate([np.tanh(new), x])
    return {"i": i, "f": f, "g": g, "o": o, "c": new, "h": out * o}


def sgrn(w: W, x: Array, h: Array) -> Values:
    new = w["W"] @ x
    f = sigma(new + w["U"] @ h + w.get("b_f", 0.0))
    new = new + w.get("b_h", 0.0)
    return {"f": f, "h": np.tanh(new + f * (h - new))}


# The input multiplies the state


def multiplicative_rnn(w: W, x: Array, h: Array) -> Values:
    m = np.diag(w["W_m"] @ x) @ w["U_m"] @ h
    return {"m": m, "h": np.tanh(joined(w, x, m))}


def _second_order(w: W, x: Array, h: Array) -> Array:
    a, u = w["W"] @ x, w["U"] @ h
    return (w["alpha"] * a + w["beta"]) * u + w["gamma"] * a


def mi_rnn(w: W, x: Array, h: Array) -> Values:
    return {"h": np.tanh(_second_order(w, x, h) + w.get("b", 0.0))}


def delta_rnn(w: W, x: Array, h: Array) -> Values:
    n = np.tanh(_second_order(w, x, h) + w.get("b_n", 0.0))
    r = sigma(w["W"] @ x + w.get("b_r", 0.0))
    return {"n": n, "r": r, "h": np.tanh(n + r * (h - n))}


def sgu(w: W, x: Array, h: Array) -> Values:
    g = np.tanh(w["U_g"] @ np.diag(h) @ plain(w, "g", x) + w.get("b_u", 0.0))
    n = np.log(1 + np.exp(g * h))
    z = np.minimum(relu(drive(w, "z", x, h) + 3) / 6, 1)
    return {"g": g, "n": n, "z": z, "h": h + z * (n - h)}


def plrnn(w: W, x: Array, h: Array) -> Values:
    A = w["U"].copy()
    np.fill_diagonal(A, 0)
    own = np.diag(w["a"]) @ h
    return {"h": A @ relu(h) + own + w["W"] @ x + w.get("b", 0.0)}


# Clocks


def clockwork(*periods: int) -> Callable[..., Values]:
    """Unit by unit: one moves if the number of its steps to go is not above zero."""

    def step(w: W, x: Array, h: Array, n: Array) -> Values:
        H, groups = h.size, len(periods)
        ends = [-(-g * H // groups) for g in range(groups + 1)]
        P = [p for g, p in enumerate(periods) for _ in range(ends[g], ends[g + 1])]
        s, new, left = np.empty(H), h.copy(), n - 1
        for j in range(H):
            seen = [k for k in range(H) if P[k] >= P[j]]
            s[j] = np.tanh(w["U"][j, seen] @ h[seen] + w["W"][j] @ x + w.get("b", np.zeros(H))[j])
            if n[j] <= 0:
                new[j], left[j] = s[j], P[j] - 1
        return {"s": s, "h": new, "n": left}

    return step


def phased(ratio: float, leak: float) -> Callable[..., Values]:
    def opened(u: float) -> float:
        if u >= ratio:
            return leak * u
        return 2 * u / ratio if u < ratio / 2 else 2 - 2 * u / ratio

    def step(w: W, x: Array, h: Array, c: Array, phi: Array) -> Values:
        u = np.mod(phi + w["s"], 1)
        k = np.array([opened(v) for v in u])
        i, f = (sigma(drive(w, g, x, h) + w[f"p_{g}"] * c) for g in "if")
        g = np.tanh(drive(w, "g", x, h))
        m = i * g + f * c
        o = sigma(drive(w, "o", x, h) + w["p_o"] * m)
        return {
            "u": u, "k": k, "i": i, "f": f, "g": g, "m": m, "o": o, "c": c + k * (m - c),
            "h": h + k * (np.tanh(m) * o - h), "phi": np.mod(phi + 1 / w["tau"], 1),
        }  # fmt: skip

    return step
