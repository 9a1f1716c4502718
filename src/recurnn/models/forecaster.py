"""The forecaster: series in; a trained network, an honest comparison and a forecast out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from recurnn.data import Scaler, SeriesSet, Source, read_series
from recurnn.errors import ConfigError, DataError, NotFittedError, nearest, one_of
from recurnn.models import folder as folder_
from recurnn.models import forecasts, inspected
from recurnn.models.comparison import Row, verdict
from recurnn.models.description import describe
from recurnn.models.forecast_network import ForecastNetwork
from recurnn.models.forecast_options import ForecastOptions
from recurnn.models.forecast_training import compare, train
from recurnn.models.forecast_training import network as build
from recurnn.models.preparation import Kind, Prepared, prepare
from recurnn.subject import Subject
from recurnn.training import History, Saves, Watch

FORMAT = ("recurnn-forecaster", 1)
_FIELDS = ("asked", "options", "data", "scaler")


class Forecaster:
    """Forecasts series with a recurrent network, and says whether that was worth it.

    Args:
        horizon: steps to forecast; one season by default, 96 at most.
        context: steps in the window that a forecast is made from; two seasons by default, 200 at
            most.
        gap: steps left out between the window's end and the first step forecast.
        cell: ``"lstm"``, ``"gru"``, or any other of `recurnn.cells.CELLS`.
        hidden_size: units of the recurrent layers; ``(50, 200)`` for two layers of those sizes.
        num_layers: L, layers of `hidden_size` each.
        dropout: share of the outputs of each layer that training zeroes.
        skip: ``"linear"``, or None: whether a linear map of the window is added to what the
            recurrent layers say. It is linear autoregression, fitted by least squares before
            training; the recurrent layers learn what it leaves.
        relative: whether the recurrent layers see the window relative to its last values.
        patch: steps of the window that the recurrent layers read at once; by default as many as
            leave them 24 to 47 readings of a longer window.
        scale: ``"standard"``, ``"minmax"`` or ``"none"``, fitted on the training part, or
            ``(shift, scale)`` for (x − shift) / scale.
        loss: ``"mse"`` or ``"mae"``, on scaled values.
        optimizer: ``"adam"``, or the name of another one of torch.optim.
        learning_rate: of the optimizer.
        schedule: of the learning rate: ``"constant"``, ``"cosine"`` or ``"linear"``.
        batch_size: windows in a batch; by default a fiftieth of the training windows, 32 to 512.
        epochs: passes over the training part, at most.
        patience: epochs without a better validation loss before training stops; None for never.
        clip: greatest global norm of the gradient; None for no clipping.
        precision: ``"float32"``; or ``"bfloat16"``: autocast, in which what is multiplied is
            rounded, faster where the processor has a matrix unit.
        validation: steps at the end of the training data that decide when to stop; below 1, a
            share of the series.
        test: steps at the end of the series that the models are compared on; likewise.
        calendar: whether time stamps are turned into features (hour, weekday, time of year).
        frequency: pandas' name of the frequency, where it cannot be found from the times.
        season: steps in a season, where it should not be found from the data.
        gaps: what to do with missing values: ``"interpolate"``, ``"previous"``, ``"zero"`` or
            ``"raise"``.
        seed: of the weights, the order of the windows and dropout.

    Attributes:
        comparison: a `Row` for each model, the lowest MSE first.
        verdict: one plain sentence on whether the network was worth it.
        history: losses of every epoch.
        notes: what was guessed or changed in the data.

    Raises:
        ConfigError: an option has a value that it cannot have.

    Example:
        >>> import numpy as np, pandas as pd, recurnn
        >>> kw = 5 + np.sin(np.arange(300) * 2 * np.pi / 12)
        >>> model = recurnn.Forecaster(horizon=3, context=12, hidden_size=4, season=12, epochs=1)
        >>> forecast = model.fit(pd.DataFrame({"kW": kw})).predict()
        >>> forecast["kW"].round(3).tolist()
        [5.0, 5.5, 5.866]
    """

    comparison: list[Row]
    verdict: str
    history: History
    notes: tuple[str, ...]

    def __init__(
        self,
        horizon: int | None = None,
        context: int | None = None,
        *,
        gap: int = 0,
        cell: str = "lstm",
        hidden_size: int | Sequence[int] = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        skip: str | None = "linear",
        relative: bool = True,
        patch: int | None = None,
        scale: str | tuple[float, float] = "standard",
        loss: str = "mse",
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        batch_size: int | None = None,
        epochs: int = 50,
        patience: int | None = 8,
        clip: float | None = 1.0,
        precision: str = "float32",
        validation: int | float = 0.1,
        test: int | float = 0.2,
        calendar: bool = True,
        frequency: str | None = None,
        season: int | None = None,
        gaps: str = "interpolate",
        seed: int = 0,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self"}
        self.options = ForecastOptions(**given)
        self._network: ForecastNetwork | None = None
        self._data: SeriesSet | None = None
        self._prepared: Prepared | None = None

    def get_params(self, *, deep: bool = True) -> dict[str, Any]:
        """The options by name, as scikit-learn asks for them."""
        return self.options.to_dict()

    def set_params(self, **options: Any) -> Forecaster:
        """Change options; returns self. What was fitted is kept until the next `fit`."""
        known = self.options.to_dict()
        for name in options:
            if name not in known:
                raise one_of("Forecaster option", name, known)
        self.options = ForecastOptions(**(known | options))
        return self

    def fit(
        self,
        source: Source,
        *,
        value: str | Sequence[str] | None = None,
        time: str | None = None,
        unique_id: str | None = None,
        first: int | None = None,
        baselines: bool = True,
        watch: Watch | Sequence[Watch] | None = None,
        saves: Saves | None = None,
    ) -> Forecaster:
        """Train the network, and the baselines beside it.

        Args:
            source: a file (CSV, Parquet, TSF), a frame, a series, or an array [T] or [T, C].
            value: the column or columns to forecast; all columns of numbers by default.
            time: the column of time stamps; found by default.
            unique_id: the column that names the series in the long format; found by default.
            first: use only so many rows of each series.
            baselines: whether to train and score the baselines; without them there is no
                `comparison` and no `verdict`.
            watch: is told how training goes.
            saves: where checkpoints of the network go, and whether to go on from one.

        Returns:
            self.

        Raises:
            DataError: the data cannot be used.
            TrainingError: the loss is no longer a number.
            CheckpointError: checkpoints that are of another run, or cannot be written.
        """
        o = self.options
        data = read_series(
            source,
            value=value,
            time=time,
            unique_id=unique_id,
            frequency=o.frequency,
            season=o.season,
            gaps=o.gaps,
            first=first,
        )
        prepared = prepare(data, o)
        self.notes = (*data.notes, *prepared.notes)
        self._network = None
        self._data, self._prepared = data, prepared
        self._filled, self._scaler = prepared.options, prepared.scaler
        self._kind = Kind(
            data.columns,
            tuple(s.name for s in data.series),
            data.frequency,
            data.season,
            features=prepared.inputs[0].shape[1],
            cycles=prepared.cycles,
            time=time,
            unique_id=unique_id,
        )
        self._network, self.history = train(prepared, watch, saves)
        if baselines:
            self.comparison = compare(prepared, self._network, self.history, watch)
            self.verdict = verdict(
                self.comparison,
                untrained=self.history.best == 0,
                interrupted=self.history.interrupted,
            )
        return self

    def predict(self, source: Source | None = None) -> pd.DataFrame:
        """Forecast the steps after the end of the data.

        Args:
            source: data to forecast from, with the columns of those that the model was fitted
                on; by default those themselves.

        Returns:
            A row a step: ``unique_id`` where there are several series, ``time`` (or ``step``, the
            row number, where there are no time stamps), and the columns forecast.

        Raises:
            NotFittedError: there is no model yet.
            DataError: the data cannot be used, or are not of the kind the model was fitted on.
        """
        network = self._fitted()
        data = self._data if source is None else self._read_again(source)
        if data is None:
            raise ConfigError(
                "predict: a loaded model has no data to forecast from.\n"
                "  A model folder holds no data. Give them: predict(source)."
            )
        return forecasts.ahead(
            network, data, self._scaler, self._rows(data), self._kind, self._filled
        )

    def backtest(self) -> pd.DataFrame:
        """Forecasts of the test part, each beginning where the one before ended.

        Returns:
            A row a step and column: ``unique_id`` where there are several series, ``time`` or
            ``step``, ``ahead``, ``column``, ``actual``, ``predicted``.

        Raises:
            NotFittedError: there is no model yet, or it was loaded and has no data.
        """
        network = self._fitted()
        if self._prepared is None:
            raise NotFittedError(
                "backtest: a loaded model has no test part.\n  Call it after fit()."
            )
        return forecasts.over_test(network, self._prepared)

    def subject(self, source: Source, *, rows: int = 32, lag: int | None = None) -> Subject:
        """The network on windows of these data, to be looked into by `recurnn.insight`.

        Args:
            source: data with the columns of those that the model was fitted on.
            rows: windows, evenly spread over the data.
            lag: how many steps back the task reaches, if that is known.
        """
        network, data = self._fitted(), self._read_again(source)
        return inspected.subject(
            network, data, self._scaler, self._rows(data), self._kind, self._filled,
            comparison=getattr(self, "comparison", []), rows=rows, lag=lag,
        )  # fmt: skip

    def actual(self) -> pd.DataFrame:
        """The data of the last fit: labels as in `backtest`, ``column`` and ``actual``."""
        if self._data is None:
            raise NotFittedError("actual: there are no data.\n  Call it after fit().")
        return forecasts.actual(self._data)

    @property
    def test_windows(self) -> int:
        """How many windows the comparison is over."""
        return 0 if self._prepared is None else len(self._prepared.test)

    def summary(self, *, short: bool = False) -> str:
        """What is forecast, from what, by what; a line, or three."""
        return describe(self._filled, self._kind, self._prepared, short=short)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model folder: `model.safetensors` and `config.json`.

        Args:
            folder: where to.
            overwrite: whether a model that is there may be replaced.

        Raises:
            NotFittedError: there is no model yet.
            ModelFolderError: the folder exists, or cannot be written.
        """
        self._fitted()
        with folder_.written(folder, overwrite=overwrite) as temporary:
            self.write_to(temporary)

    def write_to(self, folder: Path) -> None:
        """Write the model's two files into a folder that exists."""
        network = self._fitted()
        config = {
            "options": self._filled.to_dict(),
            "asked": self.options.to_dict(),
            "data": asdict(self._kind),
            "scaler": self._scaler.to_dict(),
            "comparison": [asdict(row) for row in getattr(self, "comparison", [])],
            "verdict": getattr(self, "verdict", None),
        }
        folder_.write(folder, FORMAT, config, network.state_dict())

    @classmethod
    def load(cls, folder: str | Path) -> Forecaster:
        """Read a model folder.

        Raises:
            ModelFolderError: the folder is missing, damaged, or not one of a forecaster.
        """
        config, tensors = folder_.read(folder, FORMAT, _FIELDS)
        try:
            model = cls(**config["asked"])
            model._filled = ForecastOptions(**config["options"])
            kind = config["data"]
            kind |= {name: tuple(kind[name]) for name in ("columns", "series", "cycles")}
            model._kind = Kind(**kind)
            model._scaler = Scaler.from_dict(config["scaler"])
            network = build(
                model._filled, features=model._kind.features, columns=len(model._kind.columns)
            )
            network.load_state_dict(tensors)
        except (TypeError, KeyError, ValueError, RuntimeError) as error:
            raise folder_.does_not_fit(folder, error) from error
        model._network = network.eval()
        model.comparison = [Row(**row) for row in config.get("comparison", [])]
        model.verdict = config.get("verdict") or ""
        return model

    def _fitted(self) -> ForecastNetwork:
        if self._network is None:
            raise NotFittedError(
                "The forecaster is not fitted yet.\n  Call fit(...) first, or Forecaster.load(...)."
            )
        return self._network

    def _read_again(self, source: Source) -> SeriesSet:
        """New data, read as those of the fit were, and checked to be of their kind."""
        kind = self._kind
        data = read_series(
            source,
            value=kind.columns,
            time=kind.time,
            unique_id=kind.unique_id,
            frequency=self.options.frequency,
            season=kind.season,
            gaps=self.options.gaps,
        )
        self.notes = data.notes
        if data.frequency != kind.frequency:
            theirs, ours = (f or "without time stamps" for f in (data.frequency, kind.frequency))
            raise DataError(
                "The data are not of the kind that the model was fitted on.\n"
                f"  Their steps are {theirs}; those that the model was fitted on are {ours}.\n"
                "  Give data of that kind, or train a model on these."
            )
        return data

    def _rows(self, data: SeriesSet) -> list[int]:
        """The row of the scaler that belongs to each series: by name, if there are several."""
        names = self._kind.series
        if len(names) == 1:
            return [0] * len(data.series)
        for series in data.series:
            if series.name not in names:
                raise DataError(
                    f"The model was not fitted on a series {series.name!r}.\n"
                    f"  It knows {len(names)} series: {', '.join(names[:5])}"
                    f"{', …' if len(names) > 5 else '.'}{nearest(series.name, names)}"
                )
        return [names.index(series.name) for series in data.series]
