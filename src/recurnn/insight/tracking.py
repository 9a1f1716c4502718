"""Units that follow something: the correlation of every unit with given features, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from recurnn.errors import ConfigError, ShapeError, one_of
from recurnn.insight.record import Layer

Array = NDArray[np.float64]
Features = Mapping[str, ArrayLike]
"""Name to one value a step, [T] or [B, T]; or to several columns, [T, K] or [B, T, K]."""

QUOTES = '"“”«»„'
_OPENING, _CLOSING = "([{", ")]}"


def tracking(
    layer: Layer,
    features: Features,
    *,
    names: Sequence[str] | None = None,
    skip: int = 0,
) -> pd.DataFrame:
    """How closely every unit of a layer follows each feature, best first.

    A feature of one column is compared by Pearson's correlation; one of several columns (an
    hour as sine and cosine) by the multiple correlation, which has no sign. With hundreds of units
    the best of them correlates with noise too: `chance` says how well, for so many units and so
    many steps, in one case of twenty. It takes the steps as independent; where neighbours are
    alike, chance reaches further.

    Args:
        layer: of a `Record` with states or gates.
        features: name to one value a step, [T] or [B, T], or to several columns, [B, T, K].
        names: states and gates to look at; all that were recorded by default.
        skip: steps at the start of each row that do not count.

    Returns:
        A row a unit and feature: ``feature``, ``of`` (state or gate), ``unit``, ``correlation``,
        ``chance``.

    Raises:
        ShapeError: a feature does not have the steps of the layer.
        ConfigError: no features, or names that were not recorded.
    """
    if not features:
        raise ConfigError("tracking: there are no features.\n  Give one value a step, by name.")
    values = {k: layer.values[k] for k in _names(layer, names)}
    T, B = next(iter(values.values())).shape[:2]
    real = np.ones((B, T), dtype=bool)
    if layer.lengths is not None:
        real &= np.arange(T) < layer.lengths.cpu().numpy()[:, None]
    real[:, :skip] = False
    found = []
    for feature, given in features.items():
        columns = _columns(feature, given, B, T)
        present = real & np.isfinite(columns).all(axis=2)
        X = columns[present]
        for name, tensor in values.items():
            units = tensor.detach().cpu().double().numpy().transpose(1, 0, 2)[present]
            r = _correlations(units, X)
            chance = _chance(len(X), X.shape[1], sum(v.shape[2] for v in values.values()))
            found += [(feature, name, unit, value, chance) for unit, value in enumerate(r)]
    frame = pd.DataFrame(found, columns=["feature", "of", "unit", "correlation", "chance"])
    order = frame["correlation"].abs().sort_values(ascending=False, kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def text_features(text: str) -> dict[str, Array]:
    r"""Features of every character of a text: what a character model may have to keep track of.

    Returns:
        By name, [len(text)]: ``position in line``, ``position in word``, ``inside quotes``,
        ``inside brackets`` (how deep), ``capital``, ``space``, ``digit``. A quote or bracket that
        opens counts as inside, one that closes as outside; a line's end closes nothing.

    Example:
        >>> text_features('a ("b") c')["inside quotes"].tolist()
        [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
        >>> text_features("ab\ncde")["position in line"].tolist()
        [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
    """
    line, word, depth, quoted = 0, 0, 0, False
    rows = []
    for character in text:
        if character in QUOTES:
            quoted = not quoted
        depth += character in _OPENING
        depth = max(0, depth - (character in _CLOSING))
        word = word + 1 if character.isalnum() else 0
        rows.append((line, word, quoted, depth, character.isupper(), character.isspace(),
                     character.isdigit()))  # fmt: skip
        line = 0 if character == "\n" else line + 1
    names = ("position in line", "position in word", "inside quotes", "inside brackets", "capital",
             "space", "digit")  # fmt: skip
    table = np.array(rows, dtype=np.float64).reshape(len(text), len(names))
    return {name: table[:, k] for k, name in enumerate(names)}


def time_features(times: Any) -> dict[str, Array]:
    """Features of time stamps: cycles as sine and cosine, [T, 2], where the stamps show them.

    Args:
        times: what pandas reads as a `DatetimeIndex`.

    Returns:
        By name: ``hour of day``, ``day of week``, ``day of year``; and ``weekend``, [T].
    """
    index = pd.DatetimeIndex(times)
    hours = np.asarray(index.hour + index.minute / 60, dtype=np.float64)
    days = np.asarray(index.day_of_week, dtype=np.float64)
    cycles = {
        "hour of day": hours / 24,
        "day of week": days / 7,
        "day of year": np.asarray(index.day_of_year, dtype=np.float64) / 365.25,
    }
    found = {
        name: np.stack([np.sin(2 * np.pi * part), np.cos(2 * np.pi * part)], axis=1)
        for name, part in cycles.items()
        if np.ptp(part) > 0
    }
    weekend = (days >= 5).astype(np.float64)
    return found | ({"weekend": weekend} if np.ptp(weekend) > 0 else {})


def _names(layer: Layer, names: Sequence[str] | None) -> Sequence[str]:
    recorded = list(layer.values)
    if not recorded:
        raise ConfigError(
            f"{layer.name}: neither states nor gates were recorded.\n"
            "  Make the record with states=True or gates=True."
        )
    for name in names or ():
        if name not in recorded:
            raise one_of(f"{layer.name}: state or gate", name, recorded)
    return names or recorded


def _columns(name: str, given: ArrayLike, B: int, T: int) -> Array:
    """A feature as [B, T, K]."""
    array = np.asarray(given, dtype=np.float64)
    if array.shape[:1] == (T,) and array.shape[:2] != (B, T):
        array = np.broadcast_to(array, (B, *array.shape))
    if array.shape[:2] != (B, T) or array.ndim > 3:
        raise ShapeError(
            f"tracking: the feature {name!r} does not fit the layer.\n  It is "
            f"{list(np.shape(given))}; expected [T] = [{T}] or [B, T] = [{B}, {T}], or one "
            "dimension more for several columns."
        )
    return array.reshape(B, T, -1)


def _correlations(units: Array, X: Array) -> Array:
    """Of each column of `units` [N, H] with X [N, K]: Pearson's, or the multiple correlation."""
    if len(X) < 3:
        return np.zeros(units.shape[1])
    X, units = X - X.mean(axis=0), units - units.mean(axis=0)
    size = np.sqrt(np.square(units).sum(axis=0))
    flat = size <= 1e-9 * np.sqrt(len(X))
    unit = units / np.where(flat, 1.0, size)
    if X.shape[1] == 1:
        length = float(np.sqrt(np.square(X).sum()))
        r = (X[:, 0] @ unit) / length if length > 0 else np.zeros(units.shape[1])
    else:
        basis = np.linalg.qr(X)[0]
        r = np.sqrt(np.square(basis.T @ unit).sum(axis=0))
    return np.where(flat, 0.0, np.clip(r, -1.0, 1.0))


def _chance(steps: int, columns: int, units: int) -> float:
    """What the best of so many independent units reaches by chance, in one case of twenty."""
    if steps < 3:
        return 1.0
    # Wilson & Hilferty's approximation of the chi-squared quantile
    z, part = NormalDist().inv_cdf(0.95 ** (1 / units)), 2 / (9 * columns)
    quantile = columns * (1 - part + z * part**0.5) ** 3
    return float(min(1.0, (quantile / steps) ** 0.5))
