"""Every message of the forecaster, its folder and its command, by its text."""

import json
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recurnn
from recurnn.cells import CELLS
from recurnn.cli.options import settings
from recurnn.errors import ConfigError, DataError, ModelFolderError, RecurnnError
from recurnn.models import NotFittedError


def frame(T: int = 120) -> pd.DataFrame:
    t = np.arange(T)
    return pd.DataFrame({"kW": 9 + np.sin(t * 2 * np.pi / 12) + 0.01 * (t % 7)})


@pytest.fixture(scope="module")
def fitted() -> recurnn.Forecaster:
    model = recurnn.Forecaster(horizon=2, context=6, hidden_size=2, epochs=0, season=12)
    return model.fit(frame(), baselines=False)


@pytest.fixture
def saved(fitted, tmp_path) -> Path:
    fitted.save(tmp_path / "m")
    return tmp_path / "m"


def edit(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config = {k: v for k, v in (config | changes).items() if v is not None}
    (folder / "config.json").write_text(json.dumps(config))


def message(kind: type[RecurnnError], call, *args, **options) -> str:
    with pytest.raises(kind) as caught:
        call(*args, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"cell": "lsmt"},
         f"cell: there is no 'lsmt'.\n  Known: {', '.join(CELLS)}. Did you mean 'lstm'?"),
        ({"skip": "Nope"},
         "skip: there is no 'Nope'.\n  Known: linear, None. Did you mean 'None'?"),
        ({"horizon": 0}, "horizon is 0; expected a whole number of at least 1."),
        ({"context": 2.5}, "context is 2.5; expected a whole number of at least 1."),
        ({"gap": -1}, "gap is -1; expected a whole number of at least 0."),
        ({"dropout": 1.0}, "dropout is 1.0; expected a share of at least 0 and below 1."),
        ({"hidden_size": ()},
         "hidden_size is (); expected a whole number of at least 1, or one for each layer."),
        ({"hidden_size": (50, 200), "num_layers": 3},
         "hidden_size and num_layers do not fit.\n  hidden_size is (50, 200), that is 2 layers; "
         "num_layers is 3.\n  Leave num_layers out."),
        ({"scale": "robust"}, "scale: there is no 'robust'.\n  Known: standard, minmax, none."),
        ({"scale": (1.0, 0.0)}, "scale is (1.0, 0.0); expected a name (standard, minmax, none) or "
                                "two numbers, shift and scale, the second above 0: "
                                "(x − shift) / scale."),
        ({"patch": 9, "context": 8}, "patch is 9, longer than the window.\n  The context has 8 "
                                     "steps; a patch can have that many at most."),
        ({"learning_rate": 0}, "learning_rate is 0; expected a number above 0."),
    ],
)  # fmt: skip
def test_options(options, text):
    assert message(ConfigError, recurnn.Forecaster, **options) == text


def test_unknown_option():
    assert message(ConfigError, recurnn.Forecaster().set_params, horizonn=3) .startswith(
        "Forecaster option: there is no 'horizonn'.\n  Known: horizon, context, "
    )  # fmt: skip


def test_the_command_s_own_options():
    assert message(ConfigError, settings, "texbook", {}) == (
        "preset: there is no 'texbook'.\n  Known: textbook. Did you mean 'textbook'?"
    )
    assert message(ConfigError, settings, None, {"hidden_size": "50;200"}) == (
        "--hidden-size is '50;200'; expected a whole number, or one a layer: 50,200."
    )
    assert message(ConfigError, settings, None, {"scale": "1,2,3"}) == (
        "--scale is '1,2,3'; expected a name, or two numbers: SHIFT,SCALE."
    )


def test_not_fitted():
    text = "The forecaster is not fitted yet.\n  Call fit(...) first, or Forecaster.load(...)."
    assert message(NotFittedError, recurnn.Forecaster().predict) == text
    assert message(NotFittedError, recurnn.Forecaster().backtest) == text


def test_a_series_shorter_than_a_window():
    model = recurnn.Forecaster(horizon=10, context=40)
    assert message(DataError, model.fit, frame(45)) == (
        "series is too short for a single window.\n"
        "  It has 45 steps; a window needs 50 = context 40 + horizon 10.\n"
        "  Give a smaller context or horizon, or a longer series."
    )


