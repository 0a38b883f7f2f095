"""Who is ranked: where the log answers, whoever ever did anything; where vectors do, who did so lately; the others are counted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_log import DAY, log, population

from found_platform.audiences import lookup
from found_platform.scoring.population import Population
from found_platform.scoring.scorers import Ranking


@pytest.fixture
def sparse(tmp_path: Path) -> Population:
    """User 0 was here last week, user 1 a year ago, user 2 never."""
    events = log([{"user": 0, "happened": DAY - 7}, {"user": 1, "happened": DAY - 365}])
    three_users = population(events, 3, tmp_path)
    return replace(three_users, events=np.array([1, 0, 0]))  # behind the vectors: those of the lookback


def test_the_log_ranks_who_was_silent_for_longer_than_the_lookback(sparse: Population) -> None:
    by_log = Ranking("replay", "asked", everybody=np.zeros(3))
    assert by_log.rankable(sparse).tolist() == [True, True, False]
    assert lookup._left_out(sparse, by_log) is None


def test_a_vector_does_not_and_the_answer_says_how_many_are_left_out(sparse: Population) -> None:
    by_vector = Ranking("aligned", "asked", query=np.zeros(8))
    assert by_vector.rankable(sparse).tolist() == [True, False, False]
    message = lookup._left_out(sparse, by_vector)
    assert message is not None
    assert message.startswith("1 users who did nothing in the last 180 days are left out")
