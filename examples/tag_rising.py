"""Tag every step of series of numbers, and see whether a network was worth it."""

from __future__ import annotations

import numpy as np
from statsmodels.datasets import sunspots

import recurnn


def main() -> None:
    # Sunspots a year, 1700 to 2008; a year's tag is whether the sun's activity rises after it.
    spots = np.sqrt(np.asarray(sunspots.load().data["SUNACTIVITY"], dtype=float))
    rises = np.where(np.diff(spots) > 0, "rises", "falls")
    years = [slice(k, k + 22) for k in range(0, len(rises) - 22, 11)]
    x, y = [spots[k] for k in years], [rises[k].tolist() for k in years]
    cut = len(x) * 3 // 4  # the later years are tested on; two of these overlap
    model = recurnn.SequenceTagger(
        hidden_size=16, bidirectional=False, epochs=40, learning_rate=0.02, dropout=0.2
    ).fit(x[: cut - 1], y[: cut - 1])
    print(model.summary())
    for row in model.compare(x[cut:], y[cut:]):
        print(f"{row.model:30} accuracy {row.scores['accuracy']:.3f}")
    print(model.verdict)


if __name__ == "__main__":
    main()
