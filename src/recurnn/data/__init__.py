"""Data: from files and frames to checked series, parts, scales, windows and streams."""

from recurnn.data.builtin import co2_weekly
from recurnn.data.calendar import calendar_features, future_times
from recurnn.data.files import open_array
from recurnn.data.rows import Rows
from recurnn.data.scaling import Scaler
from recurnn.data.sequences import Sequences, bucketed
from recurnn.data.series import Series, SeriesSet, Source, read_series
from recurnn.data.splits import Split, split
from recurnn.data.streams import Chunk, Streams
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
    "Streams",
    "Chunk",
    "Rows",
    "open_array",
    "Sequences",
    "bucketed",
    "calendar_features",
    "future_times",
    "co2_weekly",
]
