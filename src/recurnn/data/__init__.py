"""Data: from files and frames to checked series, parts, scales and windows."""

from recurnn.data.builtin import co2_weekly
from recurnn.data.calendar import calendar_features, future_times
from recurnn.data.scaling import Scaler
from recurnn.data.series import Series, SeriesSet, Source, read_series
from recurnn.data.splits import Split, split
from recurnn.data.windows import Windows

__all__ = [
    "Series",
    "SeriesSet",
    "Source",
    "read_series",
    "Split",
    "split",
    "Scaler",
    "Windows",
    "calendar_features",
    "future_times",
    "co2_weekly",
]
