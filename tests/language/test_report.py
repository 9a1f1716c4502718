"""The row of a text: what is said of words, and where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from recurnn.baselines import TextScores
from recurnn.models.language import TextRow


@pytest.mark.parametrize(
    ("characters", "words", "told"), [(60, 2, True), (61, 2, False), (1200, 8, False), (0, 0, True)]
)
def test_a_script_without_spaces_has_no_perplexity_by_word(characters, words, told):
    count = [np.array([n]) for n in (40, characters, words)]
    row = TextRow.of("m", TextScores(np.array([120.0]), *count), size=1, seconds=0.0)
    assert row.perplexity == pytest.approx(np.exp(3))
    assert row.word_perplexity == (pytest.approx(np.exp(120 / max(words, 1))) if told else None)
