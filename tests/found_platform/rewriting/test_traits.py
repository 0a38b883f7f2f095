"""Traits of the profile that are numbers, dates, or yes or no; each becomes a filter, or is said not to be told by the data."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pytest
from small_shop import CUTOFF

from found_platform.rewriting import Rewriting, ground, retrieval
from found_platform.settings import Settings


@pytest.fixture(scope="module")
def ask(shop: Settings) -> Callable[[str], Rewriting]:
    lake = replace(
        ground.of(shop, CUTOFF),
        today=dt.date(2024, 6, 12),
        attributes={"gender": ["female", "male"], "newsletter": ["no", "yes"], "Rechnungskauf": ["ja", "nein"]},
        numbers=["birth_year", "income", "seats", "tenure_months", "has_app"],
        flags=("is_member", "frequent_flyer"),
        dates=("joined", "trial_until", "contract_end"),
    )
    return lambda demand: retrieval.on(lake, demand, 28)


@pytest.mark.parametrize(
    ("demand", "where"),
    [
        ("customers born after 1990 who will buy coffee", "birth_year >= 1991"),
        ("customers who were born before 1980 and will buy coffee", "birth_year <= 1979"),
        ("people born in the 1980s who will buy coffee", "birth_year >= 1980 AND birth_year <= 1989"),
        ("customers over 50 who will buy coffee", "birth_year <= 1973"),
        ("women in their 30s who will buy coffee", "gender IN ('female') AND birth_year >= 1985 AND birth_year <= 1994"),
        ("customers who are members and will buy coffee", "is_member = true"),
        ("non-members who will buy coffee", "is_member = false"),
        ("customers without newsletter who will buy coffee", "newsletter IN ('no')"),
        ("newsletter subscribers who will buy coffee", "newsletter IN ('yes')"),
        ("people who are not frequent flyers and will buy coffee", "frequent_flyer = false"),
        ("people who have the app and will buy coffee", "has_app = 1"),
        ("customers who joined this year and will buy coffee", "joined >= '2024-01-01' AND joined < '2025-01-01'"),
        ("customers since 2020 who will buy coffee", "joined >= '2020-01-01'"),
        ("customers who joined in the last 90 days and will buy coffee", "joined >= '2024-03-14'"),
        ("customers who signed up before March 2021 and will buy coffee", "joined < '2021-03-01'"),
        ("customers with an income over 50k who will buy coffee", "income > 50000"),
        ("customers with income of at least 1,000.50 who will buy coffee", "income >= 1000.5"),
        ("customers earning between 30k and 50k who will buy coffee", "income >= 30000 AND income <= 50000"),
        ("people whose contract ends soon who will buy coffee", "contract_end >= '2024-06-12' AND contract_end < '2024-07-10'"),
        (
            "people whose trial expires in 10 days and who will buy coffee",
            "trial_until >= '2024-06-12' AND trial_until < '2024-06-22'",
        ),
        ("accounts with more than 50 seats who will buy coffee", "seats > 50"),
        ("customers with a tenure of more than 2 years who will buy coffee", "tenure_months > 24"),
        ("Kunden, die nach 1990 geboren sind und ground coffee kaufen", "birth_year >= 1991"),
        ("Kunden ohne Rechnungskauf, die ground coffee kaufen", "\"Rechnungskauf\" IN ('nein')"),
        ("Kunden über 50, die ground coffee kaufen", "birth_year <= 1973"),
    ],
)
def test_a_trait_is_a_filter_and_no_part_of_what_is_done(demand: str, where: str, ask: Callable[[str], Rewriting]) -> None:
    outcome = ask(demand).outcome
    assert outcome is not None
    assert outcome.among.where == where
    assert outcome.among.did is None
    assert [statement.do.about for statement in outcome.will] == [("ground coffee",)]


def test_figures_of_a_german_demand_have_a_decimal_comma(shop: Settings) -> None:
    lake = replace(ground.of(shop, CUTOFF), numbers=["Einkommen"])
    outcome = retrieval.on(lake, "Kunden mit einem Einkommen über 1.000,50 Euro, die abspringen", 28).outcome
    assert outcome is not None
    assert outcome.among.where == '"Einkommen" > 1000.5'


@pytest.mark.parametrize("demand", ["customers born after 1990 who will buy coffee", "customers since 2020 who will buy coffee"])
def test_a_trait_that_the_profile_does_not_have_is_said(demand: str, shop: Settings) -> None:
    rewriting = retrieval.on(ground.of(shop, CUTOFF), demand, 28)
    assert "the data does not tell who is" in rewriting.note
    assert rewriting.outcome is not None
    assert rewriting.outcome.among.where is None
    assert rewriting.outcome.among.did is None
