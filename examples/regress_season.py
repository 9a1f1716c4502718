"""Learn a number from sequences of unequal length, and see whether a network was worth it."""

from __future__ import annotations

import numpy as np

import recurnn
from recurnn.data import co2_weekly


def main() -> None:
    # Some weeks of CO2 in the air, without their level; the number is the month they end in, as
    # a place on the circle of the year.
    table = co2_weekly().dropna()
    values, months = table.co2.to_numpy(), table.date.dt.day_of_year.to_numpy() / 365.25
    random = np.random.default_rng(0)
    x, y = [], []
    for end in range(60, len(values), 4):
        length = int(random.integers(20, 53))
        part = values[end - length : end]
        x.append(part - part.mean())
        angle = 2 * np.pi * months[end - 1]
        y.append([np.sin(angle), np.cos(angle)])
    cut = len(x) * 3 // 4  # the later years are tested on
    model = recurnn.SequenceRegressor(hidden_size=24, epochs=15, learning_rate=0.01, dropout=0.0)
    model.fit(x[: cut - 13], np.array(y[: cut - 13]))
    print(model.summary())
    for row in model.compare(x[cut:], np.array(y[cut:])):
        print(f"{row.model:42} MSE {row.scores['MSE']:.4f}")
    print(model.verdict)


if __name__ == "__main__":
    main()
