"""Real data that come with a dependency, for a first run without any file."""

from __future__ import annotations

import numpy as np
import pandas as pd
from statsmodels.datasets import co2

from recurnn.data.labelled import Labelled


def co2_weekly() -> pd.DataFrame:
    """Weekly CO2 in the air at Mauna Loa, ppm, 1958-03-29 to 2001-12-29, Saturdays.

    Keeling and Whorf (2004), as carried by statsmodels; 2284 rows with the columns ``date`` and
    ``co2``, 59 values missing.

    >>> co2_weekly().columns.tolist()
    ['date', 'co2']
    """
    frame = pd.DataFrame(co2.load().data)
    return frame.rename_axis("date").reset_index()


def digits_by_row() -> Labelled:
    """Handwritten digits as sequences: 1,797 images, each eight rows of eight pixels.

    Alpaydin and Kaynak (1998), as carried by scikit-learn.

    >>> digits = digits_by_row()
    >>> len(digits), digits.sequences[0].shape
    (1797, (8, 8))
    """
    from sklearn.datasets import load_digits  # whoever forecasts does not wait for it

    found = load_digits()
    return Labelled(
        list(found.images.astype(np.float32)), found.target, pd.DataFrame(index=range(1797)),
        [f"image {i}" for i in range(1797)], "digits",
    )  # fmt: skip