def test_a_part_shorter_than_the_horizon():
    model = recurnn.Forecaster(horizon=20, context=10)
    text = message(DataError, model.fit, frame(120))
    assert text.startswith("The validation part does not hold a single window.\n")
    assert text.endswith("Give this part more steps, or a smaller horizon or context.")


def test_a_constant_series():
    constant = pd.DataFrame({"kW": np.full(50, 3.0)})
    assert "column 'kW' is constant.\n  All 50 values are 3; there is nothing to learn." in message(
        DataError, recurnn.Forecaster().fit, constant
    )
    later = pd.DataFrame({"kW": np.r_[np.full(90, 3.0), np.arange(30.0)]})
    assert message(DataError, recurnn.Forecaster(horizon=2).fit, later).startswith(
        "Column 'kW' of 'series' is constant in the training part.\n"
    )


def test_predicting_without_data_or_with_too_few_or_others(fitted, saved):
    loaded = recurnn.Forecaster.load(saved)
    assert message(ConfigError, loaded.predict) == (
        "predict: a loaded model has no data to forecast from.\n"
        "  A model folder holds no data. Give them: predict(source)."
    )
    assert message(NotFittedError, loaded.backtest) == (
        "backtest: a loaded model has no test part.\n  Call it after fit()."
    )
    assert message(DataError, fitted.predict, frame(5)) == (
        "'series' is too short to forecast from.\n  It has 5 steps; the model's window has 6."
    )
    assert "there is no column 'kW'" in message(
        DataError, fitted.predict, frame().rename(columns={"kW": "kWh"})
    )
    dated = frame().assign(day=pd.date_range("2024-01-01", periods=120))
    assert message(DataError, fitted.predict, dated) == (
        "The data are not of the kind that the model was fitted on.\n"
        "  Their steps are D; those that the model was fitted on are without time stamps.\n"
        "  Give data of that kind, or train a model on these."
    )


def test_predicting_an_unknown_series():
    long = pd.concat([frame().assign(unique_id=name) for name in ("north", "south")])
    model = recurnn.Forecaster(horizon=2, context=6, hidden_size=2, epochs=0)
    model.fit(long, unique_id="unique_id", baselines=False)
    assert message(DataError, model.predict, frame().assign(unique_id="sout")) == (
        "The model was not fitted on a series 'sout'.\n"
        "  It knows 2 series: north, south. Did you mean 'south'?"
    )


def test_saving_over_something(fitted, saved, tmp_path):
    assert message(ModelFolderError, fitted.save, saved) == (
        f"{saved} already holds a model.\n  Nothing was written. Give another folder, or allow "
        "overwriting (--overwrite, overwrite=True)."
    )
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.png").touch()
    assert message(ModelFolderError, fitted.save, other, overwrite=True) == (
        f"{other} exists and is not a model folder: it has no config.json.\n"
        "  Nothing was written. Give the name of a new folder."
    )
    file = tmp_path / "file"
    file.touch()
    assert message(ModelFolderError, fitted.save, file) == (
        f"{file} is a file.\n  Give the name of a folder to write."
    )
    assert message(ModelFolderError, fitted.save, file / "m") == (
        f"{file / 'm'} cannot be written: Not a directory.\n"
        "  Nothing was written. Give a folder in a place where you may write."
    )


