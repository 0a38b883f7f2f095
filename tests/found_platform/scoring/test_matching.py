"""Matching: how close the texts of a log are to a demand, whatever the size of its catalogue."""

import numpy as np
import pytest

from found_platform.scoring import matching


@pytest.mark.parametrize("texts", [10, 30, 100, 5000])
def test_of_a_small_catalogue_not_everything_is_about_one_thing(texts: int) -> None:
    similarity = np.full(texts, 0.15)
    similarity[0], similarity[1] = 0.8, 0.6  # two texts are about it, the others about anything else
    closeness = matching._closeness(similarity)
    about = matching.Matching(closeness).weights() >= 0.5
    assert about[:2].all()
    if texts <= 100:
        assert not about[2:].any()
