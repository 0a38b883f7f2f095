"""Which events an act counts, and how much of it everybody did: held against counts by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_log import DAY, log, population

from found_platform.errors import BadInput
from found_platform.outcomes import parse
from found_platform.scoring import acts
from found_platform.scoring.acts import Doing
from found_platform.scoring.matching import Matching
from found_platform.scoring.population import Population

WINDOW = DAY - 10
EVENTS = log(
    [
        {"user": 0, "happened": WINDOW, "minute": 5, "text": "tea", "category": "Drinks", "amount": 4.0, "status": "paid"},
        {"user": 0, "happened": WINDOW, "minute": 5, "text": "cup", "category": "Home", "amount": 6.0, "status": "paid"},
        {"user": 0, "happened": WINDOW, "minute": 6, "text": "tea", "category": "drinks", "amount": 4.0, "status": "open"},
        {"user": 0, "happened": WINDOW + 3, "minute": 5, "text": "tea", "category": "Drinks", "amount": 40.0},
        {"user": 1, "happened": WINDOW + 1, "channel": "search", "text": "tea"},
        {"user": 1, "happened": WINDOW + 2, "text": "cup", "amount": 9.0, "payment_method": "card"},
        {"user": 2, "happened": WINDOW + 1, "text": "tea", "amount": 5.0, "status": "return"},
        {"user": 2, "happened": WINDOW + 1, "text": "tea", "exposed": True},
        {"user": 3, "happened": WINDOW - 2, "text": "tea", "amount": 3.0},
        {"user": 3, "happened": WINDOW + 2, "text": "tea", "amount": 3.0},
        {"user": 4, "happened": WINDOW - 3, "known": WINDOW + 4, "text": "tea", "amount": 1.0},
    ]
)
USERS = 6


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Population:
    return population(EVENTS, USERS, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def resolve(everybody: Population) -> Callable[..., Doing]:
    return lambda texts=None, **act: acts.resolve(everybody, parse({"will": {"do": act}}).will[0].do, texts)


def counted(doing: Doing) -> list[int]:
    return np.bincount(doing.events.user, minlength=USERS).tolist()


@pytest.mark.parametrize(
    ("act", "by_user"),
    [
        ({}, [4, 2, 0, 2, 1, 0]),
        ({"channels": ["search"]}, [0, 1, 0, 0, 0, 0]),
        ({"channels": ["pay_bill"]}, [4, 1, 0, 2, 1, 0]),
        ({"channels": ["pay_bill", "search"]}, [4, 2, 0, 2, 1, 0]),
        ({"categories": ["DRINKS"]}, [3, 0, 0, 0, 0, 0]),  # two values that differ in case are one
        ({"categories": ["drinks", "home"]}, [4, 0, 0, 0, 0, 0]),
        ({"statuses": ["Paid"]}, [2, 0, 0, 0, 0, 0]),
        ({"payment_methods": ["card"]}, [0, 1, 0, 0, 0, 0]),
        ({"min_amount": 6}, [2, 1, 0, 0, 0, 0]),
        ({"min_amount": 6, "categories": ["drinks"]}, [1, 0, 0, 0, 0, 0]),
        ({"returned": True}, [0, 0, 1, 0, 0, 0]),
        ({"returned": True, "min_amount": 6}, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_an_act_counts_the_events_for_which_all_that_is_given_holds(
    act: dict, by_user: list[int], resolve: Callable[..., Doing]
) -> None:
    assert counted(resolve(**act)) == by_user


def test_phrases_count_by_how_well_a_text_matches(everybody: Population, resolve: Callable[..., Doing]) -> None:
    closeness = np.array([{"tea": 1.0, "cup": 0.5}.get(word, 0.0) for word in everybody.words])
    doing = resolve(Matching(closeness), about=["tea"])
    assert counted(doing) == [4, 2, 0, 2, 1, 0]  # a cup may be meant
    sure = np.bincount(doing.events.user[doing.sure], minlength=USERS)
    assert sure.tolist() == [3, 1, 0, 2, 1, 0]  # and does not count as doing it
    assert 0.3 < doing.weights.min() < 0.5 < doing.weights.max() <= 1
    far = resolve(Matching(np.zeros(len(everybody.words))), about=["tea"])
    assert counted(far) == [0] * USERS


def test_times_in_one_minute_are_one_time_and_days_are_days(resolve: Callable[..., Doing]) -> None:
    doing = resolve()
    whole = doing.between(WINDOW - 5, DAY)
    assert whole.times().tolist() == [3, 2, 0, 2, 1, 0]
    assert whole.days().tolist() == [2, 2, 0, 2, 1, 0]
    assert whole.total().tolist() == [54, 9, 0, 6, 1, 0]
    assert doing.between(WINDOW, WINDOW + 1).times().tolist() == [2, 0, 0, 0, 0, 0]
    assert doing.between(DAY, DAY + 5).days().tolist() == [0] * USERS


def test_a_share_is_of_what_is_done_in_the_same_channels(resolve: Callable[..., Doing]) -> None:
    share, count = resolve(categories=["drinks"]).share(WINDOW, DAY)
    assert share.tolist() == [0.75, 0, 0, 0, 0, 0]
    assert count.tolist() == [4, 2, 0, 1, 0, 0]
    _, count = resolve(categories=["drinks"], channels=["pay_bill"]).share(WINDOW, DAY)
    assert count.tolist() == [4, 1, 0, 1, 0, 0]


def test_the_same_counts_hold_for_any_log(tmp_path: Path) -> None:
    """A plain loop over random events is the oracle."""
    rng = np.random.default_rng(1)
    rows = [
        {"user": int(rng.integers(9)), "happened": DAY - 1 - int(rng.integers(6)), "minute": int(rng.integers(3)), "amount": 2.0}
        for _ in range(300)
    ]
    window = acts.resolve(population(log(rows), 10, tmp_path), parse({"will": {}}).will[0].do, None).between(DAY - 5, DAY - 1)
    mine = [[row for row in rows if row["user"] == user and DAY - 5 <= row["happened"] < DAY - 1] for user in range(10)]
    assert window.times().tolist() == [len({(row["happened"], row["minute"]) for row in some}) for some in mine]
    assert window.days().tolist() == [len({row["happened"] for row in some}) for some in mine]
    assert window.total().tolist() == [2.0 * len(some) for some in mine]


@pytest.mark.parametrize(
    ("statement", "days", "true_for"),
    [
        ({}, 10, [0, 1, 3]),
        ({}, 1, [0]),
        ({"times": 2}, 10, [0, 1]),
        ({"times": 3}, 10, [0]),
        ({"times": 6}, 5, [0]),  # three in half of the days
        ({"times": 2}, 1, [0]),  # one in a tenth of them, never none
        ({"days": 2}, 10, [0, 1]),
        ({"days": 4}, 5, [0, 1]),
        ({"total": 50}, 10, [0]),
        ({"total": 18}, 5, [0, 1]),
        ({"do": {"categories": ["drinks"]}, "share": 0.7}, 10, [0]),
        ({"do": {"categories": ["drinks"]}, "share": 0.8}, 10, []),
        ({"more_than_before": "times"}, 10, [0, 1]),
        ({"more_than_before": "total"}, 10, [0, 1]),
        ({"less_than_before": "times"}, 10, [4]),
        ({"less_than_before": "days"}, 2, [3]),
    ],
)
def test_a_statement_comes_true_by_its_measure(
    statement: dict, days: int, true_for: list[int], everybody: Population, resolve: Callable[..., Doing]
) -> None:
    whole = parse({"will": statement}).will[0]
    doing = acts.resolve(everybody, whole.do, None)
    assert np.flatnonzero(acts.measured(whole, doing, WINDOW, days, 10)).tolist() == true_for


def test_who_did_it_earlier_is_judged_by_what_was_known(resolve: Callable[..., Doing]) -> None:
    assert np.flatnonzero(acts.earlier(resolve(), WINDOW)).tolist() == [3]  # of user 4 it was not known yet
    assert np.flatnonzero(acts.earlier(resolve(), WINDOW + 5)).tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        ({"categories": ["drink"]}, "No event before the cutoff has the category 'drink': there are Drinks"),
        ({"categories": ["zzz"]}, "has the category 'zzz': there are Drinks, Home"),
        ({"statuses": ["payed"]}, "has the status 'payed': there are paid"),
        ({"payment_methods": ["cash"]}, "has the payment method 'cash': there are card"),
    ],
)
def test_a_value_that_is_not_in_the_data_is_refused_with_the_nearest(
    act: dict, message: str, resolve: Callable[..., Doing]
) -> None:
    with pytest.raises(BadInput, match=message):
        resolve(**act)


def test_where_the_data_has_no_values_that_is_said(tmp_path: Path) -> None:
    empty = population(log([{"user": 0, "happened": DAY - 1}]), 1, tmp_path)
    with pytest.raises(BadInput, match="has the status 'paid': the data has none"):
        acts.resolve(empty, parse({"will": {"do": {"statuses": ["paid"]}}}).will[0].do, None)
