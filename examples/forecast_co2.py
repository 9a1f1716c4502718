"""Forecast a real series, and see whether the network was worth it."""

from __future__ import annotations

import recurnn
from recurnn.data import co2_weekly


def main() -> None:
    # Few epochs, so that this runs in seconds; `make run` trains with the defaults.
    model = recurnn.Forecaster(horizon=4, context=26, hidden_size=16, epochs=2)
    model.fit(co2_weekly(), value="co2", time="date")
    for note in model.notes:
        print("note:", note)
    print(model.summary())
    for row in model.comparison:
        print(f"{row.model:28} MSE {row.mse:.3f}  MAE {row.mae:.3f}  MASE {row.mase:.3f}")
    print(model.verdict)
    print(model.predict())


if __name__ == "__main__":
    main()
