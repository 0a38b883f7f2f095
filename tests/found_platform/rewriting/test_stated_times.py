"""Times that a demand states: each is in the outcome in its place, or named as not heeded."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from small_shop import CUTOFF

from found_platform.outcomes import document
from found_platform.rewriting import Rewriting, ground, retrieval
from found_platform.settings import Settings

TODAY = dt.date(2024, 6, 12)
PAY = {"channels": ["pay_bill"]}


@pytest.fixture(scope="module")
def ask(shop: Settings) -> Callable[[str], Rewriting]:
    lake = replace(ground.of(shop, CUTOFF), today=TODAY, first=dt.date(2022, 1, 1), statuses=["cancelled", "failed"])
    return lambda demand: retrieval.on(lake, demand, 28)


def outcome_of(rewriting: Rewriting) -> dict[str, Any]:
    assert rewriting.outcome is not None, rewriting.doubt
    return document.as_data(rewriting.outcome)


@pytest.mark.parametrize(
    ("demand", "days"),
    [
        ("who will buy coffee by Christmas", 197),
        ("who will buy coffee before Christmas", 196),
        ("who will buy coffee by the end of the month", 19),
        ("who will buy coffee until the end of next quarter", 111),
        ("who will buy coffee this year", 203),
        ("who will buy coffee before 1 July", 19),
        ("who will buy coffee by July 10th", 29),
        ("who will buy coffee by 2024-06-20", 9),
        ("who will buy coffee by year-end", 203),
        ("who will buy coffee within the next 48 hours", 2),
        ("who will buy coffee in the next half year", 180),
        ("who will buy coffee within a 90-day period", 90),
        ("who will buy coffee over the next few weeks", 21),
        ("wer kauft ground coffee bis Weihnachten", 197),
        ("wer kauft ground coffee bis Ende des Monats", 19),
        ("wer kauft ground coffee bis zum 30.06.", 19),
        ("wer kauft dieses Jahr ground coffee", 203),
        ("wer kauft ground coffee bis Ende nächsten Monats", 50),
    ],
)
def test_a_date_ahead_is_as_many_days_as_it_is_from_the_cutoff(demand: str, days: int, ask: Callable[[str], Rewriting]) -> None:
    outcome = outcome_of(ask(demand))
    assert outcome["within_days"] == days
    assert "coffee" in outcome["will"][0]["do"]["about"][0]


@pytest.mark.parametrize(
    ("demand", "last_days"),
    [
        ("customers who bought coffee since January and will buy coffee again", 163),
        ("customers who bought coffee in 2023 and will buy coffee again", 528),
        ("customers who bought coffee yesterday and will buy coffee again", 1),
        ("customers who bought coffee since 2010 and will buy coffee again", 893),  # all of the past there is
        ("customers who bought coffee less than 3 weeks ago and will buy coffee again", 21),
        ("Kunden, die seit März ground coffee gekauft haben und wieder kaufen", 103),
        ("Kunden, die gestern ground coffee gekauft haben und wieder kaufen", 1),
    ],
)
def test_a_date_behind_says_how_far_back_the_clause_looks(demand: str, last_days: int, ask: Callable[[str], Rewriting]) -> None:
    among = outcome_of(ask(demand))["among"]
    assert among["last_days"] == last_days
    assert "coffee" in among["did"]["about"][0]


@pytest.mark.parametrize(
    ("demand", "will", "last_days", "within"),
    [
        ("buyers of coffee last month who will churn", {"negated": True}, 30, None),
        ("customers with purchases of coffee in the last 60 days who will churn", {"negated": True}, 60, None),
        ("customers who will churn and bought coffee in the last 90 days", {"negated": True}, 90, None),
        ("customers who will churn who bought coffee last month", {"negated": True}, 30, None),
        ("customers likely to churn who bought coffee in the last 2 weeks", {"negated": True}, 14, None),
        ("who will churn next quarter among those who bought coffee in the last 10 days", {"negated": True}, 10, 91),
        ("Kunden mit Käufen von ground coffee im letzten Monat, die abspringen", {"negated": True}, 30, None),
    ],
)
def test_a_window_stays_with_the_clause_that_it_is_said_of(
    demand: str, will: dict[str, Any], last_days: int, within: int | None, ask: Callable[[str], Rewriting]
) -> None:
    outcome = outcome_of(ask(demand))
    assert outcome["will"] == [will]
    assert outcome["among"]["last_days"] == last_days
    assert "coffee" in outcome["among"]["did"]["about"][0]
    assert outcome.get("within_days") == within


def test_those_who_were_active_lately_are_asked_of_those_days(ask: Callable[[str], Rewriting]) -> None:
    assert outcome_of(ask("customers active in the last 7 days who will churn"))["among"] == {"did": {}, "last_days": 7}


def test_who_did_it_last_so_long_ago_did_not_do_it_since(ask: Callable[[str], Rewriting]) -> None:
    outcome = outcome_of(ask("customers who last bought coffee more than 3 months ago and will buy again"))
    assert outcome["among"]["negated"]
    assert outcome["among"]["last_days"] == 90


def test_the_status_of_what_was_done_before_is_asked_of_that(ask: Callable[[str], Rewriting]) -> None:
    outcome = outcome_of(ask("customers with cancelled orders last month who will churn"))
    assert outcome["will"] == [{"negated": True}]
    assert outcome["among"]["did"]["statuses"] == ["cancelled"]
    assert outcome["among"]["last_days"] == 30


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        ("who will buy coffee in July", "in july"),
        ("who will buy coffee in Q4", "in q4"),
        ("who will buy coffee between 1 July and 30 July", "between 1 july and 30 july"),
        ("who will buy coffee after Christmas", "after christmas"),
        ("who will buy coffee in the second half of the year", "in the second half of the year"),
        ("customers who bought coffee 3 months ago and will buy again", "3 months ago"),
        ("who will buy coffee by 2020", "by 2020"),
        ("customers who bought coffee last month and silver bars in the last 2 weeks and will churn", "last"),
        ("wer kauft ground coffee im Juli", "im juli"),
        ("wer kauft ground coffee nach Weihnachten", "nach weihnachten"),
    ],
)
def test_a_time_that_no_outcome_can_ask_is_said_not_to_be_heeded(demand: str, words: str, ask: Callable[[str], Rewriting]) -> None:
    rewriting = ask(demand)
    assert "not heeded" in rewriting.note
    assert words in rewriting.note


@pytest.mark.parametrize(
    ("demand", "total"), [("customers who will spend over 1000 in the next 6 months", 1000.0), ("who will spend over 2000", 2000.0)]
)
def test_an_amount_of_four_digits_is_no_year(demand: str, total: float, ask: Callable[[str], Rewriting]) -> None:
    assert outcome_of(ask(demand))["will"] == [{"do": PAY, "total": total}]


def test_what_is_called_monthly_is_not_done_each_month(ask: Callable[[str], Rewriting]) -> None:
    assert "days" not in outcome_of(ask("who will buy a weekly bus ticket"))["will"][0]
    assert outcome_of(ask("who will buy coffee weekly"))["will"][0]["days"] == 4
