"""How much was done before, who somebody is by age, and values of the data that a demand names: by card, cancelled orders."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from small_shop import CUTOFF

from found_platform.outcomes import document
from found_platform.rewriting import Rewriting, ground, retrieval, values
from found_platform.rewriting.language import languages
from found_platform.rewriting.language_model import LanguageModelRewriter
from found_platform.settings import Settings

PAY = {"channels": ["pay_bill"]}


@pytest.fixture(scope="module")
def ask(shop: Settings) -> Callable[[str], Rewriting]:
    """Demands to a shop with ways to pay, statuses, returns, and attributes of its users."""
    values = replace(
        ground.of(shop, CUTOFF),
        returns=9,
        payment_methods=["bank transfer", "Card"],
        statuses=["cancelled", "pending"],
        attributes={"gender": ["female", "male"], "age_band": ["18-24", "25-34", "35-44", "45-54", "55-64", "65+"]},
    )
    return lambda demand: retrieval.on(values, demand, 28)


def bought(last: int, **much: Any) -> dict[str, Any]:
    return {"did": PAY, "last_days": last, **much}


OUTCOMES: list[tuple[str, dict[str, Any]]] = [
    # how much was done before
    ("people who bought twice in the last month and will buy again", {"history": "again", "among": bought(30, times=2)}),
    ("who shopped on at least 5 days in the last four weeks and will stop", {"negated": True, "among": bought(28, days=5)}),
    ("customers who spent more than 100 last month and will churn", {"negated": True, "among": bought(30, total=100.0)}),
    (
        "Kunden, die letzten Monat mindestens dreimal gekauft haben und bald abspringen",
        {"negated": True, "among": bought(30, times=3)},
    ),
    (
        "Kunden, die im letzten Monat mehr als 100 Euro ausgegeben haben und wieder kaufen",
        {"history": "again", "among": bought(30, total=100.0)},
    ),
    # more or less than in several spans of time
    ("customers who will spend more than in the last three weeks", {"more_than_before": "total", "within_days": 21}),
    ("who will buy less often than in the past two months", {"less_than_before": "times", "within_days": 60}),
    ("Kunden, die mehr ausgeben als in den letzten drei Wochen", {"more_than_before": "total", "within_days": 21}),
    # values of the data
    ("people who will pay by card", {"do": {**PAY, "payment_methods": ["Card"]}}),
    ("users whose orders will be cancelled", {"do": {**PAY, "statuses": ["cancelled"]}}),
    ("who will buy something from the pets category", {"do": {**PAY, "categories": ["pets"]}}),
    ("Kunden, die per Card zahlen", {"do": {**PAY, "payment_methods": ["Card"]}}),
    (
        "customers who paid by card last month and will churn",
        {"negated": True, "among": {"did": {**PAY, "payment_methods": ["Card"]}, "last_days": 30}},
    ),
    # by age
    ("seniors who will buy again", {"history": "again", "among": {"where": "age_band IN ('65+')"}}),
    (
        "young women who will stop buying",
        {"negated": True, "among": {"where": "gender IN ('female') AND age_band IN ('18-24', '25-34')"}},
    ),
]


@pytest.mark.parametrize(("demand", "expected"), OUTCOMES, ids=[demand for demand, _ in OUTCOMES])
def test_what_a_demand_says_of_the_past_and_of_values_is_heeded(
    demand: str, expected: dict[str, Any], ask: Callable[[str], Rewriting]
) -> None:
    rewriting = ask(demand)
    assert rewriting.outcome is not None, rewriting.doubt
    content = document.as_data(rewriting.outcome)
    (statement,), among = content["will"], content.get("among", {})
    for key, value in expected.get("among", {}).items():
        assert among[key] == value
    assert content.get("within_days") == expected.get("within_days")
    for key in expected.keys() - {"among", "within_days"}:
        assert statement[key] == expected[key]


def test_an_age_in_years_is_a_filter_of_a_number(ask: Callable[[str], Rewriting], shop: Settings) -> None:
    items = replace(ground.of(shop, CUTOFF), numbers=["age"])
    for demand, where in (
        ("people over 50 who will buy again", "age >= 51"),
        ("men aged 30 to 40 who will buy", "age >= 30 AND age <= 40"),
    ):
        outcome = retrieval.on(items, demand, 28).outcome
        assert outcome is not None
        assert outcome.among.where == where


def test_an_attribute_whose_name_only_begins_like_an_age_is_none(shop: Settings) -> None:
    items = replace(ground.of(shop, CUTOFF), numbers=["agency_id", "alternatives"])
    for demand in ("people over 50 who will buy again", "Kunden über 50, die wieder kaufen"):
        outcome = retrieval.on(items, demand, 28).outcome
        assert outcome is None or outcome.among.where is None


def test_a_value_that_the_data_spells_in_two_ways_is_asked_in_both(shop: Settings) -> None:
    items = replace(ground.of(shop, CUTOFF), payment_methods=["CARD", "Card", "cash"])
    outcome = retrieval.on(items, "people who will pay by card", 28).outcome
    assert outcome is not None
    assert outcome.will[0].do.payment_methods == ("CARD", "Card")


@pytest.mark.parametrize(
    ("demand", "statuses"),
    [
        ("kunden mit stornierten bestellungen", ("storniert",)),
        ("wer eine stornierte zahlung hat", ("storniert",)),
        ("kunden mit „offen“ bestellungen", ("offen",)),
        ("kunden mit bestellungen", ()),
    ],
)
def test_a_status_is_read_with_its_ending(demand: str, statuses: tuple[str, ...], shop: Settings) -> None:
    items = replace(ground.of(shop, CUTOFF), statuses=["offen", "storniert"])
    rest, named = values.take(items, demand, "", languages()["de"])
    assert named.of_act.get("statuses", ()) == statuses
    assert "bestellung" in rest or "zahlung" in rest


def test_an_attribute_that_the_data_does_not_have_is_told(shop: Settings) -> None:
    rewriting = retrieval.on(ground.of(shop, CUTOFF), "young women who will buy again", 28)
    assert "does not tell who is" in rewriting.note
    assert "young" in rewriting.note


def test_who_is_away_alone_is_told_to_be_read_as_who_comes_back(ask: Callable[[str], Rewriting]) -> None:
    assert "nothing of what they will do" in ask("dormant users").note


def test_who_buys_one_thing_and_will_buy_another_is_asked_of_the_buyers(ask: Callable[[str], Rewriting]) -> None:
    outcome = ask("buyers of cat litter who will also buy dog food").outcome
    assert outcome is not None
    assert outcome.among.did is not None
    assert outcome.among.did.about == ("cat litter",)
    assert outcome.will[0].do.about == ("dry dog food",)


KEPT = [
    "customers who will buy gold and will not buy silver",
    "people who will never buy again",
    "who will shop at least three times",
]


@pytest.mark.parametrize("demand", KEPT)
def test_sentences_of_a_model_do_not_replace_what_they_cannot_say(demand: str, shop: Settings) -> None:
    """Statements that are joined, and acts that are about no goods, stay as they were read."""
    rewriting = LanguageModelRewriter(shop, CUTOFF, "stand-in", lambda _: sentence(shop)).rewrite(demand)
    assert rewriting.outcome == retrieval.on(ground.of(shop, CUTOFF), demand, shop.horizon_days).outcome
    assert "its sentences cannot say" in rewriting.note


def test_sentences_of_a_model_name_the_goods_and_keep_what_else_was_said(shop: Settings) -> None:
    demand = "customers who bought gold in the last 20 days and will buy things for their cat at least twice"
    rewriting = LanguageModelRewriter(shop, CUTOFF, "stand-in", lambda _: sentence(shop)).rewrite(demand)
    assert rewriting.by == "llm:stand-in"
    assert rewriting.outcome is not None
    assert rewriting.outcome.will[0].do.about == ("cat litter",)
    assert rewriting.outcome.will[0].times == 2
    assert rewriting.outcome.among.did is not None
    assert rewriting.outcome.among.last_days == 20


def sentence(shop: Settings) -> str:
    """What a model answers: the form of a purchase, about cat litter."""
    return ground.template_kinds()["purchase"]["sentence"].format(days=shop.horizon_days, items="cat litter")


@pytest.mark.parametrize(
    ("demand", "statuses"),
    [
        ("patients who will be a no-show", ("no_show",)),
        ("no-shows", ("no_show",)),
        ("patients who will attend", ("attended",)),
        ("Patienten, die nicht erschienen", ("nicht erschienen",)),
        ("Patienten mit Status nicht erschienen", ("nicht erschienen",)),
        ("Patienten, die einen Termin absagen werden", ("abgesagt",)),
    ],
)
def test_a_status_that_denies_something_is_named_as_a_whole_and_by_its_verb(
    demand: str, statuses: tuple[str, ...], shop: Settings
) -> None:
    clinic = replace(ground.of(shop, CUTOFF), statuses=["abgesagt", "attended", "erschienen", "nicht erschienen", "no_show"])
    outcome = retrieval.on(clinic, demand, 28).outcome
    assert outcome is not None
    (statement,) = outcome.will
    assert (statement.do.statuses, statement.negated) == (statuses, False)
