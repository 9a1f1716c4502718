"""The electricity load: recurrent networks beside the baselines, with time and peak memory.

Three cases on one client of the UCI electricity data (15-minute kW):

- textbook: a window of 5, the target two steps after it, 13,000 windows to train and validate,
  the next 1,000 to test, errors of (x − 145.33) / 338.21; the textbook's own network beside them;
- next: a window of a week (672 steps), one step ahead;
- day: a window of a week, 96 steps ahead.

The settings were chosen on the validation part. Every model runs in a process of its own, so
that the peak memory is its own; it includes Python, torch and the data (about 300 MB). Networks
are trained from several seeds and their mean is given.

    RECURNN_DATA=... python benchmarks/forecast.py [--cases textbook next day] [--seeds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from recurnn import Forecaster
from recurnn.baselines import (
    LinearAutoregression,
    NetworkPredictor,
    Persistence,
    Predictor,
    SeasonalNaive,
    evaluate,
)
from recurnn.cli.options import PRESETS
from recurnn.data import read_series
from recurnn.models.forecast_training import train, train_mlp
from recurnn.models.preparation import prepare

RESULTS = Path(__file__).parent / "results" / "forecast.json"
FILE = Path("elec_load") / "elec_load.csv.xz"
TEXTBOOK = {k: v for k, v in PRESETS["textbook"].items() if k != "first"}
PROTOCOL = {k: TEXTBOOK[k] for k in ("horizon", "context", "gap", "validation", "test", "scale")}
WEEK = {
    "context": 672, "patch": 96, "hidden_size": 128, "batch_size": 512, "epochs": 15, "patience": 4,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "textbook": {
        "first": 14006,
        "title": "textbook: 5 steps to the second after them, (x − 145.33) / 338.21",
        "network": PROTOCOL | {
            "hidden_size": 32, "skip": None, "relative": False, "learning_rate": 0.01,
            "schedule": "cosine", "batch_size": 64, "epochs": 40, "patience": 15,
        },
    },
    "next": {
        "first": None,
        "title": "next: 672 steps to the next one, kW",
        "network": WEEK
        | {
            "horizon": 1,
            "skip": None,
            "learning_rate": 0.002,
            "schedule": "cosine",
            "epochs": 12,
        },
    },
    "day": {
        "first": None,
        "title": "day: 672 steps to the next 96, kW",
        "network": WEEK | {"horizon": 96},
    },
}  # fmt: skip
TRAINED = ("recurnn LSTM", "window MLP", "textbook LSTM")
MODELS = ("recurnn LSTM", "window MLP", "linear autoregression", "last value", "last season")


def main() -> None:
    parser = argparse.ArgumentParser(description="Networks and baselines on the electricity load.")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each network")
    parser.add_argument("--one", nargs=3, metavar=("CASE", "MODEL", "SEED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not os.environ.get("RECURNN_DATA"):
        sys.exit(
            "The benchmark needs the electricity load.\n"
            f"  Set RECURNN_DATA to the folder that holds {FILE}."
        )
    if arguments.one:
        case, model, seed = arguments.one
        print(json.dumps(one(case, model, int(seed))))
        return
    results = {"machine": machine(), "cases": {}}
    for case in arguments.cases:
        rows = run_case(case, arguments.seeds)
        results["cases"][case] = rows
        show(CASES[case]["title"], rows)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    print(f"\nWrote {RESULTS}")


def run_case(case: str, seeds: int) -> list[dict[str, Any]]:
    """All models of a case, each run in a process of its own; the lowest test MSE first."""
    models = [*MODELS, *(["textbook LSTM"] if case == "textbook" else [])]
    rows = []
    for model in models:
        runs = []
        for seed in range(seeds if model in TRAINED else 1):
            command = [sys.executable, __file__, "--one", case, model, str(seed)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        row = {key: mean(run[key] for run in runs) for key in runs[0]}
        spread = stdev(run["mse"] for run in runs) if len(runs) > 1 else 0.0
        rows.append({"model": model, **row, "mse_spread": spread, "runs": len(runs)})
    return sorted(rows, key=lambda row: row["mse"])


def one(case: str, model: str, seed: int) -> dict[str, float]:
    """Train one model and score it; called in a process of its own."""
    settings = TEXTBOOK if model == "textbook LSTM" else CASES[case]["network"]
    options = Forecaster(**settings, seed=seed).options
    file = Path(os.environ["RECURNN_DATA"]) / FILE
    prepared = prepare(read_series(file, season=96, first=CASES[case]["first"]), options)
    assert prepared.validation is not None
    began = time.perf_counter()
    predictor: Predictor
    if model in ("recurnn LSTM", "textbook LSTM"):
        predictor = NetworkPredictor(train(prepared)[0])
    elif model == "window MLP":
        predictor = NetworkPredictor(train_mlp(prepared)[0])
    elif model == "linear autoregression":
        predictor = LinearAutoregression(1).fit(prepared.train, prepared.validation)
    elif model == "last value":
        predictor = Persistence(1)
    else:
        predictor = SeasonalNaive(prepared.targets, 96)
    seconds = time.perf_counter() - began
    test = evaluate(predictor, prepared.test, prepared.units)
    validation = evaluate(predictor, prepared.validation, prepared.units)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "mse": test.mse,
        "mae": test.mae,
        "mase": test.mase,
        "validation_mse": validation.mse,
        "seconds": seconds,
        "peak_mb": peak,
    }


def show(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n{title}")
    print(f"{'':24}{'test MSE':>11}{'± seeds':>10}{'test MAE':>11}{'valid. MSE':>12}"
          f"{'train s':>9}{'peak MB':>9}")  # fmt: skip
    for row in rows:
        print(f"{row['model']:24}{row['mse']:11.5g}{row['mse_spread']:10.1g}{row['mae']:11.5g}"
              f"{row['validation_mse']:12.5g}{row['seconds']:9.1f}{row['peak_mb']:9.0f}",
              flush=True)  # fmt: skip


def machine() -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()