def test_a_disk_that_refuses_the_weights_leaves_the_old_model(fitted, saved):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = sorted(saved.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        text = message(ModelFolderError, fitted.save, saved, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    size = (saved / "model.safetensors").stat().st_size
    assert text == (
        f"The model cannot be written in {saved.parent}: File too large.\n  Its weights take "
        f"{size:,} bytes. Nothing was written. Free some space there, or give another folder."
    )
    assert sorted(saved.iterdir()) == before
    assert sorted(p.name for p in saved.parent.iterdir()) == ["m"]
    recurnn.Forecaster.load(saved)


def test_overwriting_replaces_the_model_and_nothing_else(fitted, saved):
    (saved / "notes.txt").write_text("mine")
    before = (saved / "config.json").stat().st_ino
    fitted.save(saved, overwrite=True)
    assert (saved / "config.json").stat().st_ino != before
    assert (saved / "notes.txt").read_text() == "mine"
    assert sorted(p.name for p in saved.parent.iterdir()) == ["m"]  # nothing temporary is left
    recurnn.Forecaster.load(saved)


def test_missing_and_foreign_folders(tmp_path):
    load = recurnn.Forecaster.load
    assert message(ModelFolderError, load, tmp_path / "no") == (
        f"There is no model folder {tmp_path / 'no'}.\n"
        "  Expected the folder that `--out` or `save` wrote. Mend the name, or train first."
    )
    assert message(ModelFolderError, load, tmp_path) == (
        f"{tmp_path} is not a model folder: it has no config.json.\n"
        "  Give the folder that `--out` or `save` wrote."
    )
    (tmp_path / "config.json").write_text('{"format": "bert"}')
    assert message(ModelFolderError, load, tmp_path) == (
        f"{tmp_path} does not hold a recurnn-forecaster model.\n"
        "  Its config.json names the format 'bert'; expected 'recurnn-forecaster'."
    )
    (tmp_path / "config.json").write_text('{"format": "recurnn-for')
    assert message(ModelFolderError, load, tmp_path) == (
        f"{tmp_path / 'config.json'} is damaged: it is not JSON.\n"
        "  Copy the folder again, or train again."
    )


def test_damaged_folders(saved):
    load = recurnn.Forecaster.load
    weights = saved / "model.safetensors"
    whole = weights.read_bytes()
    for data in (whole[:-5], whole[:-1] + bytes([whole[-1] ^ 1])):
        weights.write_bytes(data)
        assert message(ModelFolderError, load, saved) == (
            f"{weights} is damaged: it is not the file that config.json was written with.\n"
            f"  It has {len(data)} bytes and another checksum. Copy the folder again, or train "
            "again."
        )
    weights.unlink()
    assert message(ModelFolderError, load, saved) == (
        f"{saved}: the weights are missing.\n  There is a config.json but no model.safetensors. "
        "Copy the whole folder, or train again."
    )


def test_other_versions_and_changed_configs(saved):
    load = recurnn.Forecaster.load
    edit(saved, format_version=7, recurnn="9.1")
    text = message(ModelFolderError, load, saved)
    assert text.startswith(f"{saved} was written in another version of the format.\n"
                           "  It has version 7, written by recurnn 9.1; recurnn ")  # fmt: skip
    assert text.endswith(" reads version 1.\n  Use that recurnn, or train again.")
    edit(saved, format_version=1, scaler=None, data=None)
    assert message(ModelFolderError, load, saved) == (
        f"{saved / 'config.json'} is incomplete.\n"
        "  Missing: data, scaler. Copy the folder again, or train again."
    )


def test_a_config_that_does_not_fit_the_weights(saved):
    config = json.loads((saved / "config.json").read_text())
    edit(saved, options=config["options"] | {"hidden_size": 3})
    text = message(ModelFolderError, recurnn.Forecaster.load, saved)
    assert text.startswith(
        f"{saved}: the config and the weights do not make a model.\n  Error(s) in"
    )
    edit(saved, options=config["options"] | {"colour": 3})
    text = message(ModelFolderError, recurnn.Forecaster.load, saved)
    assert "unexpected keyword argument 'colour'" in text
    assert text.endswith(
        "The config was changed or is damaged. Copy the folder again, or train again."
    )


def test_hourly_model_refuses_daily_data():
    hours = pd.date_range("2024-01-01", periods=120, freq="h")
    model = recurnn.Forecaster(
        horizon=2, context=8, hidden_size=2, epochs=0, season=4, calendar=False
    )
    model.fit(frame().assign(time=hours), baselines=False)
    days = frame().assign(time=pd.date_range("2024-01-01", periods=120))
    assert message(DataError, model.predict, days) == (
        "The data are not of the kind that the model was fitted on.\n"
        "  Their steps are D; those that the model was fitted on are h.\n"
        "  Give data of that kind, or train a model on these."
    )
