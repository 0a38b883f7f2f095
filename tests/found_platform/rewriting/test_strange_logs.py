"""Demands to logs of another kind than a shop's: codes as texts, few texts, profile tables in another language, statuses."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_shop import CUTOFF

from found_platform.outcomes import document
from found_platform.rewriting import Rewriting, ground, reading, retrieval, spelling
from found_platform.rewriting.ground import Ground
from found_platform.settings import Settings

CLINIC = [
    "LOGIN",
    "APPOINTMENT_BOOKED",
    "PRESCRIPTION_DOWNLOADED",
    "Physiotherapie Rücken",
    "Zahnreinigung",
    "Grippeimpfung",
    "Yogakurs",
    "Vitaminpräparat",
]
NOT_LATELY = {"negated": True}


def made_of(lake: Ground, texts: list[str], **more: Any) -> Ground:
    """A ground of a few texts, all looked at alike often; it knows of no visits."""
    encoded = lake.encoder.encode(texts)
    centre = encoded.mean(0)
    events = np.full(len(texts), 9)
    kinds = {kind: events if kind in ("purchase", "browsing") else 0 * events for kind in lake.kinds}
    vectors = ground.unit(encoded - centre)
    return replace(lake, items=texts, texts=len(texts), events=events, kinds=kinds, vectors=vectors, centre=centre, **more)


@pytest.fixture(scope="module")
def clinic(shop: Settings) -> Ground:
    """A clinic whose profile table is German."""
    return made_of(
        ground.of(shop, CUTOFF),
        CLINIC,
        returns=3,
        statuses=["attended", "rescheduled"],
        attributes={
            "Geschlecht": ["männlich", "weiblich"],
            "Standort": ["Köln", "München", "Wien"],
            "Tarif": ["Tarif Basis", "Tarif Komfort"],
            "Risikoklasse": ["A", "B"],
            "Status": ["Angestellte", "Rentner", "Studierende"],
            "Land": ["AT", "DE"],
        },
        numbers=["Alter"],
    )


@pytest.fixture(scope="module")
def ask(clinic: Ground) -> Callable[[str], Rewriting]:
    return lambda demand: retrieval.on(clinic, demand, 28)


def outcome_of(rewriting: Rewriting) -> dict[str, Any]:
    assert rewriting.outcome is not None, rewriting.doubt
    return document.as_data(rewriting.outcome)


LOGIN = {"about": ["LOGIN"]}


@pytest.mark.parametrize(
    ("demand", "statement", "among"),
    [
        ("patients who will sign in on at least 6 days", {"do": LOGIN, "days": 6}, None),
        ("patients who have not signed in for 45 days", {"do": LOGIN, **NOT_LATELY}, {"did": LOGIN, "last_days": 45, **NOT_LATELY}),
        ("wer meldet sich wöchentlich an", {"do": LOGIN, "days": 4}, None),
    ],
)
def test_acts_without_a_channel_of_their_own_are_found_by_what_the_log_calls_them(
    demand: str, statement: dict[str, Any], among: dict[str, Any] | None, ask: Callable[[str], Rewriting]
) -> None:
    outcome = outcome_of(ask(demand))
    assert outcome["will"] == [statement]
    assert outcome.get("among") == among


@pytest.mark.parametrize(
    ("demand", "text"),
    [
        ("who will download a prescription", "PRESCRIPTION_DOWNLOADED"),
        ("guests who will book an appointment", "APPOINTMENT_BOOKED"),
        ("wer macht einen Yogakurs", "Yogakurs"),
        ("Patienten mit Grippeimpfungen", "Grippeimpfung"),
    ],
)
def test_a_log_of_a_few_texts_is_no_reason_to_find_none(demand: str, text: str, ask: Callable[[str], Rewriting]) -> None:
    assert text in outcome_of(ask(demand))["will"][0]["do"]["about"]


@pytest.mark.parametrize("demand", ["who will buy a racing bicycle", "people who adopt kittens", "wer kauft einen Rasenmäher"])
def test_what_a_log_of_a_few_texts_does_not_have_is_still_told(demand: str, ask: Callable[[str], Rewriting]) -> None:
    assert ask(demand).doubt == retrieval.NOTHING


@pytest.mark.parametrize(
    ("demand", "where"),
    [
        ("women who will log in", "\"Geschlecht\" IN ('weiblich')"),
        ("patients older than 70 who will log in", '"Alter" >= 71'),
        ("patients in Munich or Cologne who will log in", "\"Standort\" IN ('Köln', 'München')"),
        ("Austrian retirees who will log in", "\"Status\" IN ('Rentner') AND \"Land\" IN ('AT')"),
        ("Komfort members who will log in", "\"Tarif\" IN ('Tarif Komfort')"),
        ("patients with risk klasse B who will log in", "\"Risikoklasse\" IN ('B')"),
        ("B-Patienten, die sich einloggen", "\"Risikoklasse\" IN ('B')"),
        ("Patientinnen aus Wien, die sich einloggen", "\"Standort\" IN ('Wien')"),
        ("Studierende, die sich einloggen", "\"Status\" IN ('Studierende')"),
        ("Patienten im Tarif Basis, die sich einloggen", "\"Tarif\" IN ('Tarif Basis')"),
    ],
)
def test_values_of_the_profile_that_a_demand_names_are_a_filter(demand: str, where: str, ask: Callable[[str], Rewriting]) -> None:
    outcome = outcome_of(ask(demand))
    assert outcome["among"]["where"] == where
    assert outcome["will"][0]["do"] == LOGIN


def test_a_value_of_the_profile_that_is_also_bought_is_no_filter_of_who_buys_it(shop: Settings) -> None:
    lake = replace(ground.of(shop, CUTOFF), attributes={"tier": ["gold", "silver"]})
    bought = outcome_of(retrieval.on(lake, "people who will buy gold", 28))
    assert "among" not in bought
    tiered = outcome_of(retrieval.on(lake, "gold members who will buy coffee", 28))
    assert tiered["among"] == {"where": "tier IN ('gold')"}
    assert tiered["will"][0]["do"]["about"] == ["ground coffee"]


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        ("patients who log in only on Sundays", "on sundays"),
        ("who will log in before Easter", "before easter"),
        ("new patients who will log in", "new"),
        ("wer loggt sich am Wochenende ein", "am wochenende"),
        ("wer loggt sich nach Ostern ein", "nach ostern"),
    ],
)
def test_what_no_outcome_can_say_is_said_to_be_left_aside(demand: str, words: str, ask: Callable[[str], Rewriting]) -> None:
    rewriting = ask(demand)
    assert outcome_of(rewriting)["will"][0]["do"] == LOGIN
    assert f"{words}” is not heeded" in rewriting.note


@pytest.mark.parametrize(
    "demand",
    [
        "spectators who will not log in again",
        "patients who dont log in",
        "patients not logging in",
        "members who neither log in nor sign in",
        "Besucher, die sich weder einloggen noch anmelden",
        "patients who used to log in but no longer do",
        "patients who stopped logging in",
    ],
)
def test_a_negation_is_never_read_as_its_opposite(demand: str, ask: Callable[[str], Rewriting]) -> None:
    rewriting = ask(demand)
    assert rewriting.outcome is None or rewriting.outcome.will[0].negated


def test_who_stopped_is_asked_of_those_who_did_it_once_and_not_lately(ask: Callable[[str], Rewriting]) -> None:
    outcome = outcome_of(ask("patients who have given up logging in"))
    assert outcome["will"] == [{"do": LOGIN, "negated": True, "history": "again"}]
    assert outcome["among"] == {"did": LOGIN, "last_days": 28, "negated": True}


@pytest.mark.parametrize(
    ("demand", "expected"),
    [
        ("patients who will reschedule", {"do": {"statuses": ["rescheduled"]}}),
        ("who will cancel an appointment", {"do": {"about": ["APPOINTMENT_BOOKED"], "returned": True}}),
        ("clients about to close their account", {"negated": True}),
        ("patients idle for 100 days", {"negated": True}),
        ("patients whose engagement is shrinking", {"less_than_before": "times"}),
        ("please show me the guests that will log in", {"do": LOGIN}),
    ],
)
def test_other_words_for_acts_are_read(demand: str, expected: dict[str, Any], ask: Callable[[str], Rewriting]) -> None:
    assert outcome_of(ask(demand))["will"] == [expected]


@pytest.mark.parametrize(
    ("demand", "statement", "days"),
    [
        ("who will log in three times a year", {"times": 3}, 365),
        ("patients with two bookings per quarter", {"times": 2}, 91),
        ("who will log in once a month", {"days": 1}, 30),
        ("guests active on more than 3 days a week", {"days": 16}, None),
        ("wer loggt sich zweimal im Jahr ein", {"times": 2}, 365),
    ],
)
def test_how_often_in_a_span_that_is_longer_than_what_lies_ahead_is_asked_of_that_span(
    demand: str, statement: dict[str, Any], days: int | None, ask: Callable[[str], Rewriting]
) -> None:
    outcome = outcome_of(ask(demand))
    assert statement.items() <= outcome["will"][0].items()
    assert outcome.get("within_days") == days


@pytest.mark.parametrize(
    "demand", ["members who will book both Yogakurs and Zahnreinigung", "wer sowohl den Yogakurs als auch die Zahnreinigung bucht"]
)
def test_both_of_two_things_are_two_statements(demand: str, ask: Callable[[str], Rewriting]) -> None:
    outcome = outcome_of(ask(demand))
    assert [statement["do"]["about"] for statement in outcome["will"]] == [["Yogakurs"], ["Zahnreinigung"]]
    assert "join" not in outcome


def test_those_who_did_it_lately_are_left_out_where_that_is_asked(ask: Callable[[str], Rewriting]) -> None:
    lately = outcome_of(ask("guests who will book the Yogakurs, but not those who already did in the last 20 days"))
    did = lately["will"][0]["do"]
    assert lately["among"] == {"did": did, "last_days": 20, "negated": True}
    ever = outcome_of(ask("guests who will book the Yogakurs, but not those who already have"))
    assert ever["will"] == [{"do": did, "history": "first"}]


def test_of_a_category_that_is_named_the_texts_that_say_it_are_asked(shop: Settings) -> None:
    goods = ["Gartenstühle", "Klappstühle", "Hängematte", "Grillkohle", "Stühle"]
    garden = replace(made_of(ground.of(shop, CUTOFF), goods), texts=4)  # the last one is a category
    outcome = outcome_of(retrieval.on(garden, "Kunden, die Stühle kaufen", 28))
    assert sorted(outcome["will"][0]["do"]["about"]) == ["Gartenstühle", "Klappstühle"]


def test_what_was_brought_back_before_is_asked_as_that(ask: Callable[[str], Rewriting]) -> None:
    outcome = outcome_of(ask("guests who returned a Vitaminpräparat in the last 50 days and will return it again"))
    assert outcome["among"]["did"]["returned"]
    assert outcome["will"][0]["do"]["returned"]


@pytest.mark.parametrize(
    ("demand", "total"), [("Kunden, die über 20.000 Euro Umsatz machen", 20000.0), ("clients with a turnover over 500", 500.0)]
)
def test_turnover_is_a_total_and_no_age(demand: str, total: float) -> None:
    read = reading.read(demand)
    assert read.total == total
    assert not read.attributes


VOUCHERS = [f"Redeemed voucher for: {thing}" for thing in ("tea", "soap", "bread", "rope", "paint", "ink", "salt", "wool")]


def test_a_word_of_many_texts_is_no_reason_to_leave_those_that_an_encoder_finds(clinic: Ground) -> None:
    """All of them are alike by their letters; the most frequent are not nearer than the others."""
    shop_of_vouchers = made_of(clinic, [*VOUCHERS, *CLINIC], statuses=[])
    assert sorted(spelling.alike(shop_of_vouchers, ("voucher",))) == list(range(len(VOUCHERS)))
    about = outcome_of(retrieval.on(shop_of_vouchers, "who will redeem a voucher for soap", 28))["will"][0]["do"]["about"]
    assert "Redeemed voucher for: soap" in about


def test_a_status_that_the_texts_say_too_is_asked_of_the_texts(clinic: Ground) -> None:
    shop_of_vouchers = made_of(clinic, [*VOUCHERS, *CLINIC], statuses=["redeemed", "rescheduled"])
    do = outcome_of(retrieval.on(shop_of_vouchers, "who will redeem a voucher", 28))["will"][0]["do"]
    assert set(do["about"]) <= set(VOUCHERS)
    assert "statuses" not in do
    do = outcome_of(retrieval.on(shop_of_vouchers, "who will reschedule", 28))["will"][0]["do"]
    assert "about" not in do
    assert do["statuses"] == ["rescheduled"]


@pytest.mark.parametrize(
    "demand",
    ["Kunden, die Windeln kaufen", "wer kauft Katzenfutter", "Kunden, die eine Silberkette kaufen", "wer liebt Kaffee"],
)
def test_goods_in_another_language_than_the_data_are_doubted_and_not_ranked_by_noise(
    demand: str, rewrite: Callable[[str], Rewriting]
) -> None:
    assert rewrite(demand).doubt == retrieval.NOTHING


@pytest.mark.parametrize("demand", ["Kunden, die abspringen", "wer kauft mindestens dreimal"])
def test_acts_are_read_in_another_language_than_that_of_the_data(demand: str, rewrite: Callable[[str], Rewriting]) -> None:
    assert rewrite(demand).outcome is not None


def test_counts_of_what_was_done_before_are_heeded(ask: Callable[[str], Rewriting]) -> None:
    twice = outcome_of(ask("patients with at least two Yogakurs bookings last month who will log in"))
    assert (twice["among"]["times"], twice["among"]["last_days"]) == (2, 30)
    each = outcome_of(ask("patients who booked the Yogakurs every week for the last 4 weeks and will stop"))
    assert (each["among"]["days"], each["among"]["last_days"]) == (4, 28)


def test_never_looks_at_all_of_the_past(ask: Callable[[str], Rewriting]) -> None:
    first = outcome_of(ask("guests who have never booked the Yogakurs but will book it soon"))
    assert first["will"][0]["history"] == "first"
    assert "among" not in first


def test_an_amount_in_each_span_is_a_total_of_that_span(ask: Callable[[str], Rewriting]) -> None:
    outcome = outcome_of(ask("guests who spend more than 200 a month on the Yogakurs"))
    assert (outcome["will"][0]["total"], outcome["within_days"]) == (200.0, 30)


def test_another_language_is_not_answered_by_what_a_word_of_it_resembles(shop: Settings) -> None:
    lake = made_of(ground.of(shop, CUTOFF), ["Belle eau de toilette", "garden hose", "ink cartridge"])
    rewriting = retrieval.on(lake, "les clients qui vont acheter une belle toilette", 28)
    assert rewriting.outcome is None
    assert "the language was not recognised" in rewriting.doubt
    assert retrieval.on(lake, "eau de toilette", 28).outcome is not None, "these are the data's own words"
