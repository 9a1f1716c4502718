"""A real series that comes with a dependency, for a first run without any file."""

from __future__ import annotations

import pandas as pd
from statsmodels.datasets import co2


def co2_weekly() -> pd.DataFrame:
    """Weekly CO2 in the air at Mauna Loa, ppm, 1958-03-29 to 2001-12-29, Saturdays.

    Keeling and Whorf (2004), as carried by statsmodels; 2284 rows with the columns ``date`` and
    ``co2``, 59 values missing.

    >>> co2_weekly().columns.tolist()
    ['date', 'co2']
    """
    frame = pd.DataFrame(co2.load().data)
    return frame.rename_axis("date").reset_index()
