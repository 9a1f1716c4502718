"""The forecaster end to end on small series, and its folder in a new process."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import recurnn
from recurnn.baselines import LinearAutoregression
from recurnn.models.comparison import LINEAR, MLP, PERSISTENCE, SEASONAL, Row, verdict
from recurnn.models.forecast_network import ForecastNetwork
from recurnn.models.preparation import prepare
from recurnn.training import Run, Update, Watch

SMALL = {"hidden_size": 4, "epochs": 2, "batch_size": 32}


def wave(T: int = 200, *, seed: int = 0, level: float = 50.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(scale=0.3, size=T)
    return level + 4 * np.sin(2 * np.pi * np.arange(T) / 12) + noise


def hourly(T: int = 200, **columns: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"at": pd.date_range("2024-03-01", periods=T, freq="h"), **columns})


def test_one_series_end_to_end():
    model = recurnn.Forecaster(horizon=3, context=14, season=12, **SMALL)
    assert model.fit(hourly(kW=wave())) is model
    assert {r.model for r in model.comparison} == {"LSTM", PERSISTENCE, SEASONAL, LINEAR, MLP}
    errors = [r.mse for r in model.comparison]
    assert errors == sorted(errors)
    assert [r.model for r in model.comparison if r.recurrent] == ["LSTM"]
    ahead = model.predict()
    assert list(ahead) == ["time", "kW"]
    assert ahead["time"].tolist() == list(pd.date_range("2024-03-09 08:00", periods=3, freq="h"))
    truth = 50 + 4 * np.sin(2 * np.pi * np.arange(200, 203) / 12)
    assert np.allclose(ahead["kW"], truth, atol=1.5)
    assert len(model.history.epochs) <= 3


def test_the_persistence_row_is_the_error_of_repeating_the_last_value():
    y = wave()
    model = recurnn.Forecaster(horizon=2, context=5, gap=1, test=30, season=12, **SMALL)
    model.fit(pd.DataFrame({"y": y}))
    row = next(r for r in model.comparison if r.model == PERSISTENCE)
    # Targets t and t + 1 within 170 … 199; the window ends at t - 2.
    errors = np.array([[y[t + h] - y[t - 2] for h in (0, 1)] for t in range(170, 199)])
    naive = np.abs(y[12:150] - y[:138]).mean()
    assert row.mse == pytest.approx(np.square(errors).mean(), rel=1e-5)
    assert row.mae == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert row.mase == pytest.approx(np.abs(errors).mean() / naive, rel=1e-5)


def test_an_explicit_scale_reports_scaled_errors():
    y = wave()
    rows = []
    for scale in ("none", (10.0, 4.0)):
        model = recurnn.Forecaster(horizon=1, context=5, scale=scale, **SMALL)
        model.fit(pd.DataFrame({"y": y}))
        rows.append(next(r for r in model.comparison if r.model == PERSISTENCE))
    plain, scaled = rows
    assert scaled.mse == pytest.approx(plain.mse / 16, rel=1e-4)
    assert scaled.mae == pytest.approx(plain.mae / 4, rel=1e-4)
    assert scaled.mase == pytest.approx(plain.mase, rel=1e-4)


def test_training_begins_at_linear_autoregression():
    frame = pd.DataFrame({"y": wave()})
    model = recurnn.Forecaster(horizon=3, context=6, hidden_size=4, epochs=0).fit(frame)
    by_name = {r.model: r for r in model.comparison}
    assert by_name["LSTM"].mse == pytest.approx(by_name[LINEAR].mse, rel=1e-4)
    assert model.history.best == 0
    assert "as it began" in model.verdict


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman", "projected-lstm"])
def test_several_columns_with_calendar_and_two_layers(cell):
    frame = hourly(a=wave(), b=wave(seed=1, level=-7.0))
    options = SMALL | {"hidden_size": (5, 3), "dropout": 0.2}
    model = recurnn.Forecaster(horizon=4, context=13, cell=cell, patch=2, gap=2, **options)
    ahead = model.fit(frame, value=["b", "a"]).predict()
    assert list(ahead) == ["time", "b", "a"]
    assert ahead["time"].iloc[0] == pd.Timestamp("2024-03-09 10:00")  # two are left out
    assert ahead["a"].between(40, 60).all()
    assert ahead["b"].between(-17, 3).all()
    past = model.backtest()
    assert set(past["column"]) == {"a", "b"}
    actual = frame.set_index("at")["a"]
    mine = past[past["column"] == "a"]
    assert np.allclose(mine["actual"], actual[mine["time"]])
    assert mine["time"].is_unique
    assert mine["time"].iloc[-1] == frame["at"].iloc[-1]
    assert mine["ahead"].tolist() == [3, 4, 5, 6] * (len(mine) // 4)


def test_long_format_scales_each_series_by_itself():
    frames = [
        hourly(T, y=wave(T, seed=s, level=level)).assign(unique_id=name)
        for s, (name, T, level) in enumerate([("small", 150, 2.0), ("large", 200, 9000.0)])
    ]
    frame = pd.concat(frames).rename(columns={"at": "ds"})
    model = recurnn.Forecaster(horizon=2, context=14, **SMALL).fit(frame)
    ahead = model.predict()
    assert ahead["unique_id"].tolist() == ["small"] * 2 + ["large"] * 2
    assert ahead["time"].iloc[0] == frames[0]["at"].iloc[-1] + pd.Timedelta(hours=1)
    assert ahead["y"].iloc[:2].between(-5, 9).all()
    assert ahead["y"].iloc[2:].between(8990, 9010).all()
    one = model.predict(frame[frame.unique_id == "large"])
    assert np.allclose(one["y"], ahead["y"].iloc[2:])


def test_nothing_of_the_test_part_reaches_scaler_or_weights():
    y = wave()
    other = y.copy()
    other[161:] += 1000 * np.random.default_rng(9).normal(size=39)
    models = []
    for values in (y, other):
        model = recurnn.Forecaster(horizon=2, context=14, test=39, season=12, **SMALL)
        models.append(model.fit(hourly(kW=values)))
    a, b = models
    assert a._scaler.to_dict() == b._scaler.to_dict()
    assert a._scaler.shift[0, 0] == pytest.approx(y[:141].mean())
    for name, weight in a._network.state_dict().items():
        assert torch.equal(weight, b._network.state_dict()[name]), name
    assert a.history.epochs[-1].validation_loss == b.history.epochs[-1].validation_loss
    assert a.comparison[0].mse != b.comparison[0].mse


def test_saved_and_loaded_in_a_new_process_it_gives_the_same_numbers(tmp_path):
    hourly(kW=wave()).to_csv(tmp_path / "data.csv", index=False)
    hourly(220, kW=wave(220, seed=4)).to_csv(tmp_path / "newer.csv", index=False)
    model = recurnn.Forecaster(horizon=3, context=14, hidden_size=(4, 3), epochs=1, scale="minmax")
    model.fit(tmp_path / "data.csv")
    model.save(tmp_path / "m")
    assert sorted(f.name for f in tmp_path.joinpath("m").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    code = (
        "import sys, recurnn\n"
        "m = recurnn.Forecaster.load(sys.argv[1])\n"
        "for f in sys.argv[2:]: print(m.predict(f)['kW'].map(float.hex).tolist())"
    )
    files = [str(tmp_path / name) for name in ("m", "data.csv", "newer.csv")]
    done = subprocess.run(
        [sys.executable, "-c", code, *files], capture_output=True, text=True, check=True
    )
    expected = [[float.hex(v) for v in model.predict(source)["kW"]] for source in (None, files[2])]
    assert [eval(line) for line in done.stdout.splitlines()] == expected
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["format"] == "recurnn-forecaster"
    assert config["options"]["hidden_size"] == [4, 3]


def test_a_loaded_model_remembers_options_comparison_and_verdict(tmp_path):
    model = recurnn.Forecaster(horizon=3, context=14, scale=(40.0, 5.0), **SMALL)
    model.fit(hourly(kW=wave())).save(tmp_path / "m")
    again = recurnn.Forecaster.load(tmp_path / "m")
    assert again.get_params() == model.get_params()
    assert again.comparison == model.comparison
    assert again.verdict == model.verdict


def test_interrupted_training_leaves_a_usable_model_without_the_mlp():
    class Impatient(Watch):
        def update(self, run: Run, update: Update) -> None:
            if update.epoch == 2:
                raise KeyboardInterrupt

    model = recurnn.Forecaster(horizon=3, context=14, hidden_size=4, epochs=9)
    model.fit(hourly(kW=wave()), watch=Impatient())
    assert model.history.interrupted
    assert MLP not in {r.model for r in model.comparison}
    assert model.verdict.endswith(
        "Training was interrupted; these are the best weights until then."
    )
    assert model.predict()["kW"].notna().all()


def test_the_seed_decides_everything():
    def forecast(seed: int) -> list[float]:
        model = recurnn.Forecaster(horizon=2, context=9, seed=seed, skip=None, dropout=0.3, **SMALL)
        return model.fit(pd.DataFrame({"y": wave()}), baselines=False).predict()["y"].tolist()

    assert forecast(1) == forecast(1)
    assert forecast(1) != forecast(2)


def test_defaults_come_from_the_season_and_say_so():
    model = recurnn.Forecaster(season=12, hidden_size=2, epochs=0).fit(hourly(kW=wave()))
    assert model.predict().shape[0] == 12
    assert "horizon 12 steps (one season; set it with horizon=)" in model.notes
    assert "context 24 steps (two seasons; set it with context=)" in model.notes


def test_relative_without_skip_follows_the_level():
    torch.manual_seed(0)
    sizes = {"context": 6, "features": 2, "columns": 1, "horizon": 3, "hidden_sizes": (4,)}
    network = ForecastNetwork(**sizes, skip=False, relative=True)
    x = torch.randn(5, 6, 2)
    shift = torch.tensor([30.0, 0.0])
    assert torch.allclose(network(x + shift), network(x) + 30, atol=1e-4)


def test_patch_reads_the_newest_steps_several_at_once():
    torch.manual_seed(0)
    sizes = {"context": 7, "features": 1, "columns": 1, "horizon": 2, "hidden_sizes": (4,)}
    network = ForecastNetwork(**sizes, skip=False, relative=False, patch=3)
    x = torch.randn(2, 7, 1)
    z, _ = network.layers[0](x[:, 1:, 0].reshape(2, 2, 3))
    assert torch.allclose(network(x)[..., 0], network.head(z[:, -1]))


def test_the_skip_is_the_linear_autoregression_and_stays_so():
    options = recurnn.Forecaster(horizon=2, context=5, **SMALL).options
    model = recurnn.Forecaster(**options.to_dict()).fit(pd.DataFrame({"y": wave()}))
    prepared = prepare(model._data, options)
    linear = LinearAutoregression(1).fit(prepared.train, prepared.validation)
    assert torch.allclose(model._network.skip.weight, linear.weight.float())
    assert torch.allclose(model._network.skip.bias, linear.bias.float())


def test_the_calendar_has_only_cycles_seen_twice_in_training():
    model = recurnn.Forecaster(horizon=2, context=9, epochs=0)  # 140 of 200 hours to train
    assert prepare_cycles(model, 200) == ("sin day", "cos day")
    assert prepare_cycles(model, 500) == ("sin day", "cos day", "sin week", "cos week")
    assert prepare_cycles(recurnn.Forecaster(horizon=2, calendar=False, epochs=0), 200) == ()


def prepare_cycles(model: recurnn.Forecaster, T: int) -> tuple[str, ...]:
    model.fit(hourly(T, kW=wave(T)), baselines=False)
    return model._kind.cycles


def test_get_and_set_params():
    model = recurnn.Forecaster(7, 30, cell="gru")
    assert model.get_params()["horizon"] == 7
    assert model.set_params(cell="elman", hidden_size=[8, 4]).options.hidden_sizes == (8, 4)
    assert recurnn.Forecaster(**model.get_params()).get_params() == model.get_params()


def row(name: str, mse: float, *, recurrent: bool = False) -> Row:
    return Row(name, mse, 1.0, 1.0, 1.0, 0.0, recurrent)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (0.88, "The LSTM is 12% better (MSE on the test part) than the best baseline, "
               "linear autoregression."),
        (1.009, "The LSTM is no better than linear autoregression (MSE on the test part within "
                "1%): use that, it is simpler."),
        (0.991, "The LSTM is no better than linear autoregression (MSE on the test part within "
                "1%): use that, it is simpler."),
        (1.25, "The LSTM is 25% worse (MSE on the test part) than linear autoregression: use that "
               "instead."),
        (2.5, "The LSTM is 150% worse (MSE on the test part) than linear autoregression: use that "
              "instead; it is worse even than repeating the last value."),
    ],
)  # fmt: skip
def test_verdicts(network, expected):
    rows = [row("LSTM", network, recurrent=True), row(LINEAR, 1.0), row(PERSISTENCE, 2.0)]
    assert verdict(rows) == expected


def test_the_verdict_when_repeating_the_last_value_is_the_best():
    rows = [row("GRU", 3.0, recurrent=True), row(LINEAR, 2.5), row(PERSISTENCE, 2.0)]
    assert verdict(rows) == (
        "The GRU is 50% worse (MSE on the test part) than repeating the last value: use that "
        "instead."
    )
