"""Habits so far: what answers where the past is too short to learn from."""

from pathlib import Path

import numpy as np
import pytest
from small_log import DAY, log, population

from found_platform.outcomes import parse
from found_platform.scoring import scorers
from found_platform.scoring.demand import Demand
from found_platform.scoring.population import Population
from found_platform.scoring.scorers import Ranking

USERS = 5
DID = {0: 8, 1: 3, 2: 1, 3: 0}
"""How many teas each bought; of user 4 nothing is known."""


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Population:
    rows = [{"user": user, "happened": DAY - 1 - i, "text": "tea", "category": "tea"} for user, n in DID.items() for i in range(n)]
    rows += [{"user": user, "happened": DAY - 10, "text": "cup", "category": "cup", "amount": 9.0 - user} for user in DID]
    rows += [{"user": 0, "happened": DAY - 9, "text": "cup", "category": "cup", "amount": 1.0} for _ in range(40)]
    return population(log(rows), USERS, tmp_path_factory.mktemp("home"))


def ranked(few: Population, content: dict) -> Ranking:
    """In a past of 10 days nothing can be learned of 28."""
    return scorers.rank(few, Demand.of_outcome(parse(content)), "auto", 28)


def order(ranking: Ranking) -> list[int]:
    assert ranking.everybody is not None
    assert ranking.about is not None
    return [user for user in np.argsort(-ranking.everybody, kind="stable").tolist() if ranking.about[user]]


TEA = {"do": {"categories": ["tea"]}}


def test_it_says_that_it_answers_and_why(few: Population) -> None:
    ranking = ranked(few, {"will": TEA})
    assert ranking.mode == "habit"
    assert ranking.reason.startswith("habits so far instead of replay: the past is 10 days long, too short to learn from")
    assert "habit" not in scorers.modes()


@pytest.mark.parametrize(
    ("content", "users"),
    [
        ({"will": TEA}, [0, 1, 2, 3]),
        ({"will": {**TEA, "negated": True}}, [3, 2, 1, 0]),
        ({"will": {**TEA, "times": 5}}, [0, 1, 2, 3]),
        ({"will": TEA, "rank": "affinity"}, [1, 2, 0, 3]),  # most of what user 0 buys is cups
        ({"will": {"do": {"categories": ["cup"]}}, "rank": "value"}, [0, 1, 2, 3]),
        ({"will": [TEA, {"do": {"categories": ["cup"]}, "negated": True}]}, [1, 2, 3, 0]),
    ],
)
def test_who_did_more_is_likelier_to_do_it_and_less_likely_not_to(content: dict, users: list[int], few: Population) -> None:
    assert order(ranked(few, content)) == users


@pytest.mark.parametrize(
    ("content", "users"),
    [
        ({"will": {**TEA, "history": "first"}}, {3}),
        ({"will": {**TEA, "history": "again"}}, {0, 1, 2}),
        ({"will": {}, "among": {"did": TEA["do"], "last_days": 5}}, {0, 1, 2}),
        ({"will": {}, "among": {"did": TEA["do"], "last_days": 5, "negated": True}}, {3}),
        ({"will": {}, "among": {"where": "events_28d > 3"}}, {0, 1}),
    ],
)
def test_of_whom_it_is_asked_holds_for_habits_too(content: dict, users: set[int], few: Population) -> None:
    assert set(order(ranked(few, content))) == users


def test_what_carried_a_score_are_the_acts_that_it_asks_for(few: Population) -> None:
    demand = Demand.of_outcome(parse({"will": TEA}))
    ranking = scorers.rank(few, demand, "auto", 28)
    reasons = scorers.explain(few, ranking, demand, np.array([1]))[few.keys[1]]
    assert reasons[0].text == "tea"


def test_a_home_that_holds_nothing_of_a_category_says_so(tmp_path: Path) -> None:
    from found_platform.errors import BadInput

    empty = population(log([{"user": 0, "happened": DAY - 1}]), 1, tmp_path)
    with pytest.raises(BadInput, match="has the category 'tea': the data has none"):
        ranked(empty, {"will": TEA})
